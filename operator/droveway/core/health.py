"""Health of what can fail: the circuit breaker of a candidate, and a sliding history. Standard library only.

A breaker is closed (all pass), open (none pass until the cooldown is over) or half-open (a few probes pass, each holding a
lease). Half-open is never stored: it is an open breaker whose cooldown is over.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Self

from droveway.api.enums import TransitionReason

_MOST = 2**31 - 1  # R-B9
_SMALLEST_RATE = 1e-300  # what a threshold of zero acts as (R-C27)


class HealthStatus(StrEnum):
    """How something that runs is doing (1.4)."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"
    TIMEOUT = "timeout"
    TERMINATED = "terminated"

    def then(self, seen: "HealthStatus") -> "HealthStatus":
        """The health of a pod that was `self` and now looks like `seen`: terminated is final (R-H3)."""
        return self if self is HealthStatus.TERMINATED else seen


class CircuitState(StrEnum):
    """State of a breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class CircuitBreakerConfig:
    """When a breaker opens and closes (R-C5). Counts below 1 act as 1 (R-B1).

    Attributes:
        failure_threshold: consecutive failures that open it.
        cooldown: how long it stays open.
        success_threshold: successful probes that close it.
        half_open_max_probes: probes at once (R-B2).
        probe_timeout: when a probe without a result gives its lease back; None is the cooldown.
        failure_window: failures older than this no longer count as consecutive; None is no limit (R-B6).
    """

    failure_threshold: int = 3
    cooldown: timedelta = timedelta(seconds=30)
    success_threshold: int = 1
    half_open_max_probes: int = 1
    probe_timeout: timedelta | None = None
    failure_window: timedelta | None = None

    def __post_init__(self) -> None:
        for name in ("failure_threshold", "success_threshold", "half_open_max_probes"):
            object.__setattr__(self, name, max(1, getattr(self, name)))

    @property
    def lease(self) -> timedelta:
        """How long a probe may take."""
        return self.cooldown if self.probe_timeout is None else self.probe_timeout


@dataclass(frozen=True, slots=True)
class Transition:
    """A breaker changed its state: what an Event and a metric tell (R-B9). The message is for people."""

    source: CircuitState
    target: CircuitState
    reason: TransitionReason
    message: str
    at: datetime


class CircuitBreaker:
    """Keeps traffic from what keeps failing (R-B1..R-B9)."""

    __slots__ = ("_failed_at", "_failures", "_leases", "_opened_at", "_successes", "config")

    def __init__(self, config: CircuitBreakerConfig | None = None) -> None:
        self.config = config or CircuitBreakerConfig()
        self._opened_at: datetime | None = None  # None: closed
        self._failures = 0
        self._successes = 0
        self._failed_at: list[datetime] = []  # kept only with a failure window
        self._leases: list[datetime] = []  # when each probe that still runs was let through

    @property
    def failures(self) -> int:
        """Consecutive failures."""
        return self._failures

    def state(self, now: datetime) -> CircuitState:
        """The state at `now`. An opening in the future (the clock was set back) counts from now (R-B5, R-C26)."""
        if self._opened_at is None:
            return CircuitState.CLOSED
        self._opened_at = min(self._opened_at, now)
        return CircuitState.HALF_OPEN if now - self._opened_at >= self.config.cooldown else CircuitState.OPEN

    def open_until(self, now: datetime) -> datetime | None:
        """When an open breaker turns half-open; None if it is not open."""
        if self._opened_at is None or self.state(now) is not CircuitState.OPEN:
            return None
        return self._opened_at + self.config.cooldown

    def would_allow(self, now: datetime) -> bool:
        """Whether `should_allow` would say yes. Takes no lease."""
        state = self.state(now)
        if state is CircuitState.HALF_OPEN:
            return len(self._running_probes(now)) < self.config.half_open_max_probes
        return state is CircuitState.CLOSED

    def should_allow(self, now: datetime) -> bool:
        """Whether one more run or request may pass. In half-open a yes takes a probe's lease (R-B2)."""
        if not self.would_allow(now):
            return False
        if self._opened_at is not None:
            self._leases = [*self._running_probes(now), now]
        return True

    def give_back(self, taken: datetime) -> None:
        """Ends the lease of a probe that was never made."""
        if taken in self._leases:
            self._leases.remove(taken)

    def record_success(self, now: datetime, started_at: datetime | None = None) -> Transition | None:
        """One success. Tells the transition that it caused."""
        state = self.state(now)
        if state is CircuitState.OPEN or self._is_stale(started_at):
            return None
        self._forget_failures()
        if state is CircuitState.CLOSED:
            return None
        self._leases = self._running_probes(now)[1:]
        self._successes = min(self._successes + 1, _MOST)
        if self._successes < self.config.success_threshold:
            return None
        message = f"{self._successes} successful probe(s)"
        self._close()
        return Transition(state, CircuitState.CLOSED, TransitionReason.PROBE_SUCCEEDED, message, now)

    def record_failure(self, now: datetime, started_at: datetime | None = None) -> Transition | None:
        """One failure. Tells the transition that it caused. Limits are not failures (R-B7)."""
        state = self.state(now)
        if state is CircuitState.OPEN or self._is_stale(started_at):
            return None
        self._successes = 0
        self._count_failure(now)
        if state is CircuitState.CLOSED and self._failures < self.config.failure_threshold:
            return None
        self._opened_at = now
        self._leases.clear()
        if state is CircuitState.HALF_OPEN:
            return Transition(state, CircuitState.OPEN, TransitionReason.PROBE_FAILED, "a probe failed", now)
        message = f"{self._failures} consecutive failure(s)"
        return Transition(state, CircuitState.OPEN, TransitionReason.FAILURES, message, now)

    def reset(self, now: datetime, message: str = "reset by hand") -> Transition | None:
        """Closes the breaker by hand and forgets its counts (R-B8)."""
        state = self.state(now)
        self._close()
        if state is CircuitState.CLOSED:
            return None
        return Transition(state, CircuitState.CLOSED, TransitionReason.RESET, message, now)

    def to_status(self) -> dict[str, Any]:
        """Everything that must survive a restart, as JSON values (R-B5, R-C24)."""
        probing = bool(self._leases or self._successes)
        opened = CircuitState.HALF_OPEN if probing else CircuitState.OPEN
        return {
            "state": (CircuitState.CLOSED if self._opened_at is None else opened).value,
            "failures": self._failures,
            "successes": self._successes,
            "opened_at": _text(self._opened_at) if self._opened_at else None,
            "leases": [_text(at) for at in self._leases],
            "failed_at": [_text(at) for at in self._failed_at],
        }

    @classmethod
    def from_status(cls, config: CircuitBreakerConfig | None, status: Mapping[str, Any]) -> Self:
        """The breaker that `to_status` described; an empty status is a new one.

        Raises:
            ValueError: the status is not one; the message says why.
        """
        breaker = cls(config)
        try:
            if CircuitState(status.get("state") or "closed") is not CircuitState.CLOSED:
                opened_at = status.get("opened_at")
                breaker._opened_at = _time(opened_at) if opened_at else _UNKNOWN_OPENING
            breaker._failures = _count(status.get("failures"))
            breaker._successes = _count(status.get("successes"))
            breaker._leases = [_time(at) for at in status.get("leases") or ()]
            breaker._failed_at = [_time(at) for at in status.get("failed_at") or ()]
        except (TypeError, AttributeError) as error:
            raise ValueError(f"not the status of a breaker: {error}") from error
        return breaker

    def _is_stale(self, started_at: datetime | None) -> bool:
        """A result of something that began before the breaker opened says nothing about now (R-B3, R-C25)."""
        return self._opened_at is not None and started_at is not None and started_at < self._opened_at

    def _running_probes(self, now: datetime) -> list[datetime]:
        """Leases that have neither ended with a result nor timed out; one from the future counts from now."""
        self._leases = [min(taken, now) for taken in self._leases]
        return [taken for taken in self._leases if now - taken < self.config.lease]

    def _count_failure(self, now: datetime) -> None:
        if self.config.failure_window is None:
            self._failures = min(self._failures + 1, _MOST)
            return
        recent = [at for at in self._failed_at if now - at <= self.config.failure_window]
        self._failed_at = [*recent, now][-self.config.failure_threshold :]
        self._failures = len(self._failed_at)

    def _forget_failures(self) -> None:
        self._failures = 0
        self._failed_at.clear()

    def _close(self) -> None:
        self._opened_at = None
        self._successes = 0
        self._leases.clear()
        self._forget_failures()


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


_UNKNOWN_OPENING = datetime.max.replace(tzinfo=UTC)  # opened, nobody knows when: the first read takes it for now


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"a time needs a zone: {text}")
    return at.astimezone(UTC)


def _count(value: int | None) -> int:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise TypeError(f"a count is a whole number, not {value!r}")
    return min(max(value or 0, 0), _MOST)
