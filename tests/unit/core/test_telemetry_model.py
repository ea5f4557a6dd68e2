"""The telemetry store against a store that keeps everything and rescans it: same answers at any moment."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from droveway.core.telemetry import CompletionEvent, TelemetryStore, TelemetrySummary, TokenBreakdown

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
WINDOW = timedelta(seconds=120)
MODELS = ("zai/a", "zai/b", "kimi/c")
TTL = timedelta(seconds=90)

moments = st.integers(0, 240_000).map(lambda ms: timedelta(milliseconds=ms))


@dataclass
class Slow:
    """Everything that was ever taken in."""

    events: list[tuple[datetime, CompletionEvent]] = field(default_factory=list)
    limits: dict[str, tuple[datetime, datetime]] = field(default_factory=dict)  # key → set at, until

    def record(self, event: CompletionEvent, now: datetime) -> None:
        at = min(event.completed_at, now)
        if event.id and any(e.id == event.id and t > now - WINDOW for t, e in self.events):
            return
        self._limit(event, at, now)
        if at > now - WINDOW:
            self.events.append((at, event))

    def _limit(self, event: CompletionEvent, at: datetime, now: datetime) -> None:
        key = event.model.split("/")[0]
        set_at, until = self.limits.get(key, (at, at))
        if event.success and key in self.limits and at - timedelta(milliseconds=max(event.latency_ms or 0, 0)) > set_at:
            del self.limits[key]
        if not event.success and event.error == "usage limit reached" and at + TTL > now:
            held = until > now
            self.limits[key] = (max(at, set_at) if held else at, max(at + TTL, until) if held else at + TTL)

    def within(self, model: str, now: datetime) -> list[tuple[datetime, CompletionEvent]]:
        return [(t, e) for t, e in self.events if e.model == model and t > now - WINDOW]


class StoreMachine(RuleBasedStateMachine):
    """Records in and out of order, clocks that step back, readers from another time."""

    @initialize()
    def begin(self) -> None:
        self.now = self.latest = START
        self.store = TelemetryStore(WINDOW, TTL)
        self.slow = Slow()

    @rule(by=moments)
    def wait(self, by: timedelta) -> None:
        self.now += by
        self.latest = max(self.latest, self.now)

    @rule(by=st.integers(0, 20))
    def step_back(self, by: int) -> None:
        self.now = max(self.now - timedelta(seconds=by), self.latest - WINDOW / 2)

    @rule(
        model=st.sampled_from(MODELS),
        age=st.integers(-5_000, 150_000),
        success=st.booleans(),
        latency=st.none() | st.integers(-1, 50_000),
        name=st.none() | st.integers(0, 8).map(str),
        error=st.sampled_from([None, "connection refused", "usage limit reached"]),
        times=st.integers(1, 5),
    )
    def record(
        self, model: str, age: int, success: bool, latency: int | None, name: str | None, error: str | None, times: int
    ) -> None:
        at = self.now - timedelta(milliseconds=age)
        event = CompletionEvent(model, "s", at, latency, success, TokenBreakdown(7, 4, 3), 0.25, error, name)
        for _ in range(times):
            self.store.record(event, self.now)
            self.slow.record(event, self.now)

    @rule(ahead=moments)
    def read_later(self, ahead: timedelta) -> None:
        self._agree(self.now + ahead)
        self._agree(self.now)

    @rule()
    def restart(self) -> None:
        again, kept = TelemetryStore(WINDOW, TTL), self.store.export_summary(self.now)
        for _ in range(2):
            again.import_summary(TelemetrySummary.from_json(kept.to_json()), self.now)
            assert again.all_model_performances(self.now) == self.store.all_model_performances(self.now)
            assert again.export_summary(self.now) == kept

    @rule()
    def import_own_export(self) -> None:
        before = self.store.all_model_performances(self.now)
        self.store.import_summary(self.store.export_summary(self.now), self.now)
        assert self.store.all_model_performances(self.now) == before

    @invariant()
    def agrees_now(self) -> None:
        self._agree(self.now)

    def _agree(self, now: datetime) -> None:
        for model in MODELS:
            found, truth = self.store.model_performance(model, now), self.slow.within(model, now)
            timed = [e.latency_ms for _, e in truth if e.success and e.latency_ms is not None and e.latency_ms > 0]
            assert found.successful_completions == sum(e.success for _, e in truth)
            assert found.failed_completions == sum(not e.success for _, e in truth)
            assert (found.avg_latency_ms is None) == (not timed)
            if timed and found.avg_latency_ms is not None:
                assert abs(found.avg_latency_ms - sum(timed) / len(timed)) < 1e-6
            assert found.last_event_at == max((t for t, _ in truth), default=None)
            _, until = self.slow.limits.get(model.split("/")[0], (now, now))
            assert self.store.limited_until(model, now) == (until if until > now else None)
            usage = self.store.session_usage("s", now).by_model.get(model)
            assert (usage.total_tokens if usage else 0) == 7 * len(truth)
            assert (usage.cost_usd if usage else None) == (0.25 * len(truth) if truth else None)


StoreMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestStore = StoreMachine.TestCase


def test_r_t16_record_does_not_grow_with_the_store() -> None:
    """In lines of code that run; the benchmark measures time."""

    def lines_of(n: int) -> int:
        store = TelemetryStore(timedelta(hours=1))
        step = timedelta(seconds=3_500) / n
        for i in range(n):
            store.record(CompletionEvent("m/x", "s", START + i * step, 5, True), START + i * step)
        events = [CompletionEvent("m/x", "s", START + timedelta(seconds=3_500 + i), 5, True) for i in range(200)]
        return lines_run(lambda: [store.record(event, event.completed_at) for event in events])

    assert lines_of(40_000) < 2 * lines_of(400)


def lines_run(act: Callable[[], object]) -> int:
    """How many lines of Python run in it."""
    count = 0

    def trace(_frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        act()
    finally:
        sys.settrace(before)
    return count
