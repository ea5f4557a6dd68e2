"""Which candidates come back in steps after their breaker was open: what this gateway saw, and what the operator told."""

from collections.abc import Container
from dataclasses import dataclass, field
from datetime import datetime

from droveway.cluster.objects import Key
from droveway.core.ramp import FULL, Comeback

BreakerKey = tuple[Key, str]
"""A route and one of its candidates."""


@dataclass(slots=True)
class Comebacks:
    """The latest of every candidate. One that is over is kept, so that an old status does not begin it anew."""

    _all: dict[BreakerKey, Comeback] = field(default_factory=dict)

    def of(self, key: BreakerKey) -> Comeback | None:
        """How a candidate comes back, if its breaker was ever open."""
        return self._all.get(key)

    def begin(self, key: BreakerKey, since: datetime) -> None:
        """A candidate takes work again; a later beginning than the known one is another comeback."""
        held = self._all.get(key)
        if held is None or held.since < since:
            self._all[key] = Comeback(since)

    def succeeded(self, key: BreakerKey, started_at: datetime, now: datetime) -> None:
        """It did some work well."""
        if (held := self._all.get(key)) and held.share(now) < FULL:
            self._all[key] = held.succeeded(started_at)

    def keep(self, known: Container[BreakerKey]) -> None:
        """Forgets all others."""
        self._all = {key: held for key, held in self._all.items() if key in known}
