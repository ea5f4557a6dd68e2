"""What follows a failure: again, the next one, or the end; how long before it; and how many of that in all."""

from datetime import UTC, datetime, timedelta
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from droveway.api.enums import Dialect, EndClass
from droveway.core.deadline import Clock
from droveway.core.ratio import Ratio
from droveway.core.retrying import RetryRule, Then, backoff, next_step
from droveway.core.verdict import Scope, Verdict
from droveway.dialects import SPECS

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
RULE = RetryRule(same_candidate=2, base=0.25, cap=5.0)
OVERLOADED = b'{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}'


def judged(status: int, body: bytes = b"{}", **headers: str) -> Verdict:
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return SPECS[Dialect.ANTHROPIC].classify(status, told, body, NOW)


def outage(clock: Clock | None = None, scope: Scope = Scope.PROVIDER) -> Verdict:
    return Verdict(EndClass.PROVIDER_OUTAGE, None, scope, "it said", clock)


@pytest.mark.parametrize(
    ("verdict", "kind", "then", "reason"),
    [
        pytest.param(judged(400), "RequestRejected", "End", "Final", id="400"),
        pytest.param(judged(404), "RequestRejected", "End", "Final", id="404"),
        pytest.param(judged(413), "RequestRejected", "End", "Final", id="413"),
        pytest.param(judged(401), "AuthFailed", "Next", "LastsLonger", id="401"),
        pytest.param(judged(403), "AuthFailed", "Next", "LastsLonger", id="403"),
        pytest.param(judged(402), "BalanceExhausted", "Next", "LastsLonger", id="402"),
        pytest.param(judged(408), "ProviderOutage", "Again", "Transient", id="408"),
        pytest.param(judged(429), "RateLimited", "Next", "LastsLonger", id="429 without a time"),
        pytest.param(judged(429, retry_after="2"), "RateLimited", "Again", "Transient", id="429, back soon"),
        pytest.param(judged(429, retry_after="60"), "RateLimited", "Next", "LongerThanMaxBackoff", id="429, back late"),
        pytest.param(
            judged(429, anthropic_ratelimit_unified_status="rejected", anthropic_ratelimit_unified_reset="1795262400"),
            "SubscriptionLimit", "Next", "LastsLonger", id="429 of a subscription",
        ),
        pytest.param(judged(500), "ProviderOutage", "Again", "Transient", id="500"),
        pytest.param(judged(502), "ProviderOutage", "Again", "Transient", id="502"),
        pytest.param(judged(503, retry_after="1"), "ProviderOutage", "Again", "Transient", id="503, back soon"),
        pytest.param(judged(503, retry_after="9"), "ProviderOutage", "Next", "LongerThanMaxBackoff", id="503, back late"),
        pytest.param(judged(529, OVERLOADED), "ProviderOutage", "Again", "Transient", id="529"),
        pytest.param(outage(), "ProviderOutage", "Again", "Transient", id="cut, reset, refused"),
        pytest.param(outage(Clock.CONNECT), "ProviderOutage", "Again", "Transient", id="no connection in time"),
        pytest.param(outage(Clock.HEADERS), "ProviderOutage", "Next", "Silent", id="no head in time"),
        pytest.param(outage(Clock.FIRST_CONTENT), "ProviderOutage", "Next", "Silent", id="no content in time"),
        pytest.param(outage(Clock.IDLE), "ProviderOutage", "Next", "Silent", id="silent in the middle"),
        pytest.param(outage(scope=Scope.REQUEST), "ProviderOutage", "Next", "OurOwnBound", id="no slot became free"),
        pytest.param(Verdict(EndClass.TIMEOUT), "Timeout", "End", "Final", id="the deadline"),
        pytest.param(Verdict(EndClass.CANCELLED), "Cancelled", "End", "Final", id="the agent left"),
    ],
)  # fmt: skip
def test_each_failure_has_its_class_and_its_consequence(verdict: Verdict, kind: str, then: str, reason: str) -> None:
    step = next_step(verdict, 0, RULE, inf, 0.5, NOW)
    assert (verdict.kind, step.then, step.reason) == (kind, then, reason)


def test_a_candidate_is_asked_again_as_often_as_the_route_says() -> None:
    told = [next_step(outage(), repeats, RULE, inf, 0.5, NOW).then for repeats in range(4)]
    assert told == [Then.AGAIN, Then.AGAIN, Then.NEXT, Then.NEXT]
    assert next_step(outage(), 0, RetryRule(), inf, 0.5, NOW).reason == "RetriesSpent"


@pytest.mark.parametrize("left", [0.0, 0.1, 0.25])
def test_no_retry_begins_after_the_deadline(left: float) -> None:
    assert next_step(outage(), 0, RULE, left, 0.5, NOW).reason == "DeadlineFirst"
    assert next_step(outage(), 0, RULE, 0.26, 0.5, NOW).then is Then.AGAIN


def test_what_the_provider_asks_for_is_waited_out_and_not_undercut() -> None:
    throttled = Verdict(EndClass.RATE_LIMITED, NOW + timedelta(seconds=2))
    assert next_step(throttled, 0, RULE, inf, 0.0, NOW).seconds == pytest.approx(2.02)
    assert next_step(throttled, 0, RULE, 2.0, 0.0, NOW).then is Then.NEXT
    past = Verdict(EndClass.PROVIDER_OUTAGE, NOW - timedelta(seconds=2))
    assert next_step(past, 0, RULE, inf, 0.5, NOW).seconds == 0.25


def test_a_thousand_delays_keep_their_bounds_and_differ() -> None:
    for repeats in range(1, 8):
        delays = [backoff(repeats, RULE, dice / 1000) for dice in range(1000)]
        full = min(RULE.base * 2 ** (repeats - 1), RULE.cap / 1.5)
        assert full * 0.5 <= min(delays) < full * 0.6
        assert full * 1.4 < max(delays) <= min(full * 1.5, RULE.cap)
        assert len(set(delays)) > 900


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_no_delay_is_longer_than_the_cap(repeats: int, dice: float) -> None:
    assert 0 < backoff(repeats, RULE, dice) <= RULE.cap + 1e-9


def test_retries_are_a_share_of_the_traffic() -> None:
    ratio = Ratio()
    for _ in range(100):
        ratio.count(100.0)
    assert [ratio.take(20, 101.0) for _ in range(21)] == [True] * 20 + [False]


def test_who_has_little_traffic_is_granted_a_few() -> None:
    ratio = Ratio()
    assert [ratio.take(20, 100.0) for _ in range(4)] == [True, True, True, False]


def test_the_window_slides() -> None:
    ratio = Ratio()
    assert [ratio.take(20, 100.0) for _ in range(4)][-1] is False
    assert ratio.take(20, 129.9) is False
    assert ratio.take(20, 130.0) is True


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 5)), max_size=300), st.integers(1, 100))
def test_extra_calls_never_exceed_their_share_of_the_window(story: list[tuple[bool, float]], percent: int) -> None:
    ratio, now, told = Ratio(), 1000.0, []
    for extra, later in story:
        now += later
        if not extra:
            ratio.count(now)
            told.append((int(now), False))
        elif ratio.take(percent, now):
            told.append((int(now), True))
            window = [is_extra for at, is_extra in told if at > int(now) - 30]
            assert sum(window) <= max(3, (len(window) - sum(window)) * percent / 100)


def test_calls_of_many_seconds_count_until_each_is_thirty_seconds_old() -> None:
    ratio = Ratio()
    for second in (100, 100, 101):
        for _ in range(50):
            ratio.count(second)
    assert [ratio.take(10, 101.5) for _ in range(16)] == [True] * 15 + [False]
    assert [ratio.take(10, 130.5) for _ in range(2)] == [False, False], (
        "a hundred calls have gone, the extra ones have not"
    )
    for _ in range(150):
        ratio.count(131.0)
    assert [ratio.take(10, 131.5) for _ in range(16)] == [True] * 15 + [False], "all of the first seconds have gone"
