"""A run's health is what its pod, its stream and its attempts really did (R-H4)."""

import pytest

from droveway.api.enums import ConditionType, EndClass, Health
from droveway.core.conditions import find
from droveway.core.facts import RequestReroute
from droveway.core.run import decide
from helpers.build import NOON, RunBuilder, a_run, after, ended, final


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


def test_s1_11_terminated_is_final() -> None:
    run = under_way().with_pod(1, **ended(0, final=final(EndClass.SUCCEEDED)))
    over = decide(run.build(), after(9)).status
    again = decide(run.known(over).with_pod(1).told(1, stalled=True).build(), after(99))

    assert again.status == over
    assert over.health is Health.TERMINATED
