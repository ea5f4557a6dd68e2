"""How a run's next attempt begins, and how the run ends."""

from dataclasses import replace
from typing import Any

import pytest

from droveway.api.enums import EndClass, Strategy
from droveway.api.v1alpha1 import Usage
from droveway.core.notes import Note
from droveway.core.ranking import Preference
from droveway.core.routing import choose
from droveway.core.run import decide, pod_name
from helpers.build import NOON, UID, a_run, after, candidate
from helpers.plans import rejected, said, tried

SPENT = candidate("a", limited_until=after(9000), limit_kind="SubscriptionLimit")


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


def test_after_an_outage_another_candidate_is_better_and_the_same_one_better_than_none() -> None:
    run = tried(EndClass.PROVIDER_OUTAGE)
    elsewhere, again = decide(run.build(), after(5)), decide(run.having(candidate("a")).build(), after(5))

    assert elsewhere.create
    assert elsewhere.create.candidate.name == "b"
    assert [(r.reason, r.candidate) for r in rejected(elsewhere)] == [("JustFailed", "a")]
    assert again.create
    assert again.create.candidate.name == "a"


def test_a_run_ranks_as_its_route_says_and_with_a_draw_of_its_own() -> None:
    cheap = (candidate("a", price=9.0), candidate("b", price=1.0))
    drawn = tuple(candidate(name) for name in "abcdefgh")
    by_cost = decide(a_run().having(*cheap).with_route(strategy="LowestCost").build(), NOON)
    by_draw = decide(a_run().having(*drawn).with_route(strategy="Weighted").build(), NOON)

    assert by_cost.create
    assert by_cost.create.candidate.name == "b"
    assert by_draw.create
    assert by_draw.create.candidate == choose(drawn, Preference(Strategy.WEIGHTED, UID), NOON).candidate


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
