"""How many of the calls of late were extra ones: retries and hedges must not amplify an outage."""

from collections import deque
from dataclasses import dataclass, field

_WINDOW_SECONDS = 30
_ALWAYS = 3
"""So many extra calls per window are granted to who has little traffic."""


@dataclass(slots=True)
class _Second:
    at: int
    calls: int = 0
    extra: int = 0


@dataclass(slots=True)
class Ratio:
    """Calls and extra calls of the last thirty seconds, by the second. Moments are monotonic seconds."""

    _seconds: deque[_Second] = field(default_factory=deque)
    _calls: int = 0
    _extra: int = 0

    def count(self, now: float) -> None:
        """One call that is no extra one."""
        self._second(now).calls += 1
        self._calls += 1

    def take(self, percent: int, now: float) -> bool:
        """Counts one extra call, if it may be: extra ones are at most so many percent of the others, or a few."""
        second = self._second(now)
        if (self._extra + 1) * 100 > max(self._calls * percent, _ALWAYS * 100):
            return False
        second.extra += 1
        self._extra += 1
        return True

    def _second(self, now: float) -> _Second:
        """The second of now; what is older than the window is forgotten."""
        at, seconds = int(now), self._seconds
        while seconds and seconds[0].at <= at - _WINDOW_SECONDS:
            gone = seconds.popleft()
            self._calls -= gone.calls
            self._extra -= gone.extra
        if not seconds or seconds[-1].at != at:
            seconds.append(_Second(at))
        return seconds[-1]
