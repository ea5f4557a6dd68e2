"""How the candidates of a ModelRoute stand, for runs and for its status."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from functools import reduce

from droveway.api.enums import Access, CircuitName, ConditionType, Dialect, Reason, Strategy
from droveway.api.v1alpha1 import ModelProvider, ModelRoute, ModelRouteStatus
from droveway.api.v1alpha1.modelroute import Candidate, CandidateStatus, TelemetryStatus, TokensStatus
from droveway.api.v1alpha1.rollout import CanaryStatus, MirrorStatus
from droveway.core.accounts import Accounts
from droveway.core.canary import ROLLED_BACK, condition, judge, next_look, part_of
from droveway.core.canary import notes as canary_notes
from droveway.core.conditions import find, with_condition
from droveway.core.events import TOKEN_FIELDS
from droveway.core.ledger import RouteLedger
from droveway.core.notes import Note
from droveway.core.ramp import FULL, Comeback, slowest
from droveway.core.ranking import CANARY, CandidateView, Preference, held_back, in_words
from droveway.core.routing import CIRCUIT_OPEN, first_objection
from droveway.core.summary import Bucket
from droveway.core.tally import dollars
from droveway.core.telemetry import ModelPerformance, TelemetrySummary

ELIGIBLE = "Eligible"
_MESSAGE = 256  # the schema's
_SUMMARY = 2048  # likewise
_MOST_TOKENS = 2**53 - 1
_PICODOLLARS, _PICO_PER_NANO = 10**12, 1000
_UNKNOWN = (Dialect.ANTHROPIC, Access.GATEWAY)  # of a provider that is not there; it is never chosen


def candidate_views(
    route: ModelRoute, providers: Mapping[str, ModelProvider], accounts: Accounts, ledger: RouteLedger, now: datetime
) -> list[CandidateView]:
    """The candidates in the route's order, with everything that speaks against each, whoever asks."""
    canary = _judged(route, ledger, now)
    return [
        _view(route, line, providers.get(line.provider_ref.name), accounts, ledger, canary, now)
        for line in route.spec.candidates
    ]


def _view(
    route: ModelRoute,
    line: Candidate,
    provider: ModelProvider | None,
    accounts: Accounts,
    ledger: RouteLedger,
    canary: CanaryStatus | None,
    now: datetime,
) -> CandidateView:
    limit = accounts.limit(line.provider_ref.name, line.model, now)
    seen = performance(ledger, line, now)
    ranks = not seen.is_stale(timedelta(seconds=route.spec.telemetry.stale_seconds), now)
    dialect, access = (provider.spec.dialect, provider.spec.access) if provider else _UNKNOWN
    part = part_of(route.spec, canary, line.name)
    account, comeback = line.provider_ref.name, _comeback(accounts, ledger, line, now)
    return CandidateView(
        name=line.name,
        provider=account,
        model=line.model,
        dialect=dialect,
        access=access,
        priority=line.priority,
        weight=line.weight,
        limited_until=limit.until if limit else None,
        limit_kind=limit.kind if limit else "",
        recovering_until=accounts.recovering_until(account, line.model, now),
        circuit_allows=ledger.breakers.allows(line.name, now),
        circuit_until=ledger.breakers.until(line.name, now),
        not_ready=_not_ready(line, provider, accounts, now),
        samples=seen.samples if ranks else 0,
        succeeded=seen.successful_completions if ranks else 0,
        latency_ms=seen.avg_latency_ms if ranks else None,
        price=_price(ledger, line, now) if route.spec.strategy is Strategy.LOWEST_COST else None,
        used_percent=accounts.used_percent(account, line.model, now),
        drain_percent=provider.spec.limits.drain_percent if provider else 100,
        canary_percent=part.canary_percent,
        withheld=part.withheld,
        share_percent=comeback.share(now) if comeback else FULL,
        share_since=comeback.since if comeback else None,
        share_until=comeback.grows_at(now) if comeback else None,
    )


def _comeback(accounts: Accounts, ledger: RouteLedger, line: Candidate, now: datetime) -> Comeback | None:
    """How a candidate comes back, whether its breaker was open or its quota spent."""
    of_quota = accounts.comeback(line.provider_ref.name, line.model, now)
    return slowest((ledger.breakers.comeback(line.name), of_quota), now)


def _judged(route: ModelRoute, ledger: RouteLedger, now: datetime) -> CanaryStatus | None:
    """How the route's canary does."""
    canary = route.spec.canary
    if canary is None:
        return None
    broken = {line.name for line in route.spec.candidates if ledger.breakers.is_open(line.name, now)}
    return judge(route.spec, route.status.canary, ledger.canary, now, broken=broken == {canary.candidate})


def performance(ledger: RouteLedger, line: Candidate, now: datetime) -> ModelPerformance:
    """What telemetry knows of a candidate's model."""
    return ledger.store.model_performance(_telemetry_key(line), now)


def _not_ready(
    line: Candidate, provider: ModelProvider | None, accounts: Accounts, now: datetime
) -> tuple[str, str] | None:
    if provider is None:
        name = line.provider_ref.name
        return Reason.PROVIDER_NOT_FOUND, f"there is no ModelProvider {name}; create it"
    if refused := accounts.refused(provider.metadata.name, now):
        return Reason.AUTH_FAILED, refused.reason
    ready = find(provider.status.conditions, ConditionType.READY)
    if ready is None or ready.status != "False" or ready.reason == Reason.AUTH_FAILED:  # of that the accounts know more
        return None
    return ready.reason, ready.message


def _price(ledger: RouteLedger, line: Candidate, now: datetime) -> float | None:
    """What a million tokens of this route's own mix have cost in the window; None when nobody knows."""
    bucket = _in_window(ledger.store.export_summary(now), line)
    if bucket is None or not bucket.priced or not bucket.tokens.total:
        return None
    return bucket.cost / _PICODOLLARS * 1e6 / bucket.tokens.total


def _in_window(summary: TelemetrySummary, line: Candidate) -> Bucket | None:
    """All of a candidate's completions as one."""
    buckets = summary.models.get(_telemetry_key(line))
    return reduce(Bucket.merged, buckets) if buckets else None


def _telemetry_key(line: Candidate) -> str:
    return f"{line.provider_ref.name}/{line.model}"


def route_status(
    route: ModelRoute, views: Iterable[CandidateView], ledger: RouteLedger, now: datetime
) -> ModelRouteStatus:
    """What the route's status should say now."""
    views = list(views)
    pairs = list(zip(route.spec.candidates, views, strict=True))
    summary = ledger.store.export_summary(now)
    candidates = [_candidate(line, view, ledger, summary, now) for line, view in pairs]
    eligible = sum(c.eligible for c in candidates)
    old, generation = route.status.conditions, route.metadata.generation
    conditions = with_condition(old, ConditionType.READY, *_ready(candidates, eligible), generation, now)
    conditions = with_condition(conditions, ConditionType.LIMITED, *_limited(views, now), generation, now)
    fresh = _fresh(route, candidates, now)
    conditions = with_condition(conditions, ConditionType.TELEMETRY_FRESH, *fresh, generation, now)
    canary = _judged(route, ledger, now)
    conditions = [c for c in conditions if c.type != ConditionType.CANARY or canary]
    if canary:
        conditions = with_condition(conditions, ConditionType.CANARY, *condition(canary), generation, now)
    return ModelRouteStatus(
        observed_generation=generation,
        conditions=conditions,
        candidates=candidates,
        canary=canary,
        mirror=_mirror(route, ledger),
        eligible_summary=f"{eligible}/{len(candidates)}",
        candidate_summary=", ".join(_in_short(c, canary, now) for c in candidates)[:_SUMMARY],
    )


def _mirror(route: ModelRoute, ledger: RouteLedger) -> MirrorStatus | None:
    mirror = route.spec.mirror
    return MirrorStatus(candidate=mirror.candidate, results=ledger.mirror.tried.status()) if mirror else None


def _in_short(c: CandidateStatus, canary: CanaryStatus | None, now: datetime) -> str:
    """A candidate at a glance."""
    seen = c.telemetry
    words = [
        c.name,
        c.circuit.state.value,
        f"{float(seen.success_rate):.0%}" if seen.success_rate is not None else "-",
        f"{seen.average_latency_milliseconds}ms" if seen.average_latency_milliseconds is not None else "-",
    ]
    if c.limited_until_time and c.limited_until_time > now:
        words.append(f"limited until {c.limited_until_time:%Y-%m-%dT%H:%M:%SZ}")
    elif c.reason not in (ELIGIBLE, CIRCUIT_OPEN, CANARY, ROLLED_BACK):
        words.append(c.reason)
    if c.eligible and c.share_percent < FULL:
        words.append(f"{c.share_percent}%")
    if canary and canary.candidate == c.name:
        words.append(f"canary {canary.phase} {canary.percent}%")
    return " ".join(words)


def _candidate(
    line: Candidate, view: CandidateView, ledger: RouteLedger, summary: TelemetrySummary, now: datetime
) -> CandidateStatus:
    objection, held = first_objection(view, now), held_back(view, Preference(), now)
    message = objection.message if objection else in_words(view, held) if held else ""
    return CandidateStatus(
        name=line.name,
        eligible=objection is None,
        reason=objection.reason if objection else held or ELIGIBLE,
        message=message[:_MESSAGE],
        circuit=ledger.breakers.status(line.name, now),
        limited_until_time=view.limited_until,
        share_percent=view.share_percent,
        recovered_time=view.share_since,
        telemetry=telemetry_status(performance(ledger, line, now), _in_window(summary, line)),
    )


def telemetry_status(seen: ModelPerformance, total: Bucket | None) -> TelemetryStatus:
    """The aggregates as the API spells them; rates and money are decimal strings."""
    samples, latency = seen.samples, seen.avg_latency_ms
    tokens = {name: min(getattr(total.tokens, name), _MOST_TOKENS) for name in TOKEN_FIELDS} if total else {}
    return TelemetryStatus(
        succeeded=seen.successful_completions,
        failed=seen.failed_completions,
        samples=samples,
        success_rate=f"{seen.success_rate:.4f}" if samples else None,
        throughput=f"{seen.throughput:.6f}" if samples else None,
        average_latency_milliseconds=None if latency is None else round(latency),
        last_event_time=seen.last_event_at,
        tokens=TokensStatus(**tokens),
        cost_usd=dollars(total.cost // _PICO_PER_NANO) if total and total.priced else None,
    )


def _ready(candidates: list[CandidateStatus], eligible: int) -> tuple[str, str, str]:
    if eligible:
        return "True", Reason.VALID, f"{eligible} of {len(candidates)} candidates can be chosen"
    why = "; ".join(f"{c.name}: {c.reason} ({c.message})" for c in candidates)
    return "False", Reason.NO_ELIGIBLE_CANDIDATE, why


def _limited(views: list[CandidateView], now: datetime) -> tuple[str, str, str]:
    held = [v for v in views if v.limited_until and v.limited_until > now]
    if not held:
        return "False", Reason.NO_LIMIT, ""
    return "True", held[0].limit_kind, "; ".join(f"{v.name} until {v.limited_until:%Y-%m-%dT%H:%M:%SZ}" for v in held)


def _fresh(route: ModelRoute, candidates: list[CandidateStatus], now: datetime) -> tuple[str, str, str]:
    last = max((at for c in candidates if (at := c.telemetry.last_event_time)), default=None)
    if last and (now - last).total_seconds() <= route.spec.telemetry.stale_seconds:
        return "True", Reason.FRESH, ""
    return "False", Reason.STALE, f"no completion for {route.spec.telemetry.stale_seconds} s"


def next_change(
    route: ModelRoute, views: Iterable[CandidateView], status: ModelRouteStatus, now: datetime
) -> datetime | None:
    """When the status changes by itself: a reset, a breaker, telemetry that turns stale or leaves the window."""
    moments = [
        moment
        for view in views
        for moment in (view.limited_until, view.circuit_until, view.recovering_until, view.share_until)
    ]
    moments.append(next_look(route.spec, status.canary))
    for candidate in status.candidates:
        if last := candidate.telemetry.last_event_time:
            spans = (route.spec.telemetry.stale_seconds, route.spec.telemetry.window_seconds)
            moments += [last + timedelta(seconds=span, milliseconds=1) for span in spans]
    return min((moment for moment in moments if moment and moment > now), default=None)


def notes(old: ModelRouteStatus, new: ModelRouteStatus, ledger: RouteLedger) -> list[Note]:
    """The Events of a change of status: breakers that opened or closed (R-B9). Half-open is counted, and no news."""
    before = {c.name: c.circuit.state for c in old.candidates}
    found = []
    for candidate in new.candidates:
        was, now_is = before.get(candidate.name, CircuitName.CLOSED), candidate.circuit.state
        if was == now_is or now_is is CircuitName.HALF_OPEN:
            continue
        change = ledger.breakers.transition(candidate.name)
        opened = now_is is CircuitName.OPEN
        text = f"{candidate.name}: from {was} to {now_is}" + (f": {change.message}" if change else "")
        found.append(Note(Reason.CIRCUIT_OPENED if opened else Reason.CIRCUIT_CLOSED, text, warning=opened))
    return found + canary_notes(old.canary, new.canary)


def urgent(old: ModelRouteStatus, new: ModelRouteStatus) -> bool:
    """Whether the change must be written at once: anything but telemetry and counts of failures."""
    return _essence(old) != _essence(new)


def _essence(status: ModelRouteStatus) -> object:
    conditions = [(c.type, c.status, c.reason, c.observed_generation) for c in status.conditions]
    canary = status.canary and (status.canary.trial, status.canary.phase)
    return (
        conditions,
        canary,
        [
            (
                c.name,
                c.eligible,
                c.reason,
                c.limited_until_time,
                c.recovered_time,
                c.circuit.state,
                c.circuit.probe_times,
            )
            for c in status.candidates
        ],
    )
