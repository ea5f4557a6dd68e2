from collections.abc import Callable
from pathlib import Path

import pytest

from droveway.api.errors import UserMustAct
from droveway.core.events import Batch
from droveway.sidecar.delivery import BATCH_RECORDS, Delivery, NotTaken, sender
from droveway.sidecar.journal import Journal
from droveway.sidecar.settings import Attempt
from helpers.attempt import ENV, record


class Operator:
    """Acknowledges what it gets, or raises what the test wants."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.answer: Callable[[Batch], int] = lambda batch: batch.records[-1].number
        self.last: Batch | None = None

    def send(self, batch: Batch) -> int:
        self.last = batch
        self.batches.append([r.number for r in batch.records])
        return self.answer(batch)

    def refuse(self, after: float | None = None) -> None:
        def answer(_: Batch) -> int:
            raise NotTaken("away", after)

        self.answer = answer


@pytest.fixture
def operator() -> Operator:
    return Operator()


@pytest.fixture
def kept(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


@pytest.fixture
def delivery(kept: Journal, operator: Operator) -> Delivery:
    return Delivery(Attempt.from_env(ENV), kept, operator.send)


def offered(delivery: Delivery, operator: Operator, *clocks: float) -> list[list[int]]:
    """What was sent when it was offered at these times."""
    operator.batches = []
    for clock in clocks:
        delivery.offer(clock)
    return operator.batches


def test_a_batch_names_its_source_and_route(kept: Journal, delivery: Delivery, operator: Operator) -> None:
    kept.append(record("a"))
    delivery.offer(0)
    assert operator.last
    assert (operator.last.source, operator.last.namespace, operator.last.route) == ("uid-1-2", "team-a", "coding")


def test_nothing_is_sent_when_there_is_nothing(delivery: Delivery, operator: Operator) -> None:
    assert offered(delivery, operator, 0, 1, 2) == []


def test_at_most_one_batch_in_a_second(kept: Journal, delivery: Delivery, operator: Operator) -> None:
    kept.append(record("a"))
    assert offered(delivery, operator, 10.0) == [[1]]
    kept.append(record("b"))
    kept.append(record("c"))
    assert offered(delivery, operator, 10.3, 10.9) == []
    assert offered(delivery, operator, 11.0) == [[2, 3]]


def test_an_urgent_record_does_not_wait(kept: Journal, delivery: Delivery, operator: Operator) -> None:
    kept.append(record("a"))
    delivery.offer(10.0)
    kept.append(record("b", success=False))
    assert offered(delivery, operator, 10.1) == [[2]]
    kept.append(record("c"))
    assert offered(delivery, operator, 10.2) == []


def test_many_records_go_in_several_batches_without_a_pause(
    kept: Journal, delivery: Delivery, operator: Operator
) -> None:
    for i in range(BATCH_RECORDS + 5):
        kept.append(record(str(i)))
    assert delivery.offer(10.0)
    assert not delivery.offer(10.0)
    assert [len(numbers) for numbers in operator.batches] == [BATCH_RECORDS, 5]


def test_the_pauses_grow_while_the_operator_is_away(kept: Journal, delivery: Delivery, operator: Operator) -> None:
    kept.append(record("a", success=False))
    operator.refuse()
    tries = [clock for clock in range(60) if offered(delivery, operator, clock)]
    assert tries == [0, 1, 3, 7, 15, 30, 45]
    assert delivery.problem == "away"


def test_then_everything_comes_again_in_order(kept: Journal, delivery: Delivery, operator: Operator) -> None:
    operator.refuse()
    kept.append(record("a"))
    delivery.offer(0)
    kept.append(record("b"))
    operator.answer = lambda batch: batch.records[-1].number
    assert offered(delivery, operator, 0.5, 1.0) == [[1, 2]]
    assert (kept.pending, delivery.problem) == (False, "")


@pytest.mark.parametrize(
    ("after", "next_try"),
    [
        pytest.param(5.0, 5, id="as it asked"),
        pytest.param(0.0, 1, id="but not at once"),
        pytest.param(3600.0, 15, id="and not for ever"),
    ],
)
def test_a_standby_says_when_to_come_again(
    kept: Journal, delivery: Delivery, operator: Operator, after: float, next_try: int
) -> None:
    operator.refuse(after)
    kept.append(record("a"))
    delivery.offer(0)
    assert next(clock for clock in range(1, 60) if offered(delivery, operator, clock)) == next_try


def test_what_is_not_acknowledged_is_sent_again(kept: Journal, delivery: Delivery, operator: Operator) -> None:
    """The operator writes a part, then dies."""
    for i in "abc":
        kept.append(record(i))
    operator.answer = lambda _: 2
    delivery.offer(0)
    operator.answer = lambda _: 0
    assert offered(delivery, operator, 1) == [[3]]
    assert "not written" in delivery.problem
    operator.answer = lambda _: 3
    assert offered(delivery, operator, 2) == [[3]]
    assert not kept.pending


@pytest.mark.parametrize("url", ["https://operator:8000", "operator:8000", "", "http://"])
def test_an_address_must_be_plain_http(url: str) -> None:
    with pytest.raises(UserMustAct, match="http://host:port"):
        sender(url, "token")
