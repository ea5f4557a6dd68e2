"""Whether a run is over, and as what."""

from datetime import datetime, timedelta

from droveway.api.enums import LIMIT_CLASSES, EndClass, OnLimit, Reason
from droveway.api.v1alpha1 import AgentRunSpec, AgentRunStatus
from droveway.core.budget import overrun
from droveway.core.draft import DIVERSIONS, FAULTS, INTERRUPTIONS, Draft
from droveway.core.outcome import unrunnable

_MAX_INTERRUPTIONS = 10

_FINAL = frozenset(
    {EndClass.SUCCEEDED, EndClass.REQUEST_REJECTED, EndClass.BUDGET_EXCEEDED, EndClass.TIMEOUT, EndClass.CANCELLED}
)


def over(draft: Draft) -> tuple[EndClass, str, str] | None:
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
    if (deadline := draft.deadline()) and draft.now >= deadline:
        return (
            EndClass.TIMEOUT,
            Reason.DEADLINE_EXCEEDED,
            f"the run did not end within spec.deadlineSeconds ({spec.deadline_seconds})",
        )
    if spent := overrun(spec.budget, status.usage):
        return EndClass.BUDGET_EXCEEDED, EndClass.BUDGET_EXCEEDED, spent
    if last and end in FAULTS and (reason := unrunnable(last.exit_code, message)):
        return EndClass.AGENT_FAILED, reason, message
    if end in FAULTS and status.failed_count >= spec.retry.max_attempts:
        return end, end, f"{status.failed_count} attempts failed; the last: {message}"
    if end in INTERRUPTIONS and status.interrupted_count > _MAX_INTERRUPTIONS:
        return end, end, f"interrupted {status.interrupted_count} times; the last: {message}"
    if end in LIMIT_CLASSES and spec.retry.on_limit is OnLimit.FAIL:
        return end, end, f"retry.onLimit is Fail: {message}"
    if end in DIVERSIONS - LIMIT_CLASSES and status.limited_count > spec.retry.max_reroutes:
        return end, Reason.REROUTES_EXHAUSTED, f"moved {spec.retry.max_reroutes} times; the last: {message}"
    return None


def expires_at(spec: AgentRunSpec, status: AgentRunStatus) -> datetime | None:
    """When a run that is over is deleted; None: somebody else does it."""
    good = bool(status.attempts) and status.attempts[-1].end_class is EndClass.SUCCEEDED
    seconds = spec.ttl_seconds_after_success if good else spec.ttl_seconds_after_failure
    if seconds is None or status.completion_time is None:
        return None
    return status.completion_time + timedelta(seconds=seconds)
