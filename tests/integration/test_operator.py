"""The operator as a process, a real API server, pods on fake nodes: the life of a run, and what must not disturb it."""

import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import yaml

from droveway.core.trace import attempt_trace, read_traceparent
from helpers.collector import collecting
from helpers.control_plane import ROOT, Api, ControlPlane, Json, control_plane
from helpers.fleet import SECRET, TEAM, Fleet, a_run, agent
from helpers.manifests import ABSENT, PROVIDER, ROUTE, RUN, changed
from helpers.operator_process import OperatorProcess, operating, recorded, until
from helpers.wire import Wire, wire

pytestmark = pytest.mark.integration
QUICK = {"maxAttempts": 2, "backoffSeconds": 1}


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    with control_plane(own=True) as found, found.api() as api:
        api.install([yaml.safe_load(file.read_text()) for file in sorted((ROOT / "crds").glob("*.yaml"))])
        yield found


@pytest.fixture(scope="module")
def api(plane: ControlPlane) -> Iterator[Api]:
    with plane.api() as found:
        yield found


@contextmanager
def a_fleet(api: Api) -> Iterator[Fleet]:
    with api.namespace("operator") as name:
        fleet = Fleet(api, name)
        until(lambda: api.call("GET", fleet.path("serviceaccounts", name="default")).code == 200)
        fleet.add(*TEAM)
        yield fleet


@pytest.fixture(scope="module")
def shared(plane: ControlPlane, api: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A namespace with an operator, for stories that do not touch the operator itself."""
    with a_fleet(api) as fleet, operating(plane.kubeconfig, fleet.namespace, tmp_path_factory.mktemp("shared")):
        yield fleet


def is_said(text: str, words: tuple[str, ...]) -> bool:
    return all(word in text for word in words)


def ended(fleet: Fleet, *runs: str) -> bool:
    return all("completionTime" in fleet.status(run) for run in runs)


class TestLife:
    def test_a_clean_run_costs_one_pod_three_status_writes_and_one_event(self, shared: Fleet) -> None:
        with (
            recorded(shared.api, shared.path("pods")) as pods,
            recorded(shared.api, shared.path("agentruns", "/apis/droveway.dev/v1alpha1")) as runs,
        ):
            shared.run("clean")
            status = shared.await_reason("clean", "Succeeded")
            until(lambda: shared.events("clean"))

        (attempt,) = status["attempts"]
        assert (attempt["class"], attempt["exitCode"], attempt["candidate"]) == ("Succeeded", 0, "sonnet")
        assert status["route"]["model"] == "claude-sonnet-4-5"
        assert len(pods.of("ADDED")) == 1
        assert len(runs.of("MODIFIED")) <= 3
        assert shared.events("clean") == ["Succeeded"]

    def test_a_failure_is_retried_after_a_pause_until_no_attempt_is_left(self, shared: Fleet) -> None:
        shared.run("doomed", "fails", retry=QUICK)
        waiting = shared.await_reason("doomed", "BackingOff")
        until(lambda: ended(shared, "doomed"))
        status = shared.status("doomed")

        assert "nextEligibleTime" in waiting or waiting["attempts"], "it says when it goes on"
        assert shared.summary("doomed") == (
            "AgentFailed",
            "2 attempts failed; the last: the agent ended with exit code 1",
        )
        assert [(a["number"], a["class"]) for a in status["attempts"]] == [(1, "AgentFailed"), (2, "AgentFailed")]
        assert status["failedCount"] == 2
        assert len(shared.pods("doomed")) == 1, (
            "the first attempt's pod made way for the second; the last stays for its logs"
        )

    def test_cancel_is_said_only_when_the_pod_is_gone(self, shared: Fleet) -> None:
        shared.run("unwanted", "endless")
        shared.await_reason("unwanted", "Running")
        with recorded(shared.api, shared.path("pods")) as pods:
            shared.change("unwanted", cancel=True)
            status = shared.await_reason("unwanted", "Cancelled")
            assert shared.pods("unwanted") == []
        assert len(pods.of("DELETED")) == 1
        assert status["attempts"][0]["class"] == "Cancelled"

    def test_suspend_ends_the_attempt_and_resume_starts_the_next(self, shared: Fleet) -> None:
        shared.run("paused", "endless")
        shared.await_reason("paused", "Running")
        shared.change("paused", suspend=True)
        status = shared.await_reason("paused", "Suspended")
        assert shared.pods("paused") == []
        assert status["attempts"][0]["class"] == "Suspended"
        shared.change("paused", suspend=False)
        status = shared.await_reason("paused", "Running")
        assert (status["attemptCount"], status.get("failedCount", 0)) == (2, 0)

    def test_a_deadline_ends_a_run_that_works_and_one_that_waits(self, shared: Fleet) -> None:
        shared.run("slow", "endless", deadlineSeconds=2)
        shared.run("stuck", "nobody", deadlineSeconds=2)
        until(lambda: ended(shared, "slow", "stuck"))
        assert shared.status("slow")["attempts"][0]["class"] == "Timeout"
        assert shared.summary("stuck")[0] == "DeadlineExceeded"
        assert shared.pods("slow") == []

    def test_a_run_is_deleted_after_its_time_to_live_with_its_pods(self, shared: Fleet) -> None:
        shared.run("brief", ttlSecondsAfterSuccess=1, ttlSecondsAfterFailure=600)
        until(lambda: ended(shared, "brief"))
        until(lambda: shared.get("brief").get("code") == 404)


class TestWhatIsMissing:
    def test_each_missing_thing_is_named_and_the_run_goes_on_by_itself(self, shared: Fleet) -> None:
        ref = {"name": "later"}
        source = {"configMapKeyRef": ref | {"key": "today"}}
        shared.add(changed(RUN, {"metadata.name": "patient", "spec.prompt": ABSENT, "spec.promptFrom": source,
                                 "spec.agentRef": ref, "spec.routeRef": ref}))  # fmt: skip

        def says(*words: str) -> None:
            until(lambda: is_said(" ".join(shared.summary("patient")), words), f"not said: {words}")

        says("RouteNotFound", "no ModelRoute later", "create it")
        shared.add(changed(ROUTE, {"metadata": ref, "spec.candidates.0.providerRef": ref}))
        says("PromptNotFound", "no ConfigMap later", "create it")
        shared.add({"apiVersion": "v1", "kind": "ConfigMap", "metadata": ref, "data": {"today": "hello"}})
        says("NoEligibleCandidate", "no ModelProvider later", "create it")
        shared.add(changed(PROVIDER, {"metadata": ref, "spec.credentialsRef.name": "later"}))
        says("no Secret later", "create it")
        shared.add(SECRET | {"metadata": ref})
        says("create Agent later")
        shared.add(changed(agent("later"), {"spec.command": ["tool"]}))  # $(PROMPT) cannot be filled from a file
        assert shared.await_reason("patient", "Succeeded")["attemptCount"] == 1


class TestRefusedPods:
    def test_a_foreign_pod_in_the_way_is_said_and_waited_out(self, shared: Fleet) -> None:
        shared.run("crowded", suspend=True)
        shared.await_reason("crowded", "Suspended")
        uid = shared.get("crowded")["metadata"]["uid"]
        name = f"crowded-{uid[:5]}-1"
        foreign = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {"containers": [{"name": "a", "image": "a"}]},
        }
        shared.add(foreign)
        shared.change("crowded", suspend=False)
        status = shared.await_reason("crowded", "PodRefused")
        assert f"a pod named {name} that is not ours is in the way; delete it" in shared.summary("crowded")[1]
        assert status.get("attemptCount", 0) == 0
        shared.api.call("DELETE", shared.path("pods", name=name), gracePeriodSeconds="0")
        assert shared.await_reason("crowded", "Succeeded")["attemptCount"] == 1

    def test_a_spent_quota_is_said_and_the_run_goes_on_when_it_is_raised(self, shared: Fleet) -> None:
        quota: Json = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"}}
        shared.add(quota | {"spec": {"hard": {"pods": "0"}}})
        until(lambda: shared.api.call("GET", shared.path("resourcequotas", name="small")).body.get("status"))
        try:
            shared.run("poor")
            shared.await_reason("poor", "PodRefused")
            assert "exceeded quota: small" in shared.summary("poor")[1]
        finally:
            shared.api.patch(quota, shared.namespace, {"spec": {"hard": {"pods": "100"}}})
        assert shared.await_reason("poor", "Succeeded")["attemptCount"] == 1

    def test_a_pod_that_only_wears_our_labels_is_not_an_attempt(self, shared: Fleet) -> None:
        shared.run("watched", "endless")
        shared.await_reason("watched", "Running")
        uid = shared.get("watched")["metadata"]["uid"]
        labels = {
            "app.kubernetes.io/managed-by": "droveway",
            "droveway.dev/run": "watched",
            "droveway.dev/run-uid": uid,
            "droveway.dev/attempt": "seven",
        }
        spec = {"containers": [{"name": "agent", "image": "a"}]}
        shared.add(
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "impostor", "labels": labels}, "spec": spec}
        )
        shared.run("after")
        shared.await_reason("after", "Succeeded")
        assert shared.status("watched")["attemptCount"] == 1
        shared.change("watched", cancel=True)
        shared.await_reason("watched", "Cancelled")
        assert [p["metadata"]["name"] for p in shared.pods("watched")] == ["impostor"]


class TestKilled:
    @pytest.mark.timeout(400)  # eleven starts of the process, on a machine that may be busy
    def test_killed_at_ten_random_moments_every_run_ends_once_and_no_attempt_has_two_pods(
        self, plane: ControlPlane, api: Api, tmp_path: Path
    ) -> None:
        dice = random.Random(20261121)
        with ExitStack() as stack:
            fleet = stack.enter_context(a_fleet(api))
            pods = stack.enter_context(recorded(api, fleet.path("pods")))
            changes = stack.enter_context(recorded(api, fleet.path("agentruns", "/apis/droveway.dev/v1alpha1")))
            operator = OperatorProcess(plane.kubeconfig, fleet.namespace, tmp_path)
            stack.callback(operator.close)
            runs: list[str] = []
            for life in range(10):
                runs.append(fleet.run(f"good-{life}"))
                runs.append(fleet.run(f"bad-{life}", "fails", retry=QUICK))
                operator.start()
                if life % 2:
                    operator.wait_active()
                    time.sleep(dice.uniform(0, 0.8))  # the moment of death is the point
                else:  # with luck before the status says that there is a pod
                    pods.await_next("ADDED")
                operator.kill()
            operator.start()
            until(lambda: ended(fleet, *runs), "some run never ended", 60)

        created = Counter(
            (p["metadata"]["labels"]["droveway.dev/run"], p["metadata"]["labels"]["droveway.dev/attempt"])
            for p in pods.of("ADDED")
        )
        assert max(created.values()) == 1, "an attempt had two pods"
        per_run = Counter(run for run, _ in created)
        for run in runs:
            status = fleet.status(run)
            good = run.startswith("good")
            assert status["attemptCount"] == per_run[run] == (1 if good else 2), run
            assert {a["class"] for a in status["attempts"]} == {"Succeeded" if good else "AgentFailed"}
            ends = {
                m["status"]["completionTime"]
                for m in changes.of("MODIFIED")
                if m["metadata"]["name"] == run and "completionTime" in m.get("status", {})
            }
            assert ends == {status["completionTime"]}, f"{run} ended more than once"


class TestTwoOperators:
    def test_one_acts_the_other_waits_and_takes_over(self, plane: ControlPlane, api: Api, tmp_path: Path) -> None:
        with a_fleet(api) as fleet, operating(plane.kubeconfig, fleet.namespace, tmp_path, "first") as first:
            second = OperatorProcess(plane.kubeconfig, fleet.namespace, tmp_path, "second", resync_seconds=0.3)
            try:
                second.start()
                until(lambda: second.says("/readyz") == (200, "standby"))
                refused = second.tell({"source": "x", "namespace": fleet.namespace, "route": "coding", "records": []})
                assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")

                fleet.run("one")
                fleet.await_reason("one", "Succeeded")
                assert (
                    first.metric('droveway_status_writes_total{kind="AgentRun"}') > 0,
                    second.metric('droveway_status_writes_total{kind="AgentRun"}'),
                ) == (True, 0)

                assert first.terminate(seconds=4) == 0
                second.wait_active()
                assert second.says("/healthz") == (200, "ok"), "its wait as a standby is not a missed resync"
                fleet.run("two")
                fleet.await_reason("two", "Succeeded")
            finally:
                second.close()

    def test_who_loses_the_lease_stops_at_once(self, plane: ControlPlane, api: Api, tmp_path: Path) -> None:
        with a_fleet(api) as fleet, operating(plane.kubeconfig, fleet.namespace, tmp_path) as operator:
            path = fleet.path("leases", "/apis/coordination.k8s.io/v1", "droveway-operator")
            api.call("PATCH", path, {"spec": {"holderIdentity": "usurper"}})
            began = time.monotonic()
            assert operator.process
            assert operator.process.wait(20) != 0
            assert time.monotonic() - began < 8
            assert "taken by another process" in operator.log.read_text()
            assert api.call("GET", path).body["spec"]["holderIdentity"] == "usurper"


@contextmanager
def blind_spot(plane: ControlPlane, api: Api, folder: Path) -> Iterator[tuple[Fleet, Wire, OperatorProcess]]:
    """An operator behind a wire, that lists everything twice a second."""
    with (
        a_fleet(api) as fleet,
        wire(plane.kubeconfig, folder) as (line, kubeconfig),
        operating(kubeconfig, fleet.namespace, folder, resync_seconds=0.5) as operator,
    ):
        yield fleet, line, operator


class TestBlind:
    def test_what_a_silent_watch_missed_the_resync_finds(self, plane: ControlPlane, api: Api, tmp_path: Path) -> None:
        with blind_spot(plane, api, tmp_path) as (fleet, line, operator):
            fleet.run("seen", "endless")
            fleet.await_reason("seen", "Running")
            line.mute = {"agentruns"}
            fleet.run("unseen")
            fleet.remove(a_run("seen"))
            fleet.await_reason("unseen", "Succeeded")
            drift = 'droveway_resync_drift_total{kind="agentruns"}'
            until(lambda: operator.metric(drift) >= 2, "a missed creation and a missed deletion")

    def test_it_is_unhealthy_when_nothing_can_be_listed_and_well_again_after(
        self, plane: ControlPlane, api: Api, tmp_path: Path
    ) -> None:
        with blind_spot(plane, api, tmp_path) as (fleet, line, operator):
            until(lambda: operator.metric("droveway_resync_last_success_timestamp_seconds") > 0)
            assert operator.says("/healthz") == (200, "ok")
            line.cut()
            until(lambda: operator.says("/healthz")[0] == 503)
            assert "resync" in operator.says("/healthz")[1]
            line.mend()
            until(lambda: operator.says("/healthz") == (200, "ok"))
            fleet.run("later")
            fleet.await_reason("later", "Succeeded")


class TestLeftovers:
    def test_a_deleted_run_takes_its_pod_along(self, shared: Fleet) -> None:
        # Last in this file: the garbage collector learns of a new kind half a minute after its definition.
        shared.run("dropped", "endless")
        shared.await_reason("dropped", "Running")
        shared.remove(a_run("dropped"))
        until(lambda: not shared.pods("dropped"))


class TestTraces:
    def test_s2_05_a_run_is_a_trace_whose_id_is_in_its_status(
        self, plane: ControlPlane, api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with collecting() as collector, a_fleet(api) as fleet:
            for name, value in collector.env().items():
                monkeypatch.setenv(name, value)
            with operating(plane.kubeconfig, fleet.namespace, tmp_path, identity="traced") as operator:
                fleet.run("seen")
                status = fleet.await_reason("seen", "Succeeded")
                uid = fleet.get("seen")["metadata"]["uid"]
                (pod,) = fleet.pods("seen")
                assert operator.terminate() == 0
        env = {e["name"]: e.get("value") for c in pod["spec"]["containers"] for e in c["env"]}
        place = attempt_trace(uid, 1)
        assert status["traceID"] == place.trace_id
        assert read_traceparent(env["TRACEPARENT"] or "") == place._replace(sampled=True)
        spans = {span.name: span for span in collector.spans}
        assert spans.keys() == {"attempt 1", "invoke_agent works"}
        root, attempt = spans["invoke_agent works"], spans["attempt 1"]
        assert {span.trace_id for span in spans.values()} == {status["traceID"]}
        assert (root.parent_id, attempt.parent_id, attempt.span_id) == ("", root.span_id, place.span_id)
        assert root.service == "droveway-operator"
        assert (root.attributes["droveway.run.uid"], root.attributes["droveway.run.name"]) == (uid, "seen")
