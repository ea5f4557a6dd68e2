"""What a route says of its candidates, and of itself, word by word."""

from typing import Any

import pytest

from droveway.api.enums import Access, Dialect, EndClass
from droveway.core.ranking import CandidateView
from droveway.core.route import notes, urgent
from droveway.core.utilization import Reading
from droveway.core.verdict import Scope
from helpers.seen import Seen
from helpers.told import NOON, after, completion, failure, outage, providers, verdict

B: dict[str, Any] = {"candidate": "b", "provider": "openai", "model": "gpt"}
WEEKLY = verdict(EndClass.SUBSCRIPTION_LIMIT, after(3600), "weekly limit reached")
THROTTLED = verdict(EndClass.RATE_LIMITED, after(60))
LINES = [
    {"name": "a", "providerRef": {"name": "anthropic"}, "model": "sonnet", "priority": 2, "weight": 3},
    {"name": "b", "providerRef": {"name": "gone"}, "model": "gpt"},
]


def said(seen: Seen) -> dict[str, tuple[str, str, str]]:
    return {c.type: (c.status, c.reason, c.message) for c in seen.status().conditions}


def test_a_view_is_the_manifests_line_with_what_was_told() -> None:
    seen = Seen(completion(1, 1), outage(2, 2), completion(3, 3), candidates=LINES)
    seen.accounts.learn("anthropic", [Reading("5h", 10, None, NOON), Reading("7d_opus", 99, None, NOON)], NOON)

    assert seen.views()["a"] == CandidateView(
        name="a",
        provider="anthropic",
        model="sonnet",
        dialect=Dialect.ANTHROPIC,
        access=Access.GATEWAY,
        priority=2,
        weight=3,
        samples=3,
        succeeded=2,
        latency_ms=1000.0,
        used_percent=10,
        drain_percent=90,
    )
    assert seen.views()["b"] == CandidateView(
        name="b",
        provider="gone",
        model="gpt",
        dialect=Dialect.ANTHROPIC,
        access=Access.GATEWAY,
        not_ready=("ProviderNotFound", "there is no ModelProvider gone; create it"),
        drain_percent=100,
    )
    assert seen.at(1000).views()["a"].succeeded == 0, "stale"


def test_a_limit_that_lasts_longest_is_the_candidates() -> None:
    view = Seen(failure(1, 1, WEEKLY), failure(2, 2, THROTTLED)).views()["a"]

    assert (view.limited_until, view.limit_kind) == (after(3600), "SubscriptionLimit")


def test_a_quiet_route_says_that_nothing_is_known() -> None:
    assert said(Seen()) == {
        "Limited": ("False", "NoLimit", ""),
        "Ready": ("True", "Valid", "3 of 3 candidates can be chosen"),
        "TelemetryFresh": ("False", "Stale", "no completion for 600 s"),
    }


def test_a_route_at_its_limits_names_all_of_them() -> None:
    told = (failure(1, 1, WEEKLY), failure(2, 2, THROTTLED, **B))
    seen = Seen(*told, known={n: p for n, p in providers().items() if n != "login"})

    assert said(seen) == {
        "Limited": ("True", "SubscriptionLimit", "a until 2026-11-21T13:00:00Z; b until 2026-11-21T12:01:00Z"),
        "Ready": (
            "False",
            "NoEligibleCandidate",
            (
                "a: SubscriptionLimit (anthropic is limited until 2026-11-21T13:00:00Z); "
                "b: RateLimited (openai is limited until 2026-11-21T12:01:00Z); "
                "own: ProviderNotFound (there is no ModelProvider login; create it)"
            ),
        ),
        "TelemetryFresh": ("True", "Fresh", ""),
    }


def test_everything_is_said_of_the_generation_that_was_seen() -> None:
    status = Seen().status()

    assert {status.observed_generation, *(c.observed_generation for c in status.conditions)} == {1}


@pytest.mark.parametrize(("at", "fresh"), [(600, "True"), (600.5, "False")])
def test_telemetry_is_fresh_for_exactly_so_long(at: float, fresh: str) -> None:
    assert said(Seen(completion(1, 0), at=at))["TelemetryFresh"][0] == fresh


@pytest.mark.parametrize(
    ("at", "limited", "glance"),
    [(59, "True", "a Closed 0% - limited until 2026-11-21T12:01:00Z"), (60, "False", "a Closed 0% -")],
    ids=["to the last second", "not at its end"],
)
def test_a_limit_is_said_while_it_holds(at: float, limited: str, glance: str) -> None:
    seen = Seen(failure(1, 1, verdict(EndClass.RATE_LIMITED, after(60), scope=Scope.MODEL))).at(at)

    assert said(seen)["Limited"][0] == limited
    assert seen.status().candidate_summary.split(", ")[0] == glance
    assert seen.wakes() == (after(60) if limited == "True" else after(601.001))


def test_numbers_are_decimal_strings_or_nothing() -> None:
    seen = Seen(completion(1, 1), completion(2, 2)).status()

    assert (seen.candidates[0].telemetry.success_rate, seen.candidates[0].telemetry.throughput) == (
        "1.0000",
        "0.000556",
    )
    assert (seen.candidates[1].telemetry.success_rate, seen.candidates[1].telemetry.throughput) == (None, None)
    assert (seen.candidates[0].message, seen.candidates[1].telemetry.cost_usd) == ("", None)


class TestNews:
    def test_each_breaker_that_changed_is_told(self) -> None:
        seen = Seen(*(outage(n, n) for n in (1, 2, 3)), *(outage(n, n, **B) for n in (4, 5, 6)))

        assert [n.message for n in notes(Seen().status(), seen.status(), seen.ledger)] == [
            "a: from Closed to Open: 3 consecutive failure(s)",
            "b: from Closed to Open: 3 consecutive failure(s)",
        ]

    def test_a_candidate_that_was_not_there_counts_as_closed(self) -> None:
        before, seen = Seen().status().model_copy(update={"candidates": []}), Seen(*(outage(n, n) for n in (1, 2, 3)))

        assert [n.reason for n in notes(before, seen.status(), seen.ledger)] == ["CircuitOpened"]

    def test_a_change_that_this_process_has_not_seen_is_told_without_a_reason(self) -> None:
        opened = Seen(*(outage(n, n) for n in (1, 2, 3))).status()

        assert [n.message for n in notes(opened, Seen().status(), Seen().ledger)] == ["a: from Open to Closed"]

    def test_a_condition_of_another_generation_cannot_wait(self) -> None:
        before = Seen(completion(1, 1)).status()
        conditions = [c.model_copy(update={"observed_generation": 2}) for c in before.conditions]

        assert urgent(before, before.model_copy(update={"conditions": conditions}))
        assert not urgent(before, before.model_copy(update={"observed_generation": 2}))
