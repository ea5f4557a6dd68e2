"""One tenant with quotas: lets its requests through, here or together with other replicas, and keeps its account."""

import asyncio
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from typing import Any

from droveway.api.enums import QuotaMode
from droveway.core.quota import NOTHING, Amount, Rules, Violation, until_all, violations
from droveway.core.quotabook import TenantBook
from droveway.core.verdict import Verdict
from droveway.core.windows import CALENDAR
from droveway.gateway.admission import QueueTimeout, Slots
from droveway.gateway.metrics import GatewayMetrics
from droveway.gateway.refusals import crowd, enforced, verdict_on
from droveway.gateway.shared import Away
from droveway.gateway.sharedquota import Floor, SharedQuota

_LOOK_AGAIN = 0.2  # seconds; nobody tells of what other replicas free up
_LATE = 0.001  # seconds: a loop wakes a little early


@dataclass(frozen=True, slots=True)
class Wish:
    """A request that wants to be let through.

    Attributes:
        request: tells it from all others, of other replicas too.
        party: the run; runs take turns.
        deadline: how many seconds it may wait.
    """

    request: str
    party: str
    estimate: Amount
    deadline: float = inf


class Tenant:
    """One namespace with a TenantQuota.

    Args:
        name: of the namespace.
        metrics: counts what is beyond a quota.
        shared: where replicas count together; None: this one counts for itself.

    Attributes:
        book: what this replica knows by itself; it goes by that while Valkey is away.
        rules: of its quotas as they are now; who waits goes by them, too.
    """

    def __init__(self, name: str, metrics: GatewayMetrics, shared: SharedQuota | None) -> None:
        self.book, self.rules = TenantBook(), tuple[Rules, ...]()
        self._name, self._metrics, self._shared = name, metrics, shared
        self._door = Slots(1)  # whoever waits stands here; the one inside is next
        self._changed = asyncio.Event()
        self._late = NOTHING  # spent, but Valkey has not heard of it yet
        self._later: set[asyncio.Task[None]] = set()

    async def enter(self, wish: Wish) -> Verdict | None:
        """Reserves for a request, and waits where that is short; `settle` ends it.

        Returns:
            Why it is not let through, or None.
        """
        began = time.monotonic()
        if not self._door.in_flight:
            against = await self._try(wish)
            self._count([violation for violation in against if not violation.enforced])
            verdict = verdict_on(against, wish.deadline)
            if verdict or not enforced(against):
                return verdict and self._refused(against, verdict)
        try:
            await self._door.acquire(wish.party, wish.deadline)
        except QueueTimeout:
            now = datetime.now(UTC)
            against = violations(self.book.view(now), wish.estimate, self.rules, now)
            return self._refused(against, verdict_on(against, 0) or crowd())
        try:
            return await self._wait(wish, began + wish.deadline)
        finally:
            self._door.release()

    def settle(self, request: str, spent: Amount) -> None:
        """A request has ended and has used so much; "" for a call that has outlived its request."""
        now = datetime.now(UTC)
        if request:
            self.book.settle(request, spent, now)
        else:
            self.book.spend(spent, now)
        self.look_again()
        if self._shared:
            self._late = self._late.plus(spent)
            self._in_background(self._settle_together(self._shared, request, spent))

    def obey(self, rules: tuple[Rules, ...]) -> None:
        """Its quotas have changed; none: they are gone."""
        self.rules = rules
        self.look_again()

    def look_again(self) -> None:
        """Something was freed or allowed: whoever waits tries once more."""
        self._changed.set()

    async def beat(self) -> None:
        """Keeps the leases of its open requests."""
        if self._shared and self.book.open:
            held = dict(self.book.open)
            await _quietly(self._shared.beat(self._name, held, datetime.now(UTC)))
            for ended in held.keys() - self.book.open.keys():  # meanwhile: its lease may have been made again
                self._in_background(self._shared.settle(self._name, ended, NOTHING, datetime.now(UTC)))

    async def close(self) -> None:
        """Waits until Valkey has heard of everything."""
        if self._later:
            await asyncio.wait(self._later, timeout=1)

    async def _wait(self, wish: Wish, end: float) -> Verdict | None:
        """First in line: tries whenever something has changed."""
        while True:
            self._changed.clear()
            against, left = await self._try(wish), end - time.monotonic()
            if verdict := verdict_on(against, left):
                return self._refused(against, verdict)
            if not (found := enforced(against)):
                return None
            until = until_all(found)
            pause = (until - datetime.now(UTC)).total_seconds() + _LATE if until else left
            pause = min(pause, left, _LOOK_AGAIN if self._shared else inf)
            try:
                async with asyncio.timeout(max(_LATE, pause)):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _try(self, wish: Wish) -> tuple[Violation, ...]:
        """Reserves, unless an enforced limit is in the way. What is in the way."""
        now = datetime.now(UTC)
        if self._shared and self._shared.shared.up:
            try:
                return await self._try_together(self._shared, wish, now)
            except Away:
                pass  # it said so once; until it is back each replica counts for itself
        against = violations(self.book.view(now), wish.estimate, self.rules, now)
        if not enforced(against):
            self.book.reserve(wish.request, wish.estimate, now)
        return against

    async def _try_together(self, shared: SharedQuota, wish: Wish, now: datetime) -> tuple[Violation, ...]:
        rules = self.rules  # they may change while Valkey is asked
        known = [(window, self.book.used(window, now)) for window in CALENDAR]
        floors = [Floor(window, amount.minus(self._late).at_least(NOTHING)) for window, amount in known]
        try:
            seen = await shared.reserve(self._name, wish.request, wish.estimate, rules, floors, now)
        except asyncio.CancelledError:
            self._in_background(shared.settle(self._name, wish.request, NOTHING, now))
            raise
        if seen.admitted:
            self.book.reserve(wish.request, wish.estimate, now)
            return tuple(v for v in violations(seen.view, wish.estimate, rules, now) if not v.enforced)
        against = violations(seen.view, wish.estimate, rules, now)
        if not enforced(against):
            raise Away  # the script and we disagree, which is a bug: nobody is let through without a reservation
        return against

    async def _settle_together(self, shared: SharedQuota, request: str, spent: Amount) -> None:
        try:
            await shared.settle(self._name, request, spent, datetime.now(UTC))
        finally:
            self._late = self._late.minus(spent)

    def _in_background(self, what: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(_quietly(what))
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    def _refused(self, against: Sequence[Violation], verdict: Verdict) -> Verdict:
        self._count(enforced(against))
        return verdict

    def _count(self, against: Sequence[Violation]) -> None:
        for v in against:
            mode = QuotaMode.ENFORCE if v.enforced else QuotaMode.SHADOW
            window = v.bound.window.value if v.bound.window else "InFlight"
            self._metrics.quota_refused(self._name, v.quota, mode.value, window, v.bound.unit.name.lower()).inc()


async def _quietly(what: Coroutine[Any, Any, None]) -> None:
    try:
        await what
    except Away:
        return
