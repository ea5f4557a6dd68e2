"""Who has told how much: the highest number taken from each source of a route."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

_GATEWAY_SILENCE = timedelta(hours=24)
_SIDECAR_SILENCE = timedelta(minutes=15)  # its token ends ten minutes after its attempt


def sidecar_source(run_uid: str, attempt: int) -> str:
    """The name of an attempt's sidecar as a source; a gateway is named by its boot id, without a dash."""
    return f"{run_uid}-{attempt}"


@dataclass(slots=True)
class _Source:
    number: int
    seen: datetime


class Sources:
    """Numbers only go up: what is not above the highest one is a repetition."""

    def __init__(self) -> None:
        self._known: dict[str, _Source] = {}

    def take(self, source: str, number: int, now: datetime) -> int | None:
        """Takes a number; tells how many were skipped before it, or None when it is a repetition."""
        known = self._known.setdefault(source, _Source(0, now))
        known.seen = now
        if number <= known.number:
            return None
        skipped = number - known.number - 1
        known.number = number
        return skipped

    def highest(self, source: str) -> int:
        """The highest number taken from a source; 0 from an unknown one."""
        known = self._known.get(source)
        return known.number if known else 0

    def numbers(self) -> dict[str, int]:
        """The highest number of every source."""
        return {name: source.number for name, source in self._known.items()}

    def prune(self, live_runs: Collection[str], now: datetime) -> None:
        """Forgets who will not speak again: long silent gateways, and sidecars of runs that are over."""
        for name, source in list(self._known.items()):
            run_uid, dash, _ = name.rpartition("-")
            patience = _SIDECAR_SILENCE if dash else _GATEWAY_SILENCE
            if run_uid not in live_runs and now - source.seen > patience:
                del self._known[name]

    def drop_sidecars(self, live_runs: Collection[str]) -> None:
        """Forgets the sidecars of runs that are over, for want of room."""
        for name in list(self._known):
            run_uid, dash, _ = name.rpartition("-")
            if dash and run_uid not in live_runs:
                del self._known[name]

    def to_data(self) -> dict[str, Any]:
        """As JSON values."""
        return {name: [source.number, source.seen.isoformat()] for name, source in self._known.items()}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "Sources":
        """What `to_data` wrote."""
        sources = cls()
        for name, (number, seen) in data.items():
            sources._known[name] = _Source(int(number), datetime.fromisoformat(seen))
        return sources
