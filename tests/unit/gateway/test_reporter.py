"""What waits for the operator stays bounded, and numbers go on per route."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from droveway.cluster.objects import Key
from droveway.core.events import Record, RecordKind
from droveway.gateway import reporter as module
from droveway.gateway.metrics import GatewayMetrics
from droveway.gateway.prices import Prices
from droveway.gateway.reporter import Reporter

ONE, TWO = Key("ns", "one"), Key("ns", "two")


def tell(reporter: Reporter, route: Key) -> int:
    number = reporter.next_number(route)
    reporter.tell(route, Record(number, RecordKind.COMPLETION, datetime(2026, 1, 1, tzinfo=UTC), "run", "uid", 1))
    return number


def test_each_route_counts_for_itself(tmp_path: Path) -> None:
    reporter = Reporter("", tmp_path / "token", Prices(), GatewayMetrics())
    assert [tell(reporter, route) for route in (ONE, TWO, ONE, ONE, TWO)] == [1, 1, 2, 3, 2]


def test_too_many_waiting_drop_the_oldest_of_the_longest_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_PENDING", 4)
    metrics = GatewayMetrics()
    reporter = Reporter("http://operator", tmp_path / "token", Prices(), metrics)
    for route in (TWO, ONE, ONE, ONE, ONE, ONE):
        tell(reporter, route)
    waiting = {route.name: [e.record.number for e in line.entries] for route, line in reporter._lines.items()}
    assert waiting == {"two": [1], "one": [3, 4, 5]}
    assert b"droveway_gateway_events_dropped_total 2.0" in metrics.expose()
    assert b"droveway_gateway_events_pending 4.0" in metrics.expose()


async def test_without_an_operator_nothing_waits(tmp_path: Path) -> None:
    metrics = GatewayMetrics()
    reporter = Reporter("", tmp_path / "token", Prices(), metrics)
    tell(reporter, ONE)
    await reporter.flush(1)
    assert b"droveway_gateway_events_pending 0.0" in metrics.expose()
