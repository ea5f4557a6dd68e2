"""Quotas that are said to be back: one goes first, the others follow when it went well. Standard library only.

Resets are often guessed, and many may wait for the same one. Without this all of them start together and meet the limit again.
Kept in memory alone: after a restart the first look at a quota is a trial like any other.
"""

from datetime import datetime, timedelta

from droveway.core.limitbook import Limit, LimitBook, Page, pages

TRIAL = timedelta(seconds=60)
"""How long a quota is on trial without news. Silence is consent: a limit shows in the first answer."""


class Trials:
    """Who tries what a book of limits says to be over. A success that clears the limit ends the trial at once (R-T6)."""

    def __init__(self, book: LimitBook) -> None:
        self._book = book
        self._begun: dict[Page, tuple[datetime, datetime]] = {}  # the end of the limit, and when its trial began

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

    def give_back(self, key: str, model: str, begun: datetime) -> None:
        """The trial that began then was not made after all."""
        for page in pages(key, model):
            if self._begun.get(page, (None, None))[1] == begun:
                del self._begun[page]

    def _untried(self, key: str, model: str, now: datetime) -> tuple[Page, Limit] | None:
        found = self._book.unproven(key, now, model)
        return found if found and self._begun.get(found[0], (None, now))[0] != found[1].until else None
