"""Metrics without locks expose what those of prometheus_client expose for the same events."""

from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from droveway.observability.cells import LoopCounter, LoopGauge, LoopHistogram

BOUNDS = (0.1, 1.0, 10.0)


def count(metric: Any) -> None:
    metric.labels("a").inc()
    metric.labels("a").inc(2.5)
    metric.labels("b").inc(0)


def move(metric: Any) -> None:
    metric.labels("a").inc(3)
    metric.labels("a").dec()
    metric.labels("b").set(7)
    metric.labels("c").set_function(lambda: 4)


def observe(metric: Any) -> None:
    for value in (-1.0, 0.0, 0.1, 0.11, 1, 10.0, 10.1, 1e9):
        metric.labels("a").observe(value)
    metric.labels("b")


@pytest.mark.parametrize(
    ("ours", "theirs", "happens", "more"),
    [
        (LoopCounter, Counter, count, {}),
        (LoopGauge, Gauge, move, {}),
        (LoopHistogram, Histogram, observe, {"buckets": BOUNDS}),
    ],
)
def test_the_same_is_exposed(ours: Any, theirs: Any, happens: Callable[[Any], None], more: dict[str, Any]) -> None:
    exposed = []
    for kind in (ours, theirs):
        metric = kind("droveway_things", "Things.", ["which"], registry=CollectorRegistry(), **more)
        happens(metric)
        (family,) = metric.collect()
        samples = [(s.name, s.labels, s.value) for s in family.samples if not s.name.endswith("_created")]
        exposed.append((family.name, family.type, family.documentation, samples))
    assert exposed[0] == exposed[1]
    assert exposed[0][-1], "something is exposed"


def test_a_counter_never_goes_down() -> None:
    counter = LoopCounter("droveway_things", "Things.", registry=CollectorRegistry())
    with pytest.raises(ValueError, match="only goes up"):
        counter.inc(-1)
