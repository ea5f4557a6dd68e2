"""A sliding history of health, and what it comes to. Standard library only."""

from collections import deque
from datetime import datetime, timedelta
from enum import StrEnum

_SMALLEST_RATE = 1e-300  # what a threshold of zero acts as (R-C27)


class HealthStatus(StrEnum):
    """How something that runs is doing (1.4)."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"
    TIMEOUT = "timeout"
    TERMINATED = "terminated"


class HealthHistory:
    """The last observations of one thing, for its rate of health (R-H1, R-H2)."""

    __slots__ = ("_max_records", "_records", "_window")

    def __init__(self, max_records: int, window: timedelta) -> None:
        self._max_records = max(1, max_records)
        self._window = window
        self._records: deque[tuple[datetime, HealthStatus]] = deque()

    def __len__(self) -> int:
        """Records after the eviction of the last call (R-C13)."""
        return len(self._records)

    def record(self, status: HealthStatus, now: datetime) -> None:
        """Adds an observation; the oldest leaves when the history is full."""
        self._evict(now)
        if len(self._records) >= self._max_records:
            self._records.popleft()
        self._records.append((now, status))

    def success_rate(self, now: datetime) -> float:
        """Healthy ÷ all in the window, both ends included; 1.0 without records."""
        self._evict(now)
        if not self._records:
            return 1.0
        return sum(status is HealthStatus.HEALTHY for _, status in self._records) / len(self._records)

    def assess(self, threshold: float, now: datetime) -> HealthStatus:
        """Healthy from `threshold` on, which is clamped to (0, 1]; degraded while anything is at least degraded."""
        if self.success_rate(now) >= min(max(threshold, _SMALLEST_RATE), 1.0):
            return HealthStatus.HEALTHY
        some = any(status in (HealthStatus.HEALTHY, HealthStatus.DEGRADED) for _, status in self._records)
        return HealthStatus.DEGRADED if some else HealthStatus.UNHEALTHY

    def _evict(self, now: datetime) -> None:
        try:
            oldest = now - self._window
        except OverflowError:  # the window reaches back before all time
            return
        if any(at < oldest for at, _ in self._records):
            self._records = deque(record for record in self._records if record[0] >= oldest)
