"""Tells the operator what happened: numbered per route, at most a second late, again and again until acknowledged."""

import asyncio
import logging
import time
import uuid
from collections import deque
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import aiohttp
import orjson

from droveway.api.enums import CostSource
from droveway.cluster.objects import Key
from droveway.core.completion import TokenBreakdown
from droveway.core.events import Batch, Record, RecordKind, batch_to_dict
from droveway.gateway.metrics import GatewayMetrics
from droveway.gateway.prices import PricedModel, Prices

log = logging.getLogger(__name__)

_BATCH_SECONDS = 1.0
_BATCH_RECORDS = 200
_POST_SECONDS = 5.0
_PRICE_SECONDS = 0.3  # bad news does not wait longer for the price of what goes with it
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 10.0
_AT_ONCE = 16  # batches on their way at once
_MOST_PENDING = 20_000
_KNOWN_TO_ALL = (RecordKind.COMPLETION, RecordKind.EXHAUSTED)  # operators of all versions


@dataclass(slots=True)
class _Entry:
    record: Record
    priced: PricedModel | None


@dataclass(slots=True)
class _Line:
    """What one route's batches have not delivered yet."""

    number: int = 0
    entries: deque[_Entry] = field(default_factory=deque)
    pause: float = 0.0
    not_before: float = 0.0


class Reporter:
    """The way to the operator's `/v1/events`.

    Args:
        url: of the operator; empty: nobody listens, and only metrics are kept.
        token_file: the service-account token, read at every batch since it is rotated.
        prices: for the cost of completions, looked up here and not while an agent waits.
    """

    def __init__(self, url: str, token_file: Path, prices: Prices, metrics: GatewayMetrics) -> None:
        self._url, self._token_file, self._prices, self._metrics = url, token_file, prices, metrics
        self.source = uuid.uuid4().hex
        self._lines: dict[Key, _Line] = {}
        self._pending = 0
        self._urgent = asyncio.Event()
        self._some = asyncio.Event()
        metrics.events_oldest.set_function(self._oldest)

    def next_number(self, route: Key) -> int:
        """The number of the next record about a route; the caller makes it and tells it at once."""
        line = self._lines.get(route)
        return line.number + 1 if line else 1

    def cost(self, priced: PricedModel, tokens: TokenBreakdown) -> float | None:
        """What a call has cost in US dollars; None: it used nothing, or nobody knows its price, or not yet."""
        rates = self._prices.rates(priced) if tokens.total else None
        return rates.cost(tokens) if rates else None

    def tell(self, route: Key, record: Record, priced: PricedModel | None = None) -> float | None:
        """Takes a record that has its number. Bad news goes out at once.

        Returns:
            What it cost in US dollars, when that is known by now.
        """
        line = self._lines.setdefault(route, _Line())
        line.number = record.number
        line.entries.append(entry := _Entry(record, priced))
        if priced is not None and self._prices.rates(priced) is not None:
            self._price(route, entry)
        self._pending += 1
        if self._pending > _MOST_PENDING:
            self._drop_oldest()
        self._metrics.events_pending.set(self._pending)
        self._some.set()
        if record.verdict is not None:
            self._urgent.set()
        return entry.record.cost_usd

    async def run(self) -> None:
        """Delivers until cancelled."""
        async with aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=_POST_SECONDS), trust_env=False
        ) as session:
            while True:
                await self._some.wait()
                await self._until_due()
                await self._deliver_all(session)

    async def flush(self, seconds: float) -> None:
        """Delivers what is pending, as far as it can be done in so many seconds."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=seconds), trust_env=False) as session:
            try:
                async with asyncio.timeout(seconds):
                    for line in self._lines.values():
                        line.not_before = 0.0
                    await self._deliver_all(session)
            except TimeoutError:
                log.warning("%d events were not acknowledged in time", self._pending)

    async def _until_due(self) -> None:
        try:
            async with asyncio.timeout(min([_BATCH_SECONDS, *self._pauses()])):
                await self._urgent.wait()
        except TimeoutError:
            return

    def _pauses(self) -> list[float]:
        """How long the routes whose events were not taken still have to wait."""
        now = time.monotonic()
        return [max(0.05, line.not_before - now) for line in self._lines.values() if line.entries and line.not_before]

    async def _deliver_all(self, session: aiohttp.ClientSession) -> None:
        """Every route by itself: one whose events are not taken does not hold up the others."""
        await self._prices.settled(_PRICE_SECONDS if self._urgent.is_set() else _BATCH_SECONDS * 10)
        self._urgent.clear()
        now = time.monotonic()
        due = [(route, line) for route, line in self._lines.items() if line.entries and line.not_before <= now]
        gate = asyncio.Semaphore(_AT_ONCE)
        await asyncio.gather(*(self._deliver_line(session, gate, route, line) for route, line in due))
        if not self._pending:
            self._some.clear()

    async def _deliver_line(
        self, session: aiohttp.ClientSession, gate: asyncio.Semaphore, route: Key, line: _Line
    ) -> None:
        try:
            async with gate:
                while line.entries:
                    await self._deliver(session, route, line)
            line.pause = line.not_before = 0.0
        except _Later as later:
            line.pause = max(later.seconds, min(_LONGEST_PAUSE, line.pause * 2 or _FIRST_PAUSE))
            line.not_before = time.monotonic() + line.pause

    async def _deliver(self, session: aiohttp.ClientSession, route: Key, line: _Line) -> None:
        chosen = list(islice(line.entries, _BATCH_RECORDS))
        for entry in chosen:
            self._price(route, entry)
        upto = chosen[-1].record.number
        if self._url:
            upto = await self._post_understood(session, route, tuple(entry.record for entry in chosen))
        before = self._pending
        while line.entries and line.entries[0].record.number <= upto:
            line.entries.popleft()
            self._pending -= 1
        self._metrics.events_pending.set(self._pending)
        if self._pending == before:
            raise _Later(0.0)

    def _price(self, route: Key, entry: _Entry) -> None:
        """Puts the cost into a record, once."""
        if entry.priced is None:
            return
        rates, record = self._prices.rates(entry.priced), entry.record
        entry.priced = None
        if not record.tokens.total:
            return
        target = (route.namespace, route.name, record.provider, record.model)
        if rates is None:
            entry.record = replace(record, cost_source=CostSource.UNKNOWN)
            self._metrics.unpriced(*target).inc()
            return
        cost = record.cost_usd
        if cost is None:
            cost = rates.cost(record.tokens)
            entry.record = replace(record, cost_usd=cost, cost_source=CostSource.PRICED)
        counted = self._metrics.mirror_cost if record.kind is RecordKind.MIRROR else self._metrics.cost
        counted(*target).inc(cost)

    async def _post_understood(self, session: aiohttp.ClientSession, route: Key, records: tuple[Record, ...]) -> int:
        """The number up to which nothing has to be sent again. What the operator does not understand takes no other with it.

        An earlier one does not know the later kinds; otherwise the odd record is searched by halves.
        """
        try:
            return await self._post(session, Batch(self.source, route.namespace, route.name, records))
        except _NotUnderstood as refusal:
            why = str(refusal)
        known = tuple(r for r in records if r.kind in _KNOWN_TO_ALL)
        if 1 < len(records) == len(known):
            head, tail = records[: len(records) // 2], records[len(records) // 2 :]
            upto = await self._post_understood(session, route, head)
            return await self._post_understood(session, route, tail) if upto >= head[-1].number else upto
        rest = known[: len(records) - 1]  # a single one is left out, whatever it is
        log.error("the operator does not understand %d events: %s", len(records) - len(rest), why)
        self._metrics.events_dropped.inc(len(records) - len(rest))
        upto = await self._post_understood(session, route, rest) if rest else records[-1].number
        return upto if rest and upto < rest[-1].number else records[-1].number

    async def _post(self, session: aiohttp.ClientSession, batch: Batch) -> int:
        """The number up to which the operator has written everything."""
        body = orjson.dumps(batch_to_dict(batch))
        headers = {"content-type": "application/json"}
        if token := _read(self._token_file):
            headers["authorization"] = f"Bearer {token}"
        try:
            async with session.post(f"{self._url}/v1/events", data=body, headers=headers) as answer:
                if answer.status == 200:
                    return int(orjson.loads(await answer.read())["acknowledged"])
                if answer.status == 400:
                    raise _NotUnderstood((await answer.text())[:200])
                wait = answer.headers.get("retry-after", "")
                if answer.status != 503:
                    log.warning(
                        "the operator answered %d to our events: %s", answer.status, (await answer.text())[:200]
                    )
                raise _Later(float(wait) if wait.isdigit() else 0.0)
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError) as error:
            log.warning("the operator cannot be told events now: %r", error)
            raise _Later(0.0) from error

    def _oldest(self) -> float:
        """Age of the event that has waited longest, in seconds."""
        waiting = [line.entries[0].record.at for line in self._lines.values() if line.entries]
        return (datetime.now(UTC) - min(waiting)).total_seconds() if waiting else 0.0

    def _drop_oldest(self) -> None:
        longest = max(self._lines.values(), key=lambda line: len(line.entries))
        longest.entries.popleft()
        self._pending -= 1
        self._metrics.events_dropped.inc()


class _NotUnderstood(Exception):  # noqa: N818 - says what happened
    """The operator refuses a batch for what is in it."""


class _Later(Exception):  # noqa: N818 - says what happened
    """The operator did not take it."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
