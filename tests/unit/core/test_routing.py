"""The choice among candidates: what is never eligible, and how the rest is ranked."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from droveway.api.enums import Strategy
from droveway.core.routing import CandidateView, Preference, choose
from helpers.build import NOON, after, candidate


def chosen(*views: CandidateView, **preference: object) -> str | None:
    found = choose(views, Preference(**preference), NOON).candidate  # type: ignore[arg-type]  # table of keywords
    return found.name if found else None


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
            "LowestLatency", (candidate("a", latency_ms=9000.0), candidate("b")), "b", id="an untimed one ranks neutral"
        ),
        pytest.param(
            "LowestLatency",
            (candidate("a", latency_ms=300.0, samples=98, succeeded=0), candidate("b", latency_ms=900.0)),
            "b",
            id="fast failures are not fast",
        ),
        pytest.param("LowestCost", (candidate("a", price=3.0), candidate("b", price=1.0)), "b", id="cheapest"),
        pytest.param(
            "LowestCost", (candidate("a"), candidate("b", price=99.0)), "b", id="an unknown price is last, not free"
        ),
    ],
)
def test_strategies(strategy: str, views: tuple[CandidateView, ...], best: str) -> None:
    assert chosen(*views, strategy=Strategy(strategy)) == best


@pytest.mark.parametrize(("dice", "best"), [(0.0, "a"), (0.24, "a"), (0.26, "b"), (0.999, "b")])
def test_weights_are_shares(dice: float, best: str) -> None:
    assert chosen(candidate("a", weight=1), candidate("b", weight=3), strategy=Strategy.WEIGHTED, dice=dice) == best


def test_a_weighted_run_stays_where_it_is_while_it_can() -> None:
    views = (candidate("a", weight=1000), candidate("b", weight=1))
    assert chosen(*views, strategy=Strategy.WEIGHTED, sticky="b") == "b"
    assert chosen(views[0], replace(views[1], limited_until=after(9)), strategy=Strategy.WEIGHTED, sticky="b") == "a"


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


@given(VIEWS, st.sampled_from(list(Strategy)), st.floats(0, 1, exclude_max=True))
def test_every_candidate_is_chosen_or_rejected_and_the_chosen_one_is_clean(
    views: list[CandidateView], strategy: Strategy, dice: float
) -> None:
    named = [replace(v, name=f"c{i}") for i, v in enumerate(views)]
    choice = choose(named, Preference(strategy, dice), NOON)
    accounted = [o.candidate for o in choice.rejected] + ([choice.candidate.name] if choice.candidate else [])

    assert sorted(accounted) == sorted(v.name for v in named)
    if choice.candidate:
        assert choice.candidate.circuit_allows
        assert not (choice.candidate.limited_until and choice.candidate.limited_until > NOON)
