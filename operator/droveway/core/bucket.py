"""What becomes of single completions: sums over one stretch of time (R-T8). Standard library only.

Times are whole microseconds since 1970, money is in 10^-12 dollars, latency in nanoseconds: integers, so that summing in any
order gives the same.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from droveway.core.completion import TokenBreakdown
from droveway.core.events import TOKEN_FIELDS

MOST_TOKENS = 2**63 - 1
"""No completion used more of a kind; what claims to counts as that."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """Completions of one model in one stretch of time.

    Attributes:
        start: where the stretch begins; with the model, the bucket's identity (R-C22).
        first: the earliest completion.
        last: the latest completion. The bucket counts until this leaves the window.
        succeeded: successful completions.
        failed: failed completions.
        latency_ns: summed latency of the successes that were timed.
        timed: how many they are.
        tokens: summed tokens.
        cost: summed known cost.
        priced: of how many completions the cost is known.
    """

    start: int
    first: int
    last: int
    succeeded: int = 0
    failed: int = 0
    latency_ns: int = 0
    timed: int = 0
    tokens: TokenBreakdown = field(default_factory=TokenBreakdown)
    cost: int = 0
    priced: int = 0

    def merged(self, other: "Bucket") -> "Bucket":
        """Both in one."""
        return Bucket(
            min(self.start, other.start),
            min(self.first, other.first),
            max(self.last, other.last),
            self.succeeded + other.succeeded,
            self.failed + other.failed,
            self.latency_ns + other.latency_ns,
            self.timed + other.timed,
            TokenBreakdown(*map(sum, zip(_counts(self.tokens), _counts(other.tokens), strict=True))),
            self.cost + other.cost,
            self.priced + other.priced,
        )


def add_tokens(all_tokens: Iterable[TokenBreakdown]) -> TokenBreakdown:
    """The sum of what counts as tokens; a value that is no count counts as none (R-C6)."""
    return TokenBreakdown(*(_add_counts(column) for column in zip(*map(_counts, all_tokens), strict=True)))


_counts = attrgetter(*TOKEN_FIELDS)


def _add_counts(values: tuple[Any, ...]) -> int:
    try:
        total = sum(values)
        if type(total) is int and min(values) >= 0 and max(values) <= MOST_TOKENS:
            return total
    except TypeError:
        pass
    return sum(_tokens(value) for value in values)


def _tokens(value: Any) -> int:
    try:
        return min(max(int(value), 0), MOST_TOKENS)
    except (TypeError, ValueError, OverflowError):
        return 0
