"""From what was judged to what is counted. Labels are names of manifests, never what an event claims."""

from droveway.api.enums import CircuitName, TransitionReason
from droveway.api.v1alpha1 import ModelRouteStatus
from droveway.cluster.objects import Key
from droveway.controllers.metrics import (
    CIRCUIT_TRANSITIONS,
    CLOCK_CLAMPED,
    DIRECT_COST,
    DIRECT_TOKENS,
    EVENTS,
    VALUES_REJECTED,
)
from droveway.core.breakers import Breakers
from droveway.core.changes import Changes
from droveway.core.events import TOKEN_BUCKETS, TOKEN_FIELDS
from droveway.core.health import CircuitState
from droveway.core.tally import NANO, ModelTally


def count_changes(route: Key, breakers: Breakers, source: str, changes: Changes) -> None:
    """Counts what a batch has changed; `source`: `gateway` or `sidecar`."""
    for outcome in ("accepted", "duplicates", "gaps", "strays"):
        if count := getattr(changes, outcome):
            EVENTS.labels(source, outcome).inc(count)
    if changes.clamped:
        CLOCK_CLAMPED.inc(changes.clamped)
    for field, count in (("cost", changes.costs_rejected), ("latency", changes.latencies_rejected)):
        if count:
            VALUES_REJECTED.labels(field).inc(count)
    for account, use in changes.direct.items():
        _count_use((*route, *account), use)
    count_transitions(route, breakers, changes)


def count_transitions(route: Key, breakers: Breakers, changes: Changes) -> None:
    """Counts breakers that opened or closed (R-B9)."""
    for candidate, change in changes.transitions:
        _count(route, breakers.target(candidate), change.source, change.target, change.reason)


def count_half_open(route: Key, breakers: Breakers, old: ModelRouteStatus, new: ModelRouteStatus) -> None:
    """Counts breakers that are half-open by a new status: time alone makes them so, no event tells of it."""
    known = {c.name for c in old.candidates if c.circuit.state is CircuitName.HALF_OPEN}
    for candidate in new.candidates:
        if candidate.circuit.state is CircuitName.HALF_OPEN and candidate.name not in known:
            target = breakers.target(candidate.name)
            _count(route, target, CircuitState.OPEN, CircuitState.HALF_OPEN, TransitionReason.COOLDOWN_OVER)


def _count_use(target: tuple[str, ...], use: ModelTally) -> None:
    for bucket, tokens in zip(TOKEN_FIELDS, use.tokens, strict=True):
        if tokens and bucket in TOKEN_BUCKETS:  # not the total: sums over buckets are right
            DIRECT_TOKENS.labels(*target, bucket).inc(tokens)
    if use.cost:
        DIRECT_COST.labels(*target).inc(use.cost / NANO)


def _count(
    route: Key, target: tuple[str, str], before: CircuitState, after: CircuitState, reason: TransitionReason
) -> None:
    CIRCUIT_TRANSITIONS.labels(*route, *target, before.value, after.value, reason.value).inc()
