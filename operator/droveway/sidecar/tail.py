"""Reads what the wrapper wrote: segments `<name>.1`, `<name>.2`, …, of which the oldest may go at any time."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

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
        self._fd = -1  # kept open: what goes while it is read is still read to its end
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

    def close(self) -> None:
        """Nothing more will be read."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def _chunk(self) -> bytes:
        """The next bytes, from the next segment if need be; empty when there are none yet."""
        while True:
            if chunk := self._next():
                return chunk
            successor = self._successor()
            if successor is None:
                return b""
            if chunk := self._next():  # written before its successor was begun
                return chunk
            self._open(successor)

    def _next(self) -> bytes:
        return os.read(self._fd, _CHUNK) if self._fd >= 0 else b""

    def _successor(self) -> int | None:
        named = (name.rpartition(".") for name in os.listdir(self._directory))
        numbers = (int(number) for name, _, number in named if name == self._name and number.isdecimal())
        return min((n for n in numbers if n > self._number), default=None)

    def _open(self, number: int) -> None:
        try:
            fd = os.open(self._directory / f"{self._name}.{number}", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return  # it went just now; the next look finds what is left
        self.close()
        if (lost := number - self._number - 1) > 0:
            self.lost_segments += lost
            self._line.clear()
            self._torn = True
        self._fd, self._number, self.started = fd, number, True

    def _written(self) -> datetime:
        return datetime.fromtimestamp(os.fstat(self._fd).st_mtime, UTC)

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
