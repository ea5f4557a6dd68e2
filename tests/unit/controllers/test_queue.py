"""The keyed queue: one pass per key, wake-ups coalesce, failures back off, a pass may ask for a timer."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from droveway.api.errors import TryLater
from droveway.cluster.client import Conflict, NotFound
from droveway.cluster.objects import Key
from droveway.controllers.queue import KeyedQueue, Reconcile
from helpers.clock import virtual

A, B = Key("team", "a"), Key("team", "b")


@asynccontextmanager
async def running(
    reconcile: Reconcile, workers: int = 4, hurried: Callable[[Key], bool] = lambda _: False
) -> AsyncIterator[KeyedQueue]:
    queue = KeyedQueue("Test", reconcile, workers, hurried)
    task = asyncio.create_task(queue.run())
    yield queue
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def until(seen: Callable[[], bool]) -> None:
    async with asyncio.timeout(100_000):
        while not seen():
            await asyncio.sleep(0.5)


@virtual
async def test_wake_ups_that_come_together_are_one_pass() -> None:
    passes: list[Key] = []

    async def reconcile(key: Key) -> None:
        passes.append(key)

    async with running(reconcile) as queue:
        for _ in range(5):
            queue.wake(A)
        queue.wake(B)
        await until(lambda: len(passes) >= 2)

    assert sorted(passes) == [A, B]


@virtual
async def test_a_key_is_never_worked_on_twice_at_once_and_a_wake_up_meanwhile_is_not_lost() -> None:
    at_once, most, passes = 0, 0, 0

    async def reconcile(_: Key) -> None:
        nonlocal at_once, most, passes
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(1)
        at_once -= 1
        passes += 1

    async with running(reconcile) as queue:
        queue.wake(A)
        await asyncio.sleep(0.5)
        queue.wake(A)
        queue.wake(A)
        await until(lambda: passes == 2)
        await asyncio.sleep(10)

    assert (most, passes) == (1, 2)


@virtual
async def test_a_pass_may_ask_to_be_woken() -> None:
    times: list[float] = []

    async def reconcile(_: Key) -> datetime | None:
        times.append(asyncio.get_running_loop().time())
        return datetime.now(UTC) + timedelta(hours=1) if len(times) == 1 else None

    async with running(reconcile) as queue:
        queue.wake(A)
        await until(lambda: len(times) == 2)

    assert times[1] - times[0] == pytest.approx(3600, abs=1)


@pytest.mark.parametrize("error", [TryLater("away"), ZeroDivisionError("a bug")], ids=["try later", "a bug"])
@virtual
async def test_failures_back_off_and_do_not_stop_other_keys(error: Exception) -> None:
    times: list[float] = []
    others = 0

    async def reconcile(key: Key) -> None:
        nonlocal others
        if key == B:
            others += 1
            return
        times.append(asyncio.get_running_loop().time())
        if len(times) < 12:
            raise error

    async with running(reconcile) as queue:
        queue.wake(A)
        queue.wake(B)
        await until(lambda: len(times) == 12)

    pauses = [b - a for a, b in pairwise(times)]
    assert 0.25 <= pauses[0] <= 0.8
    assert pauses[4] > pauses[0]
    assert max(pauses) <= 91, "a minute, with jitter of a half"
    assert others == 1


@virtual
async def test_a_conflict_is_looked_at_again_at_once() -> None:
    times: list[float] = []

    async def reconcile(_: Key) -> None:
        times.append(asyncio.get_running_loop().time())
        if len(times) == 1:
            raise Conflict(409, "Conflict", "changed")

    async with running(reconcile) as queue:
        queue.wake(A)
        await until(lambda: len(times) == 2)

    assert times[1] - times[0] < 0.1


@virtual
@pytest.mark.parametrize("error", [Conflict(409, "Conflict", "changed"), NotFound(404, "NotFound", "deleted")])
async def test_a_cache_that_stays_behind_is_not_hammered_with(error: Exception) -> None:
    times: list[float] = []

    async def reconcile(_: Key) -> None:
        times.append(asyncio.get_running_loop().time())
        raise error

    async with running(reconcile) as queue:
        queue.wake(A)
        await asyncio.sleep(60)
        behind = len(times)
        queue.wake(A)
        await asyncio.sleep(0.001)

    assert times[1] - times[0] < 0.1, "the newer state may be on its way"
    assert behind < 25
    assert len(times) == behind + 1, "and a wake-up is heard at once"


def many(prefix: str, count: int) -> list[Key]:
    return [Key("team", f"{prefix}{n}") for n in range(count)]


def in_a_hurry(key: Key) -> bool:
    return key.name.startswith("new")


@virtual
async def test_who_is_in_a_hurry_goes_first_but_nobody_starves() -> None:
    passes: list[Key] = []

    async def reconcile(key: Key) -> None:
        await asyncio.sleep(1)
        passes.append(key)

    async with running(reconcile, 1, in_a_hurry) as queue:
        queue.wake(A)
        await asyncio.sleep(0.5)
        for key in many("old", 5) + many("new", 12):
            queue.wake(key)
        await until(lambda: len(passes) == 18)

    turns = "".join("n" if in_a_hurry(key) else "o" for key in passes[1:])
    assert turns == "nnnonnnonnnonnnoo"


@virtual
async def test_a_pass_that_gives_way_goes_on_after_those_in_a_hurry() -> None:
    told: list[str] = []

    async def reconcile(key: Key) -> None:
        told.append(f"{key.name} made")
        await asyncio.sleep(1)
        await queue.give_way()
        told.append(f"{key.name} reported")

    async with running(reconcile, 1, in_a_hurry) as queue:
        for key in many("new", 3):
            queue.wake(key)
        await until(lambda: len(told) == 6)

    made, reported = ([f"new{n} {what}" for n in (0, 1, 2)] for what in ("made", "reported"))
    assert sorted(told[:3]) == made
    assert sorted(told[3:]) == reported


@virtual
async def test_a_key_whose_pass_gave_way_is_not_worked_on_meanwhile() -> None:
    told: list[str] = []

    async def reconcile(key: Key) -> None:
        told.append(f"{key.name} begins")
        await asyncio.sleep(1)
        await queue.give_way()
        told.append(f"{key.name} ends")

    async with running(reconcile, 2, in_a_hurry) as queue:
        one, *others = many("new", 4)
        for key in (one, *others):
            queue.wake(key)
        await asyncio.sleep(1.5)
        queue.wake(one)
        await until(lambda: told.count("new0 ends") == 2)

    mine = [line for line in told if line.startswith("new0")]
    assert mine == ["new0 begins", "new0 ends"] * 2


@virtual
async def test_with_nobody_in_a_hurry_no_pass_waits() -> None:
    passes: list[Key] = []

    async def reconcile(key: Key) -> None:
        await queue.give_way()
        passes.append(key)

    async with running(reconcile, 1) as queue:
        queue.wake(A)
        queue.wake(B)
        await until(lambda: passes == [A, B])
