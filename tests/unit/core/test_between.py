"""A run between its attempts: what it says, for whom or what it waits, and how its next attempt begins."""

from dataclasses import replace
from typing import Any

import pytest

from droveway.api.enums import EndClass, Reason
from droveway.api.v1alpha1 import AgentRunStatus, Attempt, Usage
from droveway.core.notes import Note
from droveway.core.retry import backoff
from droveway.core.run import decide, pod_name, refused
from droveway.core.snapshot import Doomed, Plan, Problem
from helpers.build import NOON, UID, RunBuilder, a_run, after, candidate, pod

SPENT = candidate("a", limited_until=after(9000), limit_kind="SubscriptionLimit")
BUSY = candidate("b", unfit=("NoFreeSlot", "1 of 1 pods run"))


def said(plan: Plan) -> dict[str, tuple[str, str, str]]:
    """The conditions of a plan: status, reason and message by type."""
    return {c.type: (c.status, c.reason, c.message) for c in plan.status.conditions}


def tried(end: EndClass, run: RunBuilder | None = None, **status: Any) -> RunBuilder:
    """A run whose first attempt, on candidate a, ended like this at noon; its pod is gone."""
    attempt = Attempt(
        number=1,
        pod_name="fix-login-5a1c0-1",
        candidate="a",
        provider="a-provider",
        model="a-model",
        node_name="node-1",
        start_time=after(-60),
        end_time=NOON,
    ).model_copy(update={"end_class": end, "message": "last words"})
    known = AgentRunStatus(start_time=after(-60), attempts=[attempt], attempt_count=1, health="Healthy")
    return (run or a_run()).known(known.model_copy(update=status))


# -- the next attempt ------------------------------------------------------------------------------------------------


def test_the_first_attempt_is_told_in_every_condition() -> None:
    plan = decide(a_run(timeoutSeconds=600).build(), NOON)
    why = plan.status.route.reason if plan.status.route else ""

    assert why
    assert said(plan) == {
        "Accepted": ("True", "Valid", ""),
        "Routed": ("True", "CandidateChosen", why),
        "Running": ("False", "PodCreated", "fix-login-5a1c0-1"),
        "Succeeded": ("Unknown", "PodCreated", "attempt 1 on a"),
    }
    assert plan.create
    assert (plan.create.reason, plan.create.node) == (why, "")
    assert (plan.wake_at, plan.waiting, plan.notes) == (after(600), False, ())
    assert {plan.status.observed_generation, *(c.observed_generation for c in plan.status.conditions)} == {1}


def test_a_retry_on_the_same_candidate_says_why_and_goes_where_the_files_are() -> None:
    plan = decide(tried(EndClass.EVICTED).build(), after(600))

    assert plan.create
    assert (plan.create.number, plan.create.candidate.name, plan.create.node) == (2, "a", "node-1")
    assert plan.notes == (Note("Retrying", "attempt 2 on a; attempt 1 ended as Evicted: last words"),)
    assert said(plan)["Succeeded"] == ("Unknown", "PodCreated", "attempt 2 on a")


def test_a_move_to_another_candidate_says_what_it_costs() -> None:
    run = tried(EndClass.SUBSCRIPTION_LIMIT, limited_count=1).having(SPENT, candidate("b"))
    plan = decide(run.build(), after(5))

    assert plan.notes == (
        Note("Rerouted", "run moved from a to b: SubscriptionLimit: last words"),
        Note("WorkspaceLost", "the workspace is an emptyDir: its files are given up with the old pod", warning=True),
    )
    assert (plan.status.limited_count, plan.status.reroute_count) == (2, 1)
    assert plan.status.route
    assert [(r.reason, r.message) for r in plan.status.route.rejected] == [
        ("SubscriptionLimit", "a-provider is limited until 2026-11-21T14:30:00Z")
    ]


@pytest.mark.parametrize(
    ("lines", "spec", "agent"),
    [
        pytest.param([{"name": "a", "agentRef": {"name": "codex"}}], {}, "codex", id="the candidate's own"),
        pytest.param([{"name": "a"}], {}, "claude", id="the run's"),
        pytest.param([{"name": "a"}], {"agentRef": None}, "", id="nobody's"),
        pytest.param([{"name": "b", "agentRef": {"name": "codex"}}], {}, "claude", id="another candidate's is not its"),
    ],
)
def test_who_plays_in_an_attempt(lines: list[dict[str, Any]], spec: dict[str, Any], agent: str) -> None:
    whole = [{"providerRef": {"name": "p"}, "model": "m", **line} for line in lines]
    run = a_run(**spec).having(candidate("a")).with_route(candidates=whole)

    assert decide(run.build(), NOON).status.attempts[0].agent == agent


def test_a_snapshot_without_a_route_must_say_why() -> None:
    with pytest.raises(ValueError, match=r"^a snapshot without a route must name the problem$"):
        decide(replace(a_run(), routed=False).build(), NOON)


@pytest.mark.parametrize(
    ("run", "name"),
    [
        ("fix-login", "fix-login-abcde-1"),
        ("x" * 47 + "-y", "x" * 47 + "-abcde-1"),
        ("x" * 49, "x" * 48 + "-abcde-1"),
        ("Xx--", "Xx-abcde-1"),
    ],
)
def test_a_pods_name_is_one_that_kubernetes_takes(run: str, name: str) -> None:
    assert pod_name(run, "abcdefgh", 1) == name


# -- waiting ---------------------------------------------------------------------------------------------------------


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


# -- the end ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "spec", "healthy", "warning"),
    [
        pytest.param(EndClass.SUCCEEDED, {}, "True", False, id="a success"),
        pytest.param(EndClass.CANCELLED, {"cancel": True}, "False", False, id="as the user wanted"),
        pytest.param(EndClass.TIMEOUT, {}, "False", True, id="a failure"),
    ],
)
def test_the_end_is_told_in_every_condition(end: EndClass, spec: dict[str, Any], healthy: str, warning: bool) -> None:
    plan = decide(tried(end, a_run(**spec), next_eligible_time=after(5)).build(), after(1))
    message = {"Succeeded": "attempt 1 succeeded", "Cancelled": "spec.cancel was set"}.get(end, "last words")

    assert said(plan) == {
        "Healthy": (healthy, end, ""),
        "Running": ("False", "Finished", ""),
        "Succeeded": (healthy, end, message),
    }
    assert plan.notes == (Note(end, message, warning),)
    assert (plan.status.health, plan.status.next_eligible_time) == ("Terminated", None)


@pytest.mark.parametrize(
    ("usage", "account"),
    [
        pytest.param({}, "", id="nothing was used"),
        pytest.param(
            {"completions": 2, "tokens": {"total": 90}, "costUSD": "0.25"},
            "; 2 completions, 90 tokens, 0.25 US dollars",
            id="at a cost",
        ),
        pytest.param(
            {"completions": 2, "tokens": {"total": 90}},
            "; 2 completions, 90 tokens, at an unknown cost",
            id="nobody said at which cost",
        ),
    ],
)
def test_the_last_event_says_what_it_took(usage: dict[str, Any], account: str) -> None:
    plan = decide(tried(EndClass.SUCCEEDED, usage=Usage.model_validate(usage)).build(), NOON)

    assert [n.message for n in plan.notes] == [f"attempt 1 succeeded{account}"]


@pytest.mark.parametrize(
    ("views", "end"),
    [
        pytest.param((SPENT,), "SubscriptionLimit", id="a limit"),
        pytest.param(
            (candidate("a", not_ready=("AuthFailed", "x")), SPENT), "SubscriptionLimit", id="one limit is enough"
        ),
        pytest.param((candidate("a", not_ready=("AuthFailed", "x")),), "ProviderOutage", id="no limit"),
    ],
)
def test_what_a_run_ends_as_that_may_not_wait(views: Any, end: str) -> None:
    plan = decide(a_run().having(*views).with_route(onExhausted="Fail").build(), NOON)

    assert (said(plan)["Healthy"], said(plan)["Succeeded"][1]) == (("False", end, ""), "NoEligibleCandidate")
    assert plan.status.completion_time == NOON
