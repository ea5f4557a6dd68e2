"""What waits for the operator stays bounded, and numbers go on per route."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import orjson
import pytest

from droveway.cluster.objects import Key
from droveway.core.events import Record, RecordKind
from droveway.gateway import reporter as module
from droveway.gateway.metrics import GatewayMetrics
from droveway.gateway.prices import Prices
from droveway.gateway.reporter import Reporter

ONE, TWO = Key("ns", "one"), Key("ns", "two")


def tell(reporter: Reporter, route: Key, kind: RecordKind = RecordKind.COMPLETION, run: str = "run") -> int:
    number = reporter.next_number(route)
    reporter.tell(route, Record(number, kind, datetime(2026, 1, 1, tzinfo=UTC), run, "uid", 1))
    return number


class Operator:
    """Refuses a batch as a whole when it does not understand one of its records; stands in for the session, too."""

    def __init__(self, understands: Callable[[dict[str, Any]], bool]) -> None:
        self._understands = understands
        self.taken: list[int] = []
        self.posts = 0

    @asynccontextmanager
    async def post(self, url: str, *, data: bytes, headers: dict[str, str]) -> AsyncIterator[SimpleNamespace]:
        self.posts += 1
        records = orjson.loads(data)["records"]
        status, said = 400, b"not a record"
        if all(map(self._understands, records)):
            self.taken += [record["number"] for record in records]
            status, said = 200, orjson.dumps({"acknowledged": self.taken[-1]})

        async def read() -> bytes:
            return said

        async def text() -> str:
            return said.decode()

        yield SimpleNamespace(status=status, headers={}, read=read, text=text)


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


async def test_an_earlier_operator_is_told_all_that_it_understands(tmp_path: Path) -> None:
    metrics = GatewayMetrics()
    reporter, operator = (
        Reporter("http://operator", tmp_path / "token", Prices(), metrics),
        Operator(lambda record: record["kind"] != "mirror"),
    )
    for _ in range(50):
        tell(reporter, ONE)
        tell(reporter, ONE, RecordKind.MIRROR)
    await reporter._deliver_all(cast("aiohttp.ClientSession", operator))
    assert operator.taken == list(range(1, 100, 2))
    assert operator.posts == 2
    assert b"droveway_gateway_events_pending 0.0" in metrics.expose()
    assert b"droveway_gateway_events_dropped_total 50.0" in metrics.expose()


async def test_one_record_that_nobody_understands_takes_no_other_with_it(tmp_path: Path) -> None:
    metrics = GatewayMetrics()
    reporter, operator = (
        Reporter("http://operator", tmp_path / "token", Prices(), metrics),
        Operator(lambda record: record["run"] != "odd"),
    )
    for number in range(1, 151):
        tell(reporter, ONE, run="odd" if number == 77 else "run")
    await reporter._deliver_all(cast("aiohttp.ClientSession", operator))
    assert operator.taken == [number for number in range(1, 151) if number != 77]
    assert b"droveway_gateway_events_pending 0.0" in metrics.expose()
    assert b"droveway_gateway_events_dropped_total 1.0" in metrics.expose()
