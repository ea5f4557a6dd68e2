"""One model completion: what streams and gateways report, and what telemetry counts. Standard library only."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class TokenBreakdown:
    """Tokens of one completion, in disjoint buckets (R-C32). `total` is taken as given, never computed.

    `cache_write_1h` are those of `cache_write` that are kept for an hour and cost more.
    """

    total: int = 0
    input: int = 0
    output: int = 0
    reasoning: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0

    @property
    def buckets(self) -> tuple[int, int, int, int, int]:
        """Input, output, reasoning, cache read and cache write."""
        return self.input, self.output, self.reasoning, self.cache_read, self.cache_write

    def __add__(self, other: "TokenBreakdown") -> "TokenBreakdown":
        """The tokens of both."""
        return TokenBreakdown(
            self.total + other.total,
            self.input + other.input,
            self.output + other.output,
            self.reasoning + other.reasoning,
            self.cache_read + other.cache_read,
            self.cache_write + other.cache_write,
            self.cache_write_1h + other.cache_write_1h,
        )


@dataclass(frozen=True, slots=True)
class CompletionEvent:
    """One completion as its source told it. Nothing is refused here; the store normalises and counts (R-C6).

    Attributes:
        model: the bucket key, never normalised, perhaps empty.
        session_id: the CLI's or the run's session.
        completed_at: when it ended.
        latency_ms: wall clock; None or ≤ 0 is unknown (R-T11).
        success: whether the model answered.
        tokens: what it used.
        cost_usd: None when unknown, never 0 for that (R-T12).
        error: what was said; a success may carry one too.
        id: identity within the window; None counts every time (R-T4).
    """

    model: str
    session_id: str
    completed_at: datetime
    latency_ms: float | None = None
    success: bool = True
    tokens: TokenBreakdown = field(default_factory=TokenBreakdown)
    cost_usd: float | None = None
    error: str | None = None
    id: str | None = None


_PICODOLLARS = 10**12
DEAREST_USD = 1e12  # no completion costs more; what claims to is rejected with NaN and infinity (R-T12)


def price_of(event: CompletionEvent) -> int | None:
    """The cost in 10^-12 dollars; None when it is unknown or can be no cost."""
    cost = event.cost_usd
    return None if cost is None or not 0 <= cost < DEAREST_USD else round(cost * _PICODOLLARS)


def dollars(price: int) -> float:
    """A sum of prices in dollars."""
    return price / _PICODOLLARS
