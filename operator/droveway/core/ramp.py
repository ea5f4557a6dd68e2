"""Coming back in steps: a tenth of the sessions first, then three tenths, then all. Standard library only.

One probe that went well, or one trial of a quota, does not say that a thousand requests will. A step is over when it has lasted
`STEP` and brought its successes, or without news after `SILENCE`: a quiet route must not stay on its first step for ever.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

STEPS = (10, 30)
"""Percent of the sessions, step by step, before all may come."""
FULL = 100
STEP = timedelta(seconds=30)
SILENCE = timedelta(seconds=120)
_PROOF = 5  # successes that a step must bring to be over early


@dataclass(frozen=True, slots=True)
class Comeback:
    """What takes work again after an outage or a limit.

    Attributes:
        since: when it did.
        successes: of work that began after that.
    """

    since: datetime
    successes: int = 0

    def succeeded(self, started_at: datetime) -> "Comeback":
        """One more success; of work that began before it says nothing."""
        return replace(self, successes=self.successes + 1) if started_at >= self.since else self

    def share(self, now: datetime) -> int:
        """Percent of the sessions that may come. However a clock is set, it does not last longer."""
        passed = abs(now - self.since)
        for number, percent in enumerate(STEPS, 1):
            proved = passed >= number * STEP and self.successes >= number * _PROOF
            if not proved and passed < number * SILENCE:
                return percent
        return FULL

    def grows_at(self, now: datetime) -> datetime | None:
        """When its share grows by time alone; None: it is all of it."""
        if (share := self.share(now)) == FULL:
            return None
        number = STEPS.index(share) + 1
        return self.since + number * (STEP if self.successes >= number * _PROOF else SILENCE)


def slowest(comebacks: Iterable[Comeback | None], now: datetime) -> Comeback | None:
    """The one that lets the fewest in; None when nothing is coming back."""
    under_way = [found for found in comebacks if found and found.share(now) < FULL]
    return min(under_way, key=lambda found: (found.share(now), found.since), default=None)
