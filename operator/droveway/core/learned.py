"""Takes over into a run's status what was learnt since the last pass: pods that it does not know yet, and what events told."""

from droveway.api.enums import Reason
from droveway.api.v1alpha1 import Attempt
from droveway.api.v1alpha1.agentrun import Rejection, Reroute, Result, RouteChoice
from droveway.core.draft import MESSAGE, Draft
from droveway.core.facts import RunFacts
from droveway.core.podview import PodView

_KEPT = 10  # attempts and reroutes in status
_RESULT = 4096


def adopt(draft: Draft) -> None:
    """Takes up pods that were created before a status write was lost."""
    for pod in sorted(draft.seen.pods, key=lambda p: p.attempt):
        if pod.attempt > draft.status.attempt_count:
            append_attempt(
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
            _choose_again(draft, pod)


def _choose_again(draft: Draft, pod: PodView) -> None:
    """What was rejected was lost with the status write; the choice itself stands on the pod."""
    chosen = RouteChoice(
        candidate=pod.candidate,
        provider=pod.provider,
        model=pod.model,
        reason=pod.why[:MESSAGE] or "taken over from its pod",
    )
    draft.update(route=chosen)


def append_attempt(draft: Draft, attempt: Attempt) -> None:
    """Makes it the current attempt."""
    kept = [*draft.status.attempts, attempt][-_KEPT:]
    draft.update(attempts=kept, attempt_count=attempt.number, next_eligible_time=None)


def learn(draft: Draft) -> None:
    """Takes over what events have told."""
    facts = draft.seen.facts
    if facts.usage.completions or facts.usage.by_model:
        draft.update(usage=facts.usage, attempts=[_with_usage(a, facts) for a in draft.status.attempts])
    if facts.session_id:
        draft.update(session_id=facts.session_id[:MESSAGE])
    if facts.result:
        draft.update(result=Result(text=facts.result[:_RESULT], truncated=len(facts.result) > _RESULT))
    for move in facts.reroutes:
        seen = Reroute(
            time=move.at, depth="Request", source=move.source, target=move.target, reason=move.reason[:MESSAGE]
        )
        if _is_news(draft, seen):
            record_reroute(draft, seen)
    _follow_requests(draft)


def _with_usage(attempt: Attempt, facts: RunFacts) -> Attempt:
    known = facts.attempts.get(attempt.number)
    if known is None or not known.usage.completions or known.usage == attempt.usage:
        return attempt
    return attempt.model_copy(update={"usage": known.usage})


def _is_news(draft: Draft, move: Reroute) -> bool:
    """Gateways tell out of order, and again; what is older than all of a full list has been in it."""
    kept = draft.status.reroutes
    if any((r.depth, r.time, r.target) == (move.depth, move.time, move.target) for r in kept):
        return False
    return len(kept) < _KEPT or move.time > kept[0].time


def record_reroute(draft: Draft, move: Reroute) -> None:
    """Adds a move to status, and an Event."""
    moves = sorted([*draft.status.reroutes, move], key=lambda r: r.time)[-_KEPT:]
    draft.update(reroutes=moves, reroute_count=draft.status.reroute_count + 1)
    draft.note(Reason.REROUTED, f"{move.depth.lower()} moved from {move.source} to {move.target}: {move.reason}")


def _follow_requests(draft: Draft) -> None:
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
            candidate=served, provider=view.provider, model=view.model, reason=reason[:MESSAGE], rejected=rejected
        )
    )
