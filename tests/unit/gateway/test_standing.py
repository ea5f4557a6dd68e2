"""How candidates stand: the operator's word, and what this gateway has seen since. Ours may only be stricter."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from droveway.api.enums import Access, CircuitName, Dialect, EndClass, Strategy
from droveway.cluster.objects import Key
from droveway.core.canary import Part
from droveway.core.health import CircuitBreakerConfig
from droveway.core.limitbook import Limit, scope_of
from droveway.core.ranking import CandidateView
from droveway.core.utilization import Reading
from droveway.core.verdict import Scope, Verdict
from droveway.gateway.config import Candidate, Circuit, Config, Provider, Route, Run, Snapshot
from droveway.gateway.ledger import Call
from droveway.gateway.prices import PricedModel, Prices, Rates
from droveway.gateway.standing import Need, Standing

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
CLAUDE = Need(Dialect.ANTHROPIC, "claude")
A = Candidate("a", Key("ns", "a"), "opus")
SUCCESS, OUTAGE = Verdict(EndClass.SUCCEEDED), Verdict(EndClass.PROVIDER_OUTAGE)


def provider(name: str = "a", **facts: Any) -> Provider:
    known: dict[str, Any] = {"dialect": Dialect.ANTHROPIC, "access": Access.GATEWAY, "base_url": "http://x",
                             "quota_key": f"ns/{name}"}  # fmt: skip
    return Provider(Key("ns", name), **(known | facts))


def route(*candidates: Candidate, **facts: Any) -> Route:
    known: dict[str, Any] = {"strategy": Strategy.PRIORITY,
                             "breaker": CircuitBreakerConfig(failure_threshold=2, cooldown=timedelta(seconds=30))}  # fmt: skip
    return Route(Key("ns", "main"), candidates=candidates or (A,), **(known | facts))


class World:
    """One route and its providers, as this gateway sees them."""

    def __init__(self, *providers: Provider, of: Route | None = None) -> None:
        self.config = Config()
        self.prices = Prices()
        self.standing = Standing(self.config, self.prices)
        self.config.on_change.append(self.standing.adopt)
        self.route = of or route()
        self.serve(*(providers or (provider(),)))

    def serve(self, *providers: Provider, of: Route | None = None) -> None:
        self.route = of or self.route
        self.config.swap(Snapshot.of([self.route], providers, []))

    def view(self, name: str = "a", at: datetime = NOW, need: Need = CLAUDE) -> CandidateView:
        return next(v for v in self.standing.views(self.route, need, at) if v.name == name)

    def ended(self, verdict: Verdict, started: datetime = NOW, at: datetime = NOW, candidate: Candidate = A) -> None:
        call = Call(candidate, self.config.snapshot.providers[candidate.provider], started, time.monotonic())
        self.standing.note(self.route, call, verdict, at)

    def enter(self, at: datetime = NOW, *, waited: bool = False) -> Verdict | None:
        return self.standing.enter(self.route, A, self.config.snapshot.providers[A.provider], at, waited=waited)


def limit(until: datetime, model: str = "", at: datetime = NOW - HOUR) -> Limit:
    return Limit(EndClass.SUBSCRIPTION_LIMIT, at, until, scope_of(model), model)


def spent(until: datetime | None = NOW + HOUR, scope: Scope = Scope.QUOTA_GROUP) -> Verdict:
    return Verdict(EndClass.SUBSCRIPTION_LIMIT, until, scope, "spent")


def test_a_limit_we_met_holds_until_its_reset_and_is_no_failure() -> None:
    world = World()
    for _ in range(5):
        world.ended(spent())
    assert (world.view().limited_until, world.view().limit_kind) == (NOW + HOUR, "SubscriptionLimit")
    assert world.view().circuit_allows
    assert world.view(at=NOW + HOUR).limited_until is None


def test_a_success_that_began_after_the_limit_clears_ours_and_one_before_does_not() -> None:
    world = World()
    world.ended(spent())
    world.ended(SUCCESS, started=NOW - timedelta(seconds=1), at=NOW + timedelta(seconds=1))
    assert world.view().limited_until
    world.ended(SUCCESS, started=NOW + timedelta(seconds=1), at=NOW + timedelta(seconds=2))
    assert world.view().limited_until is None


def test_a_limit_known_from_status_alone_ends_with_it() -> None:
    world = World(provider(limits=(limit(NOW + HOUR),)))
    assert world.view().limited_until == NOW + HOUR
    world.serve(provider())
    assert world.view().limited_until is None


def test_ours_outlasts_a_status_that_does_not_know_it_yet() -> None:
    world = World()
    world.ended(spent())
    world.serve(provider(limits=(limit(NOW + timedelta(minutes=1)),)))
    assert world.view().limited_until == NOW + HOUR


def test_a_limit_of_one_provider_is_one_of_its_whole_group() -> None:
    b = Candidate("b", Key("ns", "b"), "sonnet")
    shared = provider("a", quota_key="ns/team", limits=(limit(NOW + HOUR),)), provider("b", quota_key="ns/team")
    assert World(*shared, of=route(A, b)).view("b").limited_until == NOW + HOUR


def test_a_limit_goes_with_the_account_s_last_provider() -> None:
    world = World()
    world.ended(spent())
    world.serve(provider())
    assert world.view().limited_until, "it was only served anew"
    world.serve()
    world.serve(provider())
    assert world.view().limited_until is None


def test_a_limit_of_a_model_leaves_the_others_of_its_group_alone() -> None:
    sonnet = Candidate("sonnet", Key("ns", "a"), "sonnet")
    world = World(provider(limits=(limit(NOW + HOUR, "opus"),)), of=route(A, sonnet))
    assert world.view("a").limited_until == NOW + HOUR
    assert world.view("sonnet").limited_until is None
    world.ended(spent(NOW + 2 * HOUR, Scope.MODEL), candidate=sonnet)
    assert (world.view("a").limited_until, world.view("sonnet").limited_until) == (NOW + HOUR, NOW + 2 * HOUR)


def test_a_limit_of_a_family_holds_for_every_model_of_it() -> None:
    old, sonnet = Candidate("old", Key("ns", "a"), "claude-opus-4-1"), Candidate("sonnet", Key("ns", "a"), "sonnet")
    stated = World(provider(limits=(limit(NOW + HOUR, "opus"),)), of=route(A, old, sonnet))
    assert [stated.view(name).limited_until for name in ("old", "sonnet")] == [NOW + HOUR, None]
    met = World(provider(), of=route(A, old, sonnet))
    met.ended(spent(NOW + HOUR, Scope.MODEL_FAMILY), candidate=old)
    assert [met.view(name).limited_until for name in ("a", "old", "sonnet")] == [NOW + HOUR, NOW + HOUR, None]


def test_outages_open_the_breaker_one_probe_at_a_time_closes_it() -> None:
    world = World()
    world.ended(OUTAGE)
    world.ended(OUTAGE)
    assert not world.view().circuit_allows
    assert world.view().circuit_until == NOW + timedelta(seconds=30)
    later = NOW + timedelta(seconds=31)
    assert world.view(at=later).circuit_allows
    assert world.enter(later) is None
    refused = world.enter(later)
    assert refused is not None
    assert "half-open" in refused.reason
    world.ended(SUCCESS, started=later, at=later)
    assert world.enter(later) is None
    assert world.enter(later) is None


@pytest.mark.parametrize(
    "kind", [EndClass.REQUEST_REJECTED, EndClass.CANCELLED, EndClass.AUTH_FAILED, EndClass.RATE_LIMITED]
)
def test_what_is_no_outage_opens_no_breaker(kind: EndClass) -> None:
    world = World()
    for _ in range(5):
        world.ended(Verdict(kind))
    assert world.view().circuit_allows


def opened(at: datetime) -> Route:
    return route(replace(A, circuit=Circuit(CircuitName.OPEN, at, at + timedelta(seconds=30))))


def test_an_opening_in_status_opens_ours_once() -> None:
    world = World(of=opened(NOW))
    assert not world.view().circuit_allows
    later = NOW + timedelta(seconds=31)
    assert world.enter(later) is None
    world.ended(SUCCESS, started=later, at=later)
    world.serve(provider(), of=opened(NOW))  # status does not know of our probe yet
    assert world.view(at=later).circuit_allows
    world.serve(provider(), of=opened(later))  # it has failed elsewhere since
    assert not world.view(at=later).circuit_allows


def test_a_closed_status_does_not_close_ours() -> None:
    world = World()
    world.ended(OUTAGE)
    world.ended(OUTAGE)
    world.serve(provider(), of=route())
    assert not world.view().circuit_allows


def test_another_rule_holds_at_once_and_keeps_the_count() -> None:
    world = World()
    world.ended(OUTAGE)
    world.serve(provider(), of=route(breaker=CircuitBreakerConfig(failure_threshold=5)))
    world.ended(OUTAGE)
    assert world.view().circuit_allows


def test_who_waited_for_a_slot_is_looked_at_again() -> None:
    world = World()
    world.ended(spent())
    refused = world.enter(waited=True)
    assert refused is not None
    assert (refused.kind, refused.until) == (EndClass.SUBSCRIPTION_LIMIT, NOW + HOUR)


def test_a_refused_key_is_left_alone_for_a_minute_or_until_forgiven() -> None:
    world = World()
    world.standing.refuse(provider(), Verdict(EndClass.AUTH_FAILED, reason="401"), NOW)
    assert world.view().not_ready == ("AuthFailed", "401; correct the key in the Secret of a")
    assert world.view(at=NOW + timedelta(seconds=61)).not_ready is None
    world.standing.forgive()
    assert world.view().not_ready is None


CODEX = replace(A, agent="codex")


@pytest.mark.parametrize(
    ("facts", "candidate", "need", "reason"),
    [
        pytest.param({"access": Access.DIRECT}, A, CLAUDE, "DirectAccess", id="a login that is not ours"),
        pytest.param({}, A, Need(Dialect.GEMINI), None, id="another dialect: the request is converted"),
        pytest.param({}, A, Need(Dialect.GEMINI, cannot={Dialect.ANTHROPIC: "n"}), "CannotConvert", id="or cannot be"),
        pytest.param({}, A, Need(Dialect.GEMINI, cannot={Dialect.OPENAI_CHAT: "n"}), None, id="not by a third"),
        pytest.param({}, CODEX, Need(Dialect.GEMINI, "gemini"), "OtherAgent", id="for a run of another agent"),
        pytest.param({}, CODEX, Need(Dialect.GEMINI, "codex"), None, id="for this very agent"),
        pytest.param({}, CODEX, CLAUDE, None, id="nothing has to be converted"),
    ],
)
def test_unfit(facts: dict[str, Any], candidate: Candidate, need: Need, reason: str | None) -> None:
    unfit = World(provider(**facts), of=route(candidate)).view(need=need).unfit
    assert (unfit[0] if unfit else None) == reason


def test_a_request_comes_from_the_agent_of_its_candidate_else_of_its_run() -> None:
    run = Run("uid", "ns", "run", "main", candidate="a", agent="claude")
    assert run.agent_on(route(A)) == "claude"
    assert run.agent_on(route(CODEX)) == "codex"
    assert replace(run, candidate="b").agent_on(route(CODEX)) == "claude"


def test_a_provider_that_does_not_exist_is_not_ready() -> None:
    world = World(provider("other"))
    assert world.view().not_ready == ("ProviderNotFound", "create ModelProvider a")


@pytest.mark.parametrize(("age", "known"), [(9, True), (11, False)], ids=["fresh", "stale"])
def test_telemetry_ranks_while_it_is_fresh(age: int, known: bool) -> None:
    timed = replace(A, samples=10, succeeded=9, latency_ms=120.0, timed_at=NOW - timedelta(minutes=age))
    view = World(of=route(timed)).view()
    assert (view.samples, view.succeeded, view.latency_ms) == ((10, 9, 120.0) if known else (0, 0, None))


def test_prices_rank_where_cost_does() -> None:
    world = World(of=route(strategy=Strategy.LOWEST_COST))
    assert world.view().price is None
    table = {PricedModel("http://x", Dialect.ANTHROPIC, "opus"): Rates([(0, 4.0)], [(0, 20.0)])}
    world.prices.adopt(table.get, "1")
    assert world.view().price == 8.0


FIVE_HOURS = {"anthropic-ratelimit-unified-status": "allowed", "anthropic-ratelimit-unified-5h-utilization": "0.93",
              "anthropic-ratelimit-unified-5h-reset": str(int((NOW + HOUR).timestamp()))}  # fmt: skip


def test_every_answer_tells_how_much_is_used_and_only_news_is_passed_on() -> None:
    world = World(provider(drain_percent=80))
    account = world.config.snapshot.providers[A.provider]
    assert world.view().used_percent is None
    assert [r.used_percent for r in world.standing.learn(account, FIVE_HOURS, NOW)] == [93]
    assert not world.standing.learn(account, FIVE_HOURS, NOW + timedelta(seconds=9))
    assert not world.standing.learn(account, {"content-type": "application/json"}, NOW)
    assert (world.view().used_percent, world.view().drain_percent) == (93, 80)
    assert world.view(at=NOW + HOUR).used_percent is None


def test_use_that_another_gateway_saw_is_known_from_status() -> None:
    world = World(provider(utilization=(Reading("5h", 95, NOW + HOUR, NOW),)))
    assert world.view().used_percent == 95
    world.serve(provider(utilization=(Reading("5h", 97, NOW + HOUR, NOW + timedelta(seconds=1)),)))
    assert world.view().used_percent == 97
    world.serve()
    world.serve(provider())
    assert world.view().used_percent is None, "the account was deleted and made anew"


def test_one_request_goes_first_when_a_limit_is_over() -> None:
    world, back = World(), NOW + timedelta(seconds=6)
    world.ended(spent(NOW + timedelta(seconds=5)))
    assert world.view(at=back).recovering_until is None
    assert world.enter(back) is None
    assert world.view(at=back).recovering_until == back + timedelta(seconds=60)
    world.ended(SUCCESS, started=back, at=back + timedelta(seconds=1))
    assert world.view(at=back + timedelta(seconds=2)).recovering_until is None


class TestComingBack:
    LATER = NOW + timedelta(seconds=31)

    def closed(self) -> World:
        """Its breaker was open, and a probe has closed it half a minute later."""
        world = World()
        world.ended(OUTAGE)
        world.ended(OUTAGE)
        assert world.enter(self.LATER) is None
        world.ended(SUCCESS, started=self.LATER, at=self.LATER)
        return world

    def share(self, world: World, seconds: float = 0) -> int:
        return world.view(at=self.LATER + timedelta(seconds=seconds)).share_percent

    def test_a_breaker_that_closes_lets_a_tenth_in_then_more(self) -> None:
        world = self.closed()
        assert [self.share(world, s) for s in (0, 119, 120, 239, 240)] == [10, 10, 30, 30, 100]
        for _ in range(10):
            world.ended(SUCCESS, started=self.LATER, at=self.LATER + timedelta(seconds=1))
        assert [self.share(world, s) for s in (1, 30, 60)] == [10, 30, 100]
        assert world.view(at=self.LATER).share_since == self.LATER

    def test_while_it_is_open_again_any_session_may_bring_the_probe(self) -> None:
        world = self.closed()
        for _ in range(2):
            world.ended(OUTAGE, started=self.LATER, at=self.LATER + timedelta(seconds=5))
        half_open = world.view(at=self.LATER + timedelta(seconds=36))
        assert (half_open.circuit_allows, half_open.share_percent) == (True, 100)

    def test_what_the_operator_saw_coming_back_comes_back_here_once(self) -> None:
        told = route(replace(A, back_since=self.LATER))
        world = World(of=told)
        assert self.share(world) == 10
        for _ in range(10):
            world.ended(SUCCESS, started=self.LATER, at=self.LATER + timedelta(seconds=1))
        assert self.share(world, 60) == 100
        world.serve(provider(), of=told)  # a status that is behind
        assert self.share(world, 60) == 100
        world.serve(provider(), of=route(replace(A, back_since=self.LATER + timedelta(seconds=90))))
        assert self.share(world, 91) == 10

    def test_a_quota_comes_back_in_steps_as_well(self) -> None:
        world = World()
        world.ended(spent(NOW + HOUR))
        back = NOW + HOUR
        assert world.enter(back) is None
        world.ended(SUCCESS, started=back, at=back + timedelta(seconds=1))
        assert world.view(at=back + timedelta(seconds=1)).share_percent == 10
        world.serve()
        world.serve(provider())
        assert world.view(at=back + timedelta(seconds=2)).share_percent == 100, "another account of the same name"


def test_the_part_that_its_route_gives_it_is_told() -> None:
    world = World(of=route(replace(A, part=Part(10)), replace(A, name="b", part=Part(0, ("Mirror", "copies")))))
    assert (world.view("a").canary_percent, world.view("a").withheld) == (10, None)
    assert world.view("b").withheld == ("Mirror", "copies")
