"""What is remembered of a pod."""

import json
from dataclasses import replace
from typing import Any

import pytest

from droveway.api.enums import EndClass
from droveway.core.events import record_to_dict
from droveway.core.podview import PodView, pod_view
from helpers.build import NOON, after, final, pod

BARE: dict[str, Any] = {"metadata": {"name": "run-1", "uid": "u", "creationTimestamp": "2026-11-21T12:00:00Z"}}


def manifest(status: dict[str, Any], **meta: Any) -> dict[str, Any]:
    """A pod of ours as the API server gives it."""
    return {
        "metadata": {
            "name": "fix-login-5a1c0-2",
            "uid": "pod-2",
            "creationTimestamp": "2026-11-21T12:00:00Z",
            "labels": {
                "droveway.dev/run": "fix-login",
                "droveway.dev/attempt": "2",
                "droveway.dev/provider": "anthropic",
            },
            "annotations": {
                "droveway.dev/candidate": "sonnet",
                "droveway.dev/model": "claude-sonnet-4-5",
                "droveway.dev/reason": "first in order",
            },
            "ownerReferences": [
                {"kind": "ReplicaSet", "uid": "web", "controller": True},
                {"kind": "AgentRun", "uid": "a-friend"},
                {"kind": "AgentRun", "uid": "5a1c0de0", "controller": True},
            ],
            **meta,
        },
        "spec": {"nodeName": "node-1"},
        "status": status,
    }


def container(name: str, **state: Any) -> dict[str, Any]:
    return {"name": name, "state": state}


def setup_and_sidecar(setup: dict[str, Any], sidecar: dict[str, Any]) -> dict[str, Any]:
    statuses = [container("setup", **setup), container("sidecar", **sidecar)]
    return {"phase": "Pending", "initContainerStatuses": statuses}


def ended(message: str) -> dict[str, Any]:
    over = {"exitCode": 3, "message": message}
    return BARE | {"status": {"phase": "Failed", "containerStatuses": [container("agent", terminated=over)]}}


RUNNING = PodView(
    name="fix-login-5a1c0-2",
    uid="pod-2",
    run="fix-login",
    run_uid="5a1c0de0",
    attempt=2,
    candidate="sonnet",
    provider="anthropic",
    model="claude-sonnet-4-5",
    phase="Running",
    created_at=NOON,
    why="first in order",
    node="node-1",
    started_at=after(3),
)


def test_a_running_pod_says_whose_it_is_and_since_when() -> None:
    running = container("agent", running={"startedAt": "2026-11-21T12:00:03Z"})

    assert pod_view(manifest({"phase": "Running", "containerStatuses": [running]})) == RUNNING


def test_a_killed_agent_leaves_its_times_its_exit_code_and_why() -> None:
    over = {
        "startedAt": "2026-11-21T12:00:03Z",
        "finishedAt": "2026-11-21T12:01:00Z",
        "exitCode": 137,
        "reason": "OOMKilled",
        "message": "last words",
    }
    status = {"phase": "Failed", "reason": "Evicted", "containerStatuses": [container("agent", terminated=over)]}

    assert pod_view(manifest(status, deletionTimestamp="2026-11-21T12:02:00Z")) == replace(
        RUNNING,
        phase="Failed",
        reason="Evicted",
        gone_by=after(120),
        finished_at=after(60),
        exit_code=137,
        oom=True,
        message="last words",
    )


def test_a_pod_of_which_nothing_is_known_yet_is_pending_and_nobodys() -> None:
    nobody = PodView("run-1", "u", "", "", 0, "", "", "", "Pending", NOON)

    assert pod_view(BARE) == nobody
    assert pod_view(BARE | {"status": None, "spec": None}) == nobody
    assert (
        pod_view(BARE | {"metadata": BARE["metadata"] | {"labels": None, "annotations": None, "ownerReferences": None}})
        == nobody
    )


@pytest.mark.parametrize(
    ("label", "attempt"),
    [("12", 12), ("", 0), ("two", 0), ("²", 0), ("٣", 0), ("-1", 0)],
    ids=["a number", "empty", "a word", "superscript", "a digit elsewhere", "negative"],
)
def test_only_a_plain_number_numbers_an_attempt(label: str, attempt: int) -> None:
    labelled = BARE["metadata"] | {"labels": {"droveway.dev/attempt": label}}

    assert pod_view(BARE | {"metadata": labelled}).attempt == attempt


PULLING = {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}
INITIALISING = {"waiting": {"reason": "PodInitializing"}}
UNNAMED = {"waiting": {"message": "soon"}}
DONE = {"terminated": {"exitCode": 0, "message": "ready"}}
RUNS = {"running": {"startedAt": "2026-11-21T12:00:03Z"}}


@pytest.mark.parametrize(
    ("setup", "sidecar", "waiting", "message"),
    [
        pytest.param(PULLING, INITIALISING, "ImagePullBackOff", "Back-off pulling image", id="the first says why"),
        pytest.param(DONE, PULLING, "ImagePullBackOff", "Back-off pulling image", id="the sidecar cannot start"),
        pytest.param(DONE, RUNS, "PodInitializing", "", id="the agent is next"),
        pytest.param(UNNAMED, RUNS, "PodInitializing", "", id="a wait without a reason says nothing"),
        pytest.param(
            {"terminated": {"exitCode": 2, "message": "no namespace key"}},
            INITIALISING,
            "PodInitializing",
            "no namespace key",
            id="setup failed, in its own words",
        ),
        pytest.param(
            {"terminated": {"exitCode": 137}},
            INITIALISING,
            "PodInitializing",
            "the setup container ended with exit code 137",
            id="setup failed without a word",
        ),
    ],
)
def test_why_a_pod_does_not_start(setup: dict[str, Any], sidecar: dict[str, Any], waiting: str, message: str) -> None:
    status = setup_and_sidecar(setup, sidecar) | {"containerStatuses": [container("agent", **INITIALISING)]}
    view = pod_view(manifest(status))

    assert (view.waiting, view.message) == (waiting, message)


@pytest.mark.parametrize(
    ("scheduled", "waiting"),
    [
        ({"status": "True"}, ""),
        ({"status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"}, "Unschedulable"),
        ({"status": "False", "reason": "SchedulingGated"}, "SchedulingGated"),
        ({"status": "False"}, ""),
        ({"status": "True", "reason": "Scheduled"}, ""),
    ],
    ids=["scheduled", "no node takes it", "a gate holds it", "nobody says why", "scheduled, for a reason"],
)
def test_why_no_node_takes_a_pod(scheduled: dict[str, str], waiting: str) -> None:
    view = pod_view(manifest({"phase": "Pending", "conditions": [{"type": "PodScheduled", **scheduled}]}))

    assert (view.waiting, view.message) == (waiting, scheduled.get("message", ""))
    assert view.stuck is bool(waiting)


def ready(condition: str | None, agent: bool = True, sidecar: bool = True) -> dict[str, Any]:
    """A running pod: its condition Ready, and whether its containers were ready when they were last heard of."""
    return {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": condition}] if condition else [],
        "initContainerStatuses": [container("sidecar", **RUNS) | {"ready": sidecar, "restartCount": 2}],
        "containerStatuses": [container("agent", **RUNS) | {"ready": agent}],
    }


@pytest.mark.parametrize(
    ("status", "lost"),
    [
        pytest.param(ready("True"), False, id="ready"),
        pytest.param(ready("False"), True, id="ready, says the node; not any more, says the cluster"),
        pytest.param(ready("Unknown"), True, id="nobody knows"),
        pytest.param(ready("False", sidecar=False), False, id="its sidecar is being restarted"),
        pytest.param(ready("False", agent=False), False, id="its agent has just ended"),
        pytest.param(ready(None), False, id="not said"),
    ],
)
def test_a_node_that_is_silent_is_noticed(status: dict[str, Any], lost: bool) -> None:
    view = pod_view(manifest(status))

    assert (view.lost, view.restarts) == (lost, 2)


@pytest.mark.parametrize(
    ("condition", "disruption"),
    [
        ({"status": "True", "reason": "EvictionByEvictionAPI", "message": "drained"}, "EvictionByEvictionAPI: drained"),
        ({"status": "True", "reason": "PreemptionByScheduler"}, "PreemptionByScheduler:"),
        ({"status": "False", "reason": "EvictionByEvictionAPI"}, ""),
    ],
)
def test_what_is_about_to_take_it_away(condition: dict[str, str], disruption: str) -> None:
    status = {"phase": "Running", "conditions": [{"type": "DisruptionTarget", **condition}]}

    assert pod_view(manifest(status)).disruption == disruption


def test_the_pods_own_message_is_the_last_resort() -> None:
    assert pod_view(manifest({"message": "The node was low on resource: memory."})).message.startswith("The node was")
    blank = {
        "message": "0/3 nodes are available",
        "containerStatuses": [container("agent", terminated={"message": " "})],
    }
    assert pod_view(manifest(blank)).message == "0/3 nodes are available"


def test_the_sidecars_final_record_is_read_from_its_last_words() -> None:
    record = final(EndClass.SUCCEEDED)
    told = {"terminated": {"exitCode": 0, "message": json.dumps(record_to_dict(record))}}

    assert pod_view(manifest(setup_and_sidecar(DONE, told))).final == record


@pytest.mark.parametrize(
    "sidecar",
    [{}, RUNS, {"terminated": {"exitCode": 137}}, {"terminated": {"message": "{}"}}, {"terminated": {"message": "oh"}}],
    ids=["no state", "running", "killed before it could write", "no record", "no JSON"],
)
def test_without_last_words_there_is_no_final_record(sidecar: dict[str, Any]) -> None:
    assert pod_view(manifest(setup_and_sidecar(DONE, sidecar))).final is None


def test_the_agent_s_own_last_words_are_one_line_without_keys() -> None:
    view = pod_view(ended("I used\n  dwk-11111111-1-0123456789abcdef and gave up\n"))

    assert view.message == "I used *** and gave up"
    assert len(pod_view(ended("x" * 4096)).message) == 256


@pytest.mark.parametrize(
    ("change", "ended", "evicted", "unpullable", "unborn"),
    [
        pytest.param({}, False, False, False, False, id="running"),
        pytest.param({"phase": "Succeeded"}, True, False, False, False, id="succeeded"),
        pytest.param({"phase": "Failed"}, True, False, False, False, id="failed"),
        pytest.param({"phase": "Failed", "reason": "Preempting"}, True, True, False, False, id="preempted"),
        pytest.param({"reason": "Evicted"}, False, False, False, False, id="an eviction under way"),
        pytest.param({"phase": "Pending", "started_at": None}, False, False, False, True, id="just made"),
        pytest.param(
            {"phase": "Pending", "started_at": None, "waiting": "ErrImagePull"},
            False,
            False,
            True,
            False,
            id="no image",
        ),
        pytest.param(
            {"phase": "Pending", "started_at": None, "message": "x"}, False, False, False, False, id="told of"
        ),
        pytest.param(
            {"phase": "Pending", "started_at": None, "gone_by": NOON}, False, False, False, False, id="to be deleted"
        ),
    ],
)
def test_what_its_state_amounts_to(
    change: dict[str, Any], ended: bool, evicted: bool, unpullable: bool, unborn: bool
) -> None:
    view = pod(**change)

    assert (view.ended, view.evicted, view.unpullable, view.unborn) == (ended, evicted, unpullable, unborn)
