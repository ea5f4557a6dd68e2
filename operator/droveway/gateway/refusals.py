"""A request that is beyond a quota: whether to wait, and what the agent is told."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from droveway.api.enums import EndClass
from droveway.core.quota import Violation, until_all
from droveway.core.verdict import Scope, Verdict
from droveway.dialects import Reply, out_message, out_seconds
from droveway.gateway.client import Asked

_SHORT_WAIT = timedelta(seconds=5)
"""What frees up so soon is waited for here: no agent waits as well by itself."""
_AGAIN_AFTER = timedelta(seconds=5)  # nobody knows when open requests end
_CLI_WAITS = timedelta(seconds=61)
"""Agents sit a throttle of a minute out; for anything longer they are told that it is spent."""


def enforced(against: Sequence[Violation]) -> list[Violation]:
    """Those that refuse."""
    return [violation for violation in against if violation.enforced]


def verdict_on(against: Sequence[Violation], patience: float) -> Verdict | None:
    """A refusal, if there is no point in waiting so many seconds for what is in the way."""
    found, now = enforced(against), datetime.now(UTC)
    if not found:
        return None
    until = until_all(found)
    wait = until - now if until else timedelta(0)
    if patience > 0 and wait <= min(_SHORT_WAIT, timedelta(seconds=patience)):
        return None
    worst = max(found, key=lambda violation: violation.until or now)
    return Verdict(EndClass.RATE_LIMITED, until or now + _AGAIN_AFTER, Scope.REQUEST, worst.reason)


def crowd() -> Verdict:
    """Others of the tenant waited before it, and are gone by now."""
    reason = "too many requests of this namespace wait for its quota"
    return Verdict(EndClass.RATE_LIMITED, datetime.now(UTC) + _AGAIN_AFTER, Scope.REQUEST, reason)


def reply_to(asked: Asked, verdict: Verdict, now: datetime) -> Reply:
    """Always 429 for a quota. What passes within a minute is told as a throttle, which agents sit out; else as spent."""
    spec = asked.spec
    if verdict.until is None:
        return spec.error_response(verdict.kind, f"{verdict.reason}; raise it, or start another run")
    if verdict.until - now > _CLI_WAITS:
        return spec.exhausted_response(verdict, now)._replace(status=429)
    return spec.error_response(verdict.kind, out_message(verdict), out_seconds(verdict, now))
