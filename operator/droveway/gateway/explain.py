"""What a route would do now with one more request, and why: for people who ask before they read logs."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from droveway.api.enums import Dialect
from droveway.core.ranking import CandidateView, Preference, Ranked
from droveway.core.routing import Objection, choose
from droveway.gateway.config import Route, Run
from droveway.gateway.standing import Need, Standing


def explain(standing: Standing, route: Route, run: Run, now: datetime) -> dict[str, Any]:
    """The choice for a request of a run, in each dialect that a candidate speaks: ranking, numbers and rejections."""
    prefer = Preference(route.strategy, key=run.uid, sticky=run.candidate or None)
    views = {dialect: standing.views(route, Need(dialect, run.agent_on(route)), now) for dialect in Dialect}
    spoken = dict.fromkeys(view.dialect for view in next(iter(views.values())))
    return {
        "route": f"{route.key.namespace}/{route.key.name}",
        "strategy": route.strategy.value,
        "time": now.isoformat(),
        "session": {"run": run.name, "candidate": run.candidate or None},
        "dialects": {dialect.value: _choice(views[dialect], prefer, now) for dialect in spoken},
    }


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
