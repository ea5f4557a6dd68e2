"""One route's ledger and how much of it is written: its ConfigMap, which holds everything that an acknowledgement promises.

Whoever wants something written waits for the write that contains it. The first waiter takes the lock, lets the floor between two
writes pass, and writes for all that came meanwhile; the others find it done.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from droveway.api.enums import Reason
from droveway.api.errors import TryLater
from droveway.api.v1alpha1 import AgentRun
from droveway.cluster import events
from droveway.cluster.client import Cluster, Conflict, Manifest, NotFound
from droveway.cluster.objects import CONFIG_MAPS, Key
from droveway.controllers.metrics import LEDGER_WRITES, TOKEN_DRIFT
from droveway.controllers.world import World
from droveway.core.accountpages import AccountPage, pages_from_json, pages_to_json
from droveway.core.accounts import Accounts
from droveway.core.events import Batch
from droveway.core.ledger import ACCOUNTS_KEY, RouteLedger
from droveway.core.notes import Note
from droveway.core.tally import RunTally
from droveway.core.telemetrymap import belongs_to, map_name, telemetry_map

log = logging.getLogger(__name__)

WRITE_SECONDS = 1.0
"""Floor between two writes of one route's ConfigMap."""
_TRIES = 4


@dataclass(slots=True)
class Book:
    """The ledger of one route, and how much of it is written.

    Attributes:
        key: of the route.
        uid: of the route; a new route of the same name starts anew.
        version: of the ConfigMap; empty: there is none yet.
        mark, written_mark: count the changes taken, and those of them that are written.
        pending: the batches behind the difference.
        numbers: the highest written number of every source.
    """

    key: Key
    uid: str
    ledger: RouteLedger
    version: str = ""
    mark: int = 0
    written_mark: int = 0
    pending: list[Batch] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)
    last_write: float = -WRITE_SECONDS
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Shelf:
    """Writes books, and opens them again."""

    def __init__(
        self,
        cluster: Cluster,
        world: World,
        accounts: Callable[[str], Accounts],
        *,
        now: Callable[[], datetime],
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._cluster, self._world, self._accounts = cluster, world, accounts
        self._now, self._clock, self._sleep = now, clock, sleep

    async def persist(self, book: Book) -> None:
        """Waits until everything that the book holds now is written.

        Raises:
            TryLater: it could not be written.
            ApiError: the API server refuses the write.
        """
        mark = book.mark
        async with book.lock:
            if book.written_mark >= mark:
                return
            if (pause := book.last_write + WRITE_SECONDS - self._clock()) > 0:
                await self._sleep(pause)
            await self._write(book)

    async def take_over(self, book: Book, manifest: Manifest) -> dict[str, AccountPage]:
        """Goes on from a ConfigMap, and returns what it says of accounts.

        One that cannot be read is kept aside, and runs go on from their statuses (R-T18).
        """
        data, pages = manifest.get("data") or {}, {}
        try:
            if data:
                pages = pages_from_json(data.get(ACCOUNTS_KEY, "{}"))
                book.ledger.load(data, self._now())
        except ValueError as error:
            await self._keep_broken(book, manifest, error)
            self.adopt_runs(book)
            pages = {}
        book.version = manifest["metadata"]["resourceVersion"]
        return pages

    def adopt_runs(self, book: Book, older_than: datetime | None = None) -> None:
        """Goes on from what the runs' statuses say; `older_than`: only those that began before their route was made anew."""
        for (namespace, name), run in self._world.runs.items():
            if not isinstance(run, AgentRun) or Key(namespace, run.spec.route_ref.name) != book.key:
                continue
            began = run.status.start_time
            if older_than is None or (began and began < older_than):
                tally = RunTally(name, session_id=run.status.session_id)
                tally.adopt(run.status.usage)
                book.ledger.adopt(run.metadata.uid, tally)

    def is_live(self, namespace: str) -> Callable[[str, str], bool]:
        """Whether a run, by name and uid, is not over."""

        def is_live(name: str, uid: str) -> bool:
            run = self._world.runs.get(Key(namespace, name))
            return isinstance(run, AgentRun) and run.metadata.uid == uid

        return is_live

    async def _write(self, book: Book) -> None:
        for _ in range(_TRIES):
            self._close_accounts(book)
            mark, taken, ledger = book.mark, len(book.pending), book.ledger
            numbers, data = ledger.sources.numbers(), ledger.to_data(self._now()) | self._account_pages(book.key)
            manifest = telemetry_map(*book.key, book.uid, book.version, data)
            try:
                put = self._cluster.replace if book.version else self._cluster.create
                answer = await put(CONFIG_MAPS, manifest)
            except Conflict:
                LEDGER_WRITES.labels("conflict").inc()
                await self._reload(book)
                continue
            except NotFound:
                book.version = ""  # somebody deleted it; all of it is here
                continue
            LEDGER_WRITES.labels("written").inc()
            book.version, book.last_write = answer["metadata"]["resourceVersion"], self._clock()
            book.written_mark, book.numbers = mark, numbers
            del book.pending[:taken]
            return
        raise TryLater(f"the telemetry of route {book.key.namespace}/{book.key.name} changes under our hands")

    def _close_accounts(self, book: Book) -> None:
        """Runs that are over have their usage in their own status."""
        is_live = self.is_live(book.key.namespace)
        for uid, name in book.ledger.runs().items():
            if not is_live(name, uid) and (drift := book.ledger.forget(uid)):
                TOKEN_DRIFT.inc(drift)

    def _account_pages(self, key: Key) -> dict[str, str]:
        """The accounts that a route uses: what its events told of them is written with its events."""
        route = self._world.routes.get(key)
        providers = {line.provider_ref.name for line in route.spec.candidates} if route else set()
        return {ACCOUNTS_KEY: pages_to_json(self._accounts(key.namespace).pages(providers, self._now()))}

    async def _reload(self, book: Book) -> None:
        """Somebody else has written: goes on from there, and applies again what was not written yet.

        Not of accounts: what this process knows of them is as of now.
        """
        name = map_name(book.key.name)
        found = await self._cluster.get(CONFIG_MAPS, book.key.namespace, name)
        if found is None:
            book.version = ""
            return
        if not belongs_to(found, book.uid):
            raise TryLater(f"ConfigMap {name} is an earlier route's; the garbage collector takes it away")
        token, by = book.ledger.reset_token, book.ledger.reset_by
        await self.take_over(book, found)
        for batch in book.pending:
            book.ledger.apply(batch, self._now(), self.is_live(book.key.namespace))
        book.ledger.reset_breakers(token, by, self._now())

    async def _keep_broken(self, book: Book, manifest: Manifest, error: ValueError) -> None:
        """Copies a ConfigMap that cannot be read, before anything is written over it.

        Raises:
            TryLater: it could not be copied now.
        """
        key, original = book.key, map_name(book.key.name)
        copy = telemetry_map(*key, book.uid, "", manifest["data"])
        copy["metadata"]["name"] = name = f"{original}-broken-{manifest['metadata']['resourceVersion']}"
        with suppress(Conflict):  # it was copied before a crash
            await self._cluster.create(CONFIG_MAPS, copy)
        why = f"ConfigMap {original} cannot be read ({str(error)[:200]})"
        text = f"telemetry starts anew: {why}; its content is kept in ConfigMap {name}"
        log.warning("route %s/%s: %s", *key, text)
        meta = {"name": key.name, "namespace": key.namespace, "uid": book.uid}
        note = Note(Reason.TELEMETRY_DISCARDED, text, warning=True)
        await events.record(self._cluster, "ModelRoute", meta, note, self._now())
