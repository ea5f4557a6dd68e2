"""Answers that the replicas share in Valkey. While it is away nothing is known, and nothing is kept."""

from collections.abc import Sequence
from typing import Any

import orjson

from droveway.core.completion import TokenBreakdown
from droveway.core.events import TOKEN_FIELDS
from droveway.gateway.cachestore import Entry
from droveway.gateway.shared import Away, Shared

_PREFIX = "droveway:cache:"


class SharedStore:
    """Answers in Valkey, each until its time is over. How much memory they may take is the server's own setting."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    async def get(self, keys: Sequence[str], now: float) -> Entry | None:
        """The first of these that is there."""
        names = [_PREFIX + key for key in keys]

        async def ask(redis: Any) -> list[bytes | None]:
            found: list[bytes | None] = await redis.mget(names)
            return found

        try:
            found = await self._shared.call(ask)
        except Away:
            return None
        return next((entry for data in found if data and (entry := _entry_of(data))), None)

    async def put(self, key: str, entry: Entry, ttl: float) -> None:
        """Keeps it for so many seconds from its birth."""
        data = _data_of(entry)

        async def keep(redis: Any) -> None:
            await redis.set(_PREFIX + key, data, px=max(1, round(ttl * 1000)))

        try:
            await self._shared.call(keep)
        except Away:
            return


def _data_of(entry: Entry) -> bytes:
    """One line about the answer, and the answer."""
    tokens = [getattr(entry.tokens, name) for name in TOKEN_FIELDS]
    return orjson.dumps([entry.at, entry.candidate, tokens]) + b"\n" + entry.body


def _entry_of(data: bytes) -> Entry | None:
    """What `_data_of` wrote; None when it is anything else: the server may hold what another version wrote."""
    head, _, body = data.partition(b"\n")
    try:
        at, candidate, tokens = orjson.loads(head)
        return Entry(
            body, float(at), str(candidate), TokenBreakdown(**dict(zip(TOKEN_FIELDS, map(int, tokens), strict=True)))
        )
    except (ValueError, TypeError):
        return None
