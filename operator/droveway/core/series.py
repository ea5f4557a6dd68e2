"""Completions of one model over time: exact on every read, cheap on every write (R-T1, R-T16). Standard library only.

A series is cut into slots. A slot keeps its entries and their running sums; the series keeps the sum of the slots. What is in
the window is then everything, minus the slots before the edge, minus the part of the edge slot that has left: a few
look-ups, however many entries there are.
"""

from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import accumulate, pairwise

from droveway.core.completion import CompletionEvent, price_of
from droveway.core.summary import EPOCH, Bucket, add_tokens, microseconds
from droveway.core.sums import NOTHING, Sums, pack, unpack

Item = CompletionEvent | Bucket
"""A completion, or an imported bucket, which counts until its last moment leaves the window (R-T8)."""

_NO_EDGE = -(2**62)  # before all slots
_NEVER = datetime.min.replace(tzinfo=UTC)


class Slot:
    """What happened in one stretch of time, in order of arrival until the order of time is asked for."""

    __slots__ = ("_bucket", "_sessions", "imported", "items", "ordered", "running", "times")

    def __init__(self) -> None:
        self.times: list[datetime] = []
        self.items: list[Item] = []
        self.running: list[Sums] = [NOTHING]  # sums of the first n entries; the last is the whole slot's in any order
        self.ordered = True
        self.imported = 0  # how many of the items are buckets
        self._bucket: tuple[int, Bucket] | None = None  # of all completions, with how many entries there were
        self._sessions: tuple[int, dict[str, list[int]]] | None = None  # where each session's completions are, likewise

    @property
    def is_live(self) -> bool:
        """Whether it holds a completion, not only imported buckets."""
        return len(self.items) > self.imported

    def gone(self, cutoff: datetime) -> Sums:
        """Sums of what is not after the cutoff."""
        if not self.ordered:
            self._rebuild(sorted(range(len(self.times)), key=self.times.__getitem__))
        return self.running[bisect_right(self.times, cutoff)]

    def remove(self, bucket: Bucket) -> None:
        """Takes an imported bucket out again."""
        self.imported -= 1
        self._rebuild([i for i, item in enumerate(self.items) if item is not bucket])

    def bucket(self, start: int, cutoff: datetime) -> Bucket | None:
        """The completions after the cutoff as one bucket."""
        if self._bucket and self._bucket[0] == len(self.items) and _at(self._bucket[1].first) > cutoff:
            return self._bucket[1]
        inside = [
            i for i, item in enumerate(self.items) if isinstance(item, CompletionEvent) and self.times[i] > cutoff
        ]
        if not inside:
            return None
        bucket = self._bucket_of(inside, start)
        if len(inside) + self.imported == len(self.items):
            self._bucket = len(self.items), bucket
        return bucket

    def buckets(self) -> list[Bucket]:
        """The imported buckets."""
        return [item for item in self.items if isinstance(item, Bucket)] if self.imported else []

    def session(self, session: str, cutoff: datetime) -> Iterator[CompletionEvent]:
        """The completions of a session after the cutoff."""
        if self._sessions is None or self._sessions[0] != len(self.items):
            places: dict[str, list[int]] = {}
            for i, item in enumerate(self.items):
                if isinstance(item, CompletionEvent):
                    places.setdefault(item.session_id, []).append(i)
            self._sessions = len(self.items), places
        for i in self._sessions[1].get(session, ()):
            item = self.items[i]
            if self.times[i] > cutoff and isinstance(item, CompletionEvent):
                yield item

    def _sums(self, i: int) -> Sums:
        return self.running[i + 1] - self.running[i]

    def _rebuild(self, keep: list[int]) -> None:
        """Keeps these entries, in this order."""
        self.running = list(accumulate((self._sums(i) for i in keep), initial=NOTHING))
        self.times, self.items = [self.times[i] for i in keep], [self.items[i] for i in keep]
        self.ordered = all(a <= b for a, b in pairwise(self.times))
        self._bucket = self._sessions = None

    def _bucket_of(self, places: list[int], start: int) -> Bucket:
        events = [item for i in places if isinstance(item := self.items[i], CompletionEvent)]
        costs = [cost for event in events if (cost := price_of(event)) is not None]
        times = [self.times[i] for i in places]
        succeeded, failed, timed, latency_ns = unpack(sum(self._sums(i) for i in places))
        return Bucket(
            start,
            microseconds(min(times)),
            microseconds(max(times)),
            succeeded,
            failed,
            latency_ns,
            timed,
            tokens=add_tokens(event.tokens for event in events),
            cost=sum(costs),
            priced=len(costs),
        )


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
        self.last = _NEVER  # the latest entry
        self._index, self._slot, self._low, self._high = 0, Slot(), EPOCH, EPOCH  # the slot that is written
        self._others = NOTHING  # all slots but that one
        self._edge, self._before = _NO_EDGE, NOTHING  # the slots before the edge together: kept from read to read

    def __bool__(self) -> bool:
        return bool(self._slots)

    def add(self, at: datetime, sums: Sums, item: Item) -> None:
        """Adds an entry."""
        if not self._low <= at < self._high:
            self._turn_to(at)
        slot = self._slot
        times, running = slot.times, slot.running
        if times and at < times[-1]:
            slot.ordered = False
        times.append(at)
        slot.items.append(item)
        running.append(running[-1] + sums)
        if at > self.last:
            self.last = at

    def put(self, bucket: Bucket, cutoff: datetime) -> None:
        """Adds an imported bucket in place of one with the same start; completions of that stretch stand (R-C22)."""
        index, offset = divmod(bucket.start, self._width)
        at = _at(bucket.last)
        if at <= cutoff or (not offset and index in self._slots and self._slots[index].is_live):
            return
        if held := self._imported.pop(bucket.start, None):
            held[0].remove(held[1])
            self._leave()
        self.add(at, pack(bucket.succeeded, bucket.failed, bucket.timed, bucket.latency_ns), bucket)
        self._slot.imported += 1
        self._imported[bucket.start] = (self._slot, bucket)

    def within(self, cutoff: datetime) -> Sums:
        """Sums of what is after the cutoff."""
        edge = microseconds(cutoff) // self._width
        if edge != self._edge or self._index < edge:
            self._before, self._edge = sum(slot.running[-1] for i, slot in self._slots.items() if i < edge), edge
        sums = self._others + self._slot.running[-1] - self._before
        slot = self._slots.get(edge)
        return sums - slot.gone(cutoff) if slot else sums

    def session(self, session: str, cutoff: datetime) -> list[CompletionEvent]:
        """The completions of a session after the cutoff."""
        edge = microseconds(cutoff) // self._width
        return [event for i, slot in self._slots.items() if i >= edge for event in slot.session(session, cutoff)]

    def buckets(self, cutoff: datetime) -> tuple[Bucket, ...]:
        """Everything after the cutoff, one bucket for each start, in order."""
        edge = microseconds(cutoff) // self._width
        by_start: dict[int, Bucket] = {}
        for index, slot in self._slots.items():
            if index < edge:
                continue
            live = slot.bucket(index * self._width, cutoff)
            imported = [bucket for bucket in slot.buckets() if _at(bucket.last) > cutoff]
            for bucket in (*imported, live) if live else imported:
                held = by_start.get(bucket.start)
                by_start[bucket.start] = held.merged(bucket) if held else bucket
        return tuple(by_start[start] for start in sorted(by_start))

    def drop_before(self, horizon: datetime) -> list[CompletionEvent]:
        """Gives up the slots that end before the horizon; returns the completions that were in them."""
        edge = microseconds(horizon) // self._width
        dropped = [self._slots.pop(index) for index in [index for index in self._slots if index < edge]]
        if dropped:
            self._imported = {b.start: (slot, b) for slot in self._slots.values() for b in slot.buckets()}
            self._leave()
        return [item for slot in dropped for item in slot.items if isinstance(item, CompletionEvent)]

    def _turn_to(self, at: datetime) -> None:
        """Makes the slot of that moment the one that is written."""
        index, offset = divmod(microseconds(at), self._width)
        slot = self._slots.get(index)
        if slot is None:
            slot = self._slots[index] = Slot()
        self._others += self._slot.running[-1] - slot.running[-1]
        self._index, self._slot = index, slot
        self._low = at - timedelta(microseconds=offset)
        self._high = self._low + self._length
        if index < self._edge:
            self._edge = _NO_EDGE

    def _leave(self) -> None:
        """Counts everything anew, with no slot being written."""
        self._index, self._slot, self._low, self._high = 0, Slot(), EPOCH, EPOCH
        self._others = sum(slot.running[-1] for slot in self._slots.values())
        self._edge = _NO_EDGE
        self.last = max((at for slot in self._slots.values() for at in slot.times), default=_NEVER)


def _at(since: int) -> datetime:
    return EPOCH + timedelta(microseconds=since)
