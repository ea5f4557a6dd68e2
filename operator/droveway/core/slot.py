"""What happened in one stretch of time: single completions, or what is left of them as buckets. Standard library only."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import accumulate, pairwise

from droveway.core.bucket import Bucket, add_tokens
from droveway.core.completion import CompletionEvent, price_of
from droveway.core.moments import BEFORE_ALL, microseconds, moment
from droveway.core.sums import NOTHING, Sums, pack, unpack

Item = CompletionEvent | Bucket
"""A completion, or several as a bucket, which counts until its last moment leaves the window (R-T8)."""


class Slot:
    """Entries in order of arrival, until the order of time is asked for.

    Attributes:
        items: the entries.
        running: sums of the first n entries; the last is the whole slot's in any order.
        imported: those of the items that an earlier process has left.
    """

    __slots__ = ("_bucket", "_condensed", "_ordered", "_sessions", "_times", "imported", "items", "running")

    def __init__(self) -> None:
        self._times: list[datetime] = []
        self.items: list[Item] = []
        self.running: list[Sums] = [NOTHING]
        self.imported: list[Bucket] = []
        self._ordered = True
        self._condensed: Bucket | None = None  # one of the items: what once were completions
        self._bucket: tuple[int, Bucket] | None = None  # of what is not imported among the first n items
        self._sessions: tuple[int, dict[str, list[int]]] | None = None  # where each session's completions are, likewise

    @property
    def is_live(self) -> bool:
        """Whether this process has seen a completion of it."""
        return len(self.items) > len(self.imported)

    @property
    def completions(self) -> int:
        """How many are kept one by one."""
        return len(self.items) - len(self.imported) - (self._condensed is not None)

    @property
    def last(self) -> datetime:
        """The latest entry."""
        return max(self._times, default=BEFORE_ALL)

    def add(self, at: datetime, sums: Sums, item: Item) -> None:
        """Adds an entry."""
        times, running = self._times, self.running
        if times and at < times[-1]:
            self._ordered = False
        times.append(at)
        self.items.append(item)
        running.append(running[-1] + sums)

    def put(self, bucket: Bucket) -> None:
        """Adds an imported bucket."""
        self.imported.append(bucket)
        self._add_bucket(bucket)

    def remove(self, bucket: Bucket) -> None:
        """Takes an imported bucket out again."""
        self.imported = [held for held in self.imported if held is not bucket]
        self._keep([i for i, item in enumerate(self.items) if item is not bucket])

    def gone(self, cutoff: datetime) -> Sums:
        """Sums of what is not after the cutoff."""
        if not self._ordered:
            self._keep(sorted(range(len(self._times)), key=self._times.__getitem__))
        return self.running[bisect_right(self._times, cutoff)]

    def condense(self, start: int) -> None:
        """Keeps the completions as one bucket from here on."""
        if self.completions and (bucket := self.bucket(start, BEFORE_ALL)):
            self._keep([])
            for held in (*self.imported, bucket):
                self._add_bucket(held)
            self._condensed = bucket

    def bucket(self, start: int, cutoff: datetime) -> Bucket | None:
        """What this process has seen after the cutoff, as one bucket."""
        seen, known = self._bucket or (0, None)
        if known and moment(known.first) <= cutoff:
            seen, known = 0, None
        fresh = range(seen, len(self.items))
        inside = [i for i in fresh if self._times[i] > cutoff]
        for part in self._parts(inside, start):
            known = known.merged(part) if known else part
        if known and len(inside) == len(fresh):
            self._bucket = len(self.items), known
        return known

    def session(self, session: str, cutoff: datetime) -> Iterator[CompletionEvent]:
        """The completions of a session after the cutoff, as far as they are kept one by one."""
        if self._sessions is None or self._sessions[0] != len(self.items):
            places: dict[str, list[int]] = {}
            for i, event in self._completions(range(len(self.items))):
                places.setdefault(event.session_id, []).append(i)
            self._sessions = len(self.items), places
        for i, event in self._completions(self._sessions[1].get(session, ())):
            if self._times[i] > cutoff:
                yield event

    def _completions(self, places: Iterable[int]) -> Iterator[tuple[int, CompletionEvent]]:
        return ((i, item) for i in places if isinstance(item := self.items[i], CompletionEvent))

    def _parts(self, places: list[int], start: int) -> Iterator[Bucket]:
        """What is not imported of these entries."""
        if self._condensed is not None and any(self.items[i] is self._condensed for i in places):
            yield self._condensed
        places = [i for i in places if isinstance(self.items[i], CompletionEvent)]
        if places:
            events = [event for _, event in self._completions(places)]
            costs = [cost for event in events if (cost := price_of(event)) is not None]
            times = [self._times[i] for i in places]
            succeeded, failed, timed, latency_ns = unpack(sum(map(self._sums, places)))
            yield Bucket(
                start,
                microseconds(min(times)),
                microseconds(max(times)),
                succeeded,
                failed,
                latency_ns,
                timed,
                add_tokens(event.tokens for event in events),
                sum(costs),
                len(costs),
            )

    def _add_bucket(self, bucket: Bucket) -> None:
        sums = pack(bucket.succeeded, bucket.failed, bucket.timed, bucket.latency_ns)
        self.add(moment(bucket.last), sums, bucket)

    def _sums(self, i: int) -> Sums:
        return self.running[i + 1] - self.running[i]

    def _keep(self, places: list[int]) -> None:
        """Keeps these entries, in this order."""
        self.running = list(accumulate((self._sums(i) for i in places), initial=NOTHING))
        self._times, self.items = [self._times[i] for i in places], [self.items[i] for i in places]
        self._ordered = all(a <= b for a, b in pairwise(self._times))
        self._bucket = self._sessions = None
