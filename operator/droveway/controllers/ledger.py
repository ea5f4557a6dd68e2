"""The ledgers of all routes: loaded from their ConfigMaps, fed by events, written before anything is acknowledged.

Whoever submits a batch waits for the write that contains it. The first waiter takes the lock, lets the floor between two
writes pass, and writes for all that came meanwhile; the others find it done.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from droveway.api import names
from droveway.api.enums import Reason
from droveway.api.errors import TryLater
from droveway.api.v1alpha1 import AgentRun, ModelProvider, ModelRoute
from droveway.cluster import events
from droveway.cluster.client import Cluster, Conflict, Manifest, NotFound
from droveway.cluster.objects import CONFIG_MAPS, MODEL_ROUTES, Key
from droveway.controllers.counts import count_changes, count_transitions
from droveway.controllers.metrics import EVENTS, LEDGER_WRITES, TOKEN_DRIFT
from droveway.controllers.world import Wake, World
from droveway.core.accountpages import pages_from_json, pages_to_json
from droveway.core.accounts import Accounts
from droveway.core.changes import Changes
from droveway.core.events import Batch, Record
from droveway.core.facts import RunFacts
from droveway.core.fieldowners import annotated_by
from droveway.core.ledger import ACCOUNTS_KEY, RouteLedger
from droveway.core.notes import Note
from droveway.core.ranking import CandidateView
from droveway.core.route import candidate_views
from droveway.core.sources import sidecar_source
from droveway.core.tally import RunTally
from droveway.core.telemetrymap import SELECTOR, belongs_to, map_name, route_of, telemetry_map

log = logging.getLogger(__name__)

WRITE_SECONDS = 1.0
"""Floor between two writes of one route's ConfigMap."""
_TRIES = 4


@dataclass(slots=True)
class _Book:
    """The ledger of one route, and how much of it is written.

    Attributes:
        uid: of the route; a new route of the same name starts anew.
        version: of the ConfigMap; empty: there is none yet.
        mark, written_mark: count the changes taken, and those of them that are written.
        pending: the batches behind the difference.
        numbers: the highest written number of every source.
    """

    uid: str
    ledger: RouteLedger
    version: str = ""
    mark: int = 0
    written_mark: int = 0
    pending: list[Batch] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)
    last_write: float = -WRITE_SECONDS
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Ledgers:
    """What events have told, per route, and the accounts of each namespace."""

    def __init__(
        self,
        cluster: Cluster,
        world: World,
        *,
        wake_run: Wake,
        wake_route: Wake,
        wake_provider: Wake,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._cluster, self._world = cluster, world
        self._wake_run, self._wake_route, self._wake_provider = wake_run, wake_route, wake_provider
        self._now, self._clock, self._sleep = now, clock, sleep
        self._books: dict[Key, _Book] = {}
        self._accounts: dict[str, Accounts] = {}

    async def load(self) -> None:
        """Goes on from what is written: ConfigMaps, and the statuses of routes and providers."""
        for namespace in sorted({key.namespace for key in self._world.routes}):
            found, _ = await self._cluster.list(CONFIG_MAPS, namespace, SELECTOR)
            for manifest in found:
                key = Key(namespace, route_of(manifest) or "")
                if (book := self._book(key)) and belongs_to(manifest, book.uid):
                    await self._take_over(key, book, manifest)
                    book.numbers = book.ledger.sources.numbers()

    async def submit(self, batch: Batch) -> int:
        """Takes a batch and waits until it is written.

        Returns:
            The highest number of the source that is written; what belongs to no route is taken and dropped.

        Raises:
            TryLater: it could not be written; the source must send it again.
            ApiError: the API server refuses the write.
        """
        key, kind = Key(batch.namespace, batch.route), _kind(batch)
        book = self._book(key)
        if book is None:
            EVENTS.labels(kind, "unknown_route").inc(len(batch.records))
            return max((r.number for r in batch.records), default=0)
        self._take(key, book, batch)
        if book.numbers.get(batch.source, 0) < book.ledger.sources.highest(batch.source):
            await self._persist(key, book)
        return book.numbers.get(batch.source, 0)

    def note_final(self, route: Key, record: Record) -> None:
        """Takes the final record that a sidecar left in its termination message, unless it was delivered before.

        Nobody waits for the write: the pod keeps the message until its run is judged.
        """
        book, source = self._book(route), sidecar_source(record.run_uid, record.attempt)
        if book and record.number > book.ledger.sources.highest(source):
            self._take(route, book, Batch(source, route.namespace, route.name, (record,)))

    def candidates(self, namespace: str, route: ModelRoute, now: datetime) -> list[CandidateView]:
        """The candidates of a route that the cache holds, with limits, breakers and telemetry."""
        return candidate_views(route, self._providers(route), self.accounts(namespace), self.ledger(route), now)

    def facts(self, route: Key, run_uid: str) -> RunFacts:
        """What events have told about a run."""
        book = self._book(route)
        if book is None:
            return RunFacts()
        run = self._world.runs.get(Key(route.namespace, book.ledger.name_of(run_uid)))
        return book.ledger.facts(run_uid, run.status.attempt_count or None if isinstance(run, AgentRun) else None)

    @contextmanager
    def starting(self, route: Key, candidate: str) -> Iterator[bool]:
        """While an attempt is being made on a candidate: a half-open breaker lets no other one through (R-B2).

        Nor does a quota that has just come back. Tells whether the attempt is the probe of the one, or the trial of the other.

        Raises:
            Conflict: somebody else is the probe by now.
        """
        if (book := self._book(route)) is None:
            yield False
            return
        breakers, accounts, now = book.ledger.breakers, self.accounts(route.namespace), self._now()
        target = breakers.target(candidate)
        probes = breakers.awaits_probe(candidate, now) or accounts.awaits_trial(*target, now)
        if not breakers.start(candidate, now):
            raise Conflict(409, "Conflict", f"the breaker of candidate {candidate} lets nobody through any more")
        if not accounts.start(*target, now):
            breakers.not_started(candidate, now)
            raise Conflict(409, "Conflict", f"candidate {candidate} is being tried by another run after its limit")
        try:
            yield probes
        except BaseException:
            breakers.not_started(candidate, now)
            accounts.not_started(*target, now)
            raise
        self._wake_route(route)

    async def reset(self, route: Key, token: str) -> None:
        """Closes a route's breakers by hand, once per token (R-B8)."""
        book = self._book(route)
        if book is None or token == book.ledger.reset_token:
            return
        asked = await self._cluster.get(MODEL_ROUTES, *route)  # the cache does not hold who set what
        by = annotated_by(asked or {}, names.ANNOTATION_RESET_CIRCUIT)
        if (book := self._book(route)) and (changes := book.ledger.reset_breakers(token, by, self._now())):
            count_transitions(route, book.ledger.breakers, changes)
            book.mark += 1
            await self._persist(route, book)

    def ledger(self, route: ModelRoute) -> RouteLedger:
        """The ledger of a route that the cache holds."""
        book = self._open(Key(route.metadata.namespace, route.metadata.name), route)
        return book.ledger

    def accounts(self, namespace: str) -> Accounts:
        """Limits and refused keys of a namespace."""
        accounts = self._accounts.get(namespace)
        if accounts is None:
            accounts = self._accounts[namespace] = Accounts(namespace)
            for key, provider in self._world.providers.items():
                if key.namespace == namespace:
                    accounts.know(provider)
        return accounts

    def drop(self, route: Key) -> None:
        """The route is gone; the garbage collector takes its ConfigMap."""
        self._books.pop(route, None)

    def _book(self, key: Key) -> _Book | None:
        route = self._world.routes.get(key)
        return self._open(key, route) if route else None

    def _open(self, key: Key, route: ModelRoute) -> _Book:
        access = {name: provider.spec.access for name, provider in self._providers(route).items()}
        book = self._books.get(key)
        if book and book.uid == route.metadata.uid:
            book.ledger.configure(route.spec, access, self._now())
            return book
        book = self._books[key] = _Book(route.metadata.uid, RouteLedger(route.spec, access, self._now()))
        for candidate in route.status.candidates:
            book.ledger.breakers.restore(candidate.name, candidate.circuit)
        if made := route.metadata.creation_timestamp:
            self._adopt(key, book, older_than=made)
        return book

    def _providers(self, route: ModelRoute) -> dict[str, ModelProvider]:
        namespace = route.metadata.namespace
        wanted = {c.provider_ref.name for c in route.spec.candidates}
        found = {name: self._world.providers.get(Key(namespace, name)) for name in wanted}
        return {name: provider for name, provider in found.items() if provider}

    def _take(self, key: Key, book: _Book, batch: Batch) -> None:
        """Applies a batch, and tells everybody whom it concerns."""
        now, kind = self._now(), _kind(batch)
        changes = book.ledger.apply(batch, now, self._is_live(key.namespace))
        count_changes(key, book.ledger.breakers, kind, changes)
        if changes.accepted:
            book.pending.append(batch)
            book.mark += 1
            self._spread(key, changes, now)

    def _spread(self, key: Key, changes: Changes, now: datetime) -> None:
        accounts = self.accounts(key.namespace)
        standing = accounts.take(changes.signals, now)
        if standing and any(signal.verdict is None for signal in changes.signals):  # a quota has proved to be back
            self._world.wake_waiting(key.namespace)
        for provider, readings in changes.utilization:
            standing |= accounts.learn(provider, readings, now)
        for provider in standing:
            self._wake_provider(Key(key.namespace, provider))
        self._wake_route(key)
        for run in changes.runs:
            self._wake_run(Key(key.namespace, run))

    def _is_live(self, namespace: str) -> Callable[[str, str], bool]:
        def is_live(name: str, uid: str) -> bool:
            run = self._world.runs.get(Key(namespace, name))
            return isinstance(run, AgentRun) and run.metadata.uid == uid

        return is_live

    async def _persist(self, key: Key, book: _Book) -> None:
        mark = book.mark
        async with book.lock:
            if book.written_mark >= mark:
                return
            if (pause := book.last_write + WRITE_SECONDS - self._clock()) > 0:
                await self._sleep(pause)
            await self._write(key, book)

    async def _write(self, key: Key, book: _Book) -> None:
        for _ in range(_TRIES):
            self._close_accounts(key, book)
            mark, taken, ledger = book.mark, len(book.pending), book.ledger
            numbers, data = ledger.sources.numbers(), ledger.to_data(self._now()) | self._account_pages(key)
            manifest = telemetry_map(*key, book.uid, book.version, data)
            try:
                put = self._cluster.replace if book.version else self._cluster.create
                answer = await put(CONFIG_MAPS, manifest)
            except Conflict:
                LEDGER_WRITES.labels("conflict").inc()
                await self._reload(key, book)
                continue
            except NotFound:
                book.version = ""  # somebody deleted it; all of it is here
                continue
            LEDGER_WRITES.labels("written").inc()
            book.version, book.last_write = answer["metadata"]["resourceVersion"], self._clock()
            book.written_mark, book.numbers = mark, numbers
            del book.pending[:taken]
            return
        raise TryLater(f"the telemetry of route {key.namespace}/{key.name} changes under our hands")

    def _close_accounts(self, key: Key, book: _Book) -> None:
        """Runs that are over have their usage in their own status."""
        is_live = self._is_live(key.namespace)
        for uid, name in book.ledger.runs().items():
            if not is_live(name, uid) and (drift := book.ledger.forget(uid)):
                TOKEN_DRIFT.inc(drift)

    async def _reload(self, key: Key, book: _Book) -> None:
        """Somebody else has written: goes on from there, and applies again what was not written yet."""
        found = await self._cluster.get(CONFIG_MAPS, key.namespace, map_name(key.name))
        if found is None:
            book.version = ""
            return
        if not belongs_to(found, book.uid):
            raise TryLater(f"ConfigMap {map_name(key.name)} is an earlier route's; the garbage collector takes it away")
        token, by = book.ledger.reset_token, book.ledger.reset_by
        await self._take_over(key, book, found)
        for batch in book.pending:
            book.ledger.apply(batch, self._now(), self._is_live(key.namespace))
        book.ledger.reset_breakers(token, by, self._now())

    async def _take_over(self, key: Key, book: _Book, manifest: Manifest) -> None:
        """Goes on from a ConfigMap. One that cannot be read is kept aside, and runs go on from their statuses (R-T18)."""
        data = manifest.get("data") or {}
        try:
            if data:
                pages = pages_from_json(data.get(ACCOUNTS_KEY, "{}"))
                book.ledger.load(data, self._now())
                self.accounts(key.namespace).restore(pages)
        except ValueError as error:
            await self._keep_broken(key, book, manifest, error)
            self._adopt(key, book)
        book.version = manifest["metadata"]["resourceVersion"]

    async def _keep_broken(self, key: Key, book: _Book, manifest: Manifest, error: ValueError) -> None:
        """Copies a ConfigMap that cannot be read, before anything is written over it.

        Raises:
            TryLater: it could not be copied now.
        """
        version = manifest["metadata"]["resourceVersion"]
        copy = telemetry_map(*key, book.uid, "", manifest["data"])
        copy["metadata"]["name"] = name = f"{map_name(key.name)}-broken-{version}"
        with suppress(Conflict):  # it was copied before a crash
            await self._cluster.create(CONFIG_MAPS, copy)
        why = f"ConfigMap {map_name(key.name)} cannot be read ({str(error)[:200]})"
        text = f"telemetry starts anew: {why}; its content is kept in ConfigMap {name}"
        log.warning("route %s/%s: %s", *key, text)
        meta = {"name": key.name, "namespace": key.namespace, "uid": book.uid}
        note = Note(Reason.TELEMETRY_DISCARDED, text, warning=True)
        await events.record(self._cluster, "ModelRoute", meta, note, self._now())

    def _account_pages(self, key: Key) -> dict[str, str]:
        """The accounts that a route uses: what its events told of them is written with its events."""
        route = self._world.routes.get(key)
        providers = {line.provider_ref.name for line in route.spec.candidates} if route else set()
        return {ACCOUNTS_KEY: pages_to_json(self.accounts(key.namespace).pages(providers, self._now()))}

    def _adopt(self, key: Key, book: _Book, older_than: datetime | None = None) -> None:
        """Goes on from what the runs' statuses say; `older_than`: only those that began before their route was made anew."""
        for (namespace, name), run in self._world.runs.items():
            if namespace != key.namespace or not isinstance(run, AgentRun) or run.spec.route_ref.name != key.name:
                continue
            began = run.status.start_time
            if older_than is None or (began and began < older_than):
                tally = RunTally(name, session_id=run.status.session_id)
                tally.adopt(run.status.usage)
                book.ledger.adopt(run.metadata.uid, tally)


def _kind(batch: Batch) -> str:
    return "sidecar" if "-" in batch.source else "gateway"
