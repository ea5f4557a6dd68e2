"""The account of one tenant in one gateway: what it has used, and what is reserved for its open requests."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from droveway.api.enums import QuotaWindow
from droveway.core.quota import NOTHING, Amount, Second, View
from droveway.core.windows import CALENDAR, MINUTE_SECONDS, start_of


class Told(NamedTuple):
    """What the operator's record says of one window."""

    start: datetime
    amount: Amount


@dataclass(slots=True)
class _Window:
    """One window of the calendar.

    Attributes:
        own: what this gateway has counted since it began.
        before: what the record held at first that is not our own; None: nothing has been told yet.
        told: what it says now.
        own_then: our own when it was told: what came later cannot be in it.
    """

    start: datetime
    own: Amount = NOTHING
    before: Amount | None = None
    told: Amount = NOTHING
    own_then: Amount = NOTHING

    @property
    def used(self) -> Amount:
        """The larger of the two accounts."""
        return self.own.plus(self.before or NOTHING).at_least(self.told.plus(self.own.minus(self.own_then)))


class TenantBook:
    """The account. Its minute is this gateway's alone; the calendar's windows go on from the operator's record.

    The record lags a second behind, and this gateway does not see what others count. So the larger counts of what is told with
    our own since then on top, and of what was told at first with all our own: exact for one replica, a second late for several.
    """

    def __init__(self) -> None:
        self._open: dict[str, Amount] = {}
        self._reserved = NOTHING
        self._seconds: dict[int, Second] = {}
        self._windows: dict[QuotaWindow, _Window] = {}

    @property
    def open(self) -> Mapping[str, Amount]:
        """The reservations, by request."""
        return self._open

    def reserve(self, request: str, estimate: Amount, now: datetime) -> None:
        """A request is let through."""
        self._open[request] = estimate
        self._reserved = self._reserved.plus(estimate)
        self._count(Second(requests=1), now)

    def settle(self, request: str, spent: Amount, now: datetime) -> None:
        """It has ended, whichever way, and has used so much. A request that is not open any more changes nothing."""
        estimate = self._open.pop(request, None)
        if estimate is None:
            return
        self._reserved = self._reserved.minus(estimate)
        self.spend(spent, now)

    def spend(self, spent: Amount, now: datetime) -> None:
        """So much was used, by whatever request."""
        if spent == NOTHING:
            return
        self._count(Second(tokens=spent.tokens), now)
        for name in CALENDAR:
            window = self._window(name, now)
            window.own = window.own.plus(spent)

    def adopt(self, told: Mapping[QuotaWindow, Told], now: datetime) -> None:
        """Takes over what the operator's record says now."""
        for name, record in told.items():
            window = self._window(name, now)
            if record.start != window.start:
                continue
            if window.before is None:
                window.before = record.amount.minus(window.own).at_least(NOTHING)
            if record.amount != window.told:
                window.told, window.own_then = record.amount, window.own

    def used(self, window: QuotaWindow, now: datetime) -> Amount:
        """What was used since a window of the calendar began."""
        return self._window(window, now).used

    def view(self, now: datetime) -> View:
        """How things stand."""
        self._forget(now)
        used = {window: self.used(window, now) for window in CALENDAR}
        return View(self._seconds, used, self._reserved, len(self._open))

    def _window(self, name: QuotaWindow, now: datetime) -> _Window:
        start, known = start_of(name, now), self._windows.get(name)
        if known is None or start > known.start:
            known = self._windows[name] = _Window(start, before=NOTHING if known else None)
        return known

    def _count(self, more: Second, now: datetime) -> None:
        second = int(now.timestamp())
        held = self._seconds.get(second, Second())
        self._seconds[second] = Second(held.requests + more.requests, held.tokens + more.tokens)

    def _forget(self, now: datetime) -> None:
        """Forgets what is no longer of this minute; or not yet: then the clock was set back."""
        oldest, latest = now.timestamp() - MINUTE_SECONDS, now.timestamp() + MINUTE_SECONDS
        for second in [second for second in self._seconds if not oldest < second <= latest]:
            del self._seconds[second]
