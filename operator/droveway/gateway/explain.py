"""What a route would do now with one more request, and why: for people who ask before they read logs.

The answer's shape is a contract: `docs/schemas/explain.schema.json`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from droveway.api.enums import CircuitName, Dialect
from droveway.core.health import CircuitState
from droveway.core.ramp import FULL
from droveway.core.ranking import CandidateView, Preference, Ranked
from droveway.core.routing import Objection, choose, first_objection
from droveway.gateway.admission import Admission, Gate, Slots
from droveway.gateway.config import Route, Run
from droveway.gateway.standing import Detail, Need, Standing

_CIRCUITS = {
    CircuitState.CLOSED: CircuitName.CLOSED,
    CircuitState.OPEN: CircuitName.OPEN,
    CircuitState.HALF_OPEN: CircuitName.HALF_OPEN,
}


def explain(standing: Standing, admission: Admission, route: Route, run: Run, now: datetime) -> dict[str, Any]:
    """How each candidate stands, and the choice for a request of a run, in each dialect that a candidate speaks."""
    prefer = Preference(route.strategy, key=run.uid, sticky=run.candidate or None)
    views = {dialect: standing.views(route, Need(dialect, run.agent_on(route)), now) for dialect in Dialect}
    any_dialect_s = next(iter(views.values()))
    spoken = dict.fromkeys(view.dialect for view in any_dialect_s)
    own = [views[view.dialect][place] for place, view in enumerate(any_dialect_s)]
    return {
        "route": f"{route.key.namespace}/{route.key.name}",
        "strategy": route.strategy.value,
        "time": now.isoformat(),
        "session": {"run": run.name, "candidate": run.candidate or None},
        "mirror": route.mirror and route.mirror._asdict(),
        "candidates": [
            _candidate(view, standing.detail(route, line, now), admission, now)
            for line, view in zip(route.candidates, own, strict=True)
        ],
        "dialects": {dialect.value: _choice(views[dialect], prefer, now) for dialect in spoken},
    }


def _candidate(view: CandidateView, detail: Detail | None, admission: Admission, now: datetime) -> dict[str, Any]:
    objection = first_objection(view, now)
    return {
        "candidate": view.name,
        "provider": view.provider,
        "model": view.model,
        "skipped": _skipped(objection) if objection else None,
        "canaryPercent": view.canary_percent,
        "sharePercent": view.share_percent,
        "ramp": _ramp(view) if view.share_percent < FULL else None,
        "draining": view.used_percent is not None
        and view.drain_percent <= view.used_percent
        and view.drain_percent < FULL,
        "drainPercent": view.drain_percent,
        **(
            _detail(detail, admission.gate(detail.provider), now)
            if detail
            else {"circuit": None, "limit": None, "quota": [], "slots": None, "quotaGroupSlots": None}
        ),
    }


def _ramp(view: CandidateView) -> dict[str, Any]:
    return {"since": _time(view.share_since), "growsAt": _time(view.share_until)}


def _detail(detail: Detail, gate: Gate, now: datetime) -> dict[str, Any]:
    breaker, limit, slots = detail.breaker, detail.limit, gate.own
    return {
        "circuit": {
            "state": _CIRCUITS[breaker.state(now)].value,
            "failures": breaker.failures,
            "openUntil": _time(breaker.open_until(now)),
        },
        "limit": limit
        and {
            "kind": limit.kind.value,
            "until": _time(limit.until),
            "covers": limit.covers or None,
            "message": limit.reason,
        },
        "quota": [
            {
                "window": told.window,
                "usedPercent": told.used_percent,
                "resetsAt": _time(told.resets_at),
                "spentAt": _time(told.spent_at()),
            }
            for told in detail.readings
        ],
        "slots": _slots(slots),
        "quotaGroupSlots": _slots(gate.group) if gate.group else None,
    }


def _slots(slots: Slots) -> dict[str, int]:
    return {"inFlight": slots.in_flight, "waiting": slots.waiting, "limit": slots.limit}


def _choice(views: Sequence[CandidateView], prefer: Preference, now: datetime) -> dict[str, Any]:
    choice = choose(views, prefer, now)
    placed = {ranked.candidate.name for ranked in choice.ranking}
    return {
        "chosen": choice.candidate.name if choice.candidate else None,
        "reason": choice.reason,
        "eligibleAt": _time(choice.eligible_at),
        "ranking": [_ranked(ranked) for ranked in choice.ranking],
        "skipped": [_skipped(found) for found in choice.rejected if found.candidate not in placed],
    }


def _ranked(ranked: Ranked) -> dict[str, Any]:
    c = ranked.candidate
    return {
        "candidate": c.name,
        "provider": c.provider,
        "model": c.model,
        "score": ranked.score,
        "heldBack": ranked.held_back or None,
        "priority": c.priority,
        "weight": c.weight,
        "expectedSuccess": round(c.expected_success, 4),
        "latencyMilliseconds": c.latency_ms,
        "usdPerMillionTokens": c.price,
        "usedPercent": c.used_percent,
    }


def _skipped(found: Objection) -> dict[str, Any]:
    return {
        "candidate": found.candidate,
        "reason": found.reason,
        "message": found.message,
        "until": _time(found.until),
    }


def _time(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
