"""Health of what can fail: the circuit breaker of a candidate; the sliding history is `core.history`'s. Standard library only.

A breaker is closed (all pass), open (none pass until the cooldown is over) or half-open (a few probes pass, each holding a
lease). Half-open is never stored: it is an open breaker whose cooldown is over.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self

from droveway.api.enums import TransitionReason
from droveway.core.history import HealthHistory, HealthStatus
from droveway.core.moments import AFTER_ALL, bounded, parsed, utc

__all__ = [
    "CircuitBreaker",
    "CircuitBreakerConfig",
    "CircuitState",
    "HealthHistory",
    "HealthStatus",
    "Transition",
]

_MOST = 2**31 - 1  # R-B9


class CircuitState(StrEnum):
    """State of a breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class CircuitBreakerConfig:
    """When a breaker opens and closes (R-C5). Counts below 1 act as 1 (R-B1), negative durations as none.

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
            object.__setattr__(self, name, min(max(1, getattr(self, name)), _MOST))  # what saturates must be reached
        for name in ("cooldown", "probe_timeout", "failure_window"):
            if (duration := getattr(self, name)) is not None:
                object.__setattr__(self, name, bounded(duration))

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
        self._leases: list[datetime] = []  # when each probe that has no result yet was let through

    @property
    def failures(self) -> int:
        """Consecutive failures."""
        return self._failures

    def state(self, now: datetime) -> CircuitState:
        """The state at `now`. What began in the future (the clock was set back) counts from now (R-B5, R-C26).

        Probes whose time is over are forgotten here: a clock that is set back does not bring them back (R-C24).
        """
        if self._opened_at is None:
            return CircuitState.CLOSED
        self._opened_at = min(self._opened_at, now)
        leases = (min(taken, now) for taken in self._leases)
        self._leases = [taken for taken in leases if now - taken < self.config.lease]
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
            return len(self._leases) < self.config.half_open_max_probes
        return state is CircuitState.CLOSED

    def should_allow(self, now: datetime) -> bool:
        """Whether one more run or request may pass. In half-open a yes takes a probe's lease (R-B2)."""
        if not self.would_allow(now):
            return False
        if self._opened_at is not None:
            self._leases.append(now)
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
        self._end_lease(started_at)
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
                # opened, nobody knows when: the first read takes what is ahead of it for now
                breaker._opened_at = parsed(opened_at) if opened_at else AFTER_ALL
            breaker._failures = _count(status.get("failures"))
            breaker._successes = _count(status.get("successes"))
            breaker._leases = [parsed(at) for at in status.get("leases") or ()]
            breaker._failed_at = [parsed(at) for at in status.get("failed_at") or ()]
        except (TypeError, AttributeError) as error:
            raise ValueError(f"not the status of a breaker: {error}") from error
        return breaker

    def _is_stale(self, started_at: datetime | None) -> bool:
        """A result of something that began before the breaker opened says nothing about now (R-B3, R-C25)."""
        return self._opened_at is not None and started_at is not None and started_at < self._opened_at

    def _end_lease(self, started_at: datetime | None) -> None:
        """A probe has ended: the latest that was let through by its start, else the oldest (R-C25)."""
        if self._leases:
            began = [taken for taken in self._leases if started_at is not None and taken <= started_at]
            self._leases.remove(max(began, default=min(self._leases)))

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


def _text(at: datetime) -> str:
    return utc(at).isoformat()


def _count(value: int | None) -> int:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise TypeError(f"a count is a whole number, not {value!r}")
    return min(max(value or 0, 0), _MOST)
