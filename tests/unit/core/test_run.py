"""Stories of a run's life: each step is one decision on a snapshot."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from droveway.api.enums import ConditionType, EndClass, Health, Reason
from droveway.api.v1alpha1 import AgentRunStatus, Usage
from droveway.core.completion import TokenBreakdown
from droveway.core.conditions import find
from droveway.core.facts import RequestReroute
from droveway.core.finish import expires_at
from droveway.core.ranking import CandidateView
from droveway.core.run import decide, pod_name, refused
from droveway.core.snapshot import Plan, Problem
from droveway.core.tenant import Blocked
from helpers.build import NOON, RunBuilder, a_run, after, candidate, ended, final, limit


def summary(plan: Plan) -> tuple[str, str]:
    """Status and reason of the summary condition."""
    found = find(plan.status.conditions, ConditionType.SUCCEEDED)
    assert found
    return found.status, found.reason


def message(plan: Plan) -> str:
    """Message of the summary condition."""
    found = find(plan.status.conditions, ConditionType.SUCCEEDED)
    return found.message if found else ""


def started(run: RunBuilder, now: datetime = NOON) -> RunBuilder:
    """The run after its first pass: attempt 1 exists, its pod runs."""
    plan = decide(run.build(), now)
    assert plan.create
    return run.known(plan.status).with_pod(plan.create.number, candidate=plan.create.candidate.name)


def ended_as(run: RunBuilder, now: datetime, **pod_changes: object) -> tuple[RunBuilder, Plan]:
    """The run after its current pod ended and the pass that saw it."""
    number = run.pods[-1].attempt
    plan = decide(run.with_pod(number, **pod_changes).build(), now)
    return run.known(plan.status).with_pod(number, **pod_changes), plan


def test_a_new_run_gets_its_pod_and_says_why_there() -> None:
    plan = decide(a_run().build(), NOON)

    assert plan.create
    assert (plan.create.number, plan.create.pod_name) == (1, "fix-login-5a1c0-1")
    assert plan.status.route
    assert (plan.status.route.candidate, plan.status.route.model) == ("a", "a-model")
    assert [(r.candidate, r.reason) for r in plan.status.route.rejected] == [("b", "NotPreferred")]
    assert summary(plan) == ("Unknown", "PodCreated")
    assert plan.status.start_time == NOON


def test_an_attempt_names_its_agent_and_the_candidates_own_wins() -> None:
    line = {"providerRef": {"name": "p"}, "model": "m"}
    route = [{"name": "a", **line, "agentRef": {"name": "codex"}}, {"name": "b", **line}]
    first = decide(a_run().with_route(candidates=route).build(), NOON)
    other = decide(a_run().with_route(candidates=route).having(candidate("b")).build(), NOON)

    assert [first.status.attempts[0].agent, other.status.attempts[0].agent] == ["codex", "claude"]


def test_a_pod_that_runs_is_watched_until_its_timeout() -> None:
    plan = decide(started(a_run(timeoutSeconds=100, stallTimeoutSeconds=50)).build(), after(1))

    assert not plan.create
    assert not plan.delete
    assert summary(plan) == ("Unknown", "Running")
    assert plan.status.health is Health.HEALTHY
    assert plan.wake_at == after(100)


def test_a_second_look_at_an_unchanged_world_writes_nothing() -> None:
    run = started(a_run())
    once = decide(run.build(), after(1))
    twice = decide(run.known(once.status).build(), after(2))

    assert twice.status == once.status
    assert not twice.notes


def test_a_run_that_succeeds_is_done_with_one_attempt() -> None:
    _, plan = ended_as(started(a_run()), after(9), **ended(0, after(8), final=final(EndClass.SUCCEEDED)))

    assert summary(plan) == ("True", "Succeeded")
    assert plan.status.completion_time == after(9)
    assert plan.status.attempts[0].end_time == after(8)
    assert (plan.status.attempt_count, plan.status.failed_count) == (1, 0)
    assert not plan.create
    assert not plan.delete, "the pod stays for its logs"


@pytest.mark.parametrize(
    ("pod", "end_class"),
    [
        pytest.param(
            ended(137, oom=True), EndClass.OUT_OF_MEMORY, id="killed for its memory, whatever the stream says"
        ),
        pytest.param(ended(143, reason="Evicted"), EndClass.EVICTED, id="evicted"),
        pytest.param(ended(137, reason="DeadlineExceeded"), EndClass.TIMEOUT, id="the kubelet's own deadline"),
        pytest.param(
            ended(1, final=final(EndClass.REQUEST_REJECTED)), EndClass.REQUEST_REJECTED, id="the stream's account"
        ),
        pytest.param(
            ended(0, final=final(EndClass.AGENT_FAILED)),
            EndClass.AGENT_FAILED,
            id="exit 0, but the stream says it failed",
        ),
        pytest.param(ended(1), EndClass.AGENT_FAILED, id="exit code alone"),
        pytest.param(ended(143), EndClass.UNKNOWN, id="a signal that nobody here sent"),
        pytest.param(ended(None), EndClass.UNKNOWN, id="it never started"),
    ],
)
def test_the_rank_of_the_evidence(pod: dict[str, object], end_class: EndClass) -> None:
    _, plan = ended_as(started(a_run()), after(5), **pod)

    assert plan.status.attempts[0].end_class is end_class


def test_the_gateways_verdict_beats_what_the_cli_made_of_it() -> None:
    run = started(a_run()).told(1, exhausted=limit(after(9000)))
    _, plan = ended_as(run, after(5), **ended(1, final=final(EndClass.AGENT_FAILED)))

    assert plan.status.attempts[0].end_class is EndClass.SUBSCRIPTION_LIMIT


@pytest.mark.parametrize(
    ("end", "counted"),
    [
        pytest.param(ended(1), "failed_count", id="an agent's fault"),
        pytest.param(ended(143, reason="Evicted"), "interrupted_count", id="the cluster's"),
        pytest.param(ended(1, final=final(EndClass.PROVIDER_OUTAGE)), "limited_count", id="the provider's"),
    ],
)
def test_what_an_ending_counts_against(end: dict[str, object], counted: str) -> None:
    _, plan = ended_as(started(a_run()), after(5), **end)
    counts = {c: getattr(plan.status, c) for c in ("failed_count", "interrupted_count", "limited_count")}

    assert counts == {"failed_count": 0, "interrupted_count": 0, "limited_count": 0} | {counted: 1}


def test_a_failed_attempt_is_retried_after_a_pause_once_its_pod_is_gone() -> None:
    run, plan = ended_as(started(a_run()), after(5), **ended(1, after(5)))
    assert [d.name for d in plan.delete] == ["fix-login-5a1c0-1"], "the old pod goes before the next one comes"

    waiting = decide(run.without_pods().build(), after(6))
    assert not waiting.create
    assert summary(waiting) == ("Unknown", "BackingOff")
    assert waiting.wake_at
    assert after(5 + 5) <= waiting.wake_at <= after(5 + 15), "10 s, with jitter of a half"

    again = decide(run.known(waiting.status).without_pods().build(), waiting.wake_at)
    assert again.create
    assert again.create.number == 2


def test_retries_end() -> None:
    run, now = started(a_run(retry={"maxAttempts": 2})), NOON
    for number in (1, 2):
        run, plan = ended_as(run, now, **ended(1, now))
        if number == 1:
            now = decide(run.without_pods().build(), now).wake_at or now
            run = started(run.without_pods(), now)

    assert summary(plan) == ("False", "AgentFailed")
    assert plan.status.failed_count == 2


@pytest.mark.parametrize(
    ("spec", "seconds", "end_class"),
    [
        pytest.param({"cancel": True}, 1, EndClass.CANCELLED, id="cancelled"),
        pytest.param({"suspend": True}, 1, EndClass.SUSPENDED, id="suspended"),
        pytest.param({"timeoutSeconds": 60, "stallTimeoutSeconds": 60}, 60, EndClass.TIMEOUT, id="timeout"),
        pytest.param(
            {"deadlineSeconds": 60, "timeoutSeconds": 60, "stallTimeoutSeconds": 60},
            60,
            EndClass.TIMEOUT,
            id="deadline",
        ),
    ],
)
def test_a_live_pod_is_ended_in_two_steps_so_that_a_crash_loses_nothing(
    spec: dict[str, object], seconds: int, end_class: EndClass
) -> None:
    run = started(a_run()).but(**spec)
    marked = decide(run.build(), after(seconds))
    assert marked.status.attempts[0].end_class is end_class
    assert marked.status.attempts[0].end_time is None
    assert len(marked.delete) == 1

    crashed = decide(run.known(marked.status).build(), after(seconds + 1))
    assert len(crashed.delete) == 1, "the delete that a crash swallowed is sent again"

    leaving = decide(run.known(marked.status).with_pod(gone_by=after(seconds + 32)).build(), after(seconds + 2))
    assert not leaving.delete
    assert leaving.status.completion_time is None, "not before the pod is really gone"

    gone = decide(run.known(marked.status).without_pods().build(), after(seconds + 3))
    assert gone.status.attempts[0].end_time
    assert gone.status.attempts[0].end_class is end_class
    if end_class is EndClass.SUSPENDED:
        assert summary(gone) == ("Unknown", "Suspended")
        assert gone.status.completion_time is None
    else:
        assert summary(gone)[0] == "False"


def test_a_cancelled_run_is_not_over_while_its_ended_pod_is_still_an_object() -> None:
    run = started(a_run()).but(cancel=True)
    marked = decide(run.build(), after(1))
    leaving = run.known(marked.status).with_pod(1, gone_by=after(31), **ended(143, after(2)))
    plan = decide(leaving.build(), after(2))
    assert summary(plan) == ("Unknown", "Stopping")

    gone = decide(leaving.known(plan.status).without_pods().build(), after(3))
    assert summary(gone) == ("False", "Cancelled")
    assert gone.status.attempts[0].exit_code == 143


def test_a_pod_that_a_lost_node_holds_is_said_a_minute_after_it_should_be_gone() -> None:
    run = started(a_run()).but(cancel=True)
    marked = decide(run.build(), after(1))
    going = run.known(marked.status).with_pod(gone_by=after(31), node="node-7")

    waits = decide(going.build(), after(2))
    assert waits.wake_at == after(91)
    assert "node-7" not in message(waits)

    late = decide(going.known(waits.status).build(), after(91))
    assert summary(late) == ("Unknown", "Stopping")
    assert message(late).endswith(
        "-1 on node node-7 should be gone: when that node is lost, delete it, or the pod with --force"
    )
    assert late.wake_at is None
    assert late.create is None


@pytest.mark.parametrize("told_by", ["the sidecar", "the termination message alone"])
def test_an_image_without_setsid_is_not_tried_again_and_says_so(told_by: str) -> None:
    message = "droveway: setsid is missing in this image; install util-linux or busybox"
    told = {"final": final(EndClass.AGENT_FAILED, error=message)} if told_by == "the sidecar" else {}
    _, plan = ended_as(started(a_run()), after(5), **ended(127, after(5), message=message, **told))
    found = find(plan.status.conditions, ConditionType.SUCCEEDED)

    assert found
    assert (found.status, found.reason, found.message) == ("False", Reason.SETSID_MISSING, message)


def test_an_agent_that_merely_ends_with_127_is_retried() -> None:
    _, plan = ended_as(started(a_run()), after(5), **ended(127, after(5), message="sh: setsid is missing"))

    assert summary(plan) == ("Unknown", "BackingOff")


def test_a_run_that_was_done_before_the_cancel_arrived_has_succeeded() -> None:
    run = started(a_run()).but(cancel=True)
    _, plan = ended_as(run, after(3), **ended(0, final=final(EndClass.SUCCEEDED)))

    assert summary(plan) == ("True", "Succeeded")


def test_a_suspended_run_goes_on_when_it_is_resumed_and_nothing_counts() -> None:
    run = started(a_run())
    marked = decide(run.but(suspend=True).build(), after(1))
    gone = decide(run.but(suspend=True).known(marked.status).without_pods().build(), after(5))
    resumed = decide(run.known(gone.status).without_pods().build(), after(6))

    assert resumed.create
    assert resumed.create.number == 2
    assert (resumed.status.failed_count, resumed.status.limited_count, resumed.status.interrupted_count) == (0, 0, 0)


def test_silence_is_a_stall() -> None:
    plan = decide(started(a_run()).told(1, stalled=True).build(), after(10))

    assert plan.status.attempts[0].end_class is EndClass.STALLED
    assert plan.status.health is Health.TIMEOUT
    assert len(plan.delete) == 1


def test_a_pod_that_somebody_deleted_ends_its_attempt_as_unknown_and_is_retried() -> None:
    run = started(a_run()).without_pods()
    plan = decide(run.build(), after(5))

    assert plan.status.attempts[0].end_class is EndClass.UNKNOWN
    assert summary(plan) == ("Unknown", "BackingOff")


def test_a_pod_whose_status_write_was_lost_is_adopted_not_doubled() -> None:
    plan = decide(a_run().with_pod(1, candidate="b", provider="b-provider", model="b-model").build(), after(1))

    assert not plan.create
    assert [(a.number, a.candidate) for a in plan.status.attempts] == [(1, "b")]
    assert plan.status.route
    assert (plan.status.route.candidate, plan.status.route.model) == ("b", "b-model")


# -- rerouting -------------------------------------------------------------------------------------------------------


def at_a_limit(run: RunBuilder) -> RunBuilder:
    """Attempt 1 ended at a limit of candidate a that lasts 9000 s; its pod is gone."""
    run, _ = ended_as(run.told(1, exhausted=limit(after(9000))), after(5), **ended(1, after(5)))
    return run.having(
        candidate("a", limited_until=after(9000), limit_kind="SubscriptionLimit"), *run.views[1:]
    ).without_pods()


def test_a_limit_sends_the_run_to_the_next_candidate_after_five_seconds() -> None:
    run = at_a_limit(started(a_run()))
    early = decide(run.build(), after(6))
    assert (early.create, early.wake_at) == (None, after(10))

    plan = decide(run.known(early.status).build(), after(10))
    assert plan.create
    assert plan.create.candidate.name == "b"
    assert plan.status.failed_count == 0, "a limit is not a failure"
    assert [(r.depth, r.source, r.target) for r in plan.status.reroutes] == [("Run", "a", "b")]
    assert plan.status.route
    assert plan.status.route.rejected[0].reason == "SubscriptionLimit"
    assert {n.reason for n in plan.notes} == {Reason.REROUTED, Reason.WORKSPACE_LOST}


def test_a_volume_survives_a_reroute() -> None:
    plan = decide(at_a_limit(started(a_run(workspace={"volume": {"size": "1Gi"}}))).build(), after(10))

    assert {n.reason for n in plan.notes} == {Reason.REROUTED}
    assert plan.create
    assert plan.create.node == "node-1", "the claim is there"


def test_everything_limited_waits_until_the_earliest_reset_and_goes_on_by_itself() -> None:
    run = at_a_limit(started(a_run().having(candidate("a"))))
    waiting = decide(run.build(), after(10))

    assert summary(waiting) == ("Unknown", "WaitingForCapacity")
    assert waiting.status.next_eligible_time == after(9000)
    assert waiting.waiting

    freed = decide(run.known(waiting.status).having(candidate("a")).build(), after(9000))
    assert freed.create
    assert freed.status.next_eligible_time is None


def test_on_limit_wait_stays_with_its_candidate() -> None:
    plan = decide(at_a_limit(started(a_run(retry={"onLimit": "Wait"}))).build(), after(10))

    assert not plan.create
    assert plan.status.next_eligible_time == after(9000)


def test_waiting_for_the_only_candidate_uses_up_no_reroute() -> None:
    run = at_a_limit(started(a_run(retry={"maxReroutes": 0}).having(candidate("a"))))
    plan = decide(run.having(candidate("a")).build(), after(9000))

    assert plan.create
    assert plan.status.limited_count == 0


def test_on_limit_wait_waits_for_as_many_windows_as_it_takes() -> None:
    run = at_a_limit(started(a_run(retry={"onLimit": "Wait"})))
    often = run.known(run.status.model_copy(update={"limited_count": 99}))

    assert summary(decide(often.build(), after(10))) == ("Unknown", "WaitingForCapacity")


def test_on_limit_wait_goes_elsewhere_when_its_candidate_left_the_route() -> None:
    plan = decide(at_a_limit(started(a_run(retry={"onLimit": "Wait"}))).having(candidate("b")).build(), after(10))

    assert plan.create
    assert plan.create.candidate.name == "b"


@pytest.mark.parametrize("kind", [EndClass.AUTH_FAILED, EndClass.PROVIDER_OUTAGE])
def test_on_limit_wait_does_not_wait_for_what_is_no_limit(kind: EndClass) -> None:
    run, _ = ended_as(started(a_run(retry={"onLimit": "Wait"})), after(5), **ended(1, after(5), final=final(kind)))
    broken = candidate("a", not_ready=("AuthFailed", "put a good key there"))
    plan = decide(run.having(broken, candidate("b")).without_pods().build(), after(10))

    assert plan.create
    assert plan.create.candidate.name == "b"


@pytest.mark.parametrize(
    ("spec", "route", "reason"),
    [
        pytest.param({"retry": {"onLimit": "Fail"}}, {}, "SubscriptionLimit", id="onLimit Fail"),
        pytest.param({"retry": {"maxReroutes": 0}}, {}, "ReroutesExhausted", id="no reroutes left"),
    ],
)
def test_limits_that_end_a_run(spec: dict[str, object], route: dict[str, object], reason: str) -> None:
    plan = decide(at_a_limit(started(a_run(**spec).with_route(**route))).build(), after(10))

    assert summary(plan) == ("False", reason)


def test_on_exhausted_fail_ends_the_run() -> None:
    limited = candidate("a", limited_until=after(9000), limit_kind="SubscriptionLimit")
    plan = decide(a_run().having(limited).with_route(onExhausted="Fail").build(), NOON)

    assert summary(plan) == ("False", "NoEligibleCandidate")


@pytest.mark.parametrize(
    "view",
    [
        pytest.param(candidate("a", unfit=("NoFreeSlot", "1 of 1 pods run")), id="a slot will be free"),
        pytest.param(candidate("a", not_ready=("SecretNotFound", "create it")), id="somebody will create it"),
    ],
)
def test_on_exhausted_fail_is_for_what_is_exhausted(view: CandidateView) -> None:
    plan = decide(a_run().having(view).with_route(onExhausted="Fail").build(), NOON)

    assert summary(plan) == ("Unknown", "NoEligibleCandidate")


def test_a_far_limit_ends_a_cli_that_would_wait_for_it() -> None:
    near = decide(started(a_run()).told(1, exhausted=limit(after(30))).build(), after(1))
    far = decide(started(a_run()).told(1, exhausted=limit(after(3000))).build(), after(1))

    assert not near.delete
    assert len(far.delete) == 1


def test_a_request_that_the_gateway_moved_shows_in_status_and_costs_no_attempt() -> None:
    move = RequestReroute(after(3), "a", "b", "a SubscriptionLimit until 14:30Z")
    run = started(a_run()).told(reroutes=(move,), served_by="b")
    plan = decide(run.build(), after(4))

    assert plan.status.route
    assert (plan.status.route.candidate, plan.status.route.model) == ("b", "b-model")
    assert "SubscriptionLimit" in plan.status.route.reason
    assert [(r.depth, r.source, r.target) for r in plan.status.reroutes] == [("Request", "a", "b")]
    assert plan.status.attempt_count == 1

    again = decide(run.known(plan.status).build(), after(5))
    assert len(again.status.reroutes) == 1, "told once"


def test_moves_are_counted_once_however_late_they_are_told() -> None:
    first, late = RequestReroute(after(3), "a", "b", "first"), RequestReroute(after(2), "b", "a", "another gateway's")
    run = started(a_run()).told(reroutes=(first,))
    run = run.known(decide(run.build(), after(4)).status).told(reroutes=(first, late))
    status = decide(run.build(), after(5)).status
    assert [r.reason for r in status.reroutes] == ["another gateway's", "first"]

    later = [first_move.model_copy(update={"time": after(9 + n), "depth": "Run"}) for n, first_move in
             enumerate(status.reroutes[:1] * 10)]  # fmt: skip
    full = run.known(status.model_copy(update={"reroutes": later, "reroute_count": 12}))
    assert decide(full.build(), after(30)).status.reroute_count == 12


# -- waiting for somebody --------------------------------------------------------------------------------------------


def test_a_missing_route_is_named_and_the_run_goes_on_once_it_is_there() -> None:
    problem = Problem(Reason.ROUTE_NOT_FOUND, "create it")
    blocked = decide(replace(a_run(), routed=False, problem=problem).build(), NOON)
    accepted = find(blocked.status.conditions, ConditionType.ACCEPTED)

    assert accepted
    assert (accepted.status, accepted.reason, accepted.message) == ("False", "RouteNotFound", "create it")
    assert blocked.wake_at == after(5)
    assert decide(a_run().known(blocked.status).build(), after(5)).create


def test_a_run_of_a_namespace_beyond_its_quota_waits_for_the_quota_to_begin_anew() -> None:
    spent = Blocked(after(3600), "TenantQuota team: 5 of 5 tokens of this day are used")
    waits = decide(replace(a_run().build(), blocked=spent), NOON)
    summary = find(waits.status.conditions, ConditionType.SUCCEEDED)

    assert waits.create is None
    assert summary
    assert (summary.status, summary.reason) == ("Unknown", "QuotaExceeded")
    assert summary.message == "until 2026-11-21T13:00:00Z; TenantQuota team: 5 of 5 tokens of this day are used"
    assert waits.status.next_eligible_time == waits.wake_at == after(3600)
    assert waits.waiting
    routed = find(waits.status.conditions, ConditionType.ROUTED)
    running = find(waits.status.conditions, ConditionType.RUNNING)
    assert routed
    assert running
    assert (routed.status, routed.reason, routed.message) == ("False", "QuotaExceeded", spent.message)
    assert (running.status, running.reason, running.message) == ("False", "Pending", "")
    later = replace(a_run().known(waits.status).build(), blocked=spent)
    assert decide(later, after(3600)).create
    assert decide(replace(later, blocked=None), after(5)).create


def test_a_candidate_that_nobody_can_use_says_what_to_do() -> None:
    views = (
        candidate("a", not_ready=("SecretNotFound", "create Secret k")),
        candidate("b", not_ready=("AgentNotFound", "create Agent x")),
    )
    plan = decide(a_run().having(*views).build(), NOON)
    routed = find(plan.status.conditions, ConditionType.ROUTED)

    assert routed
    assert routed.reason == "NoEligibleCandidate"
    assert "create Secret k" in routed.message
    assert "create Agent x" in routed.message


def test_a_pod_that_the_api_server_refuses_is_told_and_tried_again() -> None:
    plan = refused(a_run().build(), "exceeded quota", NOON)

    assert summary(plan) == ("Unknown", "PodRefused")
    assert plan.wake_at


def test_an_image_that_cannot_be_pulled_ends_the_attempt_after_a_minute_and_counts_nothing() -> None:
    pulling = started(a_run()).with_pod(
        phase="Pending", started_at=None, waiting="ImagePullBackOff", message="not found"
    )
    assert not decide(pulling.build(), after(59)).delete
    plan = decide(pulling.build(), after(60))

    assert plan.status.attempts[0].end_class is EndClass.IMAGE_PULL
    assert plan.status.failed_count == 0


def test_a_pod_that_never_started_is_tried_again_instead_of_ending_the_run() -> None:
    run = started(a_run(timeoutSeconds=60)).with_pod(
        phase="Pending", started_at=None, waiting="CreateContainerConfigError", message='secret "login" not found'
    )
    plan = decide(run.build(), after(60))

    assert plan.status.attempts[0].end_class is EndClass.UNKNOWN
    assert "login" in plan.status.attempts[0].message
    assert len(plan.delete) == 1


# -- money and time --------------------------------------------------------------------------------------------------


def test_a_budget_that_is_used_up_ends_the_run() -> None:
    usage = Usage.model_validate({"tokens": {"total": 1000}, "completions": 3})
    run = started(a_run(budget={"maxTokens": 1000})).told(usage=usage)
    marked = decide(run.build(), after(5))
    plan = decide(run.known(marked.status).without_pods().build(), after(6))

    assert summary(plan) == ("False", "BudgetExceeded")


def test_usage_alone_is_written_at_most_every_ten_seconds() -> None:
    run = started(a_run())
    first = decide(run.told(usage=Usage(completions=1)).build(), after(1))
    more = replace(run.known(first.status).told(usage=Usage(completions=2)), written_at=after(1))

    assert decide(more.build(), after(5)).status == first.status
    assert decide(more.build(), after(5)).wake_at == after(11)
    assert decide(more.build(), after(11)).status.usage.completions == 2

    of_the_attempt = more.told(1, completions=2)
    assert decide(of_the_attempt.build(), after(5)).status == first.status
    used = decide(of_the_attempt.build(), after(11)).status.attempts[0].usage
    assert used is not None
    assert used.completions == 2


@pytest.mark.parametrize(
    ("code", "ttl", "field"),
    [
        pytest.param(0, 60, "ttlSecondsAfterSuccess", id="after success"),
        pytest.param(1, 30, "ttlSecondsAfterFailure", id="after failure"),
    ],
)
def test_a_finished_run_is_deleted_after_its_time_to_live(code: int, ttl: int, field: str) -> None:
    run, plan = ended_as(started(a_run(retry={"maxAttempts": 1}, **{field: ttl})), NOON, **ended(code))
    assert plan.wake_at == after(ttl)
    done = run.known(plan.status).build()

    assert expires_at(done.run.spec, done.run.status) == after(ttl)
    assert decide(done, after(ttl)) == Plan(plan.status), "nothing is left to decide"


def test_the_gateway_gets_two_seconds_to_tell_what_the_last_calls_used() -> None:
    run = started(a_run())
    pod = ended(0, after(5), final=final(EndClass.SUCCEEDED, completions=2))
    waits = decide(run.with_pod(**pod).build(), after(5))
    assert waits.status.completion_time is None
    assert waits.wake_at == after(7)

    assert decide(run.with_pod(**pod).told(1, completions=2).build(), after(5)).status.completion_time
    assert decide(run.with_pod(**pod).build(), after(7)).status.completion_time


def test_tokens_that_nobody_has_counted_yet_are_waited_for_as_well() -> None:
    run, used = started(a_run()), TokenBreakdown(total=100, input=100)
    run = run.with_pod(**ended(0, after(5), final=final(EndClass.SUCCEEDED, completions=1, tokens=used)))

    assert decide(run.told(1, completions=3, tokens=60).build(), after(6)).status.completion_time is None
    assert decide(run.told(1, completions=3, tokens=100).build(), after(6)).status.completion_time


def test_after_a_restart_gateways_get_the_time_to_tell_again() -> None:
    run = started(a_run()).with_pod(**ended(0, after(5), final=final(EndClass.SUCCEEDED, completions=2)))
    back = replace(run, listening_since=after(60))
    waits = decide(back.build(), after(61))
    assert waits.status.completion_time is None
    assert waits.wake_at == after(75)

    assert decide(back.told(1, completions=2).build(), after(62)).status.completion_time == after(62)
    assert decide(back.build(), after(75)).status.completion_time


def test_status_keeps_the_last_ten_attempts_and_the_count_of_all() -> None:
    run, now = a_run(retry={"maxAttempts": 100, "backoffSeconds": 1}), NOON
    for _ in range(12):
        run = started(run.without_pods(), now)
        run, _ = ended_as(run, now, **ended(1, now))
        now += timedelta(minutes=20)
    run = started(run.without_pods(), now)

    assert run.status.attempt_count == 13
    assert [a.number for a in run.status.attempts] == list(range(4, 14))


def test_a_pods_name_is_a_function_of_the_attempt_and_short_enough() -> None:
    assert pod_name("x" * 48, "abcdef-1", 100) == "x" * 48 + "-abcde-100"
    assert len(pod_name("x" * 48, "abcdef-1", 999)) <= 63


def test_the_first_status_is_empty() -> None:
    assert AgentRunStatus().attempts == []
