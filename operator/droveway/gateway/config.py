"""What the gateway serves: routes, providers and runs as one immutable snapshot, swapped whole when anything changes."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from droveway.api.enums import (
    Access,
    CircuitName,
    ConditionType,
    Dialect,
    EarlierThoughts,
    EndClass,
    OnLimit,
    QuotaWindow,
    Strategy,
)
from droveway.api.v1alpha1 import CandidateStatus, ModelProvider, ModelRoute, TenantQuota
from droveway.cluster.objects import Key
from droveway.core.cacheterms import CacheRule
from droveway.core.canary import ORDINARY, Part, part_of
from droveway.core.health import CircuitBreakerConfig
from droveway.core.limitbook import Limit, scope_of
from droveway.core.provider import readings_of
from droveway.core.quota import Amount, Rules
from droveway.core.quotabook import Told
from droveway.core.signatures import Signatures, compiled
from droveway.core.tenant import billionths, rules_of, told_of
from droveway.core.utilization import Reading
from droveway.gateway.patterns import linear_pattern
from droveway.gateway.timing import Timing, timing_of


class SecretKey(NamedTuple):
    """One key of one Secret."""

    namespace: str
    name: str
    key: str


class Circuit(NamedTuple):
    """Breaker of record of a candidate, as the operator has written it down."""

    state: CircuitName
    opened_at: datetime | None
    open_until: datetime | None


CLOSED = Circuit(CircuitName.CLOSED, None, None)


@dataclass(frozen=True, slots=True)
class Provider:
    """One upstream account."""

    key: Key
    dialect: Dialect
    access: Access
    base_url: str
    quota_key: str
    secret: SecretKey | None = None
    max_in_flight: int = 32
    group_max_in_flight: int | None = None
    default_limit: timedelta = timedelta(hours=1)
    signatures: Signatures = ()
    limits: tuple[Limit, ...] = ()
    utilization: tuple[Reading, ...] = ()
    drain_percent: int = 90
    not_ready: tuple[str, str] | None = None

    @property
    def name(self) -> str:
        """Its name within its namespace."""
        return self.key.name


@dataclass(frozen=True, slots=True)
class Candidate:
    """One line of a route, with what the operator knows of it.

    Attributes:
        agent: the Agent it names; "" for the run's.
        back_since: since when it comes back in steps, after an outage or a limit that the operator saw.
        part: whether it is a canary, or gets no work.
    """

    name: str
    provider: Key
    model: str
    weight: int = 1
    priority: int = 0
    circuit: Circuit = CLOSED
    samples: int = 0
    succeeded: int = 0
    latency_ms: float | None = None
    timed_at: datetime | None = None
    agent: str = ""
    back_since: datetime | None = None
    part: Part = ORDINARY


class Mirror(NamedTuple):
    """Who gets copies of how many of the requests."""

    candidate: str
    percent: int


@dataclass(frozen=True, slots=True)
class Route:
    """The choice. `drops_thoughts`: a conversation goes to another vendor without what was thought in it (`earlierThoughts`)."""

    key: Key
    strategy: Strategy
    candidates: tuple[Candidate, ...]
    breaker: CircuitBreakerConfig
    stale_after: timedelta = timedelta(minutes=10)
    cache: CacheRule = field(default_factory=CacheRule)
    timing: Timing = field(default_factory=Timing)
    mirror: Mirror | None = None
    drops_thoughts: bool = False


@dataclass(frozen=True, slots=True)
class Quota:
    """A TenantQuota: its rules, and what the operator says was used."""

    key: Key
    rules: Rules
    used: Mapping[QuotaWindow, Told] = field(default_factory=dict)


class Spent(NamedTuple):
    """What a run may use, and what the operator says it has used. None: no limit."""

    max_tokens: int | None
    max_cost: int | None
    used: Amount


@dataclass(frozen=True, slots=True)
class Run:
    """An AgentRun, as far as its requests need it.

    Attributes:
        attempt, candidate: the latest, as far as the operator has said.
        agent: the Agent it names; a candidate's own comes first.
        leaves_limits: at a limit its requests may go to another candidate (`retry.onLimit: Reroute`).
        live: it is not over.
        budget: None: it has none.
    """

    uid: str
    namespace: str
    name: str
    route: str
    attempt: int = 0
    candidate: str = ""
    agent: str = ""
    leaves_limits: bool = True
    live: bool = True
    budget: Spent | None = None

    def agent_on(self, route: Route) -> str:
        """The Agent that its attempt runs."""
        return next((c.agent for c in route.candidates if c.agent and c.name == self.candidate), self.agent)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything at one moment. A request that began under one snapshot may end under the next."""

    routes: Mapping[Key, Route] = field(default_factory=dict)
    providers: Mapping[Key, Provider] = field(default_factory=dict)
    runs: Mapping[str, Run] = field(default_factory=dict)
    limits: Mapping[str, tuple[Limit, ...]] = field(default_factory=dict)
    """By quota key: what any provider of the group is known to be limited by."""
    quotas: Mapping[str, tuple[Quota, ...]] = field(default_factory=dict)
    """By tenant; who has none is not in it."""

    @classmethod
    def of(
        cls,
        routes: Iterable[Route],
        providers: Iterable[Provider],
        runs: Iterable[Run],
        quotas: Iterable[Quota] = (),
    ) -> "Snapshot":
        """A snapshot of all that is given."""
        by_key = {p.key: p for p in providers}
        return cls(
            {r.key: r for r in routes},
            by_key,
            {r.uid: r for r in runs},
            _by_quota(by_key.values()),
            _by_tenant(quotas),
        )


class Config:
    """Holds the snapshot of the moment.

    Attributes:
        snapshot: read it once per decision; it never changes, it is replaced.
        on_change: called after every swap of routes or providers.
    """

    def __init__(self) -> None:
        self.snapshot = Snapshot()
        self.synced = False
        self.on_change: list[Callable[[Snapshot], None]] = []

    def swap(self, snapshot: Snapshot) -> None:
        """Serves another snapshot from now on."""
        self.snapshot = snapshot
        self._tell()

    def put_route(self, key: Key, route: Route | None) -> None:
        """One route changed; None: it is gone."""
        self.snapshot = replace(self.snapshot, routes=_with(self.snapshot.routes, key, route))
        self._tell()

    def put_provider(self, key: Key, provider: Provider | None) -> None:
        """One provider changed; None: it is gone."""
        providers = _with(self.snapshot.providers, key, provider)
        self.snapshot = replace(self.snapshot, providers=providers, limits=_by_quota(providers.values()))
        self._tell()

    def put_quota(self, key: Key, quota: Quota | None) -> None:
        """One TenantQuota changed; None: it is gone."""
        known = {q.key: q for of_tenant in self.snapshot.quotas.values() for q in of_tenant}
        self.snapshot = replace(self.snapshot, quotas=_by_tenant(_with(known, key, quota).values()))
        self._tell()

    def put_run(self, uid: str, run: Run | None) -> None:
        """One run changed; None: it is gone."""
        self.snapshot = replace(self.snapshot, runs=_with(self.snapshot.runs, uid, run))

    def find_run(self, uid: str) -> Run | None:
        """The run of a uid."""
        return self.snapshot.runs.get(uid)

    def _tell(self) -> None:
        for listener in self.on_change:
            listener(self.snapshot)


K = TypeVar("K")
V = TypeVar("V")


def _with(known: Mapping[K, V], key: K, value: V | None) -> dict[K, V]:
    changed = dict(known)
    if value is None:
        changed.pop(key, None)
    else:
        changed[key] = value
    return changed


def _by_quota(providers: Iterable[Provider]) -> dict[str, tuple[Limit, ...]]:
    found: dict[str, tuple[Limit, ...]] = {}
    for provider in providers:
        if provider.limits:
            found[provider.quota_key] = found.get(provider.quota_key, ()) + provider.limits
    return found


def _by_tenant(quotas: Iterable[Quota]) -> dict[str, tuple[Quota, ...]]:
    found: dict[str, tuple[Quota, ...]] = {}
    for quota in quotas:
        found[quota.key.namespace] = (*found.get(quota.key.namespace, ()), quota)
    return found


def quota_of(manifest: dict[str, Any]) -> Quota:
    """A TenantQuota as the gateway keeps it."""
    resource = TenantQuota.model_validate(manifest)
    meta = resource.metadata
    return Quota(Key(meta.namespace, meta.name), rules_of(resource), told_of(resource.status))


def provider_of(manifest: dict[str, Any]) -> Provider:
    """A ModelProvider as the gateway keeps it.

    Raises:
        ValueError: it does not fit its schema, or names a pattern that is none.
    """
    resource = ModelProvider.model_validate(manifest)
    spec, status, meta = resource.spec, resource.status, resource.metadata
    ref = spec.credentials_ref
    stated = tuple(
        Limit(
            EndClass(limit.kind),
            limit.set_time,
            limit.until_time,
            scope_of(limit.model),
            limit.model,
            limit.message,
        )
        for limit in status.limits
    )
    return Provider(
        key=Key(meta.namespace, meta.name),
        dialect=spec.dialect,
        access=spec.access,
        base_url=spec.base_url.rstrip("/"),
        quota_key=f"{meta.namespace}/{spec.quota_group or meta.name}",
        secret=SecretKey(meta.namespace, ref.name, ref.key) if ref else None,
        max_in_flight=spec.max_in_flight,
        group_max_in_flight=spec.quota_group_max_in_flight,
        default_limit=timedelta(seconds=spec.limits.default_seconds),
        signatures=compiled(spec.limits.signatures, linear_pattern),
        limits=stated,
        utilization=readings_of(status),
        drain_percent=spec.limits.drain_percent,
        not_ready=_not_ready(resource),
    )


def _not_ready(provider: ModelProvider) -> tuple[str, str] | None:
    """Why the operator says that it cannot be used.

    A refused login is left out: the gateway finds out by itself as soon as the Secret holds another key.
    """
    for condition in provider.status.conditions:
        current = (condition.observed_generation or 0) >= provider.metadata.generation
        if condition.type == ConditionType.READY and condition.status == "False" and current:
            return None if condition.reason == EndClass.AUTH_FAILED else (condition.reason, condition.message)
    return None


def route_of(manifest: dict[str, Any]) -> Route:
    """A ModelRoute as the gateway keeps it."""
    resource = ModelRoute.model_validate(manifest)
    spec, meta = resource.spec, resource.metadata
    told = {status.name: status for status in resource.status.candidates}
    candidates = []
    for line in spec.candidates:
        known = told.get(line.name) or CandidateStatus(name=line.name, eligible=True, reason="")
        candidates.append(
            Candidate(
                line.name,
                Key(meta.namespace, line.provider_ref.name),
                line.model,
                line.weight,
                line.priority,
                Circuit(known.circuit.state, known.circuit.opened_time, known.circuit.open_until_time),
                known.telemetry.samples,
                known.telemetry.succeeded,
                known.telemetry.average_latency_milliseconds,
                known.telemetry.last_event_time,
                line.agent_ref.name if line.agent_ref else "",
                known.recovered_time,
                part_of(spec, resource.status.canary, line.name),
            )
        )
    rule = spec.circuit_breaker
    return Route(
        key=Key(meta.namespace, meta.name),
        strategy=spec.strategy,
        candidates=tuple(candidates),
        breaker=CircuitBreakerConfig(
            failure_threshold=rule.failure_threshold,
            cooldown=timedelta(seconds=rule.cooldown_seconds),
            success_threshold=rule.success_threshold,
            half_open_max_probes=rule.half_open_max_probes,
        ),
        stale_after=timedelta(seconds=spec.telemetry.stale_seconds),
        cache=CacheRule(spec.cache.mode, spec.cache.ttl_seconds),
        timing=timing_of(spec),
        mirror=Mirror(spec.mirror.candidate, spec.mirror.percent) if spec.mirror else None,
        drops_thoughts=spec.earlier_thoughts is EarlierThoughts.DROP,
    )


def run_of(manifest: dict[str, Any]) -> Run:
    """An AgentRun as the gateway keeps it. No pydantic: there are thousands, and they change often."""
    meta, status = manifest["metadata"], manifest.get("status") or {}
    return Run(
        uid=meta["uid"],
        namespace=meta.get("namespace", ""),
        name=meta["name"],
        route=manifest["spec"]["routeRef"]["name"],
        attempt=status.get("attemptCount") or 0,
        candidate=(status.get("route") or {}).get("candidate", ""),
        agent=(manifest["spec"].get("agentRef") or {}).get("name", ""),
        leaves_limits=(manifest["spec"].get("retry") or {}).get("onLimit", OnLimit.REROUTE) == OnLimit.REROUTE,
        live=not (status.get("completionTime") or meta.get("deletionTimestamp")),
        budget=_budget_of(manifest["spec"].get("budget"), status.get("usage") or {}),
    )


def _budget_of(budget: dict[str, Any] | None, usage: dict[str, Any]) -> Spent | None:
    if not budget or not (budget.get("maxTokens") or budget.get("maxCostUSD")):
        return None
    money = budget.get("maxCostUSD")
    used = Amount((usage.get("tokens") or {}).get("total", 0), billionths(usage.get("costUSD") or "0"))
    return Spent(budget.get("maxTokens"), billionths(money) if money else None, used)
