"""The circuit breaker and the health history: the reference's own tests, the rules that differ, and a machine against a model."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from droveway.core.health import (
    CircuitBreaker,
    CircuitBreakerConfig,
    CircuitState,
    HealthStatus,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
COOLDOWN = 30 * SECOND
CLOSED, OPEN, HALF_OPEN = CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN
HEALTHY, DEGRADED, UNHEALTHY = HealthStatus.HEALTHY, HealthStatus.DEGRADED, HealthStatus.UNHEALTHY


def opened(config: CircuitBreakerConfig | None = None, at: datetime = NOW) -> CircuitBreaker:
    """A breaker that has just opened."""
    breaker = CircuitBreaker(config)
    for _ in range(breaker.config.failure_threshold):
        breaker.record_failure(at)
    return breaker


def restarted(breaker: CircuitBreaker) -> CircuitBreaker:
    """The breaker after a restart."""
    return CircuitBreaker.from_status(breaker.config, json.loads(json.dumps(breaker.to_status())))


class TestTheReferencesOwn:
    def test_names(self) -> None:
        assert [str(s) for s in HealthStatus] == ["healthy", "degraded", "unhealthy", "timeout", "terminated"]
        assert [str(s) for s in CircuitState] == ["closed", "open", "half_open"]

    def test_defaults(self) -> None:
        config = CircuitBreakerConfig()
        assert (config.failure_threshold, config.cooldown, config.success_threshold) == (3, COOLDOWN, 1)
        assert (config.half_open_max_probes, config.probe_timeout, config.failure_window) == (1, None, None)
        assert config.lease == COOLDOWN

    def test_starts_closed(self) -> None:
        breaker = CircuitBreaker(CircuitBreakerConfig())
        assert breaker.state(NOW) is CLOSED
        assert breaker.should_allow(NOW)
        assert breaker.should_allow(NOW)

    def test_opens_on_exactly_the_third_failure(self) -> None:
        breaker, states = CircuitBreaker(), []
        for _ in range(3):
            breaker.record_failure(NOW)
            states.append(breaker.state(NOW))
        assert states == [CLOSED, CLOSED, OPEN]
        assert not breaker.should_allow(NOW)

    def test_a_success_starts_the_count_anew(self) -> None:
        breaker = CircuitBreaker()
        for result in "ffsff":
            (breaker.record_failure if result == "f" else breaker.record_success)(NOW)
        assert breaker.state(NOW) is CLOSED
        assert breaker.failures == 2

    def test_half_open_success_closes(self) -> None:
        breaker = opened()
        assert breaker.state(NOW + COOLDOWN) is HALF_OPEN
        breaker.record_success(NOW + COOLDOWN)
        assert breaker.state(NOW + COOLDOWN) is CLOSED
        assert breaker.failures == 0

    def test_half_open_failure_opens_again_for_a_whole_cooldown(self) -> None:
        breaker = opened()
        later = NOW + 2 * COOLDOWN
        breaker.record_failure(later)
        assert breaker.state(later + COOLDOWN - SECOND) is OPEN
        assert breaker.state(later + COOLDOWN) is HALF_OPEN

    def test_reset_closes(self) -> None:
        breaker = opened()
        breaker.reset(NOW)
        assert breaker.state(NOW) is CLOSED
        assert breaker.failures == 0

    @given(st.lists(st.booleans(), min_size=1, max_size=49))
    def test_any_sequence_leaves_a_valid_state(self, results: list[bool]) -> None:
        breaker = CircuitBreaker()
        for ok in results:
            (breaker.record_success if ok else breaker.record_failure)(NOW)
        assert breaker.state(NOW) in CircuitState


class TestBreaker:
    @pytest.mark.parametrize(("elapsed", "state"), [(29.999999, OPEN), (30, HALF_OPEN), (31, HALF_OPEN), (0, OPEN)])
    def test_r_b1_half_open_from_the_cooldown_on(self, elapsed: float, state: CircuitState) -> None:
        assert opened().state(NOW + elapsed * SECOND) is state

    def test_r_b1_reading_stores_nothing(self) -> None:
        breaker = opened()
        before = breaker.to_status()
        breaker.state(NOW + COOLDOWN)
        breaker.would_allow(NOW + COOLDOWN)
        assert breaker.to_status() == before

    @pytest.mark.parametrize("count", [0, -3])
    def test_r_b1_zero_acts_as_one(self, count: int) -> None:
        config = CircuitBreakerConfig(failure_threshold=count, success_threshold=count, half_open_max_probes=count)
        breaker = opened(config)
        assert breaker.state(NOW) is OPEN
        assert breaker.should_allow(NOW + COOLDOWN)
        breaker.record_success(NOW + COOLDOWN)
        assert breaker.state(NOW + COOLDOWN) is CLOSED

    def test_r_b1_no_cooldown_is_never_closed_to_traffic(self) -> None:
        breaker = opened(CircuitBreakerConfig(cooldown=timedelta()))
        assert breaker.state(NOW) is HALF_OPEN
        assert [breaker.should_allow(NOW) for _ in range(3)] == [True] * 3

    def test_r_b1_several_successes_may_be_wanted(self) -> None:
        breaker = opened(CircuitBreakerConfig(success_threshold=2))
        later = NOW + COOLDOWN
        breaker.record_success(later)
        assert breaker.state(later) is HALF_OPEN
        breaker.record_failure(later)
        breaker.record_success(later + COOLDOWN)
        assert breaker.state(later + COOLDOWN) is HALF_OPEN  # a failure took the first one back
        breaker.record_success(later + COOLDOWN)
        assert breaker.state(later + COOLDOWN) is CLOSED

    def test_r_b2_so_many_probes_at_once(self) -> None:
        breaker = opened(CircuitBreakerConfig(half_open_max_probes=2, success_threshold=5))
        later = NOW + COOLDOWN
        assert [breaker.should_allow(later) for _ in range(3)] == [True, True, False]
        breaker.record_success(later, later)
        assert [breaker.should_allow(later) for _ in range(2)] == [True, False]

    def test_r_b2_asking_whether_takes_no_lease(self) -> None:
        breaker = opened()
        assert [breaker.would_allow(NOW + COOLDOWN) for _ in range(3)] == [True] * 3

    @pytest.mark.parametrize(
        ("probe_timeout", "elapsed", "free"),
        [(None, 29.999, False), (None, 30, True), (5, 4.999, False), (5, 5, True), (90, 60, False)],
    )
    def test_r_c24_a_lease_ends_by_itself(self, probe_timeout: float | None, elapsed: float, free: bool) -> None:
        timeout = None if probe_timeout is None else probe_timeout * SECOND
        breaker = opened(CircuitBreakerConfig(probe_timeout=timeout))
        assert breaker.should_allow(NOW + COOLDOWN)
        assert breaker.should_allow(NOW + COOLDOWN + elapsed * SECOND) is free

    def test_r_b3_an_old_result_says_nothing(self) -> None:
        later, before = NOW + COOLDOWN, NOW - SECOND
        breaker = opened()
        breaker.should_allow(later)
        breaker.record_success(later, started_at=before)
        breaker.record_failure(later, started_at=before)
        assert breaker.state(later) is HALF_OPEN
        assert not breaker.should_allow(later)  # R-C25: the real probe still has its lease
        breaker.record_success(later, started_at=NOW)
        assert breaker.state(later) is CLOSED

    def test_r_b2_a_result_ends_the_lease_of_its_own_probe(self) -> None:
        breaker = opened(CircuitBreakerConfig(half_open_max_probes=2, success_threshold=3))
        first, second = NOW + COOLDOWN, NOW + COOLDOWN + 10 * SECOND
        for at in (first, second):
            assert breaker.should_allow(at)
        breaker.record_success(second + SECOND, started_at=second)
        assert [breaker.should_allow(first + COOLDOWN - SECOND) for _ in range(2)] == [True, False]
        assert breaker.should_allow(first + COOLDOWN)

    def test_r_c25_an_unknown_start_counts_and_ends_the_oldest_lease(self) -> None:
        breaker = opened(CircuitBreakerConfig(success_threshold=2))
        later = NOW + COOLDOWN
        breaker.should_allow(later)
        breaker.record_success(later)
        assert breaker.should_allow(later)
        breaker.record_failure(later)
        assert breaker.state(later) is OPEN

    def test_r_b4_open_ignores_results(self) -> None:
        breaker = opened()
        before = breaker.to_status()
        breaker.record_failure(NOW + 20 * SECOND)
        breaker.record_success(NOW + 20 * SECOND)
        assert breaker.to_status() == before
        assert breaker.state(NOW + COOLDOWN) is HALF_OPEN

    def test_r_b5_the_remaining_cooldown_holds_after_a_restart(self) -> None:
        breaker = restarted(opened())
        assert breaker.open_until(NOW + 20 * SECOND) == NOW + COOLDOWN
        assert breaker.state(NOW + COOLDOWN - SECOND) is OPEN
        assert breaker.state(NOW + COOLDOWN) is HALF_OPEN
        assert breaker.open_until(NOW + COOLDOWN) is None

    def test_r_c26_an_opening_in_the_future_is_one_of_now_and_stays_so(self) -> None:
        breaker = restarted(opened(at=NOW + timedelta(days=1)))
        assert breaker.state(NOW) is OPEN
        assert breaker.state(NOW + COOLDOWN - SECOND) is OPEN
        assert breaker.state(NOW + COOLDOWN) is HALF_OPEN

    def test_r_c24_a_restart_admits_no_second_probe(self) -> None:
        assert CircuitBreaker().to_status()["state"] == "closed"
        breaker = opened()
        assert breaker.to_status()["state"] == "open"
        breaker.should_allow(NOW + COOLDOWN)
        assert breaker.to_status()["state"] == "half_open"
        again = restarted(breaker)
        assert not again.should_allow(NOW + COOLDOWN)
        assert again.should_allow(NOW + 2 * COOLDOWN)

    def test_a_lease_from_the_future_ends_too(self) -> None:
        breaker = opened(CircuitBreakerConfig(cooldown=timedelta(), probe_timeout=COOLDOWN))
        breaker.should_allow(NOW + timedelta(days=1))
        assert not breaker.should_allow(NOW)
        assert breaker.should_allow(NOW + COOLDOWN)

    def test_a_probe_of_a_clock_that_was_ahead_is_over_with_the_cooldown(self) -> None:
        breaker = opened()
        assert breaker.should_allow(NOW + timedelta(days=1))
        assert breaker.state(NOW) is OPEN
        assert breaker.should_allow(NOW + COOLDOWN)

    @pytest.mark.parametrize("cooldown", [timedelta.max, timedelta(days=400_000)])
    def test_a_cooldown_without_end_has_a_time_all_the_same(self, cooldown: timedelta) -> None:
        breaker = opened(CircuitBreakerConfig(cooldown=cooldown))
        assert breaker.open_until(NOW) == NOW + timedelta(days=36_500)

    def test_a_negative_duration_is_none(self) -> None:
        config = CircuitBreakerConfig(cooldown=-SECOND, probe_timeout=-SECOND, failure_window=-SECOND)
        assert (config.cooldown, config.lease, config.failure_window) == (timedelta(), timedelta(), timedelta())

    def test_r_b6_without_a_window_failures_never_age(self) -> None:
        breaker = CircuitBreaker()
        for month in range(3):
            breaker.record_failure(NOW + month * timedelta(days=30))
        assert breaker.state(NOW + 60 * timedelta(days=1)) is OPEN

    @pytest.mark.parametrize(("third", "state"), [(60, OPEN), (60.1, CLOSED)])
    def test_r_b6_failures_older_than_the_window_do_not_count(self, third: float, state: CircuitState) -> None:
        breaker = CircuitBreaker(CircuitBreakerConfig(failure_window=60 * SECOND))
        breaker.record_failure(NOW)
        breaker.record_failure(NOW + 30 * SECOND)
        breaker = restarted(breaker)
        breaker.record_failure(NOW + third * SECOND)
        assert breaker.state(NOW + third * SECOND) is state

    def test_r_b9_transitions_are_told(self) -> None:
        breaker = CircuitBreaker(CircuitBreakerConfig(failure_threshold=1))
        told = [
            breaker.record_success(NOW),
            breaker.record_failure(NOW),
            breaker.record_failure(NOW),
            breaker.record_failure(NOW + COOLDOWN),
            breaker.record_success(NOW + 2 * COOLDOWN),
            breaker.reset(NOW),
        ]
        assert [(t.source, t.target, t.reason, t.message) if t else None for t in told] == [
            None,
            (CLOSED, OPEN, "Failures", "1 consecutive failure(s)"),
            None,
            (HALF_OPEN, OPEN, "ProbeFailed", "a probe failed"),
            (HALF_OPEN, CLOSED, "ProbeSucceeded", "1 successful probe(s)"),
            None,
        ]

    def test_r_b9_so_is_a_reset_by_hand(self) -> None:
        told = opened().reset(NOW, "by ann")
        assert told
        assert (told.source, told.target, told.reason, told.message, told.at) == (OPEN, CLOSED, "Reset", "by ann", NOW)

    def test_r_b9_counters_saturate(self) -> None:
        most = 2**31 - 1
        breaker = CircuitBreaker.from_status(CircuitBreakerConfig(failure_threshold=2**40), {"failures": most})
        breaker.record_failure(NOW)
        assert breaker.failures == most
        assert breaker.state(NOW) is OPEN  # no count that is asked for is out of reach
        half_open = CircuitBreaker.from_status(
            CircuitBreakerConfig(success_threshold=2**40),
            {"state": "open", "opened_at": NOW.isoformat(), "successes": 2**40},
        )
        half_open.record_success(NOW + COOLDOWN)
        assert half_open.state(NOW + COOLDOWN) is CLOSED

    def test_an_empty_status_is_a_new_breaker(self) -> None:
        assert CircuitBreaker.from_status(None, {}).to_status() == CircuitBreaker().to_status()

    def test_an_opening_that_nobody_remembers_is_one_of_now(self) -> None:
        breaker = CircuitBreaker.from_status(None, {"state": "open"})
        assert breaker.state(NOW) is OPEN
        assert breaker.state(NOW + COOLDOWN) is HALF_OPEN

    @pytest.mark.parametrize(
        "status",
        [
            {"state": "ajar"},
            {"state": "open", "opened_at": 5},
            {"state": "open", "opened_at": "2026-11-21T12:00:00"},
            {"state": "open", "opened_at": "0001-01-01T00:00:00+23:59"},
            {"failures": "x"},
            {"leases": 3},
            {"failures": True},
            {"leases": ["x"]},
        ],
        ids=str,
    )
    def test_a_broken_status_is_a_value_error(self, status: dict[str, object]) -> None:
        with pytest.raises(ValueError, match=r"."):
            CircuitBreaker.from_status(None, status)


def test_a_change_says_when_it_was_and_why() -> None:
    breaker = CircuitBreaker()
    changes = [breaker.record_failure(NOW + n * SECOND) for n in range(3)]
    assert [change and (change.at, change.message) for change in changes] == [
        None,
        None,
        (NOW + 2 * SECOND, "3 consecutive failure(s)"),
    ]
    half = NOW + 2 * SECOND + COOLDOWN
    assert breaker.should_allow(half)
    again = breaker.record_failure(half + SECOND, half)
    assert again
    assert (again.at, again.message) == (half + SECOND, "a probe failed")
    by_hand = breaker.reset(half + 2 * SECOND)
    assert by_hand
    assert (by_hand.at, by_hand.message) == (half + 2 * SECOND, "reset by hand")


def test_a_breaker_that_was_reset_needs_all_its_probes_again() -> None:
    breaker = opened(CircuitBreakerConfig(success_threshold=2, half_open_max_probes=2))
    half = NOW + COOLDOWN
    breaker.record_success(half, half)
    breaker.reset(half)
    assert breaker.to_status()["successes"] == 0
