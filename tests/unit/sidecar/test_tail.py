import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from droveway.sidecar import tail
from droveway.sidecar.tail import Tail

ALL = 2**40


class Stream:
    """The segments that a wrapper would write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tail = Tail(folder, "stdout")

    def write(self, number: int, data: bytes) -> None:
        with (self.folder / f"stdout.{number}").open("ab") as file:
            file.write(data)

    def drop(self, number: int) -> None:
        (self.folder / f"stdout.{number}").unlink()

    def read(self, budget: int = ALL) -> list[str]:
        return [line for line, _ in self.tail.read(budget)]


@pytest.fixture
def stream(tmp_path: Path) -> Iterator[Stream]:
    stream = Stream(tmp_path)
    yield stream
    stream.tail.close()


def test_nothing_is_there_before_the_agent_starts(stream: Stream) -> None:
    assert (stream.read(), stream.tail.started, stream.tail.bytes_read) == ([], False, 0)
    stream.write(1, b"")
    assert (stream.read(), stream.tail.started) == ([], True)


def test_only_whole_lines_are_given(stream: Stream) -> None:
    stream.write(1, b"one\ntw")
    assert stream.read() == ["one"]
    assert stream.read() == []
    stream.write(1, b"o\n\nthree")
    assert stream.read() == ["two", ""]
    assert (stream.tail.rest(), stream.tail.rest()) == ("three", "")
    assert stream.tail.bytes_read == len(b"one\ntwo\n\nthree")


def test_a_line_may_cross_segments(stream: Stream) -> None:
    stream.write(1, b"one\nbegin ")
    assert stream.read() == ["one"]
    stream.write(1, b"of ")
    stream.write(2, b"a ")
    stream.write(3, b"line\nlast\n")
    assert stream.read() == ["begin of a line", "last"]


def test_a_character_may_cross_reads_and_a_broken_one_is_replaced(stream: Stream) -> None:
    stream.write(1, "é".encode()[:1])
    assert stream.read() == []
    stream.write(1, "é".encode()[1:] + b"\n\xff\n")
    assert stream.read() == ["é", "\ufffd"]


def test_segments_that_went_are_counted_and_half_a_line_is_not_given(stream: Stream) -> None:
    stream.write(1, b"one\nhalf a li")
    assert stream.read() == ["one"]
    stream.write(2, b"ne\nlost\n")
    stream.write(3, b"end of a line\nfour\n")
    stream.write(4, b"five\n")
    stream.drop(1)
    stream.drop(2)
    assert stream.read() == ["four", "five"]
    assert stream.tail.lost_segments == 1


def test_a_late_reader_begins_with_what_is_left(stream: Stream) -> None:
    stream.write(3, b"end of a line\nfour\n")
    assert (stream.read(), stream.tail.lost_segments) == (["four"], 2)


def test_half_a_line_after_a_loss_is_no_last_line(stream: Stream) -> None:
    stream.write(2, b"end of a li")
    assert (stream.read(), stream.tail.rest()) == ([], "")


def test_the_order_of_segments_is_that_of_numbers(stream: Stream) -> None:
    for number in range(1, 12):
        stream.write(number, f"{number}\n".encode())
    (stream.folder / "stdout.part").touch()
    (stream.folder / "stderr.1").write_text("another stream\n")
    assert stream.read() == [str(number) for number in range(1, 12)]


def test_what_was_written_before_the_next_segment_is_not_missed(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wrapper writes on between our read and our look for a successor."""
    stream.write(1, b"one\n")
    assert stream.read() == ["one"]
    listdir = os.listdir

    def busy(folder: Path) -> list[str]:
        monkeypatch.setattr(os, "listdir", listdir)
        stream.write(1, b"two\n")
        stream.write(2, b"three\n")
        return listdir(folder)

    monkeypatch.setattr(os, "listdir", busy)
    assert stream.read() == ["two", "three"]


def test_a_segment_may_go_between_the_look_and_the_opening(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    stream.write(1, b"one\n")
    stream.write(2, b"rest\ntwo\n")
    listdir = os.listdir

    def late(folder: Path) -> list[str]:
        found = listdir(folder)
        monkeypatch.setattr(os, "listdir", listdir)
        stream.drop(1)
        return found

    monkeypatch.setattr(os, "listdir", late)
    assert stream.read() == ["two"]


def test_a_budget_leaves_the_rest_for_later(stream: Stream) -> None:
    stream.write(1, b"x" * 99 + b"\n")
    stream.write(2, b"y" * 99 + b"\n")
    assert len(stream.read(1)) == 1
    assert len(stream.read(1)) == 1
    assert stream.read(1) == []


def test_a_long_line_is_cut_so_that_the_reader_sees_it(stream: Stream) -> None:
    stream.write(1, b"x" * (3 * tail.LINE_BYTES) + b"\nnext\n")
    long, following = stream.read()
    assert (len(long), following) == (tail.LINE_BYTES + 1, "next")


def test_a_line_is_as_old_as_its_segment(stream: Stream) -> None:
    stream.write(1, b"old\n")
    os.utime(stream.folder / "stdout.1", (1000, 1000))
    assert list(stream.tail.read(ALL)) == [("old", datetime.fromtimestamp(1000, UTC))]
