"""The circuit breaker against its rules as a plain model, under a virtual clock that also steps, with restarts at any moment."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from droveway.core.health import CircuitBreaker, CircuitBreakerConfig, CircuitState

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
COOLDOWN = 30 * SECOND
CLOSED, OPEN, HALF_OPEN = CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN


@dataclass
class Rules:
    """R-B1 to R-B5 and R-C24 to R-C26, word by word."""

    config: CircuitBreakerConfig
    lease: timedelta
    opened_at: datetime | None = None
    failures: int = 0
    successes: int = 0
    leases: list[datetime] = field(default_factory=list)

    def state(self, now: datetime) -> CircuitState:
        if self.opened_at is None:
            return CLOSED
        self.opened_at = min(self.opened_at, now)  # R-C26
        self.leases = [min(taken, now) for taken in self.leases]
        self.leases = [taken for taken in self.leases if now - taken < self.lease]  # R-C24
        return OPEN if now - self.opened_at < COOLDOWN else HALF_OPEN

    def allows(self, now: datetime) -> bool:
        return {
            CLOSED: True,
            OPEN: False,
            HALF_OPEN: len(self.leases) < self.config.half_open_max_probes,  # R-B2
        }[self.state(now)]

    def let_through(self, now: datetime) -> None:
        if self.allows(now) and self.state(now) is HALF_OPEN:
            self.leases.append(now)

    def result(self, ok: bool, now: datetime, started_at: datetime | None) -> None:
        state = self.state(now)
        if state is OPEN:  # R-B4
            return
        if self.opened_at and started_at and started_at < self.opened_at:  # R-B3, R-C25
            return
        if ok:
            self.failures = 0
        else:
            self.failures, self.successes = self.failures + 1, 0
        if state is CLOSED:
            if self.failures >= self.config.failure_threshold:
                self.opened_at = now
            return
        if not ok:
            self.opened_at, self.leases = now, []
            return
        if self.leases:  # the result ends its own lease, of an unknown start the oldest
            own = [taken for taken in self.leases if started_at and taken <= started_at]
            self.leases.remove(max(own) if own else min(self.leases))
        self.successes += 1
        if self.successes >= self.config.success_threshold:
            self.reset()

    def reset(self) -> None:
        self.opened_at, self.failures, self.successes, self.leases = None, 0, 0, []


def restarted(breaker: CircuitBreaker) -> CircuitBreaker:
    """The breaker after a restart."""
    return CircuitBreaker.from_status(breaker.config, json.loads(json.dumps(breaker.to_status())))


def copied(breaker: CircuitBreaker) -> CircuitBreaker:
    """A breaker to try things on."""
    return CircuitBreaker.from_status(breaker.config, breaker.to_status())


CONFIGS = [
    CircuitBreakerConfig(failures, COOLDOWN, successes, probes, timeout)
    for failures in (1, 2, 3)
    for successes in (1, 2)
    for probes in (1, 2)
    for timeout in (None, 5 * SECOND, 45 * SECOND)
]
STEPS = [
    *[("wait", seconds) for seconds in (1, 5, 29, 30, 31, 45)],
    *[("the clock steps", seconds) for seconds in (-86_400, -31, -5, 86_400)],
    *[("succeed", age) for age in (None, 0, 1, 31)],
    *[("fail", age) for age in (None, 0, 0, 1, 31)],
    *[("ask", None)] * 4,
    ("restart", None),
    ("reset", None),
]

sequences = st.binary(min_size=8, max_size=14).map(lambda picks: [STEPS[pick % len(STEPS)] for pick in picks])


class Machine:
    """A breaker and its rules side by side, under one clock."""

    def __init__(self, config: CircuitBreakerConfig) -> None:
        self.config, self.lease = config, config.probe_timeout or COOLDOWN
        self.breaker, self.rules, self.now = CircuitBreaker(config), Rules(config, self.lease), NOON

    def step(self, what: str, number: int | None) -> None:
        if what in ("wait", "the clock steps"):
            self.now += (number or 0) * SECOND
        elif what == "ask":
            assert self.breaker.should_allow(self.now) is self.rules.allows(self.now)
            self.rules.let_through(self.now)
        elif what == "restart":
            self.breaker = restarted(self.breaker)
        elif what == "reset":
            self.breaker.reset(self.now)
            self.rules.reset()
        else:
            self.result(None if number is None else self.now - number * SECOND, ok=what == "succeed")

    def result(self, started_at: datetime | None, *, ok: bool) -> None:
        before = self.rules.state(self.now)
        told = (self.breaker.record_success if ok else self.breaker.record_failure)(self.now, started_at)
        self.rules.result(ok, self.now, started_at)
        after = self.rules.state(self.now)
        assert (told and (told.source, told.target)) == (None if before is after else (before, after))

    def keeps_to_the_rules(self) -> None:
        assert self.breaker.state(self.now) is self.rules.state(self.now)
        assert self.breaker.would_allow(self.now) is self.rules.allows(self.now)
        assert self.breaker.failures == self.rules.failures

    def survives_a_restart(self) -> None:
        copy = restarted(self.breaker)
        assert copy.to_status() == self.breaker.to_status()
        assert copy.open_until(self.now) == self.breaker.open_until(self.now)

    def lets_no_more_through_than_it_may(self) -> None:
        copy = copied(self.breaker)
        most = {CLOSED: 9, OPEN: 0, HALF_OPEN: self.config.half_open_max_probes}[copy.state(self.now)]
        assert sum(copy.should_allow(self.now) for _ in range(9)) <= most

    def comes_back(self) -> None:
        """Within its cooldown and one lease a probe is let through, and successes close it."""
        copy, later = copied(self.breaker), self.now + COOLDOWN + self.lease
        copy.state(self.now)
        for _ in range(self.config.success_threshold):
            assert copy.should_allow(later)
            copy.record_success(later, later)
        assert copy.state(later) is CLOSED


@settings(max_examples=5_000, deadline=None)
@given(config=st.sampled_from(CONFIGS), steps=sequences)
def test_whatever_happens_it_keeps_to_its_rules_survives_restarts_and_comes_back(
    config: CircuitBreakerConfig, steps: list[tuple[str, int | None]]
) -> None:
    machine = Machine(config)
    for step in steps:
        machine.step(*step)
        machine.keeps_to_the_rules()
        machine.survives_a_restart()
        machine.lets_no_more_through_than_it_may()
        machine.comes_back()
