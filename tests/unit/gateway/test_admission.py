"""Slots of a provider: never more than its limit, first come first served, and nothing leaks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from droveway.gateway.admission import QueueTimeout, Slots


@asynccontextmanager
async def held(slots: Slots, seconds: float) -> AsyncIterator[bool]:
    waited = await slots.acquire(seconds)
    try:
        yield waited
    finally:
        slots.release()


class Guests:
    """Tasks that hold a slot until told to leave, in the order in which they got it."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self.inside: list[str] = []
        self.doors: dict[str, asyncio.Event] = {}

    async def _visit(self, name: str) -> None:
        async with held(self.slots, 60):
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


async def test_who_came_first_goes_first() -> None:
    guests = Guests(Slots(1))
    for name in ("a", "b", "c"):
        await guests.arrive(name)
    assert guests.inside == ["a"]
    await guests.leave("a")
    assert guests.inside == ["b"]
    await guests.leave("b")
    assert guests.inside == ["c"]
    await guests.leave("c")
    assert guests.slots.in_flight == 0


async def test_a_waiter_that_leaves_gives_its_place_up() -> None:
    guests = Guests(Slots(1))
    await guests.arrive("a")
    gone = await guests.arrive("b")
    await guests.arrive("c")
    gone.cancel()
    await guests.leave("a")
    assert guests.inside == ["c"]
    assert not guests.slots.waiting


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
        assert not slots.waiting
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
