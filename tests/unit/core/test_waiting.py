"""What a run without a pod waits for, what it says meanwhile, and when it looks again."""

from dataclasses import replace
from typing import Any

import pytest

from droveway.api.enums import EndClass, Reason
from droveway.core.retry import backoff
from droveway.core.run import decide, refused
from droveway.core.snapshot import Doomed, Problem
from helpers.build import NOON, UID, a_run, after, candidate, pod
from helpers.plans import said, tried

SPENT = candidate("a", limited_until=after(9000), limit_kind="SubscriptionLimit")
BUSY = candidate("b", unfit=("NoFreeSlot", "1 of 1 pods run"))


@pytest.mark.parametrize(
    ("end", "counts", "reason", "pause", "health"),
    [
        pytest.param(EndClass.AGENT_FAILED, {"failed_count": 2}, "BackingOff", 2, "Unhealthy", id="a failure"),
        pytest.param(EndClass.EVICTED, {"interrupted_count": 3}, "BackingOff", 3, "Degraded", id="an eviction"),
        pytest.param(EndClass.EVICTED, {"failed_count": 2}, "BackingOff", 1, "Degraded", id="its own count alone"),
        pytest.param(EndClass.PROVIDER_OUTAGE, {"limited_count": 4}, "Rerouting", None, "Degraded", id="an outage"),
    ],
)
def test_the_pause_before_the_next_attempt(
    end: EndClass, counts: dict[str, int], reason: str, pause: int | None, health: str
) -> None:
    run = tried(end)
    plan = decide(run.known(run.status.model_copy(update=counts)).build(), NOON)
    ready = after(5) if pause is None else NOON + backoff(pause, 10, f"{UID}/1")

    assert (plan.create, plan.wake_at, plan.status.next_eligible_time) == (None, ready, ready)
    assert said(plan) == {
        "Accepted": ("True", "Valid", ""),
        "Healthy": (
            "False" if health == "Unhealthy" else "True",
            health,
            "0% of 1 observation(s) within an hour were healthy",
        ),
        "Running": ("False", "BackingOff", ""),
        "Succeeded": ("Unknown", reason, f"attempt 1 ended as {end}: last words"),
    }
    assert plan.status.health == health


def test_no_pause_outlasts_the_deadline() -> None:
    run = tried(EndClass.AGENT_FAILED, a_run(deadlineSeconds=61, timeoutSeconds=60, stallTimeoutSeconds=60))

    assert decide(run.build(), NOON).wake_at == after(1)


@pytest.mark.parametrize(
    ("end", "reason"), [(EndClass.EVICTED, "BackingOff"), (EndClass.SUBSCRIPTION_LIMIT, "Rerouting")]
)
def test_the_last_pod_goes_first(end: EndClass, reason: str) -> None:
    run = replace(tried(end), pods=(pod(1, phase="Failed"), pod(2, gone_by=after(30))))
    run = run.known(run.status.model_copy(update={"attempt_count": 2}))
    plan = decide(run.build(), NOON)

    assert plan.delete == (Doomed("fix-login-5a1c0-1", "pod-1"),)
    assert plan.wake_at == after(90)
    assert said(plan)["Running"] == ("False", "Stopping", "")
    assert said(plan)["Succeeded"] == ("Unknown", reason, "the last attempt's pod is being removed")


def test_a_pod_that_should_be_gone_is_said_with_its_node() -> None:
    held = (pod(1, gone_by=after(30)), pod(2, name="other", node="", gone_by=after(29)))
    run = replace(tried(EndClass.EVICTED, attempt_count=2), pods=held)
    plan = decide(run.build(), after(90))

    assert said(plan)["Succeeded"][2] == (
        "the last attempt's pod is being removed; fix-login-5a1c0-1 on node node-1, other on node ? should be gone: "
        "when that node is lost, delete it, or the pod with --force"
    )


def test_a_run_that_is_over_keeps_its_last_pod_while_another_goes() -> None:
    held = (pod(1, phase="Failed"), pod(2, gone_by=after(30)))
    run = replace(tried(EndClass.TIMEOUT, attempt_count=2), pods=held)
    plan = decide(run.build(), NOON)

    assert (plan.delete, plan.status.completion_time) == ((), None)
    assert said(plan)["Succeeded"][1] == "Stopping"


def test_a_suspended_run_says_how_to_go_on() -> None:
    spec = {"suspend": True, "deadlineSeconds": 3600}
    plan = decide(tried(EndClass.SUSPENDED, a_run(**spec), next_eligible_time=after(5)).build(), after(1))

    assert said(plan)["Running"] == ("False", "Suspended", "")
    assert said(plan)["Succeeded"] == ("Unknown", "Suspended", "set spec.suspend to false to go on")
    assert (plan.wake_at, plan.status.next_eligible_time) == (after(3540), None)


def test_a_problem_is_said_and_looked_at_again_soon() -> None:
    problem = Problem(Reason.AGENT_NOT_FOUND, "create Agent x")
    plan = decide(replace(tried(EndClass.EVICTED), problem=problem).build(), after(600))

    assert said(plan)["Accepted"] == ("False", "AgentNotFound", "create Agent x")
    assert said(plan)["Running"] == ("False", "Pending", "")
    assert said(plan)["Succeeded"] == ("Unknown", "AgentNotFound", "create Agent x")
    assert (plan.waiting, plan.wake_at, plan.status.next_eligible_time) == (True, after(605), None)


def test_a_refused_pod_is_said_in_as_many_words_as_fit() -> None:
    plan = refused(a_run().build(), "x" * 2000, NOON)

    assert said(plan)["Succeeded"] == ("Unknown", "PodRefused", "x" * 1024)
    assert (plan.waiting, plan.status.start_time) == (True, NOON)


@pytest.mark.parametrize(
    ("views", "reason", "message", "wake"),
    [
        pytest.param(
            (SPENT, BUSY),
            "WaitingForCapacity",
            "until 2026-11-21T14:30:00Z; a: a-provider is limited until 2026-11-21T14:30:00Z; b: 1 of 1 pods run",
            30,
            id="until a limit ends, or a slot is free",
        ),
        pytest.param(
            (replace(SPENT, limited_until=after(20)),),
            "WaitingForCapacity",
            "until 2026-11-21T12:00:20Z; a: a-provider is limited until 2026-11-21T12:00:20Z",
            20,
            id="until a limit ends soon",
        ),
        pytest.param((BUSY,), "NoEligibleCandidate", "b: 1 of 1 pods run", 30, id="for a slot"),
        pytest.param(
            (candidate("a", recovering_until=after(20)),),
            "WaitingForCapacity",
            "until 2026-11-21T12:00:20Z; a: a-provider has just come back from a limit; one tries it first, the others follow",
            20,
            id="until somebody has tried it",
        ),
    ],
)
def test_who_is_waited_for(views: Any, reason: str, message: str, wake: int) -> None:
    plan = decide(a_run().having(*views).build(), NOON)

    details = message.removeprefix("until 2026-11-21T14:30:00Z; ").removeprefix("until 2026-11-21T12:00:20Z; ")
    assert said(plan) == {
        "Accepted": ("True", "Valid", ""),
        "Routed": ("False", reason, details),
        "Running": ("False", "Pending", ""),
        "Succeeded": ("Unknown", reason, message),
    }
    assert (plan.wake_at, plan.waiting) == (after(wake), True)


def test_nobody_is_waited_for_beyond_the_deadline() -> None:
    plan = decide(a_run(deadlineSeconds=10).having(BUSY).build(), NOON)

    assert plan.wake_at == after(10)
