"""The sidecar's records on disk: written before they are sent, so that a restart or an absent operator loses none.

One line per record, in the order of their numbers, and one line per acknowledgement. The file is only ever appended to; a
line that a kill has torn is cut off at the next start (it was never sent). What is not acknowledged stays on disk, not in
memory.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from droveway.core.events import Record, record_from_dict, record_to_dict

FULL_BYTES = 4 * 1024 * 1024
"""Beyond this only reports are taken; single completions then survive in the totals of the final record alone."""

_ACKNOWLEDGED = "acknowledged"


class Journal:
    """Numbers records from 1 without gaps, keeps them, and hands out those that the operator has not acknowledged.

    Attributes:
        last: number of the last record.
        acknowledged: highest number that the operator has written durably.
        urgent: something was added since `urgent` was cleared that should not wait for the next batch.
    """

    def __init__(self, path: Path) -> None:
        self.last = 0
        self.acknowledged = 0
        self.urgent = False
        self._path = path
        self._sent = 0  # offset up to which all is acknowledged
        self._size = 0
        path.touch()
        for data, end in self._lines(0):
            self._size = end
            self.last = data.get("number", self.last)
            self.acknowledged = data.get(_ACKNOWLEDGED, self.acknowledged)
        os.truncate(path, self._size)

    @property
    def full(self) -> bool:
        """Whether it takes no more single completions."""
        return self._size >= FULL_BYTES

    @property
    def pending(self) -> bool:
        """Whether something is not acknowledged yet."""
        return self.last > self.acknowledged

    def append(self, record: Record) -> Record:
        """Numbers and keeps a record; its number is set here."""
        self.last += 1
        record = replace(record, number=self.last)
        self._write(record_to_dict(record))
        self.urgent |= record.final or record.stalled or not record.success or record.verdict is not None
        return record

    def acknowledge(self, number: int) -> None:
        """The operator has all up to this number."""
        number = min(number, self.last)
        if number > self.acknowledged:
            self.acknowledged = number
            self._write({_ACKNOWLEDGED: number})

    def unacknowledged(self, limit: int) -> tuple[Record, ...]:
        """The next records to send, in order."""
        records: list[Record] = []
        for data, end in self._lines(self._sent):
            if data.get("number", 0) > self.acknowledged:
                records.append(record_from_dict(data))
            elif not records:
                self._sent = end
            if len(records) == limit:
                break
        return tuple(records)

    def records(self) -> Iterator[Record]:
        """All of them, from the first."""
        return (record_from_dict(data) for data, _ in self._lines(0) if "number" in data)

    def _write(self, data: dict[str, Any]) -> None:
        line = json.dumps(data, separators=(",", ":")).encode() + b"\n"
        with self._path.open("ab") as file:
            file.write(line)
        self._size += len(line)

    def _lines(self, offset: int) -> Iterator[tuple[dict[str, Any], int]]:
        with self._path.open("rb") as file:
            file.seek(offset)
            for line in file:
                offset += len(line)
                if not line.endswith(b"\n"):
                    return
                yield json.loads(line), offset
