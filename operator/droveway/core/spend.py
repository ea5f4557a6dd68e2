"""What one route's calls have used since the windows of quotas began: the part of the operator's record that quotas go by."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from droveway.api.enums import QuotaWindow
from droveway.core.tally import ModelTally
from droveway.core.windows import CALENDAR, start_of


@dataclass(frozen=True, slots=True)
class Spend:
    """What was used in one window. `cost` is in billionths of a US dollar, `unpriced` calls that are not in it."""

    start: datetime
    tokens: int = 0
    cost: int = 0
    unpriced: int = 0

    def plus(self, tokens: int, cost: int, unpriced: int) -> "Spend":
        """With more used."""
        return Spend(self.start, self.tokens + tokens, self.cost + cost, self.unpriced + unpriced)

    def beyond(self, other: "Spend") -> "Spend":
        """What this holds more than the other; nothing where it holds less."""
        return Spend(
            self.start,
            max(0, self.tokens - other.tokens),
            max(0, self.cost - other.cost),
            max(0, self.unpriced - other.unpriced),
        )


@dataclass(slots=True)
class SpendBook:
    """The windows of one route. Each keeps the latest time of its kind alone."""

    windows: dict[QuotaWindow, Spend] = field(default_factory=dict)

    def add(self, use: ModelTally, at: datetime) -> None:
        """A call has ended. One that belongs to an earlier window counts for none."""
        tokens, cost = use.tokens[0], use.cost or 0
        unpriced = use.completions if use.cost is None and tokens else 0
        for window in CALENDAR:
            start = start_of(window, at)
            known = self.windows.get(window)
            if known is None or start > known.start:
                known = Spend(start)
            if start == known.start:
                known = known.plus(tokens, cost, unpriced)
            self.windows[window] = known

    def take(self, spends: Mapping[QuotaWindow, Spend]) -> None:
        """Adds what somebody else has counted of the same windows; later windows replace earlier ones."""
        for window, spend in spends.items():
            known = self.windows.get(window)
            if known is None or spend.start > known.start:
                self.windows[window] = spend
            elif spend.start == known.start:
                self.windows[window] = known.plus(spend.tokens, spend.cost, spend.unpriced)

    def to_data(self) -> dict[str, Any]:
        """As JSON values."""
        return {w.value: [s.start.isoformat(), s.tokens, s.cost, s.unpriced] for w, s in self.windows.items()}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "SpendBook":
        """What `to_data` wrote."""
        return cls(
            {
                QuotaWindow(window): Spend(datetime.fromisoformat(start), int(tokens), int(cost), int(unpriced))
                for window, (start, tokens, cost, unpriced) in data.items()
            }
        )


def together(books: Iterable[SpendBook], now: datetime) -> dict[QuotaWindow, Spend]:
    """What all of them hold of the windows of this moment."""
    total = SpendBook({window: Spend(start_of(window, now)) for window in CALENDAR})
    for book in books:
        total.take({window: spend for window, spend in book.windows.items() if spend.start == start_of(window, now)})
    return total.windows
