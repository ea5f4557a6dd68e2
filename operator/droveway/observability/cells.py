"""Counters, gauges and histograms for a process whose event loop alone touches them: no locks.

A request moves some thirty of them. Those of prometheus_client guard every value by a lock of its own, so that any thread may
change it, and look through a histogram's buckets one by one; that was a tenth of what a request cost. Everything that is not
here is theirs: names, labels, the registry, what is exposed.
"""

import time
from bisect import bisect_left
from typing import Any

from prometheus_client import Counter, Gauge, Histogram


class _Cell:
    """One value, as prometheus_client reads it when it exposes a metric."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def get(self) -> float:
        return self.value

    def set(self, value: float) -> None:
        self.value = value

    def get_exemplar(self) -> None:
        return None


class LoopCounter(Counter):
    """A counter for one thread."""

    def _metric_init(self) -> None:
        self._value: Any = _Cell()
        self._created = time.time()

    def inc(self, amount: float = 1, exemplar: dict[str, str] | None = None) -> None:
        """Adds; exemplars are not kept."""
        del exemplar
        if amount < 0:
            raise ValueError("a counter only goes up")
        self._value.value += amount


class LoopGauge(Gauge):
    """A gauge for one thread."""

    def _metric_init(self) -> None:
        self._value: Any = _Cell()

    def inc(self, amount: float = 1) -> None:
        """Adds."""
        self._value.value += amount

    def dec(self, amount: float = 1) -> None:
        """Takes away."""
        self._value.value -= amount

    def set(self, value: float) -> None:
        """Replaces."""
        self._value.value = float(value)


class LoopHistogram(Histogram):
    """A histogram for one thread."""

    def _metric_init(self) -> None:
        self._sum: Any = _Cell()
        self._buckets: list[Any] = [_Cell() for _ in self._upper_bounds]
        self._created = time.time()

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
        """Counts one value in the first bucket whose bound it does not exceed; exemplars are not kept."""
        del exemplar
        self._sum.value += amount
        self._buckets[bisect_left(self._upper_bounds, amount)].value += 1
