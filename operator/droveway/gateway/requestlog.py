"""The line that every request leaves in the log; `docs/schemas/log.schema.json` says what may be in it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from droveway.api.enums import EndClass
from droveway.core.events import TOKEN_BUCKETS
from droveway.gateway.client import Asked, Origin

if TYPE_CHECKING:
    from droveway.gateway.ledger import Account, Call, Phases

log = logging.getLogger("droveway.gateway.requests")

_LONGEST_PATH = 256


def served(asked: Asked, account: Account, outcome: EndClass, duration: float, overhead: float) -> None:
    """A request that reached its route; seconds."""
    if not log.isEnabledFor(logging.INFO):
        return
    run, last = asked.caller.run, account.ended[-1] if account.ended else None
    cost = _cost(account.ended)
    fields = {
        "request_id": asked.request_id,
        "id": asked.id,
        "trace_id": asked.trace.trace_id,
        "tenant": run.namespace,
        "run": run.name,
        "run_uid": run.uid,
        "attempt": asked.caller.attempt,
        "route": asked.route.key.name,
        "candidate": account.candidate,
        "provider": last.provider.name if last else "",
        "model": last.candidate.model if last else "",
        "dialect": asked.spec.dialect.value,
        "operation": asked.request.operation.value,
        "stream": asked.request.stream,
        "verdict": outcome.value,
        "cache": account.cache,
        "attempts": [_attempt(call) for call in account.ended],
        "tokens": _tokens(account.ended),
        "cost_usd": cost,
        "cost_source": "Unknown" if cost is None else "Priced",
        "milliseconds": round(duration * 1000, 1),
        "phases": _phases(account.phases, overhead),
    }
    log.info("request", extra={"fields": fields})


def refused(origin: Origin, path: str, outcome: EndClass, reason: str) -> None:
    """A request that was turned away before that."""
    fields: dict[str, Any] = {
        "request_id": origin.request_id,
        "id": origin.id,
        "path": path[:_LONGEST_PATH],
        "verdict": outcome.value,
    }
    if origin.trace:
        fields["trace_id"] = origin.trace.trace_id
    log.info("refused", extra={"fields": fields | {"reason": reason}})


def _attempt(call: Call) -> dict[str, Any]:
    return {
        "candidate": call.candidate.name,
        "verdict": call.verdict.kind.value if call.verdict else "",
        "milliseconds": round(((call.ended or call.started) - call.started) * 1000, 1),
    }


def _tokens(calls: list[Call]) -> dict[str, int]:
    if len(calls) == 1:  # as nearly always
        used = calls[0].tokens
        return dict(zip(TOKEN_BUCKETS, used.buckets, strict=True))
    return {bucket: sum(getattr(call.tokens, bucket) for call in calls) for bucket in TOKEN_BUCKETS}


def _cost(calls: list[Call]) -> float | None:
    """None when the price of any of them is unknown: a sum that leaves something out is no cost."""
    used = [call.cost_usd for call in calls if call.tokens.total]
    known = [cost for cost in used if cost is not None]
    return round(sum(known), 9) if known and len(known) == len(used) else None


def _phases(phases: Phases, overhead: float) -> dict[str, float]:
    return {
        "queue": round(phases.queue * 1000, 2),
        "headers": round(phases.headers * 1000, 2),
        "first_content": round(phases.first_content * 1000, 2),
        "stream": round(phases.stream * 1000, 2),
        "pause": round(phases.pause * 1000, 2),
        "overhead": round(overhead * 1000, 2),
    }
