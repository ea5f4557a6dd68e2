"""Slots of a provider: never too many, first come first served within a party, turns between parties, and nothing leaks."""

import asyncio
import random
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from math import inf

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from droveway.api.enums import Access, Dialect
from droveway.cluster.objects import Key
from droveway.gateway.admission import Admission, QueueTimeout, Slots, WouldBeLate
from droveway.gateway.config import Provider, Snapshot
from droveway.gateway.metrics import GatewayMetrics


@asynccontextmanager
async def held(slots: Slots, seconds: float, party: str = "p", deadline: float = inf) -> AsyncIterator[bool]:
    waited = await slots.acquire(party, seconds, deadline)
    try:
        yield waited
    finally:
        slots.release()


class Guests:
    """Tasks that hold a slot until told to leave, in the order in which they got it. `b1` is the first of party `b`."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self.inside: list[str] = []
        self.doors: dict[str, asyncio.Event] = {}

    async def _visit(self, name: str) -> None:
        async with held(self.slots, 60, name[0]):
            self.inside.append(name)
            await self.doors[name].wait()
        self.inside.remove(name)

    async def arrive(self, name: str) -> asyncio.Task[None]:
        self.doors[name] = asyncio.Event()
        task = asyncio.create_task(self._visit(name))
        await settle()
        return task

    async def leave(self, name: str) -> None:
        self.doors[name].set()
        await settle()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def served(slots: Slots, *names: str) -> str:
    """The order in which these get one slot, one after the other."""
    guests, order = Guests(slots), []
    for name in names:
        await guests.arrive(name)
    while guests.inside:
        order.append(guests.inside[0])
        await guests.leave(guests.inside[0])
    return " ".join(order)


async def test_who_came_first_goes_first() -> None:
    assert await served(Slots(1), "p1", "p2", "p3", "p4") == "p1 p2 p3 p4"


async def test_parties_take_turns_and_within_one_the_first_goes_first() -> None:
    assert await served(Slots(1), "a1", "a2", "a3", "a4", "b1", "b2", "c1") == "a1 a2 b1 c1 a3 b2 a4"


async def test_a_waiter_that_leaves_gives_its_place_up() -> None:
    guests = Guests(Slots(1))
    await guests.arrive("a")
    gone = await guests.arrive("b")
    await guests.arrive("c")
    gone.cancel()
    await guests.leave("a")
    assert guests.inside == ["c"]
    assert guests.slots.waiting == 0


async def test_a_waiter_cancelled_in_the_moment_of_its_admission_hands_the_slot_on() -> None:
    guests = Guests(Slots(1))
    await guests.arrive("a")
    gone = await guests.arrive("b")
    await guests.arrive("c")
    guests.slots.resize(2)  # admits b, which has not woken up yet
    gone.cancel()
    await settle()
    assert sorted(guests.inside) == ["a", "c"]
    await guests.leave("a")
    await guests.leave("c")
    assert guests.slots.in_flight == 0


async def test_waiting_is_bounded() -> None:
    slots = Slots(1)
    async with held(slots, 1):
        with pytest.raises(QueueTimeout):
            async with held(slots, 0):
                pytest.fail("there was no slot")
        assert slots.waiting == 0
    assert slots.in_flight == 0


async def test_a_slot_is_free_again_after_an_error() -> None:
    slots = Slots(1)
    with suppress(ZeroDivisionError):
        async with held(slots, 1):
            _ = 1 // 0
    assert slots.in_flight == 0


async def test_fewer_slots_drop_nobody_and_admit_later() -> None:
    guests = Guests(Slots(2))
    for name in ("a", "b", "c"):
        await guests.arrive(name)
    guests.slots.resize(1)
    assert guests.inside == ["a", "b"]
    await guests.leave("a")
    assert guests.inside == ["b"]
    await guests.leave("b")
    assert guests.inside == ["c"]
    await guests.leave("c")


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def busy(limit: int, held_seconds: float, *waiting: str) -> tuple[Slots, Clock, Guests]:
    """All slots taken just now, their like held so many seconds before, and these waiting."""
    clock = Clock()
    slots = Slots(limit, clock=clock)
    await slots.acquire("p", 0)
    slots.release(held_seconds)
    guests = Guests(slots)
    for name in [*(f"x{n}" for n in range(limit)), *waiting]:
        await guests.arrive(name)
    return slots, clock, guests


@pytest.mark.parametrize(
    ("limit", "waiting", "passed", "party", "seconds"),
    [
        pytest.param(1, (), 0, "p", 10, id="nobody waits: until the one inside leaves"),
        pytest.param(1, (), 4, "p", 6, id="it has been inside for a while"),
        pytest.param(1, (), 99, "p", 0, id="it takes longer than usual: no guess"),
        pytest.param(2, (), 0, "p", 5, id="two slots become free twice as often"),
        pytest.param(1, ("a1", "a2"), 0, "a", 30, id="behind its own party"),
        pytest.param(1, ("a1", "a2", "a3"), 0, "b", 20, id="another party's turn comes after one of each"),
    ],
)
async def test_the_wait_is_guessed_from_the_queue_and_how_long_slots_were_held(
    limit: int, waiting: tuple[str, ...], passed: float, party: str, seconds: float
) -> None:
    slots, clock, guests = await busy(limit, 10, *waiting)
    clock.now += passed
    assert slots.expected_wait(party) == seconds
    for door in guests.doors.values():
        door.set()


async def test_who_would_be_late_is_refused_at_once_and_who_would_not_waits() -> None:
    slots, _, guests = await busy(1, 10)
    with pytest.raises(WouldBeLate):
        await slots.acquire("p", 60, deadline=9)
    task = asyncio.create_task(slots.acquire("p", 60, deadline=11))
    await settle()
    assert slots.waiting == 1
    await guests.leave("x0")
    assert await task is True


async def test_nothing_is_refused_by_a_guess_before_anything_was_seen() -> None:
    slots = Slots(1)
    await slots.acquire("p", 0)
    with pytest.raises(QueueTimeout) as refused:
        await slots.acquire("p", 60, deadline=0.001)
    assert not isinstance(refused.value, WouldBeLate)


# ------------------------------------------------------------------------------------------- whatever comes, in any order


class Queueing(RuleBasedStateMachine):
    """Guests of three parties come, leave, lose patience; the number of slots changes."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.slots = Slots(2)
        self.guests = Guests(self.slots)
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.order: dict[str, deque[str]] = {party: deque() for party in "abc"}
        self.passed_over: Counter[str] = Counter()
        self.count = 0

    def run(self, what: object) -> None:
        async def done() -> None:
            await what  # type: ignore[misc]
            await settle()

        before = set(self.guests.inside)
        self.loop.run_until_complete(done())
        for name in self.guests.inside:
            if name not in before:
                self.entered(name)

    def entered(self, name: str) -> None:
        party = name[0]
        assert self.order[party].popleft() == name  # first come, first served
        for other, queue in self.order.items():
            if queue and other != party:
                self.passed_over[f"{other} by {party}"] += 1
        for other in self.order:
            self.passed_over[f"{party} by {other}"] = 0
        # Who waits sees each other party go at most twice: before its turn, and once more after it had none waiting.
        assert max(self.passed_over.values()) <= 2

    def waiting(self) -> list[str]:
        return [name for queue in self.order.values() for name in queue]

    @rule(party=st.sampled_from("abc"))
    def arrive(self, party: str) -> None:
        self.count += 1
        name = f"{party}{self.count}"
        self.order[party].append(name)

        async def come() -> None:
            self.tasks[name] = await self.guests.arrive(name)

        self.run(come())

    @precondition(lambda self: self.guests.inside)
    @rule(seed=st.integers(0, 10**6))
    def leave(self, seed: int) -> None:
        self.run(self.guests.leave(random.Random(seed).choice(self.guests.inside)))

    @precondition(lambda self: self.waiting())
    @rule(seed=st.integers(0, 10**6), admitted_too=st.booleans())
    def lose_patience(self, seed: int, admitted_too: bool) -> None:
        """Sometimes in the very moment of an admission."""
        name = random.Random(seed).choice(self.waiting())
        self.order[name[0]].remove(name)

        async def go() -> None:
            if admitted_too:
                self.slots.resize(self.slots.limit + 1)
            self.tasks[name].cancel()

        for other in self.order if admitted_too else ():  # the turn may have been its own, and is used up then
            self.passed_over[f"{name[0]} by {other}"] = 0
        self.run(go())

    @rule(limit=st.integers(0, 4))
    def resize(self, limit: int) -> None:
        async def change() -> None:
            self.slots.resize(limit)

        self.run(change())

    @invariant()
    def every_slot_is_held_by_somebody(self) -> None:
        assert self.slots.in_flight == len(self.guests.inside)
        assert self.slots.waiting == len(self.waiting())

    @invariant()
    def nobody_waits_while_a_slot_is_free(self) -> None:
        assert not (self.slots.waiting and self.slots.in_flight < self.slots.limit)

    def teardown(self) -> None:
        async def end() -> None:
            for task in self.tasks.values():
                task.cancel()
            await asyncio.gather(*self.tasks.values(), return_exceptions=True)
            await settle()

        self.loop.run_until_complete(end())
        self.loop.close()
        assert (self.slots.in_flight, self.slots.waiting) == (0, 0)


TestQueueing = Queueing.TestCase


# ---------------------------------------------------------------------------------------------- providers and their groups


def provider(name: str, limit: int = 9, group_limit: int | None = None, group: str = "team") -> Provider:
    return Provider(
        Key("n", name),
        Dialect.ANTHROPIC,
        Access.GATEWAY,
        "http://x",
        f"n/{group}",
        max_in_flight=limit,
        group_max_in_flight=group_limit,
    )


def admission(*providers: Provider) -> Admission:
    found = Admission(GatewayMetrics())
    found.adopt(Snapshot.of([], providers, []))
    return found


async def test_a_gate_follows_the_manifest() -> None:
    gates = admission(provider("a", 1))
    gate = gates.gate(provider("a", 1))
    gates.adopt(Snapshot.of([], [provider("a", 3)], []))
    assert gate.own.limit == 3
    assert gates.gate(provider("a")) is gate


async def test_providers_of_a_group_share_its_bound_and_the_smallest_counts() -> None:
    a, b, other = provider("a", group_limit=2), provider("b", group_limit=5), provider("c", group="other")
    gates = admission(a, b, other)
    turns = [await gates.gate(a).enter("r", 0), await gates.gate(b).enter("r", 0)]
    with pytest.raises(QueueTimeout):
        await gates.gate(b).enter("r", 0)
    assert gates.gate(b).own.in_flight == 1  # its own slot was given back
    await gates.gate(other).enter("r", 0)
    turns.pop().end()
    await gates.gate(a).enter("r", 0)


async def test_who_waits_for_a_slow_provider_holds_no_slot_of_the_group() -> None:
    slow, fast = provider("slow", 1, 2), provider("fast", 2)
    gates = admission(slow, fast)
    await gates.gate(slow).enter("r", 0)
    waiting = asyncio.create_task(gates.gate(slow).enter("r", 60))
    await settle()
    turn = await gates.gate(fast).enter("r", 0)
    turn.end()
    waiting.cancel()


async def test_a_bound_that_goes_while_a_request_is_under_way_leaves_nothing_behind() -> None:
    bound = provider("a", group_limit=1)
    gates = admission(bound)
    group = gates.gate(bound).group
    turn = await gates.gate(bound).enter("r", 0)
    gates.adopt(Snapshot.of([], [replace(bound, group_max_in_flight=None)], []))
    turn.end()
    assert group is not None
    assert (group.in_flight, gates.gate(bound).own.in_flight, gates.gate(bound).group) == (0, 0, None)
