"""What a pass does to the cluster: slots are not taken twice, logins do not go astray."""

import asyncio
from typing import Any, cast

import pytest

from droveway.api import names
from droveway.api.enums import ConditionType
from droveway.api.v1alpha1 import AgentRun
from droveway.cluster.client import Cluster, Conflict
from droveway.cluster.objects import PODS, Key
from droveway.controllers.gather import Gatherer
from droveway.controllers.runs import RunController
from droveway.controllers.secrets import NamespaceKeys, Sources
from droveway.core.conditions import find
from droveway.core.pod import PodSettings
from helpers.objects import FakeCluster
from helpers.operator import Desk, run_manifest
from helpers.told import provider_manifest, route_manifest

LOGIN = {"metadata": {"name": "key", "namespace": "team"}, "data": {"apiKey": "c2VjcmV0"}}
AGENT = {
    "metadata": {"name": "claude", "namespace": "team", "uid": "uid-claude"},
    "spec": {"cli": "claude", "image": "i"},
}
DIRECT = [{"name": "own", "providerRef": {"name": "login"}, "model": "opus"}]


class House:
    """Runs on one Direct provider."""

    def __init__(self, *runs: str, allow_direct_base_url: bool = False, **provider: Any) -> None:
        self.desk = Desk()
        cluster, world = cast("Cluster", self.desk.api), self.desk.world
        self.desk.api.put("secrets", LOGIN)
        self.desk.add(names.AGENTS, AGENT)
        self.desk.add(names.MODEL_ROUTES, route_manifest(candidates=DIRECT))
        self.desk.add(names.MODEL_PROVIDERS, provider_manifest("login", access="Direct", **provider))
        for name in runs:
            self.desk.add(names.AGENT_RUNS, run_manifest(name, uid=f"{name}-uid"))
        pods = PodSettings("ours", "http://operator", "http://gateway")
        gatherer = Gatherer(world, Sources(cluster), self.desk.ledgers, pods, allow_direct_base_url)
        self.controller = RunController(cluster, world, gatherer, NamespaceKeys(cluster, b"master"), pods)

    async def passes(self, *runs: str) -> list[object]:
        """One pass over each, all at the same time."""
        keys = [Key("team", name) for name in runs]
        return await asyncio.gather(*map(self.controller.reconcile, keys), return_exceptions=True)

    def reason(self, name: str) -> str:
        run = self.desk.world.runs.get(Key("team", name))
        assert isinstance(run, AgentRun)
        found = find(run.status.conditions, ConditionType.SUCCEEDED)
        return f"{found.reason}: {found.message}" if found else ""


@pytest.fixture(autouse=True)
def slow_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every request takes a turn of the loop, as in life."""
    for verb in ("get", "create"):
        answer = getattr(FakeCluster, verb)

        async def slow(*args: Any, answer: Any = answer, verb: str = verb) -> Any:
            await asyncio.sleep(0)
            if verb == "create":
                args[2]["metadata"]["creationTimestamp"] = "2026-11-21T12:00:00Z"
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
