"""No candidate is left for a request: what that means, and until when."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from droveway.api.enums import LIMIT_CLASSES, EndClass
from droveway.core.ranking import CandidateView
from droveway.core.verdict import Scope, Verdict

CANNOT_CONVERT = "CannotConvert"
"""A candidate's provider speaks another dialect, and this request holds what that has no words for."""

BUSY = timedelta(seconds=5)
"""After which another look at a provider without a free slot pays."""


_HOPELESS = (EndClass.AUTH_FAILED, EndClass.REQUEST_REJECTED)
"""Waiting changes nothing."""


def exhausted(candidates: Sequence[CandidateView], refusals: Mapping[str, Verdict], now: datetime) -> Verdict:
    """The verdict on the whole route: that of the candidate which can be used again first.

    Args:
        candidates: of the route, as they stand now.
        refusals: what this request was refused with, by candidate.
        now: the moment.

    Returns:
        A limit with its reset, an outage, `RequestRejected` when no candidate can be told what is asked, or `AuthFailed`
        when only a person can change it; the reason names all candidates.
    """
    told = [(c, _standing(c, refusals.get(c.name), now)) for c in candidates]
    hopeful = [verdict for _, verdict in told if verdict.kind not in _HOPELESS]
    reason = "; ".join(f"{c.name} ({c.provider}/{c.model}): {verdict.reason}" for c, verdict in told)
    if not hopeful and any(verdict.kind is EndClass.REQUEST_REJECTED for _, verdict in told):
        return Verdict(EndClass.REQUEST_REJECTED, None, Scope.REQUEST, f"no candidate can serve this request: {reason}")
    if not hopeful:
        return Verdict(EndClass.AUTH_FAILED, None, Scope.REQUEST, f"no candidate can be used: {reason}")
    first = min(hopeful, key=lambda verdict: verdict.until or now)
    return Verdict(first.kind, first.until, Scope.REQUEST, f"no candidate is left: {reason}")


def _standing(c: CandidateView, refusal: Verdict | None, now: datetime) -> Verdict:
    """Why one candidate cannot be used, and until when. Limits first: they last."""
    if c.withheld or c.not_ready or c.unfit:
        reason, message = c.withheld or c.not_ready or c.unfit or ("", "")
        kind = EndClass.REQUEST_REJECTED if reason == CANNOT_CONVERT else EndClass.AUTH_FAILED
        return Verdict(kind, None, Scope.PROVIDER, f"{reason} {message}".strip())
    if c.limited_until and c.limited_until > now:
        kind = EndClass(c.limit_kind) if c.limit_kind in LIMIT_CLASSES else EndClass.SUBSCRIPTION_LIMIT
        return Verdict(kind, c.limited_until, Scope.QUOTA_GROUP, f"{kind} until {c.limited_until:%Y-%m-%dT%H:%M:%SZ}")
    if refusal and refusal.kind is EndClass.AUTH_FAILED:
        return refusal
    if not c.circuit_allows:
        return Verdict(EndClass.PROVIDER_OUTAGE, c.circuit_until, Scope.PROVIDER, "failed repeatedly, left alone")
    return refusal or Verdict(EndClass.PROVIDER_OUTAGE, None, Scope.PROVIDER, "not tried")
