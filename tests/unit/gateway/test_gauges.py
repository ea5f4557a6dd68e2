"""What a scrape finds out about the candidates: which may be used, and which are limited or broken as seen from here."""

from datetime import UTC, datetime, timedelta

from droveway.api.enums import Access, Dialect, EndClass, Strategy
from droveway.cluster.objects import Key
from droveway.core.health import CircuitBreakerConfig
from droveway.core.limitbook import Limit, scope_of
from droveway.gateway.config import Candidate, Config, Provider, Route, Snapshot
from droveway.gateway.gauges import show_candidates
from droveway.gateway.metrics import GatewayMetrics
from droveway.gateway.prices import Prices
from droveway.gateway.standing import Standing

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
UNTIL = NOW + timedelta(hours=1)
SPENT = Limit(EndClass.SUBSCRIPTION_LIMIT, NOW, UNTIL, scope_of(""), "")


def provider(
    name: str, dialect: Dialect = Dialect.ANTHROPIC, *limits: Limit, access: Access = Access.GATEWAY
) -> Provider:
    return Provider(Key("ns", name), dialect, access, "http://x", f"ns/{name}", limits=limits)


def snapshot(*providers: Provider) -> Snapshot:
    candidates = tuple(Candidate(p.name, p.key, "m") for p in providers)
    rules = CircuitBreakerConfig(failure_threshold=2, cooldown=timedelta(seconds=30))
    return Snapshot.of([Route(Key("ns", "main"), Strategy.PRIORITY, candidates, rules)], providers, [])


def shown(metrics: GatewayMetrics, name: str) -> dict[str, float]:
    """Value by candidate."""
    rows = (line for line in metrics.expose().decode().splitlines() if line.startswith(f"droveway_gateway_{name}{{"))
    return {row.split('candidate="')[1].split('"')[0]: float(row.rsplit(" ", 1)[1]) for row in rows}


def test_a_limited_candidate_is_not_usable_and_says_until_when() -> None:
    config, metrics = Config(), GatewayMetrics()
    standing = Standing(config, Prices())
    direct = provider("direct", access=Access.DIRECT)
    config.swap(snapshot(provider("a", Dialect.ANTHROPIC, SPENT), provider("b", Dialect.GEMINI), direct))

    show_candidates(metrics, standing, config.snapshot, NOW)

    assert shown(metrics, "candidate_usable") == {"a": 0, "b": 1, "direct": 0}
    assert shown(metrics, "candidate_limited_until_timestamp_seconds") == {"a": UNTIL.timestamp()}
    assert shown(metrics, "candidate_circuit_open") == {"a": 0, "b": 0, "direct": 0}

    show_candidates(metrics, standing, config.snapshot, UNTIL)
    assert shown(metrics, "candidate_usable") == {"a": 1, "b": 1, "direct": 0}
    assert shown(metrics, "candidate_limited_until_timestamp_seconds") == {}


def test_a_candidate_that_is_gone_is_shown_no_more() -> None:
    config, metrics = Config(), GatewayMetrics()
    standing = Standing(config, Prices())
    config.swap(snapshot(provider("a"), provider("b")))
    show_candidates(metrics, standing, config.snapshot, NOW)
    config.swap(snapshot(provider("b")))
    show_candidates(metrics, standing, config.snapshot, NOW)
    assert shown(metrics, "candidate_usable") == {"b": 1}
