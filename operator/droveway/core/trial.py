"""What is told while a route tries something: completions of each side since it began. Sums that survive restarts."""

from dataclasses import astuple, dataclass, field
from typing import Any

from droveway.api.enums import EndClass
from droveway.api.v1alpha1.rollout import SideStatus
from droveway.core.events import Record
from droveway.core.tally import dollars, nano_dollars

_LATENT = 10**12  # milliseconds; no completion takes longer


@dataclass(slots=True)
class Side:
    """Completions of one side. Latency in microseconds and cost in billionths of a US dollar, of those where it is known."""

    samples: int = 0
    failed: int = 0
    latency: int = 0
    timed: int = 0
    cost: int = 0
    priced: int = 0

    def add(self, record: Record) -> None:
        """Takes the end of a call. A limit is no failure, and an agent that left says nothing."""
        verdict = record.verdict
        if not record.success and verdict and (verdict.is_limit or verdict.kind is EndClass.CANCELLED):
            return
        self.samples += 1
        self.failed += not record.success
        if record.success and record.latency_ms is not None and 0 < record.latency_ms < _LATENT:
            self.timed += 1
            self.latency += round(record.latency_ms * 1000)
        if record.success and (cost := nano_dollars(record.cost_usd)) is not None:
            self.priced += 1
            self.cost += cost

    def status(self) -> SideStatus:
        """As the API spells it."""
        return SideStatus(
            samples=self.samples,
            failed=self.failed,
            average_latency_milliseconds=round(self.latency / self.timed / 1000) if self.timed else None,
            average_cost_usd=dollars(round(self.cost / self.priced)) if self.priced else None,
        )

    def to_data(self) -> list[int]:
        """As JSON values."""
        return list(astuple(self))

    @classmethod
    def from_data(cls, data: Any) -> "Side":
        """What `to_data` wrote.

        Raises:
            ValueError: it is not that.
        """
        if not isinstance(data, list) or len(data) != 6 or any(type(n) is not int or n < 0 for n in data):
            raise ValueError(f"not one side of a trial: {data!r:.80}")
        return cls(*data)


@dataclass(slots=True)
class Trial:
    """What is told while something is tried, from the beginning.

    Attributes:
        of: what is tried; "" while nothing is.
        tried: the canary, or the mirror.
        stable: what it is measured against; nothing at a mirror.
    """

    of: str = ""
    tried: Side = field(default_factory=Side)
    stable: Side = field(default_factory=Side)

    def to_data(self) -> list[Any]:
        """As JSON values."""
        return [self.of, self.tried.to_data(), self.stable.to_data()]

    @classmethod
    def from_data(cls, data: Any) -> "Trial":
        """What `to_data` wrote.

        Raises:
            ValueError: it is not that.
        """
        if not isinstance(data, list) or len(data) != 3 or not isinstance(data[0], str):
            raise ValueError(f"not a trial: {data!r:.80}")
        return cls(data[0], *map(Side.from_data, data[1:]))
