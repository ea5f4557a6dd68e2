"""Where answers are kept: in this process."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from droveway.core.completion import TokenBreakdown
from droveway.core.lru import Lru


@dataclass(frozen=True, slots=True)
class Entry:
    """An answer that is kept.

    Attributes:
        body: as a client gets it that wants no stream, in its dialect.
        at: epoch seconds when it was given first.
        candidate: who gave it.
        tokens: what it used then.
    """

    body: bytes
    at: float
    candidate: str
    tokens: TokenBreakdown


class Store(Protocol):
    """A place for answers. It never raises: what cannot be reached holds nothing."""

    async def get(self, keys: Sequence[str], now: float) -> Entry | None:
        """The first of these that is there."""

    async def put(self, key: str, entry: Entry, ttl: float) -> None:
        """Keeps it for so many seconds from its birth."""


class MemoryStore:
    """Answers in this process, up to so many bytes."""

    def __init__(self, bound: int) -> None:
        self._lru: Lru[Entry] = Lru(bound)

    async def get(self, keys: Sequence[str], now: float) -> Entry | None:
        """The first of these that is there."""
        return next((found for key in keys if (found := self._lru.get(key, now))), None)

    async def put(self, key: str, entry: Entry, ttl: float) -> None:
        """Keeps it for so many seconds from its birth; the oldest unused ones make room."""
        self._lru.put(key, entry, len(entry.body), entry.at + ttl)
