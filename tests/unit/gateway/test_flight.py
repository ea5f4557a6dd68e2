"""One answer for several: it is made once, outlives whoever asked first, and not the last one who waits."""

import asyncio

import pytest

from droveway.api.enums import EndClass
from droveway.core.completion import TokenBreakdown
from droveway.gateway.cachestore import Entry
from droveway.gateway.flight import Flight, Landing
from helpers.clock import virtual

ENTRY = Entry(b"{}", 0.0, "a", TokenBreakdown())
GOOD = Landing(EndClass.SUCCEEDED, ENTRY)


class Work:
    """Takes ten seconds."""

    def __init__(self, result: Landing | Exception = GOOD) -> None:
        self.result, self.begun, self.cancelled, self.landed = result, 0, False, False
        self.flight = Flight(self.fly(), self.land)

    async def fly(self) -> Landing:
        self.begun += 1
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            await asyncio.sleep(1)  # the upstream call has to be ended
            self.cancelled = True
            raise
        if isinstance(self.result, Exception):
            raise self.result
        return self.result

    def land(self) -> None:
        self.landed = True


async def leave(task: asyncio.Task[object]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@virtual
async def test_all_get_what_was_made_once() -> None:
    work = Work()
    found = await asyncio.gather(work.flight.lead(), work.flight.follow(), work.flight.follow())
    assert list(found) == [GOOD] * 3
    assert (work.begun, work.landed, work.flight.waiting) == (1, True, 0)


@virtual
async def test_who_leads_may_leave() -> None:
    work = Work()
    leader = asyncio.create_task(work.flight.lead())
    follower = asyncio.create_task(work.flight.follow())
    await asyncio.sleep(5)
    await leave(leader)
    assert not work.cancelled
    assert await follower == GOOD


@virtual
async def test_the_last_one_to_leave_ends_it_and_waits_for_that() -> None:
    work = Work()
    waiting = [asyncio.create_task(work.flight.lead()), asyncio.create_task(work.flight.follow())]
    await asyncio.sleep(5)
    await leave(waiting[1])
    assert not work.cancelled
    await leave(waiting[0])
    assert work.cancelled
    assert work.landed


@virtual
async def test_a_deadline_ends_the_wait_of_one_alone() -> None:
    work = Work()
    leader = asyncio.create_task(work.flight.lead())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3):
            await work.flight.follow()
    assert asyncio.get_running_loop().time() == 3
    assert await leader == GOOD


@pytest.mark.parametrize("result", [Landing(EndClass.PROVIDER_OUTAGE), RuntimeError("broke")], ids=["bad", "broken"])
def test_a_failure_is_told_to_who_leads_alone(result: Landing | Exception) -> None:
    @virtual
    async def story() -> None:
        work = Work(result)
        leader, follower = await asyncio.gather(work.flight.lead(), work.flight.follow(), return_exceptions=True)
        assert leader is result
        assert follower is None

    story()


@virtual
async def test_an_answer_for_one_alone_is_told_as_that() -> None:
    alone = Landing(EndClass.SUCCEEDED)
    work = Work(alone)
    assert list(await asyncio.gather(work.flight.lead(), work.flight.follow())) == [alone, alone]
