"""The life of a run: what to do next, from a snapshot and the clock.

A pass settles the attempt that is under way, if any; else it decides whether the run is over, must wait, or gets its next
attempt. An attempt that has to be ended is first marked in the status (`class` without `endTime`), then its pod is deleted:
an operator that dies in between finishes what it began.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from droveway.api.enums import LIMIT_CLASSES, ConditionType, EndClass, Health, OnExhausted, OnLimit, Reason
from droveway.api.v1alpha1 import AgentRunSpec, AgentRunStatus, Attempt
from droveway.api.v1alpha1.agentrun import Rejection, Reroute, Result, RouteChoice
from droveway.core import retry
from droveway.core.budget import overrun
from droveway.core.conditions import with_condition
from droveway.core.facts import AttemptFacts
from droveway.core.notes import Note
from droveway.core.outcome import Ending, ending_of, vanished
from droveway.core.podview import PodView
from droveway.core.routing import CandidateView, Choice, Preference, choose
from droveway.core.snapshot import Doomed, NewAttempt, Plan, Problem, Snapshot

_KEPT = 10  # attempts and reroutes in status
_MAX_INTERRUPTIONS = 10
_SETTLE = timedelta(seconds=2)  # the gateway tells within a second what an attempt used
_USAGE_FLOOR = timedelta(seconds=10)
_PULL_PATIENCE = timedelta(seconds=60)  # the kubelet retries by itself; a registry may be back
_LIMIT_PATIENCE = timedelta(seconds=60)  # a CLI may wait for a limit this short by itself
_FALLBACK_WAKE = timedelta(seconds=30)  # nothing says when a candidate is back
_PROBLEM_WAKE = timedelta(seconds=5)  # Secrets are not watched
_MESSAGE = 256
_CONDITION = 1024
_RESULT = 4096

_FINAL = frozenset(
    {EndClass.SUCCEEDED, EndClass.REQUEST_REJECTED, EndClass.BUDGET_EXCEEDED, EndClass.TIMEOUT, EndClass.CANCELLED}
)
_FAULTS = frozenset({EndClass.AGENT_FAILED, EndClass.STALLED, EndClass.OUT_OF_MEMORY, EndClass.UNKNOWN})
_INTERRUPTIONS = frozenset({EndClass.EVICTED, EndClass.IMAGE_PULL})
_DIVERSIONS = LIMIT_CLASSES | {EndClass.PROVIDER_OUTAGE, EndClass.AUTH_FAILED}


@dataclass(slots=True)
class _Draft:
    """The plan while it is being made."""

    seen: Snapshot
    now: datetime
    status: AgentRunStatus
    notes: list[Note] = field(default_factory=list)

    @property
    def spec(self) -> AgentRunSpec:
        return self.seen.run.spec

    @property
    def last(self) -> Attempt | None:
        return self.status.attempts[-1] if self.status.attempts else None

    def update(self, **changes: object) -> None:
        self.status = self.status.model_copy(update=changes)

    def condition(self, type_: ConditionType, status: str, reason: str, message: str = "") -> None:
        generation = self.seen.run.metadata.generation
        self.update(
            conditions=with_condition(self.status.conditions, type_, status, reason, message, generation, self.now)
        )

    def set_last(self, attempt: Attempt) -> None:
        self.update(attempts=[*self.status.attempts[:-1], attempt])

    def note(self, reason: str, message: str, *, warning: bool = False) -> None:
        self.notes.append(Note(reason, message, warning))

    def plan(
        self,
        *,
        create: NewAttempt | None = None,
        delete: tuple[PodView, ...] = (),
        wake_at: datetime | None = None,
        waiting: bool = False,
    ) -> Plan:
        return Plan(
            self.status,
            create,
            tuple(Doomed(p.name, p.uid) for p in delete),
            notes=tuple(self.notes),
            wake_at=wake_at,
            waiting=waiting,
        )


def decide(seen: Snapshot, now: datetime) -> Plan:
    """What to do about a run now."""
    if seen.run.status.completion_time:
        return _after_completion(seen, now)
    draft = _Draft(seen, now, _opened(seen, now))
    _adopt(draft)
    _learn(draft)
    if draft.last and draft.last.end_time is None:
        under_way = _settle(draft, draft.last)
        if under_way:
            return _quiet_usage(under_way, seen, now)
    return _next_step(draft)


def refused(seen: Snapshot, message: str, now: datetime) -> Plan:
    """The attempt that was decided cannot be made: the API server, or a reference, refuses its pod."""
    draft = _Draft(seen, now, _opened(seen, now))
    return _blocked(draft, Problem(Reason.POD_REFUSED, message[:_CONDITION]))


# -- the whole run ---------------------------------------------------------------------------------------------------


def _opened(seen: Snapshot, now: datetime) -> AgentRunStatus:
    status, meta = seen.run.status, seen.run.metadata
    return status.model_copy(
        update={
            "observed_generation": meta.generation,
            "start_time": status.start_time or now,
        }
    )


def _after_completion(seen: Snapshot, now: datetime) -> Plan:
    """A finished run: only its time to live is left."""
    status, spec = seen.run.status, seen.run.spec
    succeeded = status.attempts and status.attempts[-1].end_class is EndClass.SUCCEEDED
    ttl = spec.ttl_seconds_after_success if succeeded else spec.ttl_seconds_after_failure
    if ttl is None or status.completion_time is None:
        return Plan(status)
    end = status.completion_time + timedelta(seconds=ttl)
    return Plan(status, delete_run=True) if now >= end else Plan(status, wake_at=end)


def _finish(draft: _Draft, end_class: EndClass, reason: str, message: str) -> Plan:
    """The one place where a run becomes terminal."""
    good = end_class is EndClass.SUCCEEDED
    draft.update(completion_time=draft.now, next_eligible_time=None, health=Health.TERMINATED)
    draft.condition(ConditionType.RUNNING, "False", Reason.FINISHED)
    draft.condition(ConditionType.HEALTHY, "True" if good else "False", end_class)
    draft.condition(ConditionType.SUCCEEDED, "True" if good else "False", reason, message)
    if not good:
        draft.note(reason, message or f"the run ended as {end_class}", warning=end_class is not EndClass.CANCELLED)
    spec = draft.spec
    ttl = spec.ttl_seconds_after_success if good else spec.ttl_seconds_after_failure
    return draft.plan(wake_at=draft.now + timedelta(seconds=ttl) if ttl is not None else None)


# -- what is known ---------------------------------------------------------------------------------------------------


def _adopt(draft: _Draft) -> None:
    """Takes up pods that were created before a status write was lost."""
    for pod in sorted(draft.seen.pods, key=lambda p: p.attempt):
        if pod.attempt > draft.status.attempt_count:
            _append_attempt(
                draft,
                Attempt(
                    number=pod.attempt,
                    pod_name=pod.name,
                    candidate=pod.candidate,
                    provider=pod.provider,
                    model=pod.model,
                    start_time=pod.created_at,
                ),
            )


def _append_attempt(draft: _Draft, attempt: Attempt) -> None:
    kept = [*draft.status.attempts, attempt][-_KEPT:]
    draft.update(attempts=kept, attempt_count=attempt.number, next_eligible_time=None)


def _learn(draft: _Draft) -> None:
    """Takes over what events have told."""
    facts, status = draft.seen.facts, draft.status
    if facts.usage.completions or facts.usage.by_model:
        draft.update(usage=facts.usage)
    if facts.session_id:
        draft.update(session_id=facts.session_id[:_MESSAGE])
    if facts.result:
        draft.update(result=Result(text=facts.result[:_RESULT], truncated=len(facts.result) > _RESULT))
    told = max((r.time for r in status.reroutes if r.depth == "Request"), default=None)
    for move in facts.reroutes:
        if told is None or move.at > told:
            _record_reroute(
                draft,
                Reroute(
                    time=move.at, depth="Request", source=move.source, target=move.target, reason=move.reason[:_MESSAGE]
                ),
            )
    _follow_requests(draft)


def _record_reroute(draft: _Draft, move: Reroute) -> None:
    draft.update(reroutes=[*draft.status.reroutes, move][-_KEPT:], reroute_count=draft.status.reroute_count + 1)
    draft.note(Reason.REROUTED, f"{move.depth.lower()} moved from {move.source} to {move.target}: {move.reason}")


def _follow_requests(draft: _Draft) -> None:
    """The route in status is the candidate that really serves the run."""
    served, route = draft.seen.facts.served_by, draft.status.route
    view = next((c for c in draft.seen.candidates if c.name == served), None)
    if not served or route is None or view is None or route.candidate == served:
        return
    why = next((r for r in reversed(draft.status.reroutes) if r.target == served), None)
    reason = f"the gateway moved the run's requests from {route.candidate}" + (f": {why.reason}" if why else "")
    rejected = [Rejection(candidate=why.source, reason="Refused", message=why.reason)] if why else []
    draft.update(
        route=RouteChoice(
            candidate=served, provider=view.provider, model=view.model, reason=reason[:_MESSAGE], rejected=rejected
        )
    )


def _quiet_usage(plan: Plan, seen: Snapshot, now: datetime) -> Plan:
    """Usage alone is not worth a write each time it grows."""
    old = seen.run.status
    same = plan.status.model_copy(update={"usage": old.usage, "session_id": old.session_id, "result": old.result})
    if same != old or plan.status == old or not old.usage.completions:
        return plan
    due = (seen.written_at or now - _USAGE_FLOOR) + _USAGE_FLOOR
    if now >= due:
        return plan
    return replace(plan, status=old, wake_at=min(filter(None, (plan.wake_at, due))))


# -- the attempt under way -------------------------------------------------------------------------------------------


def _settle(draft: _Draft, attempt: Attempt) -> Plan | None:
    """Brings the attempt forward; None when it is over and recorded."""
    pod = next((p for p in draft.seen.pods if p.attempt == attempt.number), None)
    facts = draft.seen.facts.attempts.get(attempt.number, AttemptFacts())
    if pod is None:
        _close(draft, attempt, vanished(facts), draft.now)
        return None
    if pod.ended:
        return _judge(draft, attempt, pod, facts)
    if attempt.end_class is not None or pod.deleting:
        draft.condition(ConditionType.RUNNING, "False", Reason.STOPPING, attempt.message)
        draft.condition(
            ConditionType.SUCCEEDED, "Unknown", Reason.STOPPING, f"ending {attempt.pod_name}: {attempt.message}"
        )
        return draft.plan(delete=() if pod.deleting else (pod,))
    reason = _reason_to_end(draft, attempt, pod, facts)
    if reason:
        return _end(draft, attempt, pod, reason)
    return _watch(draft, attempt, pod)


def _judge(draft: _Draft, attempt: Attempt, pod: PodView, facts: AttemptFacts) -> Plan | None:
    """All containers have ended: wait for the last word about what it used, then record the outcome."""
    ended = pod.finished_at or draft.now
    told = pod.final.completions if pod.final else 0
    if told > facts.completions and draft.now < ended + _SETTLE and attempt.end_class is None:
        return draft.plan(wake_at=ended + _SETTLE)
    ending = ending_of(pod, facts)
    if attempt.end_class is not None and ending.end_class is not EndClass.SUCCEEDED:
        ending = Ending(attempt.end_class, attempt.message, ending.exit_code)
    if pod.final and pod.final.session_id:
        draft.update(session_id=pod.final.session_id[:_MESSAGE])
    _close(draft, attempt.model_copy(update={"node_name": pod.node}), ending, ended)
    return None


def _close(draft: _Draft, attempt: Attempt, ending: Ending, ended: datetime) -> None:
    end_class = attempt.end_class if attempt.end_class and ending.end_class is EndClass.UNKNOWN else ending.end_class
    message = attempt.message if end_class is attempt.end_class else ending.message
    draft.set_last(
        attempt.model_copy(
            update={
                "end_time": ended,
                "end_class": end_class,
                "exit_code": ending.exit_code,
                "message": message[:_MESSAGE],
            }
        )
    )
    status = draft.status
    if end_class in _FAULTS:
        draft.update(failed_count=status.failed_count + 1)
    elif end_class in _INTERRUPTIONS:
        draft.update(interrupted_count=status.interrupted_count + 1)
    elif end_class in _DIVERSIONS:
        draft.update(limited_count=status.limited_count + 1)


def _reason_to_end(draft: _Draft, attempt: Attempt, pod: PodView, facts: AttemptFacts) -> Ending | None:
    """The first reason for which a live pod must go."""
    spec, now = draft.spec, draft.now
    if spec.cancel:
        return Ending(EndClass.CANCELLED, "spec.cancel was set")
    if spec.suspend:
        return Ending(EndClass.SUSPENDED, "spec.suspend was set")
    if (deadline := _deadline(draft)) and now >= deadline:
        return Ending(EndClass.TIMEOUT, f"the run did not end within spec.deadlineSeconds ({spec.deadline_seconds})")
    if now >= attempt.start_time + timedelta(seconds=spec.timeout_seconds):
        return Ending(EndClass.TIMEOUT, f"the attempt ran longer than spec.timeoutSeconds ({spec.timeout_seconds})")
    if facts.stalled and not facts.final:
        return Ending(
            EndClass.STALLED, f"the agent printed nothing for spec.stallTimeoutSeconds ({spec.stall_timeout_seconds})"
        )
    if spent := overrun(spec.budget, draft.status.usage):
        return Ending(EndClass.BUDGET_EXCEEDED, spent)
    if (
        (limit := facts.exhausted or facts.reported)
        and limit.is_limit
        and (limit.until is None or limit.until > now + _LIMIT_PATIENCE)
    ):
        return Ending(limit.kind, limit.reason)
    if pod.unpullable and now >= pod.created_at + _PULL_PATIENCE:
        return Ending(EndClass.IMAGE_PULL, f"{pod.waiting}: {pod.message}")
    return None


def _end(draft: _Draft, attempt: Attempt, pod: PodView, ending: Ending) -> Plan:
    """Marks the attempt, then deletes its pod: in this order, so that a crash in between loses nothing."""
    draft.set_last(attempt.model_copy(update={"end_class": ending.end_class, "message": ending.message[:_MESSAGE]}))
    if ending.end_class is EndClass.STALLED:
        draft.update(health=Health.TIMEOUT)
        draft.condition(ConditionType.HEALTHY, "False", Health.TIMEOUT, ending.message)
    draft.condition(ConditionType.RUNNING, "False", Reason.STOPPING, ending.message)
    draft.condition(ConditionType.SUCCEEDED, "Unknown", Reason.STOPPING, f"ending {attempt.pod_name}: {ending.message}")
    draft.note(
        ending.end_class,
        f"attempt {attempt.number} is being ended: {ending.message}",
        warning=ending.end_class not in (EndClass.CANCELLED, EndClass.SUSPENDED),
    )
    return draft.plan(delete=(pod,))


def _watch(draft: _Draft, attempt: Attempt, pod: PodView) -> Plan:
    """A pod that is starting or running: say so, and wake at the next deadline."""
    if pod.started_at:
        health = Health.DEGRADED if draft.status.failed_count or draft.seen.facts.reroutes else Health.HEALTHY
        draft.update(health=health)
        draft.set_last(attempt.model_copy(update={"node_name": pod.node}))
        draft.condition(ConditionType.RUNNING, "True", Reason.RUNNING, f"attempt {attempt.number} in pod {pod.name}")
        draft.condition(ConditionType.HEALTHY, "True", health)
        draft.condition(
            ConditionType.SUCCEEDED, "Unknown", Reason.RUNNING, f"attempt {attempt.number} on {attempt.candidate}"
        )
    elif pod.waiting not in ("", "PodInitializing", "ContainerCreating"):
        draft.condition(ConditionType.RUNNING, "False", pod.waiting, pod.message)
        draft.condition(ConditionType.SUCCEEDED, "Unknown", pod.waiting, f"pod {pod.name} cannot start: {pod.message}")
    moments = [attempt.start_time + timedelta(seconds=draft.spec.timeout_seconds), _deadline(draft)]
    if pod.unpullable:
        moments.append(pod.created_at + _PULL_PATIENCE)
    return draft.plan(wake_at=min(m for m in moments if m))


def _deadline(draft: _Draft) -> datetime | None:
    seconds, start = draft.spec.deadline_seconds, draft.status.start_time
    return start + timedelta(seconds=seconds) if seconds is not None and start else None


# -- between attempts ------------------------------------------------------------------------------------------------


def _next_step(draft: _Draft) -> Plan:
    """No attempt is under way."""
    over = _over(draft)
    leftovers = tuple(p for p in draft.seen.pods if not p.deleting)
    if over:
        # A pod that was ended by us is gone by now; one that ended by itself stays, for its logs.
        return _finish(draft, *over)
    if draft.seen.pods:
        draft.condition(ConditionType.RUNNING, "False", Reason.STOPPING)
        _say_between(
            draft,
            Reason.REROUTING if _diverted(draft) else Reason.BACKING_OFF,
            "the last attempt's pod is being removed",
        )
        return draft.plan(delete=leftovers)
    if draft.spec.suspend:
        draft.update(next_eligible_time=None)
        draft.condition(ConditionType.RUNNING, "False", Reason.SUSPENDED)
        _say_between(draft, Reason.SUSPENDED, "set spec.suspend to false to go on")
        return draft.plan(wake_at=_deadline(draft))
    if draft.seen.problem:
        return _blocked(draft, draft.seen.problem)
    draft.condition(ConditionType.ACCEPTED, "True", Reason.VALID)
    if (ready := _not_before(draft)) and ready > draft.now:
        _say_between(draft, Reason.REROUTING if _diverted(draft) else Reason.BACKING_OFF, _last_words(draft))
        draft.update(next_eligible_time=ready)
        draft.condition(ConditionType.RUNNING, "False", Reason.BACKING_OFF)
        return draft.plan(wake_at=min(filter(None, (ready, _deadline(draft)))))
    return _route(draft)


def _over(draft: _Draft) -> tuple[EndClass, str, str] | None:
    """Whether nothing more is to be tried: (end class, reason, message)."""
    last, spec, status = draft.last, draft.spec, draft.status
    end = last.end_class if last else None
    message = last.message if last else ""
    if end is EndClass.SUCCEEDED:
        return end, end, f"attempt {status.attempt_count} succeeded"
    if spec.cancel:
        return EndClass.CANCELLED, EndClass.CANCELLED, "spec.cancel was set"
    if end is not None and end in _FINAL:
        return end, end, message
    if (deadline := _deadline(draft)) and draft.now >= deadline:
        return (
            EndClass.TIMEOUT,
            Reason.DEADLINE_EXCEEDED,
            f"the run did not end within spec.deadlineSeconds ({spec.deadline_seconds})",
        )
    if spent := overrun(spec.budget, status.usage):
        return EndClass.BUDGET_EXCEEDED, EndClass.BUDGET_EXCEEDED, spent
    if end in _FAULTS and status.failed_count >= spec.retry.max_attempts:
        return end, end, f"{status.failed_count} attempts failed; the last: {message}"
    if end in _INTERRUPTIONS and status.interrupted_count > _MAX_INTERRUPTIONS:
        return end, end, f"interrupted {status.interrupted_count} times; the last: {message}"
    if end in LIMIT_CLASSES and spec.retry.on_limit is OnLimit.FAIL:
        return end, end, f"retry.onLimit is Fail: {message}"
    if end in _DIVERSIONS and status.limited_count > spec.retry.max_reroutes:
        return end, Reason.REROUTES_EXHAUSTED, f"moved {spec.retry.max_reroutes} times; the last: {message}"
    return None


def _diverted(draft: _Draft) -> bool:
    return draft.last is not None and draft.last.end_class in _DIVERSIONS


def _last_words(draft: _Draft) -> str:
    last = draft.last
    return f"attempt {last.number} ended as {last.end_class}: {last.message}" if last else ""


def _not_before(draft: _Draft) -> datetime | None:
    """When the next attempt may start at the earliest."""
    last, status = draft.last, draft.status
    if last is None or last.end_time is None or last.end_class is EndClass.SUSPENDED:
        return None
    if last.end_class in _DIVERSIONS:
        return last.end_time + retry.REROUTE_PAUSE
    failures = status.interrupted_count if last.end_class in _INTERRUPTIONS else status.failed_count
    seed = f"{draft.seen.run.metadata.uid}/{last.number}"
    return last.end_time + retry.backoff(max(1, failures), draft.spec.retry.backoff_seconds, seed)


def _blocked(draft: _Draft, problem: Problem) -> Plan:
    """Somebody must act; the run goes on by itself once they did."""
    draft.update(next_eligible_time=None)
    draft.condition(ConditionType.ACCEPTED, "False", problem.reason, problem.message)
    draft.condition(ConditionType.RUNNING, "False", Reason.PENDING)
    _say_between(draft, problem.reason, problem.message)
    return draft.plan(wake_at=min(filter(None, (draft.now + _PROBLEM_WAKE, _deadline(draft)))), waiting=True)


def _say_between(draft: _Draft, reason: str, message: str) -> None:
    """Health and summary of a run without a pod."""
    failed = draft.last is not None and draft.last.end_class in _FAULTS
    health = Health.UNHEALTHY if failed else draft.status.health
    draft.update(health=health)
    if health:
        draft.condition(
            ConditionType.HEALTHY, "False" if health in (Health.UNHEALTHY, Health.TIMEOUT) else "True", health
        )
    draft.condition(ConditionType.SUCCEEDED, "Unknown", reason, message)


def _route(draft: _Draft) -> Plan:
    """Chooses a candidate; creates the attempt, or waits."""
    route = draft.seen.route
    if route is None:
        raise ValueError("a snapshot without a route must name the problem")
    sticky = draft.last.candidate if draft.last else None
    stay = _diverted(draft) and draft.spec.retry.on_limit is OnLimit.WAIT
    dice = retry.backoff(1, 1, f"{draft.seen.run.metadata.uid}/{draft.status.attempt_count}").total_seconds() - 0.5
    choice = choose(draft.seen.candidates, Preference(route.spec.strategy, dice, sticky, stay=stay), draft.now)
    if choice.candidate is None:
        return _none_eligible(draft, choice, route.spec.on_exhausted)
    return _start(draft, choice, choice.candidate)


def _none_eligible(draft: _Draft, choice: Choice, on_exhausted: OnExhausted) -> Plan:
    kinds = [EndClass(o.reason) for o in choice.rejected if o.reason in LIMIT_CLASSES]
    if on_exhausted is OnExhausted.FAIL:
        return _finish(
            draft, kinds[0] if kinds else EndClass.PROVIDER_OUTAGE, Reason.NO_ELIGIBLE_CANDIDATE, choice.reason
        )
    reason = Reason.WAITING_FOR_CAPACITY if choice.eligible_at else Reason.NO_ELIGIBLE_CANDIDATE
    details = "; ".join(f"{o.candidate}: {o.message or o.reason}" for o in choice.rejected)
    draft.update(next_eligible_time=choice.eligible_at)
    draft.condition(ConditionType.ROUTED, "False", reason, details)
    draft.condition(ConditionType.RUNNING, "False", Reason.PENDING)
    until = f"until {choice.eligible_at:%Y-%m-%dT%H:%M:%SZ}; " if choice.eligible_at else ""
    _say_between(draft, reason, until + details)
    wake = choice.eligible_at or draft.now + (_FALLBACK_WAKE if not kinds else _PROBLEM_WAKE)
    return draft.plan(wake_at=min(filter(None, (wake, draft.now + _FALLBACK_WAKE, _deadline(draft)))), waiting=True)


def _start(draft: _Draft, choice: Choice, candidate: CandidateView) -> Plan:
    """The next attempt."""
    last, run = draft.last, draft.seen.run
    number = draft.status.attempt_count + 1
    new = NewAttempt(
        number, pod_name(run.metadata.name, run.metadata.uid, number), candidate, last.node_name if last else ""
    )
    if last and last.candidate != candidate.name:
        _record_reroute(
            draft,
            Reroute(
                time=draft.now,
                depth="Run",
                source=last.candidate,
                target=candidate.name,
                reason=f"{last.end_class}: {last.message}"[:_MESSAGE],
            ),
        )
        if not _keeps_workspace(draft.spec):
            draft.note(
                Reason.WORKSPACE_LOST,
                "the workspace is an emptyDir: its files are given up with the old pod",
                warning=True,
            )
    elif last:
        draft.note(Reason.RETRYING, f"attempt {number} on {candidate.name}; {_last_words(draft)}")
    rejected = [
        Rejection(candidate=o.candidate, reason=o.reason, message=o.message[:_MESSAGE]) for o in choice.rejected
    ]
    draft.update(
        route=RouteChoice(
            candidate=candidate.name,
            provider=candidate.provider,
            model=candidate.model,
            reason=choice.reason[:_MESSAGE],
            rejected=rejected,
        )
    )
    _append_attempt(
        draft,
        Attempt(
            number=number,
            pod_name=new.pod_name,
            candidate=candidate.name,
            provider=candidate.provider,
            model=candidate.model,
            start_time=draft.now,
        ),
    )
    draft.condition(ConditionType.ROUTED, "True", Reason.CANDIDATE_CHOSEN, choice.reason)
    draft.condition(ConditionType.RUNNING, "False", Reason.POD_CREATED, new.pod_name)
    draft.condition(ConditionType.SUCCEEDED, "Unknown", Reason.POD_CREATED, f"attempt {number} on {candidate.name}")
    return draft.plan(create=new, wake_at=draft.now + timedelta(seconds=draft.spec.timeout_seconds))


def _keeps_workspace(spec: AgentRunSpec) -> bool:
    return spec.workspace.volume is not None or spec.workspace.volume_claim_name is not None


def pod_name(run: str, uid: str, attempt: int) -> str:
    """Name of an attempt's pod: the same for the same attempt, so that creating it twice is a conflict."""
    return f"{run[:48].rstrip('-')}-{uid[:5]}-{attempt}"
