"""How a run is doing: what its pod shows now, and what happened to it within the last hour (R-H1 to R-H4)."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from droveway.api.enums import ConditionType, EndClass, Health
from droveway.api.v1alpha1 import AgentRunStatus
from droveway.core.draft import DIVERSIONS, FAULTS, INTERRUPTIONS, Draft
from droveway.core.facts import AttemptFacts
from droveway.core.history import HealthHistory, HealthStatus
from droveway.core.podview import PodView

WINDOW = timedelta(hours=1)
THRESHOLD = 0.8
"""So much of what was observed within the window must have been healthy."""
_MOST = 20

_ENDED = {
    **dict.fromkeys(FAULTS, HealthStatus.UNHEALTHY),
    **dict.fromkeys(DIVERSIONS | INTERRUPTIONS, HealthStatus.DEGRADED),
    EndClass.STALLED: HealthStatus.TIMEOUT,
}
"""What the end of an attempt says; of the others the run is over, or somebody asked for them."""


@dataclass(frozen=True, slots=True)
class Sign:
    """What a pod shows at one moment."""

    status: HealthStatus
    message: str = ""


def pod_sign(pod: PodView, facts: AttemptFacts) -> Sign | None:
    """What a pod shows of its health (R-H4); None: it is on its way.

    A deletion cannot be taken back, so that Terminated is final for a pod (R-H3).
    """
    if pod.deleting:
        return Sign(HealthStatus.TERMINATED, "its pod is being deleted")
    if facts.stalled and not facts.final:
        return Sign(HealthStatus.TIMEOUT, "the agent prints nothing")
    if pod.stuck:
        return Sign(HealthStatus.UNHEALTHY, f"{pod.waiting}: {pod.message}")
    if pod.started_at is None:
        return None
    if pod.lost:
        return Sign(HealthStatus.UNHEALTHY, f"node {pod.node} does not answer")
    if pod.disruption:
        return Sign(HealthStatus.DEGRADED, pod.disruption)
    if pod.restarts:
        return Sign(HealthStatus.DEGRADED, f"its sidecar was restarted {pod.restarts} time(s)")
    return Sign(HealthStatus.HEALTHY)


def show_health(draft: Draft, sign: Sign | None) -> None:
    """Puts the run's health into its status, and why into its condition `Healthy`; nothing while nothing is known."""
    if sign is None and not draft.status.attempts:
        return
    health, message = _assess(draft.status, sign, draft.now)
    well = health in (HealthStatus.HEALTHY, HealthStatus.DEGRADED)
    draft.update(health=Health[health.name])
    draft.condition(ConditionType.HEALTHY, "True" if well else "False", Health[health.name], message)


def _assess(status: AgentRunStatus, sign: Sign | None, now: datetime) -> tuple[HealthStatus, str]:
    """A pod that is ill makes its run ill; one that is well only so far as the last hour was."""
    if sign and sign.status not in (HealthStatus.HEALTHY, HealthStatus.DEGRADED):
        return sign.status, sign.message
    history = HealthHistory(_MOST, WINDOW)
    for at, seen in sorted(_past(status)):
        history.record(seen, at)
    if sign:
        history.record(sign.status, now)
    health = history.assess(THRESHOLD, now)
    if health is HealthStatus.HEALTHY:
        return health, ""
    rate = f"{history.success_rate(now):.0%} of {len(history)} observation(s) within an hour were healthy"
    return health, f"{sign.message}; {rate}" if sign and sign.message else rate


def _past(status: AgentRunStatus) -> Iterator[tuple[datetime, HealthStatus]]:
    for attempt in status.attempts:
        if attempt.end_time and attempt.end_class in _ENDED:
            yield attempt.end_time, _ENDED[attempt.end_class]
    for move in status.reroutes:
        if move.depth == "Request":  # a run's move is the end of an attempt
            yield move.time, HealthStatus.DEGRADED
