"""Completions of one model over time: exact on every read, cheap on every write (R-T1, R-T16). Standard library only.

A series is cut into slots, each without its beginning and with its end. A slot keeps its entries and their running sums;
the series keeps the sum of the slots. What is in the window is then everything, minus the slots before the edge, minus the
part of the edge slot that has left: a few look-ups, however many entries there are. Old slots may be condensed to one bucket
each: where the edge lies between two slots, the sums are as exact as before.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from droveway.core.bucket import Bucket
from droveway.core.completion import CompletionEvent
from droveway.core.moments import BEFORE_ALL, EPOCH, microseconds, moment
from droveway.core.slot import Slot
from droveway.core.sums import NOTHING, Sums

_NO_EDGE = -(2**62)  # before all slots


class Series:
    """All entries of one model."""

    __slots__ = (
        "_before",
        "_edge",
        "_high",
        "_imported",
        "_index",
        "_length",
        "_low",
        "_others",
        "_slot",
        "_slots",
        "_width",
        "last",
    )

    def __init__(self, width: int) -> None:
        """A series whose slots are `width` microseconds long."""
        self._width = width
        self._length = timedelta(microseconds=width)
        self._slots: dict[int, Slot] = {}
        self._imported: dict[int, tuple[Slot, Bucket]] = {}
        self.last = BEFORE_ALL  # the latest entry
        self._index, self._slot, self._low, self._high = 0, Slot(), EPOCH, EPOCH  # the slot that is written
        self._others = NOTHING  # all slots but that one
        self._edge, self._before = _NO_EDGE, NOTHING  # the slots before the edge together: kept from read to read

    def __bool__(self) -> bool:
        return bool(self._slots)

    def add(self, at: datetime, sums: Sums, event: CompletionEvent) -> None:
        """Adds a completion."""
        if not self._low < at <= self._high:
            self._turn_to(at)
        self._slot.add(at, sums, event)
        if at > self.last:
            self.last = at

    def put(self, bucket: Bucket, cutoff: datetime) -> None:
        """Adds an imported bucket in place of one with the same start; completions of that stretch stand (R-C22)."""
        index, offset = divmod(bucket.start, self._width)
        at = moment(bucket.last)
        if at <= cutoff or (not offset and index in self._slots and self._slots[index].is_live):
            return
        if held := self._imported.pop(bucket.start, None):
            held[0].remove(held[1])
            self._leave()
        self._turn_to(at)
        self._slot.put(bucket)
        self._imported[bucket.start] = (self._slot, bucket)
        self.last = max(self.last, at)

    def within(self, cutoff: datetime) -> Sums:
        """Sums of what is after the cutoff."""
        edge = microseconds(cutoff) // self._width
        if edge != self._edge or self._index < edge:
            self._before, self._edge = sum(slot.running[-1] for i, slot in self._slots.items() if i < edge), edge
        sums = self._others + self._slot.running[-1] - self._before
        slot = self._slots.get(edge)
        return sums - slot.gone(cutoff) if slot else sums

    def session(self, session: str, cutoff: datetime) -> Iterator[CompletionEvent]:
        """The completions of a session after the cutoff, as far as they are kept one by one."""
        edge = microseconds(cutoff) // self._width
        return (event for i, slot in self._slots.items() if i >= edge for event in slot.session(session, cutoff))

    def buckets(self, cutoff: datetime) -> tuple[Bucket, ...]:
        """Everything after the cutoff, one bucket for each start, in order."""
        edge = microseconds(cutoff) // self._width
        by_start: dict[int, Bucket] = {}
        for index, slot in self._slots.items():
            if index < edge:
                continue
            live = slot.bucket(index * self._width, cutoff)
            imported = [bucket for bucket in slot.imported if moment(bucket.last) > cutoff]
            for bucket in (*imported, live) if live else imported:
                held = by_start.get(bucket.start)
                by_start[bucket.start] = held.merged(bucket) if held else bucket
        return tuple(by_start[start] for start in sorted(by_start))

    def exact(self) -> dict[int, int]:
        """How many completions are kept one by one, by slot."""
        return {index: count for index, slot in self._slots.items() if (count := slot.completions)}

    def condense(self, index: int) -> None:
        """Keeps the completions of a slot as one bucket from here on."""
        if slot := self._slots.get(index):
            slot.condense(index * self._width)

    def drop_before(self, horizon: datetime) -> None:
        """Gives up the slots that end before the horizon."""
        edge = microseconds(horizon) // self._width
        ended = [index for index in self._slots if index < edge]
        for index in ended:
            del self._slots[index]
        if ended:
            self._imported = {b.start: (slot, b) for slot in self._slots.values() for b in slot.imported}
            self._leave()

    def _turn_to(self, at: datetime) -> None:
        """Makes the slot of that moment the one that is written."""
        index, offset = divmod(microseconds(at) - 1, self._width)
        slot = self._slots.get(index)
        if slot is None:
            slot = self._slots[index] = Slot()
        self._others += self._slot.running[-1] - slot.running[-1]
        self._index, self._slot = index, slot
        self._low = at - timedelta(microseconds=offset + 1)
        self._high = self._low + self._length
        if index < self._edge:
            self._edge = _NO_EDGE

    def _leave(self) -> None:
        """Counts everything anew, with no slot being written."""
        self._index, self._slot, self._low, self._high = 0, Slot(), EPOCH, EPOCH
        self._others = sum(slot.running[-1] for slot in self._slots.values())
        self._edge = _NO_EDGE
        self.last = max((slot.last for slot in self._slots.values()), default=BEFORE_ALL)
