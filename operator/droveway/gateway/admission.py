"""Who may send now: at most so many requests at once to a provider, and to all providers of a quota group.

First come, first served within a party, and the parties take turns. Providers belong to one namespace, so that the parties
of a queue are its runs: one run that sends a hundred requests does not keep out another that sends one.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

from prometheus_client import Gauge

from droveway.cluster.objects import Key
from droveway.gateway.config import Provider, Snapshot
from droveway.gateway.metrics import GatewayMetrics

_NEWS = 0.2
"""Weight of the latest holding time in their average."""


class QueueTimeout(Exception):  # noqa: N818 - says what happened
    """No slot became free in time."""

    reason = "timeout"


class WouldBeLate(QueueTimeout):
    """The wait for a slot would outlast the deadline; nobody waited."""

    reason = "deadline"


Place = asyncio.Future[None]


@dataclass(slots=True)
class Slots:
    """Slots of one thing that can do only so much at once. Whoever takes one gives it back in the same function's `finally`."""

    limit: int
    in_flight: int = 0
    clock: Callable[[], float] = time.monotonic
    _queues: dict[str, deque[Place]] = field(default_factory=dict)
    """By party, in the order of their next turns; none is empty."""
    _held: float | None = None
    _turned: float = -inf

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(map(len, self._queues.values()))

    def resize(self, limit: int) -> None:
        """Takes another limit; requests that are under way go on."""
        self.limit = limit
        self._admit()

    async def acquire(self, party: str, seconds: float, deadline: float = inf) -> bool:
        """Takes one slot; `release` gives it back.

        Args:
            party: whose turn it uses up.
            seconds: the longest wait for it.
            deadline: how many seconds from now on nobody wants it any more.

        Returns:
            Whether it had to wait.

        Raises:
            WouldBeLate: by what was seen so far, none becomes free before the deadline.
            QueueTimeout: none became free. A cancelled waiter gives its place up.
        """
        if self.in_flight < self.limit and not self._queues:
            self._take()
            return False
        if self.expected_wait(party) >= deadline:
            raise WouldBeLate
        await self._queue(party, min(seconds, deadline))
        return True

    def release(self, held: float | None = None) -> None:
        """Gives a slot back, which was held so many seconds; the party whose turn it is gets it."""
        if held is not None:
            self._held = held if self._held is None else self._held + _NEWS * (held - self._held)
        self.in_flight -= 1
        self._turned = self.clock()
        self._admit()

    def expected_wait(self, party: str) -> float:
        """Seconds until a newcomer would get a slot, by how long slots were held so far; 0 while nothing is known."""
        if self._held is None or not self.limit:
            return 0.0
        own = len(self._queues.get(party, ()))
        ahead = own + sum(min(len(queue), own + 1) for name, queue in self._queues.items() if name != party)
        pace = self._held / self.limit
        return ahead * pace + max(0.0, pace - (self.clock() - self._turned))

    async def _queue(self, party: str, seconds: float) -> None:
        place = asyncio.get_running_loop().create_future()
        self._queues.setdefault(party, deque()).append(place)
        try:
            async with asyncio.timeout(None if seconds == inf else seconds):
                await place
        except BaseException as error:
            if place.done() and not place.cancelled():  # admitted in the very moment in which the waiter left
                self.release()
            else:
                self._leave(party, place)
            if isinstance(error, TimeoutError):
                raise QueueTimeout from error
            raise

    def _leave(self, party: str, place: Place) -> None:
        queue = self._queues.get(party)
        if queue and place in queue:
            queue.remove(place)
            if not queue:
                del self._queues[party]

    def _take(self) -> None:
        self.in_flight += 1
        self._turned = self.clock()

    def _admit(self) -> None:
        while self._queues and self.in_flight < self.limit:
            party, queue = next(iter(self._queues.items()))
            place = queue.popleft()
            del self._queues[party]
            if queue:
                self._queues[party] = queue  # behind everybody else who waits
            if not place.done():
                self._take()
                place.set_result(None)


class Gate:
    """The way to one provider: a slot of its own, then one of its quota group, if that is bounded.

    In this order nobody holds a slot of the group while waiting for one of a slow provider.
    """

    def __init__(self, provider: Provider, metrics: GatewayMetrics) -> None:
        self.own = Slots(provider.max_in_flight)
        self.group: Slots | None = None
        self._names = tuple(provider.key)
        self._waiting, self._in_flight = metrics.waiting(*self._names), metrics.in_flight(*self._names)
        self._waits, self._refused = metrics.queue_wait(*self._names), metrics.queue_refused
        self._limit = metrics.slots(*self._names)
        self._limit.set(self.own.limit)

    def resize(self, limit: int) -> None:
        """Takes another limit of the provider itself."""
        self._limit.set(limit)
        self.own.resize(limit)

    async def enter(self, party: str, seconds: float, deadline: float = inf) -> "Turn":
        """Takes what a request needs; the turn's `end` gives it back. As `Slots.acquire`.

        Raises:
            WouldBeLate: it would come too late.
            QueueTimeout: it took too long.
        """
        began, own, group = time.monotonic(), self.own, self.group
        self._waiting.inc()
        try:
            waited = await own.acquire(party, seconds, deadline)
            if group:
                waited |= await self._enter_group(group, party, began, seconds, deadline)
        except QueueTimeout as error:
            self._refused(*self._names, error.reason).inc()
            raise
        finally:
            self._waiting.dec()
        now = time.monotonic()
        self._waits.observe(now - began)
        self._in_flight.inc()
        return Turn(waited, now, (own, group) if group else (own,), self._in_flight)

    async def _enter_group(self, group: Slots, party: str, began: float, seconds: float, deadline: float) -> bool:
        spent = time.monotonic() - began
        try:
            return await group.acquire(party, max(0.0, seconds - spent), max(0.0, deadline - spent))
        except BaseException:
            self.own.release()
            raise


@dataclass(frozen=True, slots=True)
class Turn:
    """The slots of one request.

    Attributes:
        waited: it had to wait for them.
        began: monotonic seconds.
    """

    waited: bool
    began: float
    taken: tuple[Slots, ...]
    in_flight: Gauge

    def end(self) -> None:
        """Gives them back."""
        held = time.monotonic() - self.began
        self.in_flight.dec()
        for slots in self.taken:
            slots.release(held)


class Admission:
    """The gates of all providers; their sizes follow the manifests."""

    def __init__(self, metrics: GatewayMetrics) -> None:
        self._metrics = metrics
        self._gates: dict[Key, Gate] = {}
        self._groups: dict[str, Slots] = {}

    def gate(self, provider: Provider) -> Gate:
        """The way to a provider."""
        gate = self._gates.get(provider.key)
        if gate is None:
            gate = self._gates[provider.key] = Gate(provider, self._metrics)
            gate.group = self._groups.get(provider.quota_key)
        return gate

    def adopt(self, snapshot: Snapshot) -> None:
        """Takes a new configuration over. Of a quota group the smallest bound counts that one of its providers names."""
        bounds: dict[str, int] = {}
        for provider in snapshot.providers.values():
            if bound := provider.group_max_in_flight:
                bounds[provider.quota_key] = min(bound, bounds.get(provider.quota_key, bound))
        self._groups = {group: self._sized(group, bound) for group, bound in bounds.items()}
        for key, gate in self._gates.items():
            if known := snapshot.providers.get(key):
                gate.resize(known.max_in_flight)
                gate.group = self._groups.get(known.quota_key)

    def _sized(self, group: str, bound: int) -> Slots:
        slots = self._groups.get(group) or Slots(bound)
        slots.resize(bound)
        return slots
