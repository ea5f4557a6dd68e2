"""How candidates stand: one view for runs, one status for people."""

import pytest

from droveway.api.enums import Access, ConditionType, EndClass
from droveway.core.completion import TokenBreakdown
from droveway.core.conditions import find
from droveway.core.route import notes, urgent
from droveway.core.utilization import Reading
from helpers.seen import Seen, condition
from helpers.told import (
    NOON,
    a_provider,
    a_route,
    after,
    batch,
    completion,
    failure,
    outage,
    providers,
    verdict,
)

B = {"candidate": "b", "provider": "openai", "model": "gpt"}
WEEKLY = verdict(EndClass.SUBSCRIPTION_LIMIT, after(3600), "weekly limit reached")


def test_a_quiet_route_is_ready_and_knows_nothing() -> None:
    status = Seen().status()
    assert status.eligible_summary == "3/3"
    assert condition(status, ConditionType.READY) == ("True", "Valid")
    assert condition(status, ConditionType.LIMITED) == ("False", "NoLimit")
    assert condition(status, ConditionType.TELEMETRY_FRESH) == ("False", "Stale")
    assert [(c.name, c.eligible, c.reason) for c in status.candidates] == [
        (n, True, "Eligible") for n in ("a", "b", "own")
    ]


def test_every_candidate_is_told_at_a_glance() -> None:
    assert Seen().status().candidate_summary == "a Closed - -, b Closed - -, own Closed - -"
    told = Seen(
        completion(1, 1, latency_ms=1240),
        failure(2, 2, WEEKLY),
        *(outage(n, n, **B) for n in range(3, 6)),
        known={name: p for name, p in providers().items() if name != "login"},
    )
    assert told.status().candidate_summary == (
        "a Closed 50% 1240ms limited until 2026-11-21T13:00:00Z, b Open 0% -, own Closed - - ProviderNotFound"
    )


def test_a_quota_that_is_nearly_used_up_is_seen_by_who_chooses() -> None:
    seen = Seen(known=providers() | {"anthropic": a_provider("anthropic", limits={"drainPercent": 75})})
    seen.accounts.learn("anthropic", [Reading("5h", 80, after(3600), NOON)], NOON)
    view = seen.views()["a"]
    assert (view.used_percent, view.drain_percent) == (80, 75)
    drained = seen.status().candidates[0]
    assert (drained.eligible, drained.reason) == (True, "Draining")
    assert drained.message == "takes no new session, 80 % of its quota is used"
    assert seen.status().candidate_summary.startswith("a Closed - - Draining,")
    assert (seen.views()["b"].used_percent, seen.at(3600).views()["a"].used_percent) == (None, None)


def test_a_quota_on_trial_is_seen_by_who_chooses() -> None:
    seen = Seen(failure(1, 1, verdict(EndClass.RATE_LIMITED, after(20)))).at(30)
    assert seen.views()["a"].recovering_until is None
    assert seen.accounts.start("anthropic", "sonnet", after(30))
    assert not seen.accounts.start("anthropic", "sonnet", after(31))
    assert seen.views()["a"].recovering_until == after(90)
    assert (seen.status().candidates[0].eligible, seen.status().candidates[0].reason) == (True, "Recovering")
    assert seen.wakes() == after(90)


def test_what_comes_back_does_so_in_steps_for_all_to_see() -> None:
    seen = Seen(*(outage(n, n) for n in (1, 2, 3)))
    whole = seen.status()
    seen.at(50).ledger.apply(batch(completion(4, 50, started_at=after(45))), after(50), lambda *_: True)
    back = seen.status()
    first = back.candidates[0]
    assert (first.eligible, first.reason, first.share_percent, first.recovered_time) == (True, "Ramping", 10, after(50))
    assert back.candidate_summary.startswith("a Closed 25% 1000ms Ramping 10%,")
    assert urgent(whole, back), "gateways follow"
    assert seen.wakes() == after(50 + 120)
    later = seen.at(50 + 240).status().candidates[0]
    assert (later.reason, later.share_percent, later.recovered_time) == ("Eligible", 100, None)


def test_what_was_told_is_summed_up() -> None:
    used = TokenBreakdown(total=100, input=60, output=40)
    status = Seen(
        completion(1, 1, tokens=used, cost_usd=0.1),
        completion(2, 2, tokens=used, cost_usd=0.2, latency_ms=2000),
        outage(3, 3),
    ).status()
    seen = status.candidates[0].telemetry
    assert (seen.succeeded, seen.failed, seen.samples, seen.success_rate) == (2, 1, 3, "0.6667")
    assert (seen.average_latency_milliseconds, seen.last_event_time, seen.cost_usd) == (1500, after(3), "0.3")
    assert (seen.tokens.total, seen.tokens.input, seen.tokens.output) == (200, 120, 80)
    assert condition(status, ConditionType.TELEMETRY_FRESH) == ("True", "Fresh")
    assert len(status.candidates[0].model_dump_json(by_alias=True)) < 1024  # R-T16


def test_more_tokens_than_json_can_count_are_that_many() -> None:
    used = TokenBreakdown(total=2**53 - 1, input=2**53 - 1)
    status = Seen(completion(1, 1, tokens=used), completion(2, 2, tokens=used)).status()
    assert status.candidates[0].telemetry.tokens.total == 2**53 - 1


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        pytest.param(Seen(known={}), "ProviderNotFound", id="no provider"),
        pytest.param(Seen(failure(1, 1, WEEKLY)), "SubscriptionLimit", id="spent"),
        pytest.param(Seen(outage(1, 1), outage(2, 2), outage(3, 3)), "CircuitOpen", id="failing"),
        pytest.param(Seen(failure(1, 1, verdict(EndClass.AUTH_FAILED))), "AuthFailed", id="refused"),
    ],
)
def test_why_a_candidate_is_not_eligible(seen: Seen, reason: str) -> None:
    first = seen.status().candidates[0]
    assert (first.eligible, first.reason) == (False, reason)
    assert first.message or reason == "AuthFailed"


def test_a_provider_that_is_not_ready_says_why_here_too() -> None:
    broken = {
        "conditions": [
            {
                "type": "Ready",
                "status": "False",
                "reason": "SecretNotFound",
                "message": "create it",
                "lastTransitionTime": "2026-11-21T12:00:00Z",
            }
        ]
    }
    seen = Seen(known=providers() | {"anthropic": a_provider("anthropic", status=broken)})
    assert seen.views()["a"].not_ready == ("SecretNotFound", "create it")


def test_a_refusal_in_a_status_that_was_pardoned_meanwhile_does_not_count() -> None:
    refused = {
        "conditions": [
            {
                "type": "Ready",
                "status": "False",
                "reason": "AuthFailed",
                "message": "",
                "lastTransitionTime": "2026-11-21T12:00:00Z",
            }
        ]
    }
    seen = Seen(known=providers() | {"anthropic": a_provider("anthropic", status=refused)})
    assert seen.views()["a"].not_ready is None


def test_when_nothing_is_eligible_the_route_says_each_reason() -> None:
    lines = [{"name": "a", "providerRef": {"name": "anthropic"}, "model": "sonnet"}]
    status = Seen(failure(1, 1, WEEKLY), candidates=lines).status()
    ready = find(status.conditions, ConditionType.READY)
    assert ready is not None
    assert (ready.status, ready.reason, status.eligible_summary) == ("False", "NoEligibleCandidate", "0/1")
    assert "a: SubscriptionLimit (anthropic is limited until 2026-11-21T13:00:00Z)" in ready.message


class TestViews:
    def test_stale_telemetry_does_not_rank(self) -> None:
        seen = Seen(completion(1, 0), at=600)
        assert (seen.views()["a"].samples, seen.views()["a"].latency_ms) == (1, 1000.0)
        seen.at(601)
        assert (seen.views()["a"].samples, seen.views()["a"].latency_ms) == (0, None)

    def test_a_price_is_what_a_million_tokens_have_cost(self) -> None:
        used = TokenBreakdown(total=1000, input=1000)
        told = (completion(1, 1, tokens=used, cost_usd=0.003), completion(2, 2, cost_usd=None, **B))
        seen = Seen(*told, strategy="LowestCost")
        assert seen.views()["a"].price == pytest.approx(3.0)
        assert seen.views()["b"].price is None
        assert Seen(*told).views()["a"].price is None, "nobody asks for it"

    def test_access_and_dialect_are_the_provider_s(self) -> None:
        views = Seen().views()
        assert [views[n].access for n in ("a", "own")] == [Access.GATEWAY, Access.DIRECT]
        assert views["b"].dialect == "OpenAIChat"

    def test_looking_takes_no_probe(self) -> None:
        seen = Seen(outage(1, 1), outage(2, 2), outage(3, 3), at=3).at(40)
        assert [seen.views()["a"].circuit_allows for _ in range(3)] == [True] * 3
        seen.ledger.breakers.start("a", after(40))
        view = seen.views()["a"]
        assert (view.circuit_allows, view.circuit_until) == (False, after(70))


class TestTimers:
    def test_a_reset(self) -> None:
        assert Seen(failure(1, 1, verdict(EndClass.RATE_LIMITED, after(60)))).wakes() == after(60)

    def test_a_breaker_that_turns_half_open(self) -> None:
        assert Seen(outage(1, 1), outage(2, 2), outage(3, 3), at=3).wakes() == after(33)

    def test_telemetry_that_turns_stale_and_then_leaves_the_window(self) -> None:
        seen = Seen(completion(1, 0))
        assert seen.wakes() == after(600.001)
        assert seen.at(601).wakes() == after(3600.001)
        assert seen.at(3601).wakes() is None


class TestNews:
    def test_a_breaker_s_events_say_from_to_and_why(self) -> None:
        closed, seen = Seen().status(), Seen(outage(1, 1), outage(2, 2), outage(3, 3), at=3)
        opened = seen.status()
        (note,) = notes(closed, opened, seen.ledger)
        assert (note.reason, note.message, note.warning) == (
            "CircuitOpened",
            "a: from Closed to Open: 3 consecutive failure(s)",
            True,
        )
        half = seen.at(40).status()
        assert notes(opened, half, seen.ledger) == []
        seen.ledger.breakers.reset(after(41), "reset by hand")
        (note,) = notes(half, seen.status(), seen.ledger)
        assert (note.reason, note.message) == ("CircuitClosed", "a: from HalfOpen to Closed: reset by hand")

    def test_a_candidate_without_news_hides_none_behind_it(self) -> None:
        closed, seen = Seen().status(), Seen(outage(1, 1), outage(2, 2), outage(3, 3), at=3)
        opened = seen.status()
        quiet = closed.candidates[0].model_copy(update={"name": "quiet"})
        behind = opened.model_copy(update={"candidates": [quiet, *opened.candidates]})
        assert [note.message for note in notes(closed, behind, seen.ledger)] == [
            "a: from Closed to Open: 3 consecutive failure(s)"
        ]

    def test_telemetry_can_wait_what_changes_a_choice_cannot(self) -> None:
        before = Seen(completion(1, 1)).status()
        assert not urgent(before, Seen(completion(1, 1), completion(2, 2)).status())
        assert not urgent(before, Seen(completion(1, 1), outage(2, 2)).status())
        assert urgent(before, Seen(completion(1, 1), failure(2, 2, WEEKLY)).status())
        assert urgent(before, Seen(completion(1, 1), *(outage(n, n) for n in range(2, 5))).status())


def test_the_breaker_of_record_comes_back_from_the_status() -> None:
    seen = Seen(outage(1, 1), outage(2, 2), outage(3, 3), at=3)
    seen.at(34).ledger.breakers.start("a", after(34))
    kept = a_route(status=seen.status().to_wire())
    again = Seen()
    for candidate in kept.status.candidates:
        again.ledger.breakers.restore(candidate.name, candidate.circuit)
    circuits = [[c.circuit for c in s.at(35).status().candidates] for s in (seen, again)]
    assert circuits[0] == circuits[1]
    assert not again.views()["a"].circuit_allows, "the probe's lease came back too"
