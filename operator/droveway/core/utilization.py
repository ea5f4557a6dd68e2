"""How much of a quota is used, as answers tell it: so that a candidate is drained before it is spent. Standard library only.

Subscriptions count in windows ("5h", "7d"), some of them for one family of models ("7d_opus"). Every answer says how full
they are, successful ones too.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from droveway.core.families import FAMILIES, family

_NAME = re.compile(r"[0-9a-z]{1,16}(_[0-9a-z_]{1,16})?")
_MOST_WINDOWS = 8
_MOST_PERCENT = 1000
_UNTOLD = timedelta(hours=1)  # how long a reading holds that says no reset
_LENGTH = re.compile(r"(\d{1,5})([mhd])(?:_|$)")
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_TELLING = 0.05  # share of a window that must have passed before its pace tells anything
_STEADY = timedelta(minutes=1)  # resets that differ by less are the same one


@dataclass(frozen=True, slots=True)
class Reading:
    """One window as one answer told it.

    Attributes:
        window: its length, and the family of models that it counts: `5h`, `7d`, `7d_opus`.
        used_percent: share of it that is used; more than 100 is overdrawn.
        resets_at: when it begins anew; None: nobody said.
        at: when it was told.
    """

    window: str
    used_percent: int
    resets_at: datetime | None
    at: datetime

    def holds(self, now: datetime) -> bool:
        """Whether it still says something: its window has not begun anew."""
        return now < (self.resets_at or self.at + _UNTOLD)

    def concerns(self, model: str) -> bool:
        """Whether a model's work counts in this window. What counts something else than models concerns none."""
        counted = self.window.partition("_")[2]
        return not counted or (counted in FAMILIES and counted == family(model))

    def spent_at(self) -> datetime | None:
        """When it is spent at the pace since it began; None: not before it begins anew, or nobody can tell yet."""
        length = _length(self.window)
        if self.resets_at is None or length is None or self.used_percent <= 0:
            return None
        began = self.resets_at - length
        if self.at - began < length * _TELLING:
            return None
        spent = began + (self.at - began) * (100 / self.used_percent)
        return max(spent, self.at) if spent < self.resets_at else None

    def says_the_same(self, other: "Reading") -> bool:
        """Whether nobody needs to hear both."""
        if self.used_percent != other.used_percent or (self.resets_at is None) != (other.resets_at is None):
            return False
        return not self.resets_at or not other.resets_at or abs(self.resets_at - other.resets_at) < _STEADY


def _length(window: str) -> timedelta | None:
    """How long a window is, by its name."""
    found = _LENGTH.match(window)
    return int(found[1]) * _UNITS[found[2]] if found else None


def reading(window: str, used: float | None, resets_at: datetime | None, at: datetime) -> Reading | None:
    """A reading of what an answer says; None when that is no window or no share.

    Args:
        window: its name in our words.
        used: share, 1 is all of it.
        resets_at: when it begins anew.
        at: when it was told.
    """
    if used is None or not 0 <= used <= _MOST_PERCENT / 100 or not _NAME.fullmatch(window):
        return None
    return Reading(window, round(used * 100), resets_at, at)


class UtilizationBook:
    """The latest reading of every window, by quota key."""

    __slots__ = ("_pages",)

    def __init__(self) -> None:
        self._pages: dict[str, dict[str, Reading]] = {}

    def note(self, key: str, readings: Iterable[Reading], now: datetime) -> list[Reading]:
        """Takes readings over, unless something newer is known. Returns those that say something new."""
        news = []
        page = self._pages.setdefault(key, {})
        for found in readings:
            told = replace(found, at=min(found.at, now))
            held = page.get(told.window)
            if not told.holds(now) or (held and held.at > told.at) or (not held and len(page) >= _MOST_WINDOWS):
                continue
            page[told.window] = told
            if held is None or not held.holds(now) or not held.says_the_same(told):
                news.append(told)
        return news

    def readings(self, key: str, now: datetime) -> list[Reading]:
        """What holds at `now`, by the name of the window."""
        return [found for _, found in sorted(self._pages.get(key, {}).items()) if found.holds(now)]

    def used_percent(self, key: str, model: str, now: datetime) -> int | None:
        """How much of the fullest window is used that counts a model's work; None when nobody told."""
        return max((r.used_percent for r in self.readings(key, now) if r.concerns(model)), default=None)

    def forget(self, key: str) -> None:
        """The account behind a quota key is gone."""
        self._pages.pop(key, None)
