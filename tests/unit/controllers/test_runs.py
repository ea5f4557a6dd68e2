"""What a pass does to the cluster: slots are not taken twice, logins do not go astray."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, cast

import pytest

from droveway.api import names
from droveway.api.enums import ConditionType
from droveway.api.errors import TryLater
from droveway.api.v1alpha1 import AgentRun
from droveway.cluster.client import Cluster, Conflict
from droveway.cluster.objects import PODS, Key
from droveway.controllers.gather import Gatherer
from droveway.controllers.runs import RunController
from droveway.controllers.secrets import NamespaceKeys, Sources
from droveway.controllers.world import World
from droveway.core.conditions import find
from droveway.core.pod import PodSettings
from helpers.objects import FakeCluster
from helpers.operator import Desk, over, run_manifest
from helpers.told import provider_manifest, route_manifest

LOGIN = {"metadata": {"name": "key", "namespace": "team"}, "data": {"apiKey": "c2VjcmV0"}}
AGENT = {
    "metadata": {"name": "claude", "namespace": "team", "uid": "uid-claude"},
    "spec": {"cli": "claude", "image": "i"},
}
DIRECT = [{"name": "own", "providerRef": {"name": "login"}, "model": "opus"}]


class House:
    """Runs on one Direct provider."""

    def __init__(
        self, *runs: str, desk: Desk | None = None, allow_direct_base_url: bool = False, **provider: Any
    ) -> None:
        self.desk = desk or Desk()
        cluster, world = cast("Cluster", self.desk.api), self.desk.world
        if desk is None:
            self.desk.api.put("secrets", LOGIN)
            self.desk.add(names.MODEL_ROUTES, route_manifest(candidates=DIRECT))
            self.desk.add(names.MODEL_PROVIDERS, provider_manifest("login", access="Direct", **provider))
        self.desk.add(names.AGENTS, AGENT)
        for name in runs:
            self.desk.add(names.AGENT_RUNS, run_manifest(name, uid=f"{name}-uid"))
        pods = PodSettings("ours", "http://operator", "http://gateway")
        gatherer = Gatherer(world, Sources(cluster), self.desk.ledgers, pods, allow_direct_base_url)
        self.controller = RunController(cluster, world, gatherer, NamespaceKeys(cluster, (b"master",)), pods)

    async def passes(self, *runs: str) -> list[object]:
        """One pass over each, all at the same time."""
        keys = [Key("team", name) for name in runs]
        return await asyncio.gather(*map(self.controller.reconcile, keys), return_exceptions=True)

    def restart(self) -> "House":
        """The next process, whose informer has seen all pods."""
        desk = self.desk.restart()
        for (plural, *_), pod in self.desk.api.objects.items():
            if plural == PODS.plural:
                desk.world.pods.put(pod)
        return House(desk=desk)

    def run(self, name: str) -> AgentRun:
        found = self.desk.world.runs.get(Key("team", name))
        assert isinstance(found, AgentRun)
        return found

    def created(self) -> list[str]:
        """Names of all pods that there are."""
        return [name for plural, _, name in self.desk.api.objects if plural == PODS.plural]

    def reason(self, name: str) -> str:
        found = find(self.run(name).status.conditions, ConditionType.SUCCEEDED)
        return f"{found.reason}: {found.message}" if found else ""


@pytest.fixture(autouse=True)
def slow_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every request takes a turn of the loop, as in life."""
    for verb in ("get", "create"):
        answer = getattr(FakeCluster, verb)

        async def slow(*args: Any, answer: Any = answer, verb: str = verb) -> Any:
            await asyncio.sleep(0)
            if verb == "create":
                args[2]["metadata"]["creationTimestamp"] = datetime.now(UTC).isoformat()
            return await answer(*args)

        monkeypatch.setattr(FakeCluster, verb, slow)


async def test_two_runs_at_once_do_not_take_the_last_slot_of_a_login() -> None:
    house = House("one", "two", maxInFlight=1)
    first = await house.passes("one", "two")
    assert [o for o in first if isinstance(o, Exception) and not isinstance(o, Conflict)] == []

    await house.passes("one", "two")
    assert house.desk.api.writes(PODS.plural) == 1
    assert sum("1 of 1 pods run on login" in house.reason(name) for name in ("one", "two")) == 1


@pytest.mark.parametrize(("allowed", "pods"), [(False, 0), (True, 1)], ids=["refused", "allowed"])
async def test_a_login_is_not_sent_elsewhere_before_the_providers_status_says_so(allowed: bool, pods: int) -> None:
    house = House("one", allow_direct_base_url=allowed, baseURL="http://elsewhere.example")
    await house.passes("one")

    assert house.desk.api.writes(PODS.plural) == pods
    if not allowed:
        assert "would be sent the login" in house.reason("one")


class TestOnePodPerAttempt:
    async def test_a_lost_status_write_makes_no_second_pod(self) -> None:
        house = House("one")
        house.desk.api.before = failing("apply_status", TryLater("away"))
        (lost,) = await house.passes("one")
        assert isinstance(lost, TryLater)
        house.desk.api.before = nothing

        await house.passes("one", "one")
        assert house.created() == ["one-one-u-1"]
        assert house.run("one").status.attempt_count == 1

    async def test_nor_does_a_process_that_dies_before_it(self) -> None:
        house = House("one")
        house.desk.api.before = failing("apply_status", TryLater("killed"))
        await house.passes("one")
        house.desk.api.before = nothing

        successor = house.restart()
        await successor.passes("one")
        assert successor.created() == ["one-one-u-1"]
        status = successor.run("one").status
        (attempt,) = status.attempts
        assert (attempt.pod_name, attempt.candidate, attempt.model) == ("one-one-u-1", "own", "opus")
        assert status.route is not None
        assert status.route.reason == "first by priority of all candidates", "its pod says why"

    async def test_a_pod_that_is_ours_but_unseen_yet_is_taken_up(self) -> None:
        house = House("one")
        house.desk.api.before = failing("apply_status", TryLater("killed"))
        await house.passes("one")
        house.desk.api.before = nothing

        blind = House(desk=Desk(house.desk.api))
        await blind.passes("one")
        assert len(blind.created()) == 1
        assert blind.run("one").status.attempt_count == 1

    async def test_somebody_elses_pod_of_that_name_is_said_and_left_alone(self) -> None:
        house = House("one")
        house.desk.api.put("pods", {"metadata": {"name": "one-one-u-1", "namespace": "team"}})
        await house.passes("one")
        assert "PodRefused: a pod named one-one-u-1 that is not ours is in the way; delete it" in house.reason("one")
        assert Key("team", "one") in house.desk.world.waiting
        house.desk.api.remove("pods", "team", "one-one-u-1")
        await house.passes("one")
        assert house.run("one").status.attempt_count == 1

    async def test_what_did_not_change_is_not_written(self) -> None:
        house = House("one")
        await house.passes("one")
        await house.passes("one")
        assert house.desk.api.writes("agentruns") == 1


@pytest.mark.parametrize(
    ("circuit", "label"),
    [
        pytest.param({}, None, id="closed"),
        pytest.param({"state": "Open", "failures": 3, "openedTime": "2020-01-01T00:00:00Z"}, "true", id="half-open"),
    ],
)
async def test_s1_05_the_pod_of_a_probe_says_so(circuit: dict[str, Any], label: str | None) -> None:
    house = House()
    told = {"candidates": [{"name": "own", "eligible": True, "reason": "", "circuit": circuit}]}
    house.desk.add(names.MODEL_ROUTES, route_manifest(candidates=DIRECT, status=told))
    house.desk.add(names.AGENT_RUNS, run_manifest("one", uid="one-uid"))
    await house.passes("one")

    (name,) = house.created()
    pod = house.desk.api.objects[PODS.plural, "team", name]
    assert pod["metadata"]["labels"].get(names.LABEL_PROBE) == label


class TestWaking:
    async def test_what_changes_during_a_pass_wakes_the_run_again(self) -> None:
        house = House("one", maxInFlight=1)
        woken: list[Key] = []
        house.desk.world.wake_run = woken.append
        house.desk.world.wake_waiting = partial(World.wake_waiting, house.desk.world)  # type: ignore[method-assign]

        def meanwhile(verb: str, plural: str) -> None:
            if verb == "apply_status":
                house.desk.world.wake_waiting("team")

        house.desk.api.before = meanwhile
        with house.desk.world.starting(Key("team", "login")):  # somebody else's pod
            await house.passes("one")
        assert "1 of 1 pods run on login" in house.reason("one")
        assert woken == [Key("team", "one")]

    async def test_a_run_with_a_pod_waits_for_nobody(self) -> None:
        house = House("one")
        await house.passes("one")
        assert house.desk.world.waiting == set()


class TestTheEnd:
    async def test_a_finished_run_is_deleted_when_its_time_has_come_and_not_before(self) -> None:
        house, ended = House(), datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=10)
        for name, seconds in (("soon", 3600), ("now", 5)):
            manifest = run_manifest(name, uid=f"{name}-uid", **over() | {"completionTime": ended.isoformat()})
            manifest["spec"]["ttlSecondsAfterSuccess"] = seconds
            house.desk.add(names.AGENT_RUNS, manifest)
        later, done = await house.passes("soon", "now")
        assert later == ended + timedelta(seconds=3600)
        assert done is None
        assert [name for verb, plural, name in house.desk.api.calls if verb == "delete"] == ["now"]

    async def test_a_run_that_is_being_deleted_is_left_to_the_garbage_collector(self) -> None:
        house = House()
        manifest = run_manifest("one", uid="one-uid")
        manifest["metadata"]["deletionTimestamp"] = "2026-11-21T12:00:00Z"
        house.desk.add(names.AGENT_RUNS, manifest)
        await house.passes("one")
        assert house.desk.api.calls == []

    async def test_the_key_secret_goes_with_the_last_run_of_the_namespace(self) -> None:
        house = House("one", "two")
        await house.passes("one", "two")
        secret = ("secrets", "team", names.SECRET_NAMESPACE_KEY)
        for name, left in (("one", True), ("two", False)):
            house.desk.take_away(names.AGENT_RUNS, Key("team", name))
            await house.passes(name)
            assert (secret in house.desk.api.objects) is left


def nothing(verb: str, plural: str) -> None:
    """Before a request."""


def failing(what: str, error: Exception) -> Callable[[str, str], None]:
    def before(verb: str, plural: str) -> None:
        if verb == what:
            raise error

    return before
