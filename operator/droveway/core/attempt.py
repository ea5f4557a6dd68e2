"""The attempt under way: watch its pod, end it when it must end, judge it when it has.

An attempt that has to be ended is first marked in the status (`class` without `endTime`), then its pod is deleted: an
operator that dies in between finishes what it began.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from droveway.api.enums import LIMIT_CLASSES, ConditionType, EndClass, Reason
from droveway.api.v1alpha1 import Attempt
from droveway.core.budget import overrun
from droveway.core.draft import DIVERSIONS, FAULTS, INTERRUPTIONS, MESSAGE, Draft
from droveway.core.events import Record
from droveway.core.facts import AttemptFacts
from droveway.core.history import HealthStatus
from droveway.core.outcome import Ending, ending_of, vanished
from droveway.core.podview import PodView
from droveway.core.runhealth import Sign, pod_sign, show_health
from droveway.core.snapshot import Plan

_SETTLE = timedelta(seconds=2)  # the gateway tells within a second what an attempt used
_CATCH_UP = timedelta(seconds=15)  # after a time without an operator: its longest pause, and one delivery
_PULL_PATIENCE = timedelta(seconds=60)  # the kubelet retries by itself; a registry may be back
_LIMIT_PATIENCE = timedelta(seconds=60)  # a CLI may wait for a limit this short by itself


def settle(draft: Draft, attempt: Attempt) -> Plan | None:
    """Brings the attempt forward; None when it is over and recorded."""
    pod = next((p for p in draft.seen.pods if p.attempt == attempt.number), None)
    facts = draft.seen.facts.attempts.get(attempt.number, AttemptFacts())
    if pod is None:
        _close(draft, attempt, vanished(facts), draft.now)
        return None
    if pod.ended:
        return _judge(draft, attempt, pod, facts)
    if attempt.end_class is not None or pod.deleting:
        if attempt.end_class is None:
            show_health(draft, pod_sign(pod, facts))
        draft.condition(ConditionType.RUNNING, "False", Reason.STOPPING, attempt.message)
        says = f"ending {attempt.pod_name}: {attempt.message}{draft.stuck((pod,))}"
        draft.condition(ConditionType.SUCCEEDED, "Unknown", Reason.STOPPING, says)
        return draft.plan(delete=() if pod.deleting else (pod,), wake_at=draft.next_stuck((pod,)))
    reason = _reason_to_end(draft, attempt, pod, facts)
    if reason:
        return _end(draft, attempt, pod, reason)
    return _watch(draft, attempt, pod, pod_sign(pod, facts))


def _judge(draft: Draft, attempt: Attempt, pod: PodView, facts: AttemptFacts) -> Plan | None:
    """All containers have ended: wait for the last word about what it used, then record the outcome."""
    ended = pod.finished_at or draft.now
    settled = _settled_at(ended, draft.seen.listening_since)
    if _lags(pod.final, facts) and draft.now < settled and attempt.end_class is None:
        return draft.plan(wake_at=settled)
    ending = ending_of(pod, facts)
    if attempt.end_class is not None and ending.end_class is not EndClass.SUCCEEDED:
        ending = replace(ending, end_class=attempt.end_class)  # `_close` keeps the message that goes with it
    if pod.final and pod.final.session_id:
        draft.update(session_id=pod.final.session_id[:MESSAGE])
    _close(draft, attempt.model_copy(update={"node_name": pod.node}), ending, ended)
    return None


def _lags(final: Record | None, facts: AttemptFacts) -> bool:
    """Whether less was counted than the agent says it used."""
    return final is not None and (
        final.completions > facts.usage.completions or final.tokens.total > facts.usage.tokens.total
    )


def _settled_at(ended: datetime, listening_since: datetime | None) -> datetime:
    """Until when the last word about what an attempt used is waited for."""
    return max(ended + _SETTLE, listening_since + _CATCH_UP) if listening_since else ended + _SETTLE


def _close(draft: Draft, attempt: Attempt, ending: Ending, ended: datetime) -> None:
    end_class = attempt.end_class if attempt.end_class and ending.end_class is EndClass.UNKNOWN else ending.end_class
    message = attempt.message if end_class is attempt.end_class else ending.message
    draft.set_last(
        attempt.model_copy(
            update={
                "end_time": ended,
                "end_class": end_class,
                "exit_code": ending.exit_code,
                "message": message[:MESSAGE],
            }
        )
    )
    status = draft.status
    if end_class in FAULTS:
        draft.update(failed_count=status.failed_count + 1)
    elif end_class in INTERRUPTIONS:
        draft.update(interrupted_count=status.interrupted_count + 1)
    elif end_class in DIVERSIONS - LIMIT_CLASSES:  # a limit counts when the run really moves away from it
        draft.update(limited_count=status.limited_count + 1)


def _reason_to_end(draft: Draft, attempt: Attempt, pod: PodView, facts: AttemptFacts) -> Ending | None:
    """The first reason for which a live pod must go."""
    spec, now = draft.spec, draft.now
    if spec.cancel:
        return Ending(EndClass.CANCELLED, "spec.cancel was set")
    if spec.suspend:
        return Ending(EndClass.SUSPENDED, "spec.suspend was set")
    if (deadline := draft.deadline()) and now >= deadline:
        return Ending(EndClass.TIMEOUT, f"the run did not end within spec.deadlineSeconds ({spec.deadline_seconds})")
    if now >= attempt.start_time + timedelta(seconds=spec.timeout_seconds):
        if (
            pod.started_at is None
        ):  # not the agent's fault: something that its pod mounts is missing, or no node took it
            return Ending(
                EndClass.UNKNOWN,
                f"its pod did not start within spec.timeoutSeconds: {pod.waiting} {pod.message}".strip(),
            )
        return Ending(EndClass.TIMEOUT, f"the attempt ran longer than spec.timeoutSeconds ({spec.timeout_seconds})")
    if facts.stalled and not facts.final:
        return Ending(
            EndClass.STALLED, f"the agent printed nothing for spec.stallTimeoutSeconds ({spec.stall_timeout_seconds})"
        )
    if spent := overrun(spec.budget, draft.status.usage):
        return Ending(EndClass.BUDGET_EXCEEDED, spent)
    if facts.exhausted and facts.exhausted.kind is EndClass.BUDGET_EXCEEDED:  # the gateway has counted further
        return Ending(EndClass.BUDGET_EXCEEDED, facts.exhausted.reason)
    if (
        (limit := facts.exhausted or facts.reported)
        and limit.is_limit
        and (limit.until is None or limit.until > now + _LIMIT_PATIENCE)
    ):
        return Ending(limit.kind, limit.reason)
    if pod.unpullable and now >= pod.created_at + _PULL_PATIENCE:
        return Ending(EndClass.IMAGE_PULL, f"{pod.waiting}: {pod.message}")
    return None


def _end(draft: Draft, attempt: Attempt, pod: PodView, ending: Ending) -> Plan:
    """Marks the attempt, then deletes its pod: in this order, so that a crash in between loses nothing."""
    draft.set_last(attempt.model_copy(update={"end_class": ending.end_class, "message": ending.message[:MESSAGE]}))
    if ending.end_class is EndClass.STALLED:
        show_health(draft, Sign(HealthStatus.TIMEOUT, ending.message))
    draft.condition(ConditionType.RUNNING, "False", Reason.STOPPING, ending.message)
    draft.condition(ConditionType.SUCCEEDED, "Unknown", Reason.STOPPING, f"ending {attempt.pod_name}: {ending.message}")
    draft.note(
        ending.end_class,
        f"attempt {attempt.number} is being ended: {ending.message}",
        warning=ending.end_class not in (EndClass.CANCELLED, EndClass.SUSPENDED),
    )
    return draft.plan(delete=(pod,))


def _watch(draft: Draft, attempt: Attempt, pod: PodView, sign: Sign | None) -> Plan:
    """A pod that is starting or running: say so, and wake at the next deadline."""
    if sign:
        show_health(draft, sign)
    if pod.started_at:
        draft.set_last(attempt.model_copy(update={"node_name": pod.node}))
        draft.condition(ConditionType.RUNNING, "True", Reason.RUNNING, f"attempt {attempt.number} in pod {pod.name}")
        draft.condition(
            ConditionType.SUCCEEDED, "Unknown", Reason.RUNNING, f"attempt {attempt.number} on {attempt.candidate}"
        )
    elif pod.stuck:
        draft.condition(ConditionType.RUNNING, "False", pod.waiting, pod.message)
        draft.condition(ConditionType.SUCCEEDED, "Unknown", pod.waiting, f"pod {pod.name} cannot start: {pod.message}")
    moments = [attempt.start_time + timedelta(seconds=draft.spec.timeout_seconds), draft.deadline()]
    if pod.unpullable:
        moments.append(pod.created_at + _PULL_PATIENCE)
    return draft.plan(wake_at=min(m for m in moments if m))
