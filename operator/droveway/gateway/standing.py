"""How the candidates stand: what the operator has written down, and what this gateway has seen itself since.

The gateway's own limits and breakers only ever add to the operator's word, they never overrule it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from droveway.api.enums import Access, CircuitName, Dialect, EndClass, Strategy
from droveway.cluster.objects import Key
from droveway.core.health import CircuitBreaker, CircuitState
from droveway.core.limitbook import Limit, LimitBook, pages
from droveway.core.ramp import FULL, slowest
from droveway.core.ranking import CandidateView
from droveway.core.routing import first_objection
from droveway.core.trials import Trials
from droveway.core.utilization import Reading, UtilizationBook
from droveway.core.verdict import Scope, Verdict
from droveway.dialects import utilization
from droveway.gateway.comebacks import BreakerKey, Comebacks
from droveway.gateway.config import Candidate, Config, Provider, Route, Run, Snapshot
from droveway.gateway.exhausted import CANNOT_CONVERT
from droveway.gateway.ledger import Call
from droveway.gateway.prices import PricedModel, Prices

_REFUSED_FOR = timedelta(seconds=60)  # then a refused key is tried again: the vendor may have been wrong
_LONGEST_REASON = 256


@dataclass(frozen=True, slots=True)
class Need:
    """What a request asks of a candidate.

    Attributes:
        dialect: its own; a provider of another gets it converted.
        agent: the Agent it comes from.
        cannot: why it cannot be converted, by the dialects for which that is known.
    """

    dialect: Dialect
    agent: str = ""
    cannot: Mapping[Dialect, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Detail:
    """What this gateway knows of a candidate, for people.

    Attributes:
        breaker: its own here, which may only be stricter than the operator's.
        limit: the limit that lasts longest, of the operator's word and our own.
        readings: how much of its account's quota windows is used.
    """

    provider: Provider
    breaker: CircuitBreaker
    limit: Limit | None
    readings: Sequence[Reading]


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A key that its provider refused."""

    until: datetime
    reason: str


class Standing:
    """Limits, breakers and refused keys, as far as this process knows them."""

    def __init__(self, config: Config, prices: Prices) -> None:
        self._config, self._prices = config, prices
        self._limits = LimitBook()
        self._trials = Trials(self._limits)
        self._used = UtilizationBook()
        self._accounts: set[str] = set()
        self._breakers: dict[BreakerKey, CircuitBreaker] = {}
        self._adopted: dict[BreakerKey, datetime] = {}
        self._comebacks = Comebacks()
        self._refused: dict[Key, _Refusal] = {}

    def route(self, run: Run) -> Route | None:
        """The route of a run."""
        return self._config.snapshot.routes.get(Key(run.namespace, run.route))

    def provider(self, candidate: Candidate) -> Provider:
        """The provider of a candidate that a view showed as usable."""
        return self._config.snapshot.providers[candidate.provider]

    def find_provider(self, candidate: Candidate) -> Provider | None:
        """The provider of any candidate; None: there is none of this name."""
        return self._config.snapshot.providers.get(candidate.provider)

    def unusable(self, route: Route, now: datetime) -> str:
        """Why none of a route's candidates could ever be asked as things are configured; "" if one could.

        Of Direct providers the gateway serves nothing: a route of them alone is none of its business.
        """
        reasons = []
        for candidate in route.candidates:
            provider = self._config.snapshot.providers.get(candidate.provider)
            if provider and provider.access is not Access.GATEWAY:
                continue
            objection = self._not_ready(provider, now) if provider else _missing(candidate)
            if objection is None:
                return ""
            reasons.append(objection[1])
        return "; ".join(dict.fromkeys(reasons))[:_LONGEST_REASON]

    def views(self, route: Route, need: Need, now: datetime) -> tuple[CandidateView, ...]:
        """The candidates of a route, with everything that speaks against each for a request."""
        return tuple(self._view(route, candidate, need, now) for candidate in route.candidates)

    def detail(self, route: Route, candidate: Candidate, now: datetime) -> Detail | None:
        """How a candidate stands; None when there is no such provider."""
        if (provider := self._config.snapshot.providers.get(candidate.provider)) is None:
            return None
        return Detail(
            provider,
            self._breaker(route, candidate),
            self._limit(provider, candidate.model, now),
            self._used.readings(provider.quota_key, now),
        )

    def enter(
        self, route: Route, candidate: Candidate, provider: Provider, now: datetime, *, waited: bool
    ) -> Verdict | None:
        """Takes a half-open breaker's probe, now that a slot is held; and looks again if that took a while.

        Returns:
            Why the candidate cannot be used any more, or None.
        """
        view = self._view(route, candidate, Need(provider.dialect), now) if waited else None
        objection = first_objection(view, now) if view else None
        if view and objection and view.limited_until and view.limited_until > now:
            return Verdict(EndClass(view.limit_kind), view.limited_until, Scope.QUOTA_GROUP, objection.message)
        breaker = self._breaker(route, candidate)
        if objection is None and breaker.should_allow(now):
            self._trials.begin(provider.quota_key, candidate.model, now)
            return None
        reason = objection.message if objection else "its circuit breaker is half-open and its probes are under way"
        return Verdict(EndClass.PROVIDER_OUTAGE, breaker.open_until(now), Scope.PROVIDER, reason)

    def learn(self, provider: Provider, headers: Mapping[str, str], now: datetime) -> list[Reading]:
        """Takes over how much of an account's quota is used; returns what the operator does not know yet."""
        found = utilization(headers, now)
        return self._used.note(provider.quota_key, found, now) if found else []

    def note(self, route: Route, call: Call, verdict: Verdict, now: datetime) -> None:
        """Learns from the end of a call. What an agent's leaving or a bad request ends teaches nothing (R-B7)."""
        breaker, provider, model = self._breaker(route, call.candidate), call.provider, call.candidate.model
        if verdict.is_success:
            key = (route.key, call.candidate.name)
            if breaker.record_success(now, call.started_at):
                self._comebacks.begin(key, now)
            self._comebacks.succeeded(key, call.started_at, now)
            self._trials.succeeded(provider.quota_key, call.started_at, model, now)
            self._refused.pop(provider.key, None)
        elif verdict.is_limit:
            self._limits.set(provider.quota_key, verdict, now, now, model)
        elif verdict.kind is EndClass.PROVIDER_OUTAGE:
            breaker.record_failure(now, call.started_at)

    def refuse(self, provider: Provider, verdict: Verdict, now: datetime) -> None:
        """Leaves a provider alone that refused its key."""
        self._refused[provider.key] = _Refusal(now + _REFUSED_FOR, verdict.reason)

    def forgive(self) -> None:
        """Forgets refused keys: they may have been replaced."""
        self._refused.clear()

    def adopt(self, snapshot: Snapshot) -> None:
        """Takes a new configuration over: rules of breakers, and breakers that the operator saw open.

        The limits of an account go with the last of its providers.
        """
        accounts = {provider.quota_key for provider in snapshot.providers.values()}
        for lost in self._accounts - accounts:
            self._limits.forget(lost)
            self._used.forget(lost)
            self._trials.forget(lost)
        self._accounts = accounts
        for account in snapshot.providers.values():
            for told in account.utilization:
                self._used.note(account.quota_key, [told], told.at)
        known = {(key, candidate.name) for key, route in snapshot.routes.items() for candidate in route.candidates}
        for gone in self._breakers.keys() - known:
            del self._breakers[gone]
            self._adopted.pop(gone, None)
        self._comebacks.keep(known)
        for route in snapshot.routes.values():
            for candidate in route.candidates:
                self._adopt_circuit(route, candidate)
                if candidate.back_since:
                    self._comebacks.begin((route.key, candidate.name), candidate.back_since)

    def _adopt_circuit(self, route: Route, candidate: Candidate) -> None:
        """An opening that the operator recorded opens ours as well, once; what our own probes find out then stands."""
        key, stated = (route.key, candidate.name), candidate.circuit
        breaker = self._breaker(route, candidate)
        breaker.config = route.breaker
        if stated.opened_at is None or stated.state is CircuitName.CLOSED or self._adopted.get(key) == stated.opened_at:
            return
        self._adopted[key] = stated.opened_at
        self._breakers[key] = CircuitBreaker.from_status(
            route.breaker, {"state": CircuitState.OPEN.value, "opened_at": stated.opened_at.isoformat()}
        )

    def _breaker(self, route: Route, candidate: Candidate) -> CircuitBreaker:
        key = (route.key, candidate.name)
        found = self._breakers.get(key)
        if found is None:
            found = self._breakers[key] = CircuitBreaker(route.breaker)
        return found

    def _view(self, route: Route, candidate: Candidate, need: Need, now: datetime) -> CandidateView:
        provider = self._config.snapshot.providers.get(candidate.provider)
        if provider is None:
            return CandidateView(
                candidate.name,
                candidate.provider.name,
                candidate.model,
                need.dialect,
                Access.GATEWAY,
                not_ready=_missing(candidate),
            )
        limit = self._limit(provider, candidate.model, now)
        breaker = self._breaker(route, candidate)
        timed = candidate.timed_at is not None and now - candidate.timed_at <= route.stale_after
        comeback = slowest(
            (
                # until a breaker has closed again, a probe may come of any session
                self._comebacks.of((route.key, candidate.name)) if breaker.state(now) is CircuitState.CLOSED else None,
                self._trials.comeback(provider.quota_key, candidate.model, now),
            ),
            now,
        )
        rates = None
        if route.strategy is Strategy.LOWEST_COST:
            rates = self._prices.rates(PricedModel(provider.base_url, provider.dialect, candidate.model))
        return CandidateView(
            name=candidate.name,
            provider=provider.name,
            model=candidate.model,
            dialect=provider.dialect,
            access=provider.access,
            priority=candidate.priority,
            weight=candidate.weight,
            limited_until=limit.until if limit else None,
            limit_kind=limit.kind.value if limit else "",
            recovering_until=self._trials.until(provider.quota_key, candidate.model, now),
            circuit_allows=breaker.would_allow(now),
            circuit_until=breaker.open_until(now),
            not_ready=self._not_ready(provider, now),
            unfit=_unfit(candidate, provider, need),
            samples=candidate.samples if timed else 0,
            succeeded=candidate.succeeded if timed else 0,
            latency_ms=candidate.latency_ms if timed else None,
            price=rates.typical if rates else None,
            used_percent=self._used.used_percent(provider.quota_key, candidate.model, now),
            drain_percent=provider.drain_percent,
            canary_percent=candidate.part.canary_percent,
            withheld=candidate.part.withheld,
            share_percent=comeback.share(now) if comeback else FULL,
            share_since=comeback.since if comeback else None,
            share_until=comeback.grows_at(now) if comeback else None,
        )

    def _limit(self, provider: Provider, model: str, now: datetime) -> Limit | None:
        """The limit that lasts longest, of the operator's word and our own."""
        stated = self._config.snapshot.limits.get(provider.quota_key, ())
        if not stated:
            return self._limits.find(provider.quota_key, now, model)
        held = pages(provider.quota_key, model)
        standing = [limit for limit in stated if (provider.quota_key, limit.covers) in held and limit.until > now]
        if own := self._limits.find(provider.quota_key, now, model):
            standing.append(own)
        return max(standing, key=lambda limit: limit.until, default=None)

    def _not_ready(self, provider: Provider, now: datetime) -> tuple[str, str] | None:
        refusal = self._refused.get(provider.key)
        if refusal is not None and refusal.until > now:
            return (EndClass.AUTH_FAILED.value, f"{refusal.reason}; correct the key in the Secret of {provider.name}")
        return provider.not_ready


def _missing(candidate: Candidate) -> tuple[str, str]:
    return ("ProviderNotFound", f"create ModelProvider {candidate.provider.name}")


def _unfit(candidate: Candidate, provider: Provider, need: Need) -> tuple[str, str] | None:
    if provider.access is not Access.GATEWAY:
        return ("DirectAccess", "its login belongs to the official CLI; the gateway cannot use it")
    if provider.dialect is need.dialect:
        return None
    if candidate.agent and candidate.agent != need.agent:
        return ("OtherAgent", f"it is for agent {candidate.agent}; only a run can be moved to it, not a request")
    return (CANNOT_CONVERT, need.cannot[provider.dialect]) if provider.dialect in need.cannot else None
