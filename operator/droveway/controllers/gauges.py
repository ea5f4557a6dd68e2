"""How things stand, as metrics: the state of breakers, how much of a quota is used, until when it is spent.

Set whenever a status is judged, also when nothing of it has to be written: so they are there right after a restart.
"""

from collections.abc import Iterable, Mapping

from prometheus_client import Gauge

from droveway.api.enums import CircuitName
from droveway.api.v1alpha1 import ModelProviderStatus, ModelRoute, ModelRouteStatus
from droveway.cluster.objects import Key
from droveway.core.tenant import Share

_VALUES = {CircuitName.CLOSED: 0, CircuitName.OPEN: 1, CircuitName.HALF_OPEN: 2}
_BAD_TO_WORSE = (CircuitName.CLOSED, CircuitName.HALF_OPEN, CircuitName.OPEN)


class _Rows:
    """A gauge whose samples belong to objects: what an object no longer says is removed."""

    def __init__(self, gauge: Gauge) -> None:
        """Takes a gauge whose first labels are the owner's namespace and name."""
        self._gauge = gauge
        self._shown: dict[Key, set[tuple[str, ...]]] = {}

    def show(self, owner: Key, values: Mapping[tuple[str, ...], float]) -> None:
        """Makes these, by their other labels, the samples of an object."""
        for labels, value in values.items():
            self._gauge.labels(*owner, *labels).set(value)
        for gone in self._shown.pop(owner, set()) - values.keys():
            self._gauge.remove(*owner, *gone)
        if values:
            self._shown[owner] = set(values)


_CIRCUIT_STATE = _Rows(
    Gauge(
        "droveway_circuit_state",
        "State of a candidate's circuit breaker: 0 closed, 1 open, 2 half-open.",
        ["tenant", "route", "provider", "model"],
    )
)
_QUOTA_USED = _Rows(
    Gauge(
        "droveway_quota_used_ratio",
        "Used share of a window of a provider's quota, as last told; above 1 is overdrawn.",
        ["tenant", "provider", "quota_group", "window"],
    )
)
_QUOTA_SPENT = _Rows(
    Gauge(
        "droveway_quota_forecast_spent_timestamp_seconds",
        "When a window will be spent at its pace, in Unix time; absent while it begins anew before that.",
        ["tenant", "provider", "quota_group", "window"],
    )
)
_LIMITED_UNTIL = _Rows(
    Gauge(
        "droveway_limited_until_timestamp_seconds",
        "When a spent quota of a provider is back, in Unix time; absent while it is not spent.",
        ["tenant", "provider", "kind"],
    )
)


_TENANT_USED = _Rows(
    Gauge(
        "droveway_tenant_quota_used_ratio",
        "Used share of a limit of a TenantQuota; above 1 is overdrawn.",
        ["tenant", "quota", "window", "unit"],
    )
)


def show_shares(key: Key, shares: Iterable[Share]) -> None:
    """Shows how much of a TenantQuota is used; of one that is gone nothing is."""
    _TENANT_USED.show(key, {(s.window.value, s.unit.name.lower()): s.used / s.most if s.most else 1.0 for s in shares})


def show_circuits(key: Key, route: ModelRoute, status: ModelRouteStatus) -> None:
    """Shows the breakers of a route; of candidates with the same provider and model the worst one."""
    states: dict[tuple[str, ...], CircuitName] = {}
    for line, candidate in zip(route.spec.candidates, status.candidates, strict=True):
        target = (line.provider_ref.name, line.model)
        states[target] = max(states.get(target, CircuitName.CLOSED), candidate.circuit.state, key=_BAD_TO_WORSE.index)
    _CIRCUIT_STATE.show(key, {target: _VALUES[state] for target, state in states.items()})


def forget_circuits(key: Key) -> None:
    """The route is gone."""
    _CIRCUIT_STATE.show(key, {})


def show_quota(key: Key, group: str, status: ModelProviderStatus) -> None:
    """Shows how much of a provider's quota is used, when it will be spent, and until when it is.

    The status of a provider that is gone is empty. What shares a quota group says the same.
    """
    used: dict[tuple[str, ...], float] = {}
    spent: dict[tuple[str, ...], float] = {}
    for told in status.utilization:
        used[group, told.window] = told.used_percent / 100
        if told.spent_time:
            spent[group, told.window] = told.spent_time.timestamp()
    _QUOTA_USED.show(key, used)
    _QUOTA_SPENT.show(key, spent)
    until: dict[tuple[str, ...], float] = {}
    for limit in status.limits:
        until[(limit.kind,)] = max(until.get((limit.kind,), 0.0), limit.until_time.timestamp())
    _LIMITED_UNTIL.show(key, until)
