"""Reads what the wrapper wrote: segments `<name>.1`, `<name>.2`, …, of which the oldest may go at any time."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

LINE_BYTES = 1024 * 1024
"""A longer line is cut (R-P2); one byte more is handed on, so that a parser sees that it was."""

_CHUNK = 64 * 1024


class Tail:
    """Whole lines of one stream, in order, each once.

    Attributes:
        started: a segment has been seen: the agent runs.
        bytes_read: all of them; grows while the agent prints.
        lost_segments: segments that were gone before they were read.
    """

    def __init__(self, directory: Path, name: str) -> None:
        self.started = False
        self.bytes_read = 0
        self.lost_segments = 0
        self._directory = directory
        self._name = name
        self._number = 0
        self._file: BinaryIO | None = None
        self._line = bytearray()
        self._torn = False  # the beginning of the current line is lost

    def read(self, budget: int) -> Iterator[tuple[str, datetime]]:
        """The lines that are complete by now, and when the segment was last written. Stops after `budget` bytes."""
        while budget > 0 and (chunk := self._chunk()):
            budget -= len(chunk)
            self.bytes_read += len(chunk)
            written = self._written()
            for line in self._split(chunk):
                yield line, written

    def rest(self) -> str:
        """The last line, if it has no end. Only when nothing more will come."""
        rest, self._line = self._line, bytearray()
        return "" if self._torn else _text(rest)

    def _chunk(self) -> bytes:
        """The next bytes, from the next segment if need be; empty when there are none yet."""
        while True:
            if self._file and (chunk := self._file.read(_CHUNK)):
                return chunk
            successor = self._successor()
            if successor is None:
                return b""
            if self._file and (chunk := self._file.read(_CHUNK)):  # written before its successor was opened
                return chunk
            self._open(successor)

    def _successor(self) -> int | None:
        named = (name.rpartition(".") for name in os.listdir(self._directory))
        numbers = (int(number) for name, _, number in named if name == self._name and number.isdecimal())
        return min((n for n in numbers if n > self._number), default=None)

    def _open(self, number: int) -> None:
        try:
            file = (self._directory / f"{self._name}.{number}").open("rb", buffering=0)
        except FileNotFoundError:
            return  # it went just now; the next look finds what is left
        if self._file:
            self._file.close()
        if (lost := number - self._number - 1) > 0:
            self.lost_segments += lost
            self._line.clear()
            self._torn = True
        self._file, self._number, self.started = file, number, True

    def _written(self) -> datetime:
        assert self._file  # noqa: S101
        return datetime.fromtimestamp(os.fstat(self._file.fileno()).st_mtime, UTC)

    def _split(self, chunk: bytes) -> Iterator[str]:
        *ended, rest = chunk.split(b"\n")
        for piece in ended:
            self._add(piece)
            if not self._torn:
                yield _text(self._line)
            self._line.clear()
            self._torn = False
        self._add(rest)

    def _add(self, piece: bytes) -> None:
        self._line += piece[: max(0, LINE_BYTES + 1 - len(self._line))]


def _text(line: bytes | bytearray) -> str:
    return line.decode("utf-8", "replace")
