"""How the candidates stand, for whoever scrapes: found out then, so that no request pays for it."""

from dataclasses import replace
from datetime import datetime

from droveway.api.enums import Access, Dialect
from droveway.core.ranking import CandidateView
from droveway.core.routing import first_objection
from droveway.gateway.config import Snapshot
from droveway.gateway.metrics import GatewayMetrics
from droveway.gateway.standing import Need, Standing


def show_candidates(metrics: GatewayMetrics, standing: Standing, snapshot: Snapshot, now: datetime) -> None:
    """Sets the gauges of all candidates; those of lost ones go."""
    for gauge in (metrics.usable, metrics.circuit_open, metrics.limited_until):
        gauge.clear()
    for route in snapshot.routes.values():
        for view in standing.views(route, Need(Dialect.ANTHROPIC), now):
            labels = (*route.key, view.name)
            metrics.usable(*labels).set(_usable(view, now))
            metrics.circuit_open(*labels).set(not view.circuit_allows)
            if view.limited_until and view.limited_until > now:
                metrics.limited_until(*labels).set(view.limited_until.timestamp())


def _usable(view: CandidateView, now: datetime) -> bool:
    """For some request: which dialect one speaks, and of which agent it is, is not the candidate's fault."""
    return view.access is Access.GATEWAY and first_objection(replace(view, unfit=None), now) is None
