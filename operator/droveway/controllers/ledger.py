"""The ledgers of all routes: loaded from their ConfigMaps, fed by events, written before anything is acknowledged."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from droveway.api import names
from droveway.api.enums import QuotaWindow
from droveway.api.v1alpha1 import AgentRun, ModelProvider, ModelRoute
from droveway.cluster.client import Cluster, Conflict
from droveway.cluster.objects import CONFIG_MAPS, MODEL_ROUTES, Key
from droveway.controllers.books import Book, Shelf
from droveway.controllers.counts import count_changes, count_transitions
from droveway.controllers.metrics import EVENTS
from droveway.controllers.world import Wake, World
from droveway.core.accounts import Accounts
from droveway.core.changes import Changes
from droveway.core.events import Batch, Record
from droveway.core.facts import RunFacts
from droveway.core.fieldowners import annotated_by
from droveway.core.ledger import RouteLedger
from droveway.core.ranking import CandidateView
from droveway.core.route import candidate_views
from droveway.core.sources import sidecar_source
from droveway.core.spend import Spend, SpendBook, together
from droveway.core.telemetrymap import SELECTOR, belongs_to, route_of
from droveway.core.tenant import spends_of


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
        wake_quota: Wake,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._cluster, self._world = cluster, world
        self._wake_run, self._wake_route, self._wake_provider = wake_run, wake_route, wake_provider
        self._wake_quota = wake_quota
        self._now = now
        self._shelf = Shelf(cluster, world, self.accounts, now=now, clock=clock, sleep=sleep)
        self._books: dict[Key, Book] = {}
        self._accounts: dict[str, Accounts] = {}
        self._gone: dict[str, SpendBook] = {}

    async def load(self) -> None:
        """Goes on from what is written: ConfigMaps, and the statuses of routes and providers."""
        for namespace in sorted({key.namespace for key in self._world.routes}):
            found, _ = await self._cluster.list(CONFIG_MAPS, namespace, SELECTOR)
            for manifest in found:
                key = Key(namespace, route_of(manifest) or "")
                if (book := self._book(key)) and belongs_to(manifest, book.uid):
                    self.accounts(namespace).restore(await self._shelf.take_over(book, manifest))
                    book.numbers = book.ledger.sources.numbers()
        self._remember_gone()

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
            await self._shelf.persist(book)
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
            await self._shelf.persist(book)

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

    def spent(self, namespace: str, now: datetime) -> dict[QuotaWindow, Spend]:
        """What a namespace has used in the windows of this moment; by routes that are gone, too."""
        books = [book.ledger.spend for key, book in self._books.items() if key.namespace == namespace]
        return together([*books, self._gone.get(namespace, SpendBook())], now)

    def drop(self, route: Key) -> None:
        """The route is gone; the garbage collector takes its ConfigMap."""
        if book := self._books.pop(route, None):
            self._gone.setdefault(route.namespace, SpendBook()).take(book.ledger.spend.windows)

    def _remember_gone(self) -> None:
        """After a restart only the quotas' statuses know what routes had used that are gone by now."""
        now = self._now()
        for key, quota in self._world.quotas.items():
            here = self.spent(key.namespace, now)
            told = spends_of(quota.status)
            rest = {w: told[w].beyond(spend) for w, spend in here.items() if w in told and told[w].start == spend.start}
            self._gone.setdefault(key.namespace, SpendBook()).take(rest)

    def _book(self, key: Key) -> Book | None:
        route = self._world.routes.get(key)
        return self._open(key, route) if route else None

    def _open(self, key: Key, route: ModelRoute) -> Book:
        access = {name: provider.spec.access for name, provider in self._providers(route).items()}
        book = self._books.get(key)
        if book and book.uid == route.metadata.uid:
            book.ledger.configure(route.spec, access, self._now())
            return book
        if book:
            self.drop(key)
        book = self._books[key] = Book(key, route.metadata.uid, RouteLedger(route.spec, access, self._now()))
        for candidate in route.status.candidates:
            book.ledger.breakers.restore(candidate.name, candidate.circuit)
        if made := route.metadata.creation_timestamp:
            self._shelf.adopt_runs(book, older_than=made)
        return book

    def _providers(self, route: ModelRoute) -> dict[str, ModelProvider]:
        namespace = route.metadata.namespace
        wanted = {c.provider_ref.name for c in route.spec.candidates}
        found = {name: self._world.providers.get(Key(namespace, name)) for name in wanted}
        return {name: provider for name, provider in found.items() if provider}

    def _take(self, key: Key, book: Book, batch: Batch) -> None:
        """Applies a batch, and tells everybody whom it concerns."""
        now, kind = self._now(), _kind(batch)
        changes = book.ledger.apply(batch, now, self._shelf.is_live(key.namespace))
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
        for quota in self._world.quotas_of(key.namespace):
            self._wake_quota(Key(key.namespace, quota.metadata.name))
        for run in changes.runs:
            self._wake_run(Key(key.namespace, run))


def _kind(batch: Batch) -> str:
    return "sidecar" if "-" in batch.source else "gateway"
