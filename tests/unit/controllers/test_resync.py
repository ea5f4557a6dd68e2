"""The periodic listing: it repairs what the watch missed, counts it, and is missed itself when it fails."""

from collections.abc import Callable
from typing import Any, cast

import pytest

from droveway.api import names
from droveway.api.errors import TryLater
from droveway.cluster.client import Cluster
from droveway.cluster.objects import Key
from droveway.controllers.metrics import RESYNC_DRIFT
from droveway.controllers.resync import Resync
from helpers.operator import Desk, a_desk, run_manifest
from helpers.told import route_manifest

RUN, OTHER = Key("team", "fix-login"), Key("team", "other")


class EnoughError(Exception):
    pass


class Watchman:
    """A resync over a desk. Each sleep is a moment at which a test may do something."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, desk: Desk | None = None) -> None:
        self.desk = desk or a_desk()
        self.clock = 0.0
        self.pauses: list[float] = []
        self.in_grace: Callable[[], object] = lambda: None
        monkeypatch.setattr("droveway.controllers.resync.time.monotonic", lambda: self.clock)
        monkeypatch.setattr("droveway.controllers.resync.asyncio.sleep", self._sleep)
        self.resync = Resync(cast("Cluster", self.desk.api), self.desk.world, (), 60)
        self.woken: list[Key] = []
        self.desk.world.wake_run = self.woken.append

    async def _sleep(self, seconds: float) -> None:
        self.clock += seconds
        self.pauses.append(seconds)
        if seconds == 5:
            self.in_grace()
        if self.pauses.count(60) == 2:
            raise EnoughError

    async def once(self) -> float:
        """One period; returns how many objects had drifted."""
        before = drifted()
        self.pauses.clear()
        with pytest.raises(EnoughError):  # `run` has no end
            await self.resync.run()
        return drifted() - before


def drifted() -> float:
    return sum(s.value for m in RESYNC_DRIFT.collect() for s in m.samples if s.name.endswith("_total"))


def another_run() -> dict[str, Any]:
    return run_manifest("other", uid="uid-other")


@pytest.fixture
def watchman(monkeypatch: pytest.MonkeyPatch) -> Watchman:
    return Watchman(monkeypatch)


async def test_a_watch_that_missed_nothing_is_left_alone(watchman: Watchman) -> None:
    assert await watchman.once() == 0
    assert (watchman.woken, 5 in watchman.pauses) == ([], False)


async def test_a_missed_object_is_found_and_woken(watchman: Watchman) -> None:
    watchman.desk.api.put(names.AGENT_RUNS, another_run())
    assert await watchman.once() == 1
    assert watchman.desk.world.runs.get(OTHER) is not None
    assert watchman.woken == [OTHER]


async def test_a_missed_change_is_found(watchman: Watchman) -> None:
    watchman.desk.api.put(names.MODEL_ROUTES, route_manifest(onExhausted="Fail"))
    await watchman.once()
    route = watchman.desk.world.routes.get(Key("team", "coding"))
    assert route is not None


async def test_a_ghost_is_evicted_and_woken(watchman: Watchman) -> None:
    watchman.desk.api.remove(names.AGENT_RUNS, *RUN)
    assert await watchman.once() == 1
    assert watchman.desk.world.runs.get(RUN) is None
    assert watchman.woken == [RUN]


async def test_what_the_watch_tells_a_moment_later_is_no_drift(watchman: Watchman) -> None:
    made = watchman.desk.api.put(names.AGENT_RUNS, another_run())
    gone = watchman.desk.api.objects[names.AGENT_RUNS, *RUN]
    watchman.desk.api.remove(names.AGENT_RUNS, *RUN)

    def watch() -> None:
        watchman.desk.world.take(names.AGENT_RUNS, "ADDED", made)
        watchman.desk.world.take(names.AGENT_RUNS, "DELETED", gone)

    watchman.in_grace = watch
    assert await watchman.once() == 0
    assert watchman.woken == [OTHER, RUN]


async def test_what_was_listed_and_then_deleted_does_not_come_back(watchman: Watchman) -> None:
    made = watchman.desk.api.put(names.AGENT_RUNS, another_run())
    watchman.in_grace = lambda: watchman.desk.world.take(names.AGENT_RUNS, "DELETED", made)
    assert await watchman.once() == 0
    assert watchman.desk.world.runs.get(OTHER) is None


async def test_it_is_overdue_after_three_periods_without_a_success_and_not_again_after_one(watchman: Watchman) -> None:
    def away(verb: str, plural: str) -> None:
        raise TryLater("away")

    watchman.desk.api.before = away
    await watchman.once()
    assert (watchman.clock, watchman.resync.overdue()) == (120, None)
    await watchman.once()
    assert watchman.resync.overdue() == "the last resync ended 240 s ago"
    watchman.desk.api.before = lambda verb, plural: None
    await watchman.once()
    assert watchman.resync.overdue() is None


async def test_a_standby_that_waited_for_hours_is_not_overdue_when_it_takes_over(watchman: Watchman) -> None:
    watchman.clock = 10_000.0
    assert watchman.resync.overdue() is not None
    await watchman.resync.fill()
    assert watchman.resync.overdue() is None


async def test_the_first_listing_waits_for_an_api_server_that_is_away(watchman: Watchman) -> None:
    failures = iter([TryLater("away")] * 3)

    def away(verb: str, plural: str) -> None:
        if plural == names.MODEL_ROUTES and (error := next(failures, None)):
            raise error

    watchman.desk.api.before = away
    watchman.desk.api.put(names.AGENT_RUNS, another_run())
    await watchman.resync.fill()
    assert watchman.pauses == [2, 2, 2]
    assert OTHER in watchman.desk.world.runs
