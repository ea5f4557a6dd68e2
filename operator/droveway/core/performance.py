"""What a telemetry store answers: how a model performs, what a session used. Standard library only."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from droveway.core.bucket import add_tokens
from droveway.core.completion import CompletionEvent, dollars, price_of


@dataclass(frozen=True, slots=True)
class ModelPerformance:
    """One model over the window, as of one moment.

    Attributes:
        model: which.
        successful_completions: in the window.
        failed_completions: in the window.
        window_secs: length of the window.
        throughput: successes per second of the whole window.
        success_rate: successes ÷ completions; 0.0 without any.
        avg_latency_ms: mean over the successes whose latency is known; None without any (R-T11).
        last_event_at: the latest completion in the window.
        subscription_limit_reached: whether the model's quota is spent at that moment.
        subscription_limit_expires_at: until when.
    """

    model: str
    successful_completions: int
    failed_completions: int
    window_secs: float
    throughput: float
    success_rate: float
    avg_latency_ms: float | None
    last_event_at: datetime | None
    subscription_limit_reached: bool
    subscription_limit_expires_at: datetime | None

    @property
    def samples(self) -> int:
        """Completions in the window."""
        return self.successful_completions + self.failed_completions

    @property
    def expected_success(self) -> float:
        """What routing ranks by: no data is 0.5 (R-T13)."""
        return (self.successful_completions + 1) / (self.samples + 2)

    def is_stale(self, max_age: timedelta, now: datetime) -> bool:
        """Whether nothing completed for longer than `max_age` (R-T14)."""
        return self.last_event_at is None or max(now - self.last_event_at, timedelta()) > max_age

    def is_subscription_limited(self, now: datetime) -> bool:
        """Whether the quota is still spent at `now`."""
        return self.subscription_limit_expires_at is not None and now < self.subscription_limit_expires_at


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """What was used. `cost_usd` is None when no cost is known."""

    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    cost_usd: float | None = None
    message_count: int = 0

    @classmethod
    def of(cls, events: Iterable[CompletionEvent]) -> Self:
        """The usage of some completions."""
        events = tuple(events)
        tokens = add_tokens(event.tokens for event in events)
        costs = [cost for event in events if (cost := price_of(event)) is not None]
        return cls(tokens.input, tokens.output, tokens.total, dollars(sum(costs)) if costs else None, len(events))

    def merge(self, other: "ModelUsage") -> "ModelUsage":
        """The field-wise sum."""
        costs = [cost for cost in (self.cost_usd, other.cost_usd) if cost is not None]
        return ModelUsage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.total_tokens + other.total_tokens,
            sum(costs) if costs else None,
            self.message_count + other.message_count,
        )


@dataclass(frozen=True, slots=True)
class SessionUsage:
    """What one session used in the window (R-C7)."""

    id: str
    window_start: datetime
    window_end: datetime
    by_model: Mapping[str, ModelUsage]
    totals: ModelUsage
