from pathlib import Path

import pytest

from droveway.api.enums import EndClass
from droveway.core.verdict import Verdict
from droveway.sidecar import journal
from droveway.sidecar.journal import Journal
from helpers.attempt import record


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def numbers(kept: Journal, limit: int = 100) -> list[int]:
    return [r.number for r in kept.unacknowledged(limit)]


def test_records_are_numbered_from_1_without_gaps(path: Path) -> None:
    kept = Journal(path)
    assert not kept.pending
    assert [kept.append(record(i)).number for i in ("a", "b", "c")] == [1, 2, 3]
    assert kept.pending
    assert [r.id for r in kept.unacknowledged(100)] == ["a", "b", "c"]


def test_what_is_acknowledged_is_not_given_again(path: Path) -> None:
    kept = Journal(path)
    for i in "abcde":
        kept.append(record(i))
    kept.acknowledge(2)
    assert numbers(kept) == [3, 4, 5]
    assert numbers(kept, 2) == [3, 4]
    kept.append(record("f"))
    kept.acknowledge(5)
    assert numbers(kept) == [6]
    kept.acknowledge(6)
    assert (numbers(kept), kept.pending) == ([], False)


def test_an_acknowledgement_goes_neither_back_nor_beyond_the_last(path: Path) -> None:
    kept = Journal(path)
    kept.append(record("a"))
    kept.acknowledge(99)
    kept.acknowledge(0)
    assert (kept.acknowledged, kept.append(record("b")).number, numbers(kept)) == (1, 2, [2])


def test_a_restart_goes_on_where_it_was(path: Path) -> None:
    before = Journal(path)
    for i in "abc":
        before.append(record(i))
    before.acknowledge(1)
    kept = Journal(path)
    assert (kept.last, kept.acknowledged, numbers(kept)) == (3, 1, [2, 3])
    assert [r.id for r in kept.records()] == ["a", "b", "c"]
    assert kept.append(record("d")).number == 4


@pytest.mark.parametrize("torn", [1, 10, 40])
def test_a_torn_line_was_never_sent_and_is_cut_off(path: Path, torn: int) -> None:
    Journal(path).append(record("a"))
    whole = path.read_bytes()
    path.write_bytes(whole + whole.replace(b'"a"', b'"b"')[:torn])
    kept = Journal(path)
    assert kept.append(record("c")).number == 2
    assert [r.id for r in Journal(path).records()] == ["a", "c"]


def test_a_record_comes_back_as_it_was(path: Path) -> None:
    limit = Verdict(EndClass.SUBSCRIPTION_LIMIT, reason="spent – until tomorrow \ud800")
    told = Journal(path).append(record("a", verdict=limit, success=False, exit_code=0, result="two\nlines"))
    assert Journal(path).unacknowledged(1) == (told,)


@pytest.mark.parametrize(
    ("changes", "urgent"),
    [
        pytest.param({}, False, id="a completion can wait"),
        pytest.param({"success": False}, True, id="a failure cannot"),
        pytest.param({"verdict": Verdict(EndClass.RATE_LIMITED)}, True, id="nor a limit"),
        pytest.param({"stalled": True}, True, id="nor a stall"),
        pytest.param({"final": True}, True, id="nor the end"),
    ],
)
def test_what_is_urgent(path: Path, changes: dict[str, object], urgent: bool) -> None:
    kept = Journal(path)
    kept.append(record("a", **changes))
    kept.append(record("b"))
    assert kept.urgent is urgent


def test_it_says_when_it_is_full(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "FULL_BYTES", 300)
    kept = Journal(path)
    kept.append(record("a"))
    assert not kept.full
    kept.append(record("b"))
    kept.append(record("c"))
    assert kept.full
    assert Journal(path).full
