"""Quotas that are said to be back: one goes first, the others follow when it went well. Standard library only.

Resets are often guessed, and many may wait for the same one. Without this all of them start together and meet the limit again.
Who tries is kept in memory alone: after a restart the first look at a quota is a trial like any other.
"""

from datetime import datetime, timedelta

from droveway.core.limitbook import Limit, LimitBook, Page, pages
from droveway.core.ramp import FULL, STEP, Comeback, slowest

TRIAL = timedelta(seconds=60)
"""How long a quota is on trial without news. Silence is consent: a limit shows in the first answer."""


class Trials:
    """Who tries what a book of limits says to be over. A success that clears the limit ends the trial at once (R-T6)."""

    def __init__(self, book: LimitBook) -> None:
        self._book = book
        self._begun: dict[Page, tuple[datetime, datetime]] = {}  # the end of the limit, and when its trial began
        self._back: dict[Page, Comeback] = {}

    def until(self, key: str, model: str, now: datetime) -> datetime | None:
        """Until when nobody else should try a model of that key; None: it is free, or nobody tries it yet."""
        found = self._book.unproven(key, now, model)
        if found is None:
            return None
        page, limit = found
        over, begun = self._begun.get(page, (None, now))
        return begun + TRIAL if over == limit.until and begun <= now < begun + TRIAL else None

    def begin(self, key: str, model: str, now: datetime) -> bool:
        """Whether one more may try it now. The first one to do so after a limit is its trial."""
        if self.until(key, model, now):
            return False
        if found := self._untried(key, model, now):
            page, limit = found
            self._begun[page] = (limit.until, now)
        return True

    def awaits(self, key: str, model: str, now: datetime) -> bool:
        """Whether whoever begins now is the trial."""
        return self._untried(key, model, now) is not None

    def succeeded(self, key: str, started_at: datetime, model: str = "", at: datetime | None = None) -> bool:
        """Notes a success in the book. A limit that it proves to be over is back, in steps; see `LimitBook.succeeded`."""
        at = at or started_at
        found = self._book.unproven(key, at, model)
        cleared = self._book.succeeded(key, started_at, model, at)
        for page in pages(key, model) & self._back.keys() if self._back else ():
            self._back[page] = self._back[page].succeeded(started_at)
        if found and started_at > found[1].set_at and _was_long(found[1]):
            page, limit = found
            over, begun = self._begun.get(page, (None, at))
            self._back[page] = Comeback(min(at, begun + TRIAL) if over == limit.until else at)
        return cleared

    def comeback(self, key: str, model: str, now: datetime) -> Comeback | None:
        """How a model of that key comes back after its limit; None: all of it is there, or none yet."""
        if not self._back and not self._book:
            return None
        return slowest([*(self._back.get(page) for page in pages(key, model)), self._untold(key, model, now)], now)

    def comebacks(self, key: str, now: datetime) -> list[tuple[str, Comeback]]:
        """What comes back in steps after its limit, by what that covered."""
        return sorted((page[1], back) for page, back in self._back.items() if page[0] == key and back.share(now) < FULL)

    def restore(self, key: str, covers: str, comeback: Comeback) -> None:
        """Goes on with a comeback after a restart, unless a later one is known."""
        held = self._back.get((key, covers))
        if held is None or held.since < comeback.since:
            self._back[key, covers] = comeback

    def forget(self, key: str) -> None:
        """The account behind a quota key is gone."""
        self._back = {page: back for page, back in self._back.items() if page[0] != key}

    def _untold(self, key: str, model: str, now: datetime) -> Comeback | None:
        """A quota whose trial has ended without news."""
        found = self._book.unproven(key, now, model)
        if found is None or not _was_long(found[1]):
            return None
        over, begun = self._begun.get(found[0], (None, now))
        return Comeback(begun + TRIAL) if over == found[1].until and now >= begun + TRIAL else None

    def give_back(self, key: str, model: str, begun: datetime) -> None:
        """The trial that began then was not made after all."""
        for page in pages(key, model):
            if self._begun.get(page, (None, None))[1] == begun:
                del self._begun[page]

    def _untried(self, key: str, model: str, now: datetime) -> tuple[Page, Limit] | None:
        found = self._book.unproven(key, now, model)
        return found if found and self._begun.get(found[0], (None, now))[0] != found[1].until else None


def _was_long(limit: Limit) -> bool:
    """Whether it kept work away for so long that not all should come back at once: a throttle of seconds did not."""
    return limit.until - limit.set_at >= STEP
