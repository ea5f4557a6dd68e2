"""The sliding history of health."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from droveway.core.health import HealthHistory, HealthStatus

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
HEALTHY, DEGRADED, UNHEALTHY = HealthStatus.HEALTHY, HealthStatus.DEGRADED, HealthStatus.UNHEALTHY


def history(*statuses: HealthStatus, most: int = 100, window: timedelta = 60 * SECOND) -> HealthHistory:
    """A history with these records, all of now."""
    found = HealthHistory(most, window)
    for status in statuses:
        found.record(status, NOW)
    return found


class TestHistory:
    def test_nothing_is_healthy(self) -> None:
        empty = history()
        assert (empty.success_rate(NOW), len(empty)) == (1.0, 0)
        assert empty.assess(1, NOW) is HEALTHY

    @pytest.mark.parametrize(
        ("statuses", "threshold", "rate", "status"),
        [
            ([HEALTHY] * 10, 0.8, 1.0, HEALTHY),
            ([HEALTHY] * 7 + [UNHEALTHY] * 3, 0.8, 0.7, DEGRADED),
            ([HEALTHY] * 7 + [UNHEALTHY] * 3, 0.7, 0.7, HEALTHY),
            ([UNHEALTHY] * 5, 0.5, 0.0, UNHEALTHY),
            ([DEGRADED] * 5, 0.5, 0.0, DEGRADED),
            ([HealthStatus.TIMEOUT, HealthStatus.TERMINATED], 0.5, 0.0, UNHEALTHY),
            ([UNHEALTHY], 0, 0.0, UNHEALTHY),
            ([UNHEALTHY], -1, 0.0, UNHEALTHY),
            ([UNHEALTHY] * 99 + [HEALTHY], 0, 0.01, HEALTHY),
            ([HEALTHY], 7, 1.0, HEALTHY),
            ([HEALTHY], math.inf, 1.0, HEALTHY),
            ([], 7, 1.0, HEALTHY),
        ],
        ids=range(12),
    )
    def test_r_h2_r_c27_assessment(
        self, statuses: list[HealthStatus], threshold: float, rate: float, status: HealthStatus
    ) -> None:
        found = history(*statuses)
        assert found.success_rate(NOW) == rate
        assert found.assess(threshold, NOW) is status

    @pytest.mark.parametrize(("most", "kept"), [(5, 5), (1, 1), (0, 1), (-4, 1)])
    def test_r_h1_at_most_so_many(self, most: int, kept: int) -> None:
        found = history(*[UNHEALTHY] * 9, HEALTHY, most=most)
        assert len(found) == kept
        assert found.success_rate(NOW) == 1 / kept

    @pytest.mark.parametrize(("age", "counts"), [(60, 1), (60.000001, 0), (59, 1)])
    def test_r_h1_the_window_is_inclusive_and_reading_evicts(self, age: float, counts: int) -> None:
        found = history(UNHEALTHY)
        assert found.success_rate(NOW + age * SECOND) == 1 - counts
        assert len(found) == counts  # R-C13

    def test_r_h1_what_is_exactly_as_old_as_the_window_outlives_what_is_older(self) -> None:
        found = HealthHistory(9, 60 * SECOND)
        found.record(HEALTHY, NOW - SECOND)
        found.record(UNHEALTHY, NOW)
        assert found.success_rate(NOW + 60 * SECOND) == 0.0
        assert len(found) == 1

    def test_any_window_works(self) -> None:
        assert history(UNHEALTHY, window=timedelta.max).success_rate(NOW) == 0.0

    @given(st.lists(st.sampled_from(HealthStatus), min_size=1, max_size=99))
    def test_the_rate_is_a_rate(self, statuses: list[HealthStatus]) -> None:
        assert 0 <= history(*statuses).success_rate(NOW) <= 1
