"""A run's health is what its pod, its stream and its attempts really did (R-H4)."""

from dataclasses import replace
from typing import Any

import pytest

from droveway.api.enums import ConditionType, EndClass, Health
from droveway.core.conditions import find
from droveway.core.facts import AttemptFacts, RequestReroute
from droveway.core.history import HealthStatus
from droveway.core.podview import PodView
from droveway.core.run import decide
from droveway.core.runhealth import Sign, pod_sign
from helpers.build import NOON, RunBuilder, a_run, after, candidate, ended, final, limit, pod

UNHEALTHY, DEGRADED = HealthStatus.UNHEALTHY, HealthStatus.DEGRADED


def under_way() -> RunBuilder:
    """Attempt 1 exists, its pod runs."""
    return a_run(retry={"maxAttempts": 2}).known(decide(a_run().build(), NOON).status).with_pod(1)


def failed_once() -> RunBuilder:
    """Attempt 1 failed; its pod is gone."""
    run = under_way().with_pod(1, **ended(1, after(1)))
    return run.known(decide(run.build(), after(1)).status).without_pods()


def in_its_second_attempt() -> RunBuilder:
    run = failed_once()
    return run.known(decide(run.build(), after(60)).status).with_pod(2)


MOVED = RequestReroute(after(1), "a", "b", "a ProviderOutage")


@pytest.mark.parametrize(
    ("run", "health", "healthy"),
    [
        pytest.param(a_run(), None, None, id="nothing was seen of it yet"),
        pytest.param(under_way().with_pod(1, phase="Pending", started_at=None), None, None, id="not started"),
        pytest.param(under_way(), Health.HEALTHY, "True", id="runs"),
        pytest.param(in_its_second_attempt(), Health.DEGRADED, "True", id="runs after a failure"),
        pytest.param(under_way().told(reroutes=(MOVED,)), Health.DEGRADED, "True", id="runs on another candidate"),
        pytest.param(under_way().told(1, stalled=True), Health.TIMEOUT, "False", id="is silent"),
        pytest.param(failed_once(), Health.UNHEALTHY, "False", id="failed, and will be tried again"),
        pytest.param(
            under_way().with_pod(1, **ended(0, final=final(EndClass.SUCCEEDED))),
            Health.TERMINATED,
            "True",
            id="is over, and well",
        ),
        pytest.param(
            in_its_second_attempt().with_pod(2, **ended(1)), Health.TERMINATED, "False", id="is over, and has failed"
        ),
    ],
)
def test_r_h4_health_is_what_really_happens(run: RunBuilder, health: Health | None, healthy: str | None) -> None:
    status = decide(run.build(), after(62)).status
    found = find(status.conditions, ConditionType.HEALTHY)

    assert status.health is health
    assert (found.status if found else None) == healthy


RUNS = pod()
PENDING = pod(phase="Pending", started_at=None)


@pytest.mark.parametrize(
    ("seen", "facts", "status", "message"),
    [
        pytest.param(PENDING, {}, None, "", id="on its way"),
        pytest.param(replace(PENDING, waiting="PodInitializing"), {}, None, "", id="being set up"),
        pytest.param(
            replace(PENDING, waiting="ImagePullBackOff", message="no such tag"),
            {},
            UNHEALTHY,
            "ImagePullBackOff: no such tag",
            id="cannot start",
        ),
        pytest.param(RUNS, {}, HealthStatus.HEALTHY, "", id="runs"),
        pytest.param(replace(RUNS, waiting="x"), {}, HealthStatus.HEALTHY, "", id="runs, whatever else waits"),
        pytest.param(
            replace(RUNS, restarts=2), {}, DEGRADED, "its sidecar was restarted 2 time(s)", id="its sidecar died"
        ),
        pytest.param(replace(RUNS, disruption="drain"), {}, DEGRADED, "drain", id="its node is drained"),
        pytest.param(replace(RUNS, lost=True), {}, UNHEALTHY, "node node-1 does not answer", id="its node is lost"),
        pytest.param(RUNS, {"stalled": True}, HealthStatus.TIMEOUT, "the agent prints nothing", id="is silent"),
        pytest.param(RUNS, {"stalled": True, "final": True}, HealthStatus.HEALTHY, "", id="has said all"),
        pytest.param(
            replace(RUNS, gone_by=NOON, lost=True, restarts=1),
            {"stalled": True},
            HealthStatus.TERMINATED,
            "its pod is being deleted",
            id="R-H3: is being deleted, whatever else it shows",
        ),
    ],
)
def test_r_h4_what_a_pod_shows(seen: PodView, facts: dict[str, Any], status: HealthStatus | None, message: str) -> None:
    assert pod_sign(seen, AttemptFacts(**facts)) == (Sign(status, message) if status else None)


def shown(run: RunBuilder, seconds: float) -> tuple[str, str, str]:
    """The condition Healthy at a time after noon."""
    found = find(decide(run.build(), after(seconds)).status.conditions, ConditionType.HEALTHY)
    assert found
    return found.status, found.reason, found.message


def test_s1_07_what_went_wrong_counts_for_an_hour() -> None:
    run = in_its_second_attempt().but(timeoutSeconds=9000)

    assert shown(run, 3601) == ("True", "Degraded", "50% of 2 observation(s) within an hour were healthy")
    assert shown(run, 3602) == ("True", "Healthy", "")


def test_s1_07_so_do_requests_that_the_gateway_moved() -> None:
    run = under_way().but(timeoutSeconds=9000).told(reroutes=(MOVED, replace(MOVED, at=after(2))))

    assert shown(run, 62) == ("True", "Degraded", "33% of 3 observation(s) within an hour were healthy")
    assert shown(run, 3602) == ("True", "Degraded", "50% of 2 observation(s) within an hour were healthy")
    assert shown(run, 3603) == ("True", "Healthy", "")


def test_s1_07_a_run_that_moved_counts_its_attempt_alone() -> None:
    spent = candidate("a", limited_until=after(9000), limit_kind="SubscriptionLimit")
    run = under_way().but(timeoutSeconds=9000).told(1, exhausted=limit(after(9000)))
    run = run.known(decide(run.build(), after(1)).status).without_pods().having(spent, candidate("b"))
    run = run.known(decide(run.build(), after(2)).status)
    run = run.known(decide(run.build(), after(60)).status).with_pod(2, candidate="b")

    assert [move.depth for move in run.status.reroutes] == ["Run"]
    assert shown(run, 62) == ("True", "Degraded", "50% of 2 observation(s) within an hour were healthy")


def test_what_is_wrong_now_is_said_first() -> None:
    run = in_its_second_attempt()

    assert shown(run.with_pod(2, restarts=1), 62) == (
        "True",
        "Degraded",
        "its sidecar was restarted 1 time(s); 0% of 2 observation(s) within an hour were healthy",
    )
    assert shown(run.with_pod(2, lost=True), 62) == ("False", "Unhealthy", "node node-1 does not answer")


@pytest.mark.parametrize(
    ("end", "health"),
    [
        (EndClass.AGENT_FAILED, "Unhealthy"),
        (EndClass.STALLED, "Unhealthy"),
        (EndClass.OUT_OF_MEMORY, "Unhealthy"),
        (EndClass.UNKNOWN, "Unhealthy"),
        (EndClass.EVICTED, "Degraded"),
        (EndClass.IMAGE_PULL, "Degraded"),
        (EndClass.SUBSCRIPTION_LIMIT, "Degraded"),
        (EndClass.PROVIDER_OUTAGE, "Degraded"),
        (EndClass.AUTH_FAILED, "Degraded"),
    ],
)
def test_r_h4_what_the_end_of_an_attempt_says(end: EndClass, health: str) -> None:
    last = under_way().status.attempts[0].model_copy(update={"end_time": after(1), "end_class": end})
    run = under_way().without_pods()
    run = run.known(run.status.model_copy(update={"attempts": [last]}))

    assert shown(run, 2)[1] == health


def test_s1_11_a_pod_that_somebody_deletes_is_terminated() -> None:
    run = under_way().with_pod(1, gone_by=after(30))

    assert shown(run, 2) == ("False", "Terminated", "its pod is being deleted")


def test_a_pod_that_we_end_keeps_the_health_that_it_had() -> None:
    run = under_way().told(1, stalled=True)
    ending = run.known(decide(run.build(), after(9)).status).with_pod(1, gone_by=after(40))

    assert shown(ending, 10)[1] == "Timeout"


def test_s1_11_terminated_is_final() -> None:
    run = under_way().with_pod(1, **ended(0, final=final(EndClass.SUCCEEDED)))
    over = decide(run.build(), after(9)).status
    again = decide(run.known(over).with_pod(1).told(1, stalled=True).build(), after(99))

    assert again.status == over
    assert over.health is Health.TERMINATED
