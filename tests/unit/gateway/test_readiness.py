"""Whether this process should be sent requests: nothing of one tenant's, and no limit, takes it from the others."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from droveway.api.enums import Access, Dialect, EndClass, Strategy
from droveway.cluster.objects import Key
from droveway.core.health import CircuitBreakerConfig
from droveway.core.limitbook import Limit, scope_of
from droveway.core.verdict import Scope, Verdict
from droveway.gateway.config import Candidate, Config, Provider, Route, Snapshot
from droveway.gateway.prices import Prices
from droveway.gateway.readiness import readiness
from droveway.gateway.standing import Standing

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SPENT = Limit(EndClass.SUBSCRIPTION_LIMIT, NOW, NOW + timedelta(hours=1), scope_of(""), "")
GOOD = Provider(Key("a", "good"), Dialect.ANTHROPIC, Access.GATEWAY, "http://x", "a/good")
LIMITED = replace(GOOD, key=Key("a", "limited"), limits=(SPENT,))
BROKEN = replace(GOOD, key=Key("b", "broken"), not_ready=("SecretNotFound", "create Secret k"))
DIRECT = replace(BROKEN, key=Key("b", "direct"), access=Access.DIRECT)
GONE = replace(GOOD, key=Key("b", "gone"))


def ready(*routes: tuple[Provider, ...], synced: bool = True, draining: bool = False) -> tuple[bool, dict[str, object]]:
    config = Config()
    config.synced = synced
    made = [
        Route(
            Key(providers[0].key.namespace, f"r{number}"),
            Strategy.PRIORITY,
            tuple(Candidate(p.name, p.key, "m") for p in providers),
            CircuitBreakerConfig(),
        )
        for number, providers in enumerate(routes)
    ]
    config.swap(Snapshot.of(made, [GOOD, LIMITED, BROKEN, DIRECT], []))
    return readiness(config, Standing(config, Prices()), NOW, draining=draining)


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        pytest.param([], True, id="nothing to serve yet"),
        pytest.param([(GOOD,)], True, id="a good provider"),
        pytest.param([(LIMITED,)], True, id="at its limit: agents are told until when"),
        pytest.param([(BROKEN, GOOD)], True, id="one candidate of two"),
        pytest.param([(BROKEN,), (GOOD,)], True, id="another tenant's mistake"),
        pytest.param([(DIRECT,)], True, id="Direct alone is none of its business"),
        pytest.param([(BROKEN,)], False, id="the only route, without its Secret"),
        pytest.param([(GONE,), (BROKEN, DIRECT)], False, id="nobody could be served"),
    ],
)
def test_one_usable_route_is_enough(routes: list[tuple[Provider, ...]], expected: bool) -> None:
    assert ready(*routes)[0] is expected


def test_the_body_says_what_is_wrong_with_which_route() -> None:
    _, body = ready((GONE, BROKEN), (GOOD,))
    assert body == {
        "status": "ok",
        "routes": 2,
        "unusable": 1,
        "reasons": {"b/r0": "create ModelProvider gone; create Secret k"},
    }


@pytest.mark.parametrize(("facts", "status"), [({"synced": False}, "starting"), ({"draining": True}, "draining")])
def test_not_before_it_knows_its_routes_and_not_when_it_is_about_to_end(facts: dict[str, bool], status: str) -> None:
    assert ready((GOOD,), **facts) == (False, {"status": status})


def test_a_refused_key_makes_its_route_unusable_until_it_is_tried_again() -> None:
    config = Config()
    config.synced = True
    route = Route(Key("a", "r"), Strategy.PRIORITY, (Candidate("good", GOOD.key, "m"),), CircuitBreakerConfig())
    config.swap(Snapshot.of([route], [GOOD], []))
    standing = Standing(config, Prices())
    standing.refuse(GOOD, Verdict(EndClass.AUTH_FAILED, None, Scope.PROVIDER, "HTTP 401"), NOW)
    assert not readiness(config, standing, NOW, draining=False).ready
    assert readiness(config, standing, NOW + timedelta(minutes=2), draining=False).ready
