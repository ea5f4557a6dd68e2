"""The life of a run: what to do next, from a snapshot and the clock.

A pass first takes over what was learnt (`core.learned`) and settles the attempt under way, if any (`core.attempt`); else it
decides here whether the run is over, must wait, or gets its next attempt.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from droveway.api.enums import LIMIT_CLASSES, ConditionType, EndClass, Health, OnExhausted, OnLimit, Reason, Strategy
from droveway.api.v1alpha1 import AgentRunSpec, AgentRunStatus, Attempt, Candidate
from droveway.api.v1alpha1.agentrun import Rejection, Reroute, RouteChoice
from droveway.core import retry
from droveway.core.attempt import settle
from droveway.core.draft import DIVERSIONS, INTERRUPTIONS, MESSAGE, Draft
from droveway.core.finish import expires_at, over
from droveway.core.learned import adopt, append_attempt, learn, record_reroute
from droveway.core.ranking import CandidateView, Preference
from droveway.core.routing import CIRCUIT_OPEN, NO_FREE_SLOT, Choice, choose
from droveway.core.runhealth import show_health
from droveway.core.snapshot import NewAttempt, Plan, Problem, Snapshot
from droveway.core.tenant import Blocked
from droveway.core.trace import run_trace

_USAGE_FLOOR = timedelta(seconds=10)
_FALLBACK_WAKE = timedelta(seconds=30)  # nothing says when a candidate is back
_PROBLEM_WAKE = timedelta(seconds=5)  # Secrets are not watched
_CONDITION = 1024


def decide(seen: Snapshot, now: datetime) -> Plan:
    """What to do about a run now."""
    if seen.run.status.completion_time:
        return Plan(seen.run.status)
    draft = Draft(seen, now, _opened(seen, now))
    adopt(draft)
    learn(draft)
    if draft.last and draft.last.end_time is None:
        under_way = settle(draft, draft.last)
        if under_way:
            return _quiet_usage(under_way, seen, now)
    return _next_step(draft)


def refused(seen: Snapshot, message: str, now: datetime) -> Plan:
    """The attempt that was decided cannot be made: the API server, or a reference, refuses its pod."""
    draft = Draft(seen, now, _opened(seen, now))
    return _blocked(draft, Problem(Reason.POD_REFUSED, message[:_CONDITION]))


# -- the whole run ---------------------------------------------------------------------------------------------------


def _opened(seen: Snapshot, now: datetime) -> AgentRunStatus:
    status, meta = seen.run.status, seen.run.metadata
    return status.model_copy(
        update={
            "observed_generation": meta.generation,
            "start_time": status.start_time or now,
            "trace_id": status.trace_id or run_trace(meta.uid).trace_id,
        }
    )


def _finish(draft: Draft, end_class: EndClass, reason: str, message: str) -> Plan:
    """The one place where a run becomes terminal."""
    good = end_class is EndClass.SUCCEEDED
    draft.update(completion_time=draft.now, next_eligible_time=None, health=Health.TERMINATED)
    draft.condition(ConditionType.RUNNING, "False", Reason.FINISHED)
    draft.condition(ConditionType.HEALTHY, "True" if good else "False", end_class)
    draft.condition(ConditionType.SUCCEEDED, "True" if good else "False", reason, message)
    draft.note(reason, _account(draft, message), warning=not good and end_class is not EndClass.CANCELLED)
    return draft.plan(wake_at=expires_at(draft.spec, draft.status))


def _quiet_usage(plan: Plan, seen: Snapshot, now: datetime) -> Plan:
    """Usage alone is not worth a write each time it grows."""
    old = seen.run.status
    used = {a.number: a.usage for a in old.attempts}
    attempts = [a.model_copy(update={"usage": used.get(a.number)}) for a in plan.status.attempts]
    same = plan.status.model_copy(
        update={"usage": old.usage, "session_id": old.session_id, "result": old.result, "attempts": attempts}
    )
    if same != old or plan.status == old or not old.usage.completions:
        return plan
    due = (seen.written_at or now - _USAGE_FLOOR) + _USAGE_FLOOR
    if now >= due:
        return plan
    return replace(plan, status=old, wake_at=min(filter(None, (plan.wake_at, due))))


def _account(draft: Draft, message: str) -> str:
    """How it ended, and what it cost."""
    usage = draft.status.usage
    if not usage.completions:
        return message
    cost = f"{usage.cost_usd} US dollars" if usage.cost_usd is not None else "at an unknown cost"
    return f"{message}; {usage.completions} completions, {usage.tokens.total} tokens, {cost}"


# -- between attempts ------------------------------------------------------------------------------------------------


def _next_step(draft: Draft) -> Plan:
    """No attempt is under way."""
    pods = draft.seen.pods
    if (end := over(draft)) and not any(p.deleting for p in pods):
        # A pod that was ended by us is gone by now; one that ended by itself stays, for its logs.
        return _finish(draft, *end)
    if pods:
        draft.condition(ConditionType.RUNNING, "False", Reason.STOPPING)
        next_is = Reason.REROUTING if _diverted(draft) else Reason.BACKING_OFF
        says = f"the last attempt's pod is being removed{draft.stuck(pods)}"
        _say_between(draft, Reason.STOPPING if end else next_is, says)
        removed = () if end else tuple(p for p in pods if not p.deleting)
        return draft.plan(delete=removed, wake_at=draft.next_stuck(pods))
    if draft.spec.suspend:
        draft.update(next_eligible_time=None)
        draft.condition(ConditionType.RUNNING, "False", Reason.SUSPENDED)
        _say_between(draft, Reason.SUSPENDED, "set spec.suspend to false to go on")
        return draft.plan(wake_at=draft.deadline())
    if draft.seen.problem:
        return _blocked(draft, draft.seen.problem)
    draft.condition(ConditionType.ACCEPTED, "True", Reason.VALID)
    if (last := draft.last) and (ready := _not_before(draft, last)) and ready > draft.now:
        _say_between(draft, Reason.REROUTING if _diverted(draft) else Reason.BACKING_OFF, _last_words(last))
        draft.update(next_eligible_time=ready)
        draft.condition(ConditionType.RUNNING, "False", Reason.BACKING_OFF)
        return draft.plan(wake_at=min(filter(None, (ready, draft.deadline()))))
    if (blocked := draft.seen.blocked) and blocked.until > draft.now:
        return _beyond_quota(draft, blocked)
    return _route(draft)


def _beyond_quota(draft: Draft, blocked: Blocked) -> Plan:
    """The namespace has used up a quota; a pod of it could ask nobody."""
    says = f"until {blocked.until:%Y-%m-%dT%H:%M:%SZ}; {blocked.message}"
    draft.update(next_eligible_time=blocked.until)
    draft.condition(ConditionType.ROUTED, "False", Reason.QUOTA_EXCEEDED, blocked.message)
    draft.condition(ConditionType.RUNNING, "False", Reason.PENDING)
    _say_between(draft, Reason.QUOTA_EXCEEDED, says)
    return draft.plan(wake_at=min(filter(None, (blocked.until, draft.deadline()))), waiting=True)


def _diverted(draft: Draft) -> bool:
    return draft.last is not None and draft.last.end_class in DIVERSIONS


def _waits_for_its_own(draft: Draft) -> bool:
    """At a limit, not at an outage: that is no reason to stay."""
    at_limit = draft.last is not None and draft.last.end_class in LIMIT_CLASSES
    return at_limit and draft.spec.retry.on_limit is OnLimit.WAIT


def _last_words(last: Attempt) -> str:
    return f"attempt {last.number} ended as {last.end_class}: {last.message}"


def _not_before(draft: Draft, last: Attempt) -> datetime | None:
    """When the next attempt may start at the earliest."""
    if last.end_time is None or last.end_class is EndClass.SUSPENDED:
        return None
    if last.end_class in DIVERSIONS:
        return last.end_time + retry.REROUTE_PAUSE
    status = draft.status
    failures = status.interrupted_count if last.end_class in INTERRUPTIONS else status.failed_count
    seed = f"{draft.seen.run.metadata.uid}/{last.number}"
    return last.end_time + retry.backoff(max(1, failures), draft.spec.retry.backoff_seconds, seed)


def _blocked(draft: Draft, problem: Problem) -> Plan:
    """Somebody must act; the run goes on by itself once they did."""
    draft.update(next_eligible_time=None)
    draft.condition(ConditionType.ACCEPTED, "False", problem.reason, problem.message)
    draft.condition(ConditionType.RUNNING, "False", Reason.PENDING)
    _say_between(draft, problem.reason, problem.message)
    return draft.plan(wake_at=min(filter(None, (draft.now + _PROBLEM_WAKE, draft.deadline()))), waiting=True)


def _say_between(draft: Draft, reason: str, message: str) -> None:
    """Health and summary of a run without a pod."""
    show_health(draft, None)
    draft.condition(ConditionType.SUCCEEDED, "Unknown", reason, message)


def _route(draft: Draft) -> Plan:
    """Chooses a candidate; creates the attempt, or waits."""
    route = draft.seen.route
    if route is None:
        raise ValueError("a snapshot without a route must name the problem")
    choice = choose(draft.seen.candidates, _preference(draft, route.spec.strategy), draft.now)
    if choice.candidate is None:
        return _none_eligible(draft, choice, route.spec.on_exhausted)
    if draft.last and draft.last.end_class in LIMIT_CLASSES and draft.last.candidate != choice.candidate.name:
        if draft.status.limited_count >= draft.spec.retry.max_reroutes:
            text = f"moved {draft.spec.retry.max_reroutes} times; the last: {draft.last.message}"
            return _finish(draft, draft.last.end_class, Reason.REROUTES_EXHAUSTED, text)
        draft.update(limited_count=draft.status.limited_count + 1)
    return _start(draft, choice, choice.candidate, route.spec.candidates)


def _preference(draft: Draft, strategy: Strategy) -> Preference:
    """A run stays where it is unless that failed it, and can wait."""
    last = draft.last
    own = last.candidate if last and any(c.name == last.candidate for c in draft.seen.candidates) else None
    failed = own if last and last.end_class is EndClass.PROVIDER_OUTAGE else None
    return Preference(
        strategy,
        key=draft.seen.run.metadata.uid,
        sticky=None if failed else own,
        failed=failed,
        stay=_waits_for_its_own(draft),
        patient=True,
    )


def _none_eligible(draft: Draft, choice: Choice, on_exhausted: OnExhausted) -> Plan:
    if on_exhausted is OnExhausted.FAIL and _exhausted(choice):
        limits = (EndClass(o.reason) for o in choice.rejected if o.reason in LIMIT_CLASSES)
        end_class = next(limits, EndClass.PROVIDER_OUTAGE)
        return _finish(draft, end_class, Reason.NO_ELIGIBLE_CANDIDATE, choice.reason)
    reason = Reason.WAITING_FOR_CAPACITY if choice.eligible_at else Reason.NO_ELIGIBLE_CANDIDATE
    details = "; ".join(f"{o.candidate}: {o.message or o.reason}" for o in choice.rejected)
    draft.update(next_eligible_time=choice.eligible_at)
    draft.condition(ConditionType.ROUTED, "False", reason, details)
    draft.condition(ConditionType.RUNNING, "False", Reason.PENDING)
    until = f"until {choice.eligible_at:%Y-%m-%dT%H:%M:%SZ}; " if choice.eligible_at else ""
    _say_between(draft, reason, until + details)
    moments = (choice.eligible_at, draft.now + _FALLBACK_WAKE, draft.deadline())
    return draft.plan(wake_at=min(filter(None, moments)), waiting=True)


def _exhausted(choice: Choice) -> bool:
    """A candidate is spent, broken or refused, and none merely waits for a slot. What somebody has to create is no end."""
    reasons = {o.reason for o in choice.rejected}
    return NO_FREE_SLOT not in reasons and bool(reasons & {*LIMIT_CLASSES, CIRCUIT_OPEN, Reason.AUTH_FAILED})


def _start(draft: Draft, choice: Choice, candidate: CandidateView, lines: list[Candidate]) -> Plan:
    """The next attempt."""
    last, run = draft.last, draft.seen.run
    number = draft.status.attempt_count + 1
    new = NewAttempt(
        number,
        pod_name(run.metadata.name, run.metadata.uid, number),
        candidate,
        last.node_name if last else "",
        choice.reason[:MESSAGE],
    )
    if last and last.candidate != candidate.name:
        record_reroute(
            draft,
            Reroute(
                time=draft.now,
                depth="Run",
                source=last.candidate,
                target=candidate.name,
                reason=f"{last.end_class}: {last.message}"[:MESSAGE],
            ),
        )
        if not _keeps_workspace(draft.spec):
            draft.note(
                Reason.WORKSPACE_LOST,
                "the workspace is an emptyDir: its files are given up with the old pod",
                warning=True,
            )
    elif last:
        draft.note(Reason.RETRYING, f"attempt {number} on {candidate.name}; {_last_words(last)}")
    rejected = [Rejection(candidate=o.candidate, reason=o.reason, message=o.message[:MESSAGE]) for o in choice.rejected]
    draft.update(
        route=RouteChoice(
            candidate=candidate.name,
            provider=candidate.provider,
            model=candidate.model,
            reason=choice.reason[:MESSAGE],
            rejected=rejected,
        )
    )
    append_attempt(
        draft,
        Attempt(
            number=number,
            pod_name=new.pod_name,
            candidate=candidate.name,
            provider=candidate.provider,
            model=candidate.model,
            agent=_agent_of(draft.spec, candidate.name, lines),
            start_time=draft.now,
        ),
    )
    draft.condition(ConditionType.ROUTED, "True", Reason.CANDIDATE_CHOSEN, choice.reason)
    draft.condition(ConditionType.RUNNING, "False", Reason.POD_CREATED, new.pod_name)
    draft.condition(ConditionType.SUCCEEDED, "Unknown", Reason.POD_CREATED, f"attempt {number} on {candidate.name}")
    return draft.plan(create=new, wake_at=draft.now + timedelta(seconds=draft.spec.timeout_seconds))


def _agent_of(spec: AgentRunSpec, candidate: str, lines: list[Candidate]) -> str:
    """Name of the Agent that plays: the candidate's own wins."""
    ref = next((line.agent_ref for line in lines if line.name == candidate), None) or spec.agent_ref
    return ref.name if ref else ""


def _keeps_workspace(spec: AgentRunSpec) -> bool:
    return spec.workspace.volume is not None or spec.workspace.volume_claim_name is not None


def pod_name(run: str, uid: str, attempt: int) -> str:
    """Name of an attempt's pod: the same for the same attempt, so that creating it twice is a conflict."""
    return f"{run[:48].rstrip('-')}-{uid[:5]}-{attempt}"
