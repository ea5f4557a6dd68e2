"""What a call came to that its provider gave no verdict on, and what a refusal means by the provider's own rules."""

from dataclasses import replace
from datetime import UTC, datetime

from droveway.api.enums import EndClass
from droveway.core.signatures import SEARCHED, spent_by
from droveway.core.verdict import Scope, Verdict
from droveway.gateway.config import Provider
from droveway.gateway.exhausted import BUSY
from droveway.gateway.upstream import Unreachable

CANCELLED = Verdict(EndClass.CANCELLED, None, Scope.REQUEST, "the agent left before the answer was complete")
OVERTAKEN = Verdict(
    EndClass.CANCELLED, None, Scope.REQUEST, "another candidate, asked beside it, had the answer sooner"
)


def no_slot(provider: Provider, what: str) -> Verdict:
    """Our own bound, not a limit of the provider's: told as an overload, which agents try again."""
    reason = f"no slot of provider {provider.name} {what}; its maxInFlight, or its quota group's, is reached"
    return Verdict(EndClass.PROVIDER_OUTAGE, datetime.now(UTC) + BUSY, Scope.REQUEST, reason)


def outage(reason: str, error: Unreachable | None = None) -> Verdict:
    """A call that gave no answer; the clock is that which ended it, if one did."""
    return Verdict(EndClass.PROVIDER_OUTAGE, None, Scope.PROVIDER, reason, error.clock if error else None)


def judge(provider: Provider, verdict: Verdict, body: bytes, now: datetime) -> Verdict:
    """What a refusal means by the provider's own rules: its signatures, and how long its limits last."""
    verdict = spent_by(provider.signatures, verdict.kind, body[:SEARCHED].decode("utf-8", "replace")) or verdict
    if verdict.kind is EndClass.SUBSCRIPTION_LIMIT and verdict.until is None:
        return replace(verdict, until=now + provider.default_limit)
    return verdict
