"""The choice among candidates: what is never eligible, and how the rest is ranked."""

from collections import Counter
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from droveway.api.enums import Strategy
from droveway.core.ranking import CandidateView, Preference, numbers, rank
from droveway.core.routing import Choice, Objection, choose
from helpers.build import NOON, after, candidate


def chosen(*views: CandidateView, **preference: Any) -> str | None:
    found = choose(views, Preference(**preference), NOON).candidate
    return found.name if found else None


def order(*views: CandidateView, **preference: Any) -> list[str]:
    return [r.candidate.name for r in rank(views, Preference(**preference), NOON)]


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        pytest.param(
            candidate("a", limited_until=after(1), limit_kind="SubscriptionLimit"), "SubscriptionLimit", id="limited"
        ),
        pytest.param(candidate("a", circuit_allows=False, circuit_until=after(30)), "CircuitOpen", id="breaker open"),
        pytest.param(candidate("a", not_ready=("SecretNotFound", "create it")), "SecretNotFound", id="no key"),
        pytest.param(candidate("a", unfit=("AgentInvalid", "dialect")), "AgentInvalid", id="cannot serve this run"),
    ],
)
def test_an_objection_excludes_whatever_the_rank(first: CandidateView, reason: str) -> None:
    choice = choose((first, candidate("b", priority=9)), Preference(), NOON)

    assert choice.candidate
    assert choice.candidate.name == "b"
    assert [(o.candidate, o.reason) for o in choice.rejected] == [("a", reason)]
    assert f"a ({reason})" in choice.reason


@pytest.mark.parametrize(
    ("strategy", "views", "best"),
    [
        pytest.param(
            "Priority", (candidate("a", priority=2), candidate("b", priority=1)), "b", id="lower priority number first"
        ),
        pytest.param("Priority", (candidate("a"), candidate("b")), "a", id="ties keep the list's order"),
        pytest.param(
            "LowestLatency", (candidate("a", latency_ms=900.0), candidate("b", latency_ms=300.0)), "b", id="fastest"
        ),
        pytest.param(
            "LowestLatency",
            (candidate("a", latency_ms=300.0, samples=98, succeeded=0), candidate("b", latency_ms=900.0)),
            "b",
            id="fast failures are not fast",
        ),
        pytest.param("LowestCost", (candidate("a", price=3.0), candidate("b", price=1.0)), "b", id="cheapest"),
    ],
)
def test_strategies(strategy: str, views: tuple[CandidateView, ...], best: str) -> None:
    assert chosen(*views, strategy=Strategy(strategy)) == best


@pytest.mark.parametrize(
    ("succeeded", "samples", "expected"), [(0, 0, 1 / 2), (1, 1, 2 / 3), (0, 1, 1 / 3), (8, 8, 0.9)]
)
def test_r_t13_no_data_is_one_half_and_few_data_say_little(succeeded: int, samples: int, expected: float) -> None:
    assert candidate("a", succeeded=succeeded, samples=samples).expected_success == pytest.approx(expected)


def test_unknown_numbers_are_neutral_not_free_and_not_last() -> None:
    views = (candidate("fast", latency_ms=100.0), candidate("unknown"), candidate("slow", latency_ms=900.0))
    assert order(*views, strategy=Strategy.LOWEST_LATENCY) == ["fast", "unknown", "slow"]
    views = (candidate("cheap", price=1.0), candidate("unknown"), candidate("dear", price=9.0))
    assert order(*views, strategy=Strategy.LOWEST_COST) == ["cheap", "unknown", "dear"]


def test_no_data_at_all_is_shared_by_draw() -> None:
    views = (candidate("a"), candidate("b"))
    firsts = Counter(chosen(*views, strategy=Strategy.LOWEST_LATENCY, key=f"run-{n}") for n in range(400))
    assert set(firsts) == {"a", "b"}
    assert min(firsts.values()) > 150


@pytest.mark.parametrize("strategy", [Strategy.LOWEST_LATENCY, Strategy.LOWEST_COST])
@pytest.mark.parametrize(
    ("other", "best"), [(91.0, "b"), (89.0, "a")], ids=["a tie keeps it", "clearly better moves it"]
)
def test_a_session_stays_while_nothing_is_clearly_better(strategy: Strategy, other: float, best: str) -> None:
    views = (
        candidate("a", latency_ms=other, price=other),
        candidate("b", latency_ms=100.0, price=100.0),
    )
    assert chosen(*views, strategy=strategy, sticky="b") == best


def test_ties_of_measured_strategies_go_by_priority() -> None:
    views = (candidate("a", priority=1, latency_ms=100.0), candidate("b", priority=0, latency_ms=105.0))
    assert chosen(*views, strategy=Strategy.LOWEST_LATENCY) == "b"


def test_a_tie_is_one_with_the_best_that_may_be_taken() -> None:
    spent = candidate("spent", latency_ms=10.0, used_percent=95)
    views = (candidate("a", priority=1, latency_ms=100.0), candidate("b", latency_ms=105.0))
    assert order(spent, *views, strategy=Strategy.LOWEST_LATENCY) == ["b", "a", "spent"]
    full = tuple(replace(v, used_percent=95, latency_ms=ms) for v, ms in zip(views, (100.0, 900.0), strict=True))
    assert order(*full, strategy=Strategy.LOWEST_LATENCY) == ["a", "b"], "all are held back: the fastest of them"


def test_small_prices_are_told_apart() -> None:
    views = (candidate("dear", price=0.2), candidate("cheap", price=0.01))
    assert order(*views, strategy=Strategy.LOWEST_COST) == ["cheap", "dear"]


def test_a_draw_stays_what_it_was_so_that_an_upgrade_moves_no_session() -> None:
    views = tuple(candidate(name, weight=weight) for name, weight in zip("abcde", (1, 1, 2, 3, 5), strict=True))
    drawn = {key: "".join(order(*views, strategy=Strategy.WEIGHTED, key=key)) for key in ("run-1", "run-2", "run-3")}
    assert drawn == {"run-1": "decab", "run-2": "cdaeb", "run-3": "ecdab"}


def test_a_draw_is_the_same_for_the_same_key() -> None:
    views = tuple(candidate(name) for name in "abcde")
    for key in ("run-1", "run-2", ""):
        assert len({tuple(order(*views, strategy=Strategy.WEIGHTED, key=key)) for _ in range(3)}) == 1
        assert order(*views, strategy=Strategy.WEIGHTED, key=key) == order(
            *reversed(views), strategy=Strategy.WEIGHTED, key=key
        )


def test_many_draws_are_shared_by_weight() -> None:
    views = (candidate("a", weight=1), candidate("b", weight=3), candidate("c", weight=0))
    firsts = Counter(chosen(*views, strategy=Strategy.WEIGHTED, key=f"run-{n}") for n in range(10_000))
    assert set(firsts) == {"a", "b"}
    assert abs(firsts["a"] / 10_000 - 0.25) < 0.02


def test_a_candidate_that_leaves_moves_its_own_sessions_alone() -> None:
    views = tuple(candidate(name, weight=n) for n, name in enumerate("abcd", start=1))
    for n in range(300):
        before = chosen(*views, strategy=Strategy.WEIGHTED, key=f"run-{n}")
        after_c_left = chosen(*(v for v in views if v.name != "c"), strategy=Strategy.WEIGHTED, key=f"run-{n}")
        assert before in ("c", after_c_left)


def test_what_has_no_weight_serves_when_nothing_else_can() -> None:
    views = (candidate("a", weight=1, limited_until=after(9)), candidate("b", weight=0))
    assert chosen(*views, strategy=Strategy.WEIGHTED) == "b"


def test_a_weighted_run_stays_where_it_is_while_it_can() -> None:
    views = (candidate("a", weight=1000), candidate("b", weight=1))
    assert chosen(*views, strategy=Strategy.WEIGHTED, sticky="b") == "b"
    assert chosen(views[0], replace(views[1], limited_until=after(9)), strategy=Strategy.WEIGHTED, sticky="b") == "a"


@pytest.mark.parametrize("strategy", list(Strategy))
@pytest.mark.parametrize(
    ("change", "preference", "why"),
    [
        pytest.param({"used_percent": 90}, {}, "Draining", id="nearly spent takes no new session"),
        pytest.param({"recovering_until": after(9)}, {}, "Recovering", id="just back from a limit, tried by another"),
        pytest.param({}, {"failed": "a"}, "JustFailed", id="its outage ended the last attempt"),
    ],
)
def test_held_back_comes_last_but_before_nothing(
    strategy: Strategy, change: dict[str, Any], preference: dict[str, Any], why: str
) -> None:
    best = candidate("a", latency_ms=1.0, price=0.01, weight=1000, **change)
    other = candidate("b", priority=9, latency_ms=9000.0, price=99.0)
    choice = choose((best, other), Preference(strategy, **preference), NOON)
    assert choice.candidate == other
    assert [(o.candidate, o.reason) for o in choice.rejected] == [("a", why)]
    assert chosen(best, strategy=strategy, **preference) == "a"
    assert [r.held_back for r in choice.ranking] == ["", why]


@pytest.mark.parametrize(
    ("change", "sticky"),
    [
        pytest.param({"used_percent": 89}, None, id="below the bound"),
        pytest.param({"used_percent": 99}, "a", id="its own sessions stay"),
        pytest.param({"used_percent": 100, "drain_percent": 100}, None, id="the quota shall be used up"),
        pytest.param({"recovering_until": NOON}, None, id="the trial is over"),
    ],
)
def test_not_held_back(change: dict[str, Any], sticky: str | None) -> None:
    assert chosen(candidate("a", **change), candidate("b", priority=1), sticky=sticky) == "a"


def test_who_can_wait_does_not_follow_a_trial() -> None:
    choice = choose((candidate("a", recovering_until=after(40)),), Preference(patient=True), NOON)
    assert choice.candidate is None
    assert choice.eligible_at == after(40)
    assert [o.reason for o in choice.rejected] == ["Recovering"]


def test_the_choice_carries_every_number_behind_it() -> None:
    views = (
        candidate("a", latency_ms=200.0, samples=8, succeeded=8),
        candidate("b", latency_ms=800.0, samples=8, succeeded=5),
        candidate("c", limited_until=after(5), limit_kind="SubscriptionLimit"),
    )
    choice = choose(views, Preference(Strategy.LOWEST_LATENCY), NOON)
    assert [(r.candidate.name, round(r.score)) for r in choice.ranking] == [("a", 222), ("b", 1333)]
    assert choice.reason == (
        "lowest latency (200 ms, 90% expected success) of what is eligible; not: c (SubscriptionLimit)"
    )
    assert [(o.candidate, o.reason) for o in choice.rejected] == [("c", "SubscriptionLimit"), ("b", "NotPreferred")]
    assert choice.rejected[1].message == (
        "LowestLatency ranks a first (200 ms, 90% expected success), this: 800 ms, 60% expected success"
    )


@pytest.mark.parametrize(
    ("strategy", "change", "says"),
    [
        ("Priority", {"priority": 3}, "priority 3"),
        ("Weighted", {"weight": 3}, "weight 3"),
        ("LowestCost", {"price": 3.0}, "$3.00 per million tokens, 50% expected success"),
        ("LowestLatency", {}, "no data, 50% expected success"),
        ("Priority", {"used_percent": 95}, "priority 0; takes no new session, 95 % of its quota is used"),
    ],
)
def test_numbers_are_told_in_words(strategy: str, change: dict[str, Any], says: str) -> None:
    prefer = Preference(Strategy(strategy))
    assert numbers(rank((candidate("a", **change),), prefer, NOON)[0], prefer.strategy) == says


def test_a_candidate_that_refused_this_request_is_not_asked_again() -> None:
    assert chosen(candidate("a"), candidate("b"), tried=frozenset("a")) == "b"
    assert chosen(candidate("a"), tried=frozenset("a")) is None


def test_nothing_eligible_tells_when_another_look_pays() -> None:
    choice = choose(
        (
            candidate("a", limited_until=after(60)),
            candidate("b", circuit_allows=False, circuit_until=after(30)),
            candidate("c", not_ready=("SecretNotFound", "")),
        ),
        Preference(),
        NOON,
    )

    assert choice.candidate is None
    assert choice.eligible_at == after(30)


def test_only_a_person_can_help() -> None:
    assert choose((candidate("a", not_ready=("SecretNotFound", "")),), Preference(), NOON).eligible_at is None


@pytest.mark.parametrize(
    ("view", "preference", "reason", "message", "until"),
    [
        pytest.param(
            candidate("a", limited_until=after(60), limit_kind="RateLimited"),
            {},
            "RateLimited",
            "a-provider is limited until 2026-11-21T12:01:00Z",
            after(60),
            id="limited",
        ),
        pytest.param(
            candidate("a", limited_until=after(60)),
            {},
            "Limited",
            "a-provider is limited until 2026-11-21T12:01:00Z",
            after(60),
            id="limited, nobody knows how",
        ),
        pytest.param(
            candidate("a", circuit_allows=False, circuit_until=after(30)),
            {},
            "CircuitOpen",
            "a-provider/a-model failed repeatedly; left alone until 2026-11-21T12:00:30Z",
            after(30),
            id="open",
        ),
        pytest.param(
            candidate("a", circuit_allows=False),
            {},
            "CircuitOpen",
            "a-provider/a-model failed repeatedly; left alone",
            None,
            id="open, nobody knows how long",
        ),
        pytest.param(
            candidate("a", recovering_until=after(40)),
            {"patient": True},
            "Recovering",
            "a-provider has just come back from a limit; one tries it first, the others follow",
            after(40),
            id="on trial",
        ),
        pytest.param(
            candidate("a"), {"tried": frozenset("a")}, "Tried", "refused this request", None, id="tried already"
        ),
        pytest.param(
            candidate("a"),
            {"stay": True, "sticky": "b"},
            "WaitingForAnother",
            "onLimit: Wait keeps the run on b",
            None,
            id="another one is waited for",
        ),
    ],
)
def test_an_objection_says_why_and_until_when(
    view: CandidateView, preference: dict[str, Any], reason: str, message: str, until: datetime | None
) -> None:
    choice = choose((view,), Preference(**preference), NOON)
    assert choice == Choice(
        None,
        f"no candidate is eligible: a ({reason})",
        (),
        (Objection("a", reason, message, until),),
        until,
    )


@pytest.mark.parametrize(
    "view",
    [candidate("a", limited_until=NOON), candidate("a", recovering_until=NOON)],
    ids=["the limit is over", "the trial is over"],
)
def test_what_ends_now_is_over(view: CandidateView) -> None:
    assert chosen(view, patient=True) == "a"


@pytest.mark.parametrize(
    ("strategy", "views", "says"),
    [
        ("Priority", (candidate("a"),), "first by priority of all candidates"),
        ("Weighted", (candidate("a"),), "drawn by weight of all candidates"),
        (
            "LowestCost",
            (candidate("a", price=3.0),),
            "lowest cost ($3.00 per million tokens, 50% expected success) of all candidates",
        ),
        (
            "Priority",
            (candidate("a"), candidate("b", unfit=("NoFreeSlot", "")), candidate("c", unfit=("AgentInvalid", ""))),
            "first by priority of what is eligible; not: b (NoFreeSlot), c (AgentInvalid)",
        ),
        (
            "Priority",
            (candidate("a", used_percent=95),),
            "first by priority (priority 0; takes no new session, 95 % of its quota is used) of all candidates",
        ),
    ],
)
def test_a_choice_says_how_it_was_made(strategy: str, views: tuple[CandidateView, ...], says: str) -> None:
    assert choose(views, Preference(Strategy(strategy)), NOON).reason == says


def test_nothing_to_choose_from_is_said_too() -> None:
    choice = choose(
        (candidate("a", unfit=("NoFreeSlot", "")), candidate("b", unfit=("AgentInvalid", ""))), Preference(), NOON
    )
    assert choice.reason == "no candidate is eligible: a (NoFreeSlot), b (AgentInvalid)"


VIEWS = st.lists(
    st.builds(
        candidate,
        st.just("x"),
        priority=st.integers(0, 5),
        weight=st.integers(0, 5),
        limited_until=st.sampled_from([None, NOON, after(5)]),
        circuit_allows=st.booleans(),
        latency_ms=st.none() | st.floats(1, 1e6),
        price=st.none() | st.floats(0, 100),
        samples=st.integers(0, 9),
        succeeded=st.just(0),
    ),
    max_size=6,
)


@given(VIEWS, st.sampled_from(list(Strategy)), st.text(max_size=9))
def test_every_candidate_is_chosen_or_rejected_and_the_chosen_one_is_clean(
    views: list[CandidateView], strategy: Strategy, key: str
) -> None:
    named = [replace(v, name=f"c{i}") for i, v in enumerate(views)]
    choice = choose(named, Preference(strategy, key), NOON)
    accounted = [o.candidate for o in choice.rejected] + ([choice.candidate.name] if choice.candidate else [])

    assert sorted(accounted) == sorted(v.name for v in named)
    if choice.candidate:
        assert choice.candidate.circuit_allows
        assert not (choice.candidate.limited_until and choice.candidate.limited_until > NOON)
