"""What the operator knows, and who is woken when it changes."""

from typing import Any, cast

import pytest

from droveway.api import names
from droveway.api.v1alpha1 import AgentRun
from droveway.cluster.client import Cluster
from droveway.cluster.objects import Key
from droveway.controllers.world import FinishedRun, World
from helpers.objects import FakeCluster
from helpers.operator import over, run_manifest
from helpers.told import after, provider_manifest, route_manifest

RUN, LOGIN = Key("team", "fix-login"), Key("team", "login")


class Globe(World):
    """A world that remembers whom it woke."""

    def __init__(self) -> None:
        super().__init__(cast("Cluster", FakeCluster()))
        self.woken: list[tuple[str, str]] = []
        self.wake_run = lambda key: self.woken.append(("run", key.name))
        self.wake_route = lambda key: self.woken.append(("route", key.name))
        self.wake_provider = lambda key: self.woken.append(("provider", key.name))

    def heard(self) -> list[tuple[str, str]]:
        """Who was woken since the last time."""
        told, self.woken = self.woken, []
        return told


def versioned(manifest: dict[str, Any], version: int = 1, **meta: Any) -> dict[str, Any]:
    return manifest | {"metadata": manifest["metadata"] | {"resourceVersion": str(version), **meta}}


def run(name: str = "fix-login", version: int = 1, **more: Any) -> dict[str, Any]:
    spec = more.pop("spec", {})
    found = versioned(run_manifest(name, uid=f"uid-{name}", **more), version)
    return found | {"spec": found["spec"] | spec}


def pod(attempt: int = 1, phase: str = "Running", version: int = 1, **changes: Any) -> dict[str, Any]:
    """A pod of the run fix-login, on the provider login."""
    owner = {"kind": "AgentRun", "uid": "uid-fix-login", "controller": True}
    meta = {
        "name": f"fix-login-{attempt}",
        "namespace": "team",
        "uid": f"pod-{attempt}",
        "resourceVersion": str(version),
        "creationTimestamp": "2026-11-21T12:00:00Z",
        "labels": {names.LABEL_RUN: "fix-login", names.LABEL_ATTEMPT: str(attempt), names.LABEL_PROVIDER: "login"},
        "ownerReferences": [owner],
    }
    node = {"nodeName": changes.pop("node")} if "node" in changes else {}
    return {"metadata": meta | changes, "spec": node, "status": {"phase": phase}}


class TestRuns:
    def test_a_live_run_is_kept_whole_and_a_finished_one_as_a_few_bytes(self) -> None:
        world = Globe()
        world.take(names.AGENT_RUNS, "ADDED", run())
        assert isinstance(world.runs.get(RUN), AgentRun)
        world.take(names.AGENT_RUNS, "MODIFIED", run(version=2, spec={"ttlSecondsAfterSuccess": 60}, **over()))
        assert world.runs.get(RUN) == FinishedRun("uid-fix-login", after(360))
        assert world.heard() == [("run", "fix-login")] * 2

    @pytest.mark.parametrize(
        ("spec", "delete_at"),
        [
            pytest.param({}, None, id="kept"),
            pytest.param({"ttlSecondsAfterFailure": 60}, None, id="the other time to live"),
            pytest.param({"ttlSecondsAfterSuccess": 0}, after(300), id="at once"),
        ],
    )
    def test_the_time_to_live_is_that_of_its_end(self, spec: dict[str, Any], delete_at: object) -> None:
        world = Globe()
        world.take(names.AGENT_RUNS, None, run(spec=spec, **over()))
        found = world.runs.get(RUN)
        assert isinstance(found, FinishedRun)
        assert found.delete_at == delete_at

    def test_what_was_known_already_wakes_nobody(self) -> None:
        world = Globe()
        assert world.take(names.AGENT_RUNS, None, run(version=5))
        world.heard()
        assert not world.take(names.AGENT_RUNS, None, run(version=5))
        assert not world.take(names.AGENT_RUNS, "MODIFIED", run(version=4))
        assert world.heard() == []

    def test_a_deletion_wakes_the_run_once_more(self) -> None:
        world = Globe()
        world.take(names.AGENT_RUNS, None, run())
        world.heard()
        world.take(names.AGENT_RUNS, "DELETED", run(version=2))
        assert (world.runs.get(RUN), world.heard()) == (None, [("run", "fix-login")])

    def test_an_object_that_does_not_fit_its_schema_stops_nobody(self) -> None:
        world = Globe()
        assert not world.take(names.AGENT_RUNS, None, versioned(run_manifest()) | {"spec": {"prompt": 7}})
        assert world.heard() == []


class TestWaiting:
    def waiting(self) -> Globe:
        world = Globe()
        for name, priority in (("low", -5), ("usual", 0), ("high", 5)):
            world.take(names.AGENT_RUNS, None, run(name, spec={"priority": priority}))
            world.waiting.add(Key("team", name))
        world.waiting.add(Key("another-team", "foreign"))
        world.heard()
        return world

    def test_the_most_important_goes_first_and_other_namespaces_sleep_on(self) -> None:
        world = self.waiting()
        world.wake_waiting("team")
        assert world.heard() == [("run", "high"), ("run", "usual"), ("run", "low")]

    @pytest.mark.parametrize(
        ("plural", "manifest", "before"),
        [
            pytest.param(names.MODEL_ROUTES, route_manifest(), [("route", "coding")], id="route"),
            pytest.param(names.MODEL_PROVIDERS, provider_manifest("login"), [("provider", "login")], id="provider"),
            pytest.param(
                names.AGENTS,
                {
                    "metadata": {"name": "claude", "namespace": "team", "uid": "a"},
                    "spec": {"cli": "claude", "image": "a"},
                },
                [],
                id="agent",
            ),
        ],
    )
    def test_whatever_they_may_wait_for_wakes_them(
        self, plural: str, manifest: dict[str, Any], before: list[tuple[str, str]]
    ) -> None:
        world = self.waiting()
        world.take(plural, "ADDED", versioned(manifest))
        assert world.heard() == [*before, ("run", "high"), ("run", "usual"), ("run", "low")]

    def test_a_provider_wakes_the_routes_that_name_it(self) -> None:
        world = Globe()
        world.take(names.MODEL_ROUTES, None, versioned(route_manifest()))
        world.heard()
        world.take(names.MODEL_PROVIDERS, None, versioned(provider_manifest("login")))
        assert world.heard() == [("provider", "login"), ("route", "coding")]
        world.take(names.MODEL_PROVIDERS, None, versioned(provider_manifest("unused")))
        assert world.heard() == [("provider", "unused")]

    def test_a_pod_that_ends_frees_its_slot_for_those_who_wait(self) -> None:
        world = self.waiting()
        world.pods.put(pod())
        assert world.live_pods(LOGIN) == 1
        world.heard()
        world.pods.put(pod(phase="Succeeded", version=2))
        assert world.live_pods(LOGIN) == 0
        assert world.heard() == [("run", "fix-login"), ("run", "high"), ("run", "usual"), ("run", "low")]


class TestPods:
    def test_a_run_finds_its_pods_and_only_its_own(self) -> None:
        world = Globe()
        world.pods.put(pod(1))
        world.pods.put(pod(2))
        world.pods.put(pod(3, ownerReferences=[{"kind": "AgentRun", "uid": "another", "controller": True}]))
        world.pods.put(pod(4, namespace="another-team"))
        assert sorted(p.name for p in world.pods_of("team", "uid-fix-login")) == ["fix-login-1", "fix-login-2"]

    @pytest.mark.parametrize(
        "owners",
        [
            pytest.param([], id="nobody's"),
            pytest.param([{"kind": "Job", "uid": "uid-fix-login", "controller": True}], id="a Job's"),
            pytest.param([{"kind": "AgentRun", "uid": "uid-fix-login"}], id="not controlled"),
        ],
    )
    def test_a_stranger_with_our_labels_counts_for_nothing(self, owners: list[dict[str, Any]]) -> None:
        world = Globe()
        labels = pod()["metadata"]["labels"] | {names.LABEL_RUN_UID: "uid-fix-login", names.LABEL_ATTEMPT: "seven"}
        world.pods.put(pod(ownerReferences=owners, labels=labels))
        assert world.pods_of("team", "uid-fix-login") == ()
        assert (world.live_pods(LOGIN), world.heard()) == (0, [])

    def test_where_it_lands_wakes_nobody_but_that_it_runs_does(self) -> None:
        world = Globe()
        world.pods.put(pod(phase="Pending"))
        assert world.heard() == [], "who made it knows"
        world.pods.put(pod(phase="Pending", version=2, node="n1"))
        assert world.heard() == []
        world.pods.put(pod(phase="Running", version=3, node="n1"))
        assert world.heard() == [("run", "fix-login")]

    def test_another_pod_of_the_same_name_takes_over_what_the_first_was_counted_for(self) -> None:
        world = Globe()
        world.pods.put(pod())
        other = [{"kind": "AgentRun", "uid": "uid-other", "controller": True}]
        labels = pod()["metadata"]["labels"] | {names.LABEL_PROVIDER: "openai"}
        world.pods.put(pod(uid="new", ownerReferences=other, labels=labels))
        assert world.pods_of("team", "uid-fix-login") == ()
        assert [p.uid for p in world.pods_of("team", "uid-other")] == ["new"]
        assert (world.live_pods(LOGIN), world.live_pods(Key("team", "openai"))) == (0, 1)

    def test_a_slot_is_taken_from_the_decision_on(self) -> None:
        world = Globe()
        with world.starting(LOGIN):
            assert world.live_pods(LOGIN) == 1
            world.pods.put(pod())
        assert world.live_pods(LOGIN) == 1
