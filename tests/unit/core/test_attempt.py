"""The attempt under way: what the run says of it, why it is ended, how its outcome is taken over."""

from dataclasses import replace
from typing import Any

import pytest

from droveway.api.enums import EndClass
from droveway.api.v1alpha1 import Usage
from droveway.core.facts import AttemptFacts
from droveway.core.notes import Note
from droveway.core.run import decide
from droveway.core.verdict import Verdict
from helpers.build import NOON, RunBuilder, a_run, after, ended, final, limit
from helpers.plans import said

POD = "fix-login-5a1c0-1"
PENDING: dict[str, Any] = {"phase": "Pending", "started_at": None}
TWO_HOURS = {"timeoutSeconds": 7200, "stallTimeoutSeconds": 900}
SPENT = limit(after(9000))


def started(run: RunBuilder) -> RunBuilder:
    """Attempt 1 exists, its pod runs since noon."""
    return run.known(decide(run.build(), NOON).status).with_pod()


def test_a_pod_that_was_just_made_says_nothing_new() -> None:
    run = a_run(**TWO_HOURS)
    first = decide(run.build(), NOON)
    plan = decide(run.known(first.status).with_pod(**PENDING).build(), after(1))

    assert said(plan) == said(first)
    assert said(first)["Running"] == ("False", "PodCreated", POD)
    assert said(first)["Succeeded"] == ("Unknown", "PodCreated", "attempt 1 on a")
    assert plan.wake_at == after(7200)


def test_a_running_pod_is_where_it_is_and_healthy() -> None:
    plan = decide(started(a_run(**TWO_HOURS)).build(), after(1))

    assert said(plan) | {"Routed": (), "Accepted": ()} == {
        "Accepted": (),
        "Routed": (),
        "Running": ("True", "Running", f"attempt 1 in pod {POD}"),
        "Healthy": ("True", "Healthy", ""),
        "Succeeded": ("Unknown", "Running", "attempt 1 on a"),
    }
    assert plan.status.attempts[0].node_name == "node-1"


@pytest.mark.parametrize("waiting", ["", "PodInitializing", "ContainerCreating"])
def test_a_pod_on_its_way_is_no_news(waiting: str) -> None:
    run = started(a_run()).with_pod(**PENDING, waiting=waiting, message="x")

    assert said(decide(run.build(), after(1)))["Running"] == ("False", "PodCreated", POD)


def test_a_pod_that_cannot_start_says_why() -> None:
    run = started(a_run(**TWO_HOURS)).with_pod(**PENDING, waiting="CreateContainerConfigError", message="no secret")
    plan = decide(run.build(), after(1))

    assert said(plan)["Running"] == ("False", "CreateContainerConfigError", "no secret")
    assert said(plan)["Succeeded"] == (
        "Unknown",
        "CreateContainerConfigError",
        f"pod {POD} cannot start: no secret",
    )
    assert plan.wake_at == after(7200)


def test_an_image_that_cannot_be_pulled_has_a_minute() -> None:
    run = started(a_run()).with_pod(**PENDING, created_at=after(3), waiting="ErrImagePull", message="x")

    assert decide(run.build(), after(10)).wake_at == after(63)


@pytest.mark.parametrize(
    ("run", "seconds", "end", "message", "warning"),
    [
        pytest.param(a_run(cancel=True), 1, "Cancelled", "spec.cancel was set", False, id="cancelled"),
        pytest.param(a_run(suspend=True), 1, "Suspended", "spec.suspend was set", False, id="suspended"),
        pytest.param(
            a_run(deadlineSeconds=90),
            90,
            "Timeout",
            "the run did not end within spec.deadlineSeconds (90)",
            True,
            id="deadline",
        ),
        pytest.param(
            a_run(timeoutSeconds=90, stallTimeoutSeconds=60),
            90,
            "Timeout",
            "the attempt ran longer than spec.timeoutSeconds (90)",
            True,
            id="timeout",
        ),
        pytest.param(
            a_run(stallTimeoutSeconds=60).told(1, stalled=True),
            1,
            "Stalled",
            "the agent printed nothing for spec.stallTimeoutSeconds (60)",
            True,
            id="stall",
        ),
        pytest.param(
            a_run(budget={"maxTokens": 9}).told(usage=Usage.model_validate({"tokens": {"total": 9}, "completions": 1})),
            1,
            "BudgetExceeded",
            "used 9 of 9 tokens",
            True,
            id="budget",
        ),
        pytest.param(
            a_run().told(1, exhausted=Verdict(EndClass.BUDGET_EXCEEDED, reason="used 9 of 9 tokens")),
            1,
            "BudgetExceeded",
            "used 9 of 9 tokens",
            True,
            id="a budget that is spent, as the gateway has counted",
        ),
        pytest.param(a_run().told(1, exhausted=SPENT), 1, "SubscriptionLimit", SPENT.reason, True, id="a limit"),
        pytest.param(
            a_run().told(1, reported=limit(None)), 1, "SubscriptionLimit", limit(None).reason, True, id="no end"
        ),
        pytest.param(
            a_run().told(1, exhausted=limit(after(61.1))),
            1,
            "SubscriptionLimit",
            limit(after(61.1)).reason,
            True,
            id="a long one",
        ),
    ],
)
def test_why_a_live_pod_is_ended(run: RunBuilder, seconds: float, end: str, message: str, warning: bool) -> None:
    plan = decide(run.known(started(a_run()).status).with_pod().build(), after(seconds))

    assert (plan.status.attempts[0].end_class, plan.status.attempts[0].message) == (end, message)
    assert said(plan)["Running"] == ("False", "Stopping", message)
    assert said(plan)["Succeeded"] == ("Unknown", "Stopping", f"ending {POD}: {message}")
    assert plan.notes == (Note(end, f"attempt 1 is being ended: {message}", warning),)
    assert [d.name for d in plan.delete] == [POD]
    assert said(plan).get("Healthy") == (("False", "Timeout", message) if end == "Stalled" else None)


@pytest.mark.parametrize(
    ("run", "seconds"),
    [
        pytest.param(a_run(deadlineSeconds=90), 89.9, id="just before the deadline"),
        pytest.param(a_run(timeoutSeconds=90, stallTimeoutSeconds=60), 89.9, id="just before the timeout"),
        pytest.param(a_run().told(1, stalled=True, final=True), 1, id="silent because it has ended"),
        pytest.param(a_run().told(1, exhausted=limit(after(61))), 1, id="a limit of a minute"),
        pytest.param(
            a_run().told(1, reported=limit(None, EndClass.PROVIDER_OUTAGE)), 1, id="an outage is the CLI's to retry"
        ),
    ],
)
def test_why_it_is_not(run: RunBuilder, seconds: float) -> None:
    assert not decide(started(run).build(), after(seconds)).delete


def test_the_timeout_of_a_pod_that_never_started_is_nobodys_fault() -> None:
    run = started(a_run(timeoutSeconds=90, stallTimeoutSeconds=60))
    plan = decide(run.with_pod(**PENDING, waiting="ContainerCreating", message="no volume").build(), after(90))
    silent = decide(run.with_pod(**PENDING).build(), after(90))

    never = "its pod did not start within spec.timeoutSeconds:"
    assert plan.status.attempts[0].message == f"{never} ContainerCreating no volume"
    assert silent.status.attempts[0].message == never
    assert plan.status.attempts[0].end_class is EndClass.UNKNOWN


def test_an_image_that_was_not_pulled_says_which() -> None:
    run = started(a_run()).with_pod(**PENDING, waiting="ImagePullBackOff", message="agents:2 not found")

    assert decide(run.build(), after(60)).status.attempts[0].message == "ImagePullBackOff: agents:2 not found"


def test_an_attempt_that_is_being_ended_says_so_until_its_pod_is_gone() -> None:
    run = started(a_run()).but(cancel=True)
    marked = decide(run.build(), after(1))
    again = decide(run.known(marked.status).build(), after(2))

    assert said(again)["Running"] == ("False", "Stopping", "spec.cancel was set")
    assert said(again)["Succeeded"] == ("Unknown", "Stopping", f"ending {POD}: spec.cancel was set")


def test_a_pod_that_somebody_is_deleting_is_watched_until_it_is_gone() -> None:
    plan = decide(started(a_run()).with_pod(gone_by=after(31)).build(), after(1))

    assert said(plan)["Succeeded"] == ("Unknown", "Stopping", f"ending {POD}: ")
    assert (plan.delete, plan.wake_at) == ((), after(91))


@pytest.mark.parametrize(
    ("over", "facts", "end", "message", "exit_code"),
    [
        pytest.param(
            ended(143), AttemptFacts(), EndClass.STALLED, "no output", 143, id="the reason why it was ended stands"
        ),
        pytest.param(
            ended(1, final=final(EndClass.AGENT_FAILED, error="interrupted")),
            AttemptFacts(),
            EndClass.STALLED,
            "no output",
            1,
            id="whatever the agent made of it",
        ),
        pytest.param(
            ended(0, final=final(EndClass.SUCCEEDED)),
            AttemptFacts(),
            EndClass.SUCCEEDED,
            "",
            0,
            id="unless it was done",
        ),
        pytest.param(None, AttemptFacts(), EndClass.STALLED, "no output", None, id="its pod is gone already"),
        pytest.param(
            None,
            AttemptFacts(final=True, end_class=EndClass.RATE_LIMITED, message="429"),
            EndClass.RATE_LIMITED,
            "429",
            None,
            id="its pod is gone, its sidecar told why",
        ),
    ],
)
def test_the_outcome_of_an_attempt_that_was_ended(
    over: dict[str, Any] | None, facts: AttemptFacts, end: EndClass, message: str, exit_code: int | None
) -> None:
    run = started(a_run())
    marked = run.status.attempts[0].model_copy(update={"end_class": EndClass.STALLED, "message": "no output"})
    run = run.known(run.status.model_copy(update={"attempts": [marked]})).told(attempts={1: facts})
    run = run.with_pod(**over) if over is not None else run.without_pods()
    (attempt,) = decide(run.build(), after(5)).status.attempts

    assert (attempt.end_class, attempt.message, attempt.exit_code) == (end, message, exit_code)


def test_the_last_words_of_the_sidecar_name_the_session() -> None:
    pod = ended(1, final=final(EndClass.AGENT_FAILED, session_id="s" * 300, error="e" * 300))
    plan = decide(started(a_run()).with_pod(**pod).build(), after(5))

    assert plan.status.session_id == "s" * 256
    assert plan.status.attempts[0].message == "e" * 256
    assert plan.status.attempts[0].node_name == "node-1"


def test_after_a_long_attempt_the_last_word_is_waited_for_as_usual() -> None:
    run = started(a_run()).with_pod(**ended(0, after(500), final=final(EndClass.SUCCEEDED, completions=2)))

    assert decide(replace(run, listening_since=after(60)).build(), after(500)).wake_at == after(502)
