"""Metrics of a process with one event loop, which alone may touch them; labelled children are looked up once."""

from typing import Any, Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

from droveway.observability.cells import LoopCounter, LoopGauge, LoopHistogram

M = TypeVar("M", Counter, Gauge, Histogram)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

LATENCY_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Seconds: from a cached answer to a long chain of thought."""

SMALL_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)
"""Seconds: what we ourselves add."""


class Family(Generic[M]):
    """A metric with labels. `family(a, b)` is the child for these label values."""

    def __init__(self, metric: M) -> None:
        self._metric: M = metric
        self._children: dict[tuple[str, ...], M] = {}

    def clear(self) -> None:
        """Forgets all children: those that are set anew are all that is shown."""
        self._metric.clear()
        self._children.clear()

    def __call__(self, *values: str) -> M:
        """The child of these label values, in the order of the label names."""
        child = self._children.get(values)
        if child is None:
            child = self._children[values] = self._metric.labels(*values)
        return child


class Metrics:
    """Creates metrics with one prefix in a registry of its own.

    Args:
        prefix: `droveway_gateway`, for example; joined to every name with an underscore.
        registry: that of others, for metrics with another prefix.
    """

    def __init__(self, prefix: str, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._prefix = prefix

    def counter(self, name: str, text: str, *labels: str) -> Family[Counter]:
        """A counter; its exposed name ends in `_total`."""
        return Family(LoopCounter(f"{self._prefix}_{name}", text, labels, registry=self.registry))

    def gauge(self, name: str, text: str, *labels: str) -> Family[Gauge]:
        """A gauge."""
        return Family(LoopGauge(f"{self._prefix}_{name}", text, labels, registry=self.registry))

    def histogram(
        self, name: str, text: str, *labels: str, buckets: tuple[float, ...] = LATENCY_BUCKETS
    ) -> Family[Histogram]:
        """A histogram; of seconds, when nothing else is said."""
        return Family(LoopHistogram(f"{self._prefix}_{name}", text, labels, registry=self.registry, buckets=buckets))

    def plain_counter(self, name: str, text: str) -> Counter:
        """A counter without labels."""
        return LoopCounter(f"{self._prefix}_{name}", text, registry=self.registry)

    def plain_gauge(self, name: str, text: str) -> Gauge:
        """A gauge without labels."""
        return LoopGauge(f"{self._prefix}_{name}", text, registry=self.registry)

    def plain_histogram(self, name: str, text: str, buckets: tuple[float, ...] = LATENCY_BUCKETS) -> Histogram:
        """A histogram of seconds without labels."""
        return LoopHistogram(f"{self._prefix}_{name}", text, registry=self.registry, buckets=buckets)

    def expose(self) -> bytes:
        """All of them in Prometheus' text format."""
        found: Any = generate_latest(self.registry)
        return bytes(found)
