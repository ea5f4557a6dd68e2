"""Provider keys: read from their Secrets when first needed, kept in memory, re-read once a minute and after a refusal."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from droveway.api.errors import DrovewayError
from droveway.gateway.config import Provider, SecretKey

log = logging.getLogger(__name__)

_FRESH_SECONDS = 60.0
_MISSING_SECONDS = 2.0  # a run may be waiting for it

ReadSecret = Callable[[SecretKey], Awaitable[str | None]]
"""The value of a key of a Secret, or None when there is none. Raises DrovewayError when it cannot be told now."""


class NoCredentials(Exception):  # noqa: N818 - says what happened
    """The provider's Secret or its key is not there. The message says what to do."""


@dataclass(slots=True)
class _Entry:
    value: str | None
    read_at: float


class Credentials:
    """The keys of all providers.

    Args:
        read: fetches one; a Secret is only ever `get`, never listed or watched.
        clock: monotonic seconds.
    """

    def __init__(self, read: ReadSecret, clock: Callable[[], float]) -> None:
        self._read, self._clock = read, clock
        self._entries: dict[SecretKey, _Entry] = {}
        self._refreshing: dict[SecretKey, asyncio.Task[None]] = {}

    async def of(self, provider: Provider) -> str:
        """The provider's key; empty if it needs none.

        Raises:
            NoCredentials: it needs one, and there is none.
        """
        where = provider.secret
        if where is None:
            return ""
        entry = self._entries.get(where)
        if entry is None or (entry.value is None and self._age(entry) >= _MISSING_SECONDS):
            await asyncio.shield(self._refresh(where))
        elif self._age(entry) >= _FRESH_SECONDS:
            self._refresh(where)  # the old one serves until the new one is there
        entry = self._entries.get(where)
        if entry is None or not entry.value:
            raise NoCredentials(
                f"Secret {where.namespace}/{where.name} has no key {where.key}; create it, or correct "
                f"spec.credentialsRef of ModelProvider {provider.name}"
            )
        return entry.value

    async def changed(self, provider: Provider, refused: str) -> bool:
        """Re-reads a key that the provider refused, and says whether there is another one now."""
        if provider.secret is None:
            return False
        entry = self._entries.get(provider.secret)
        if entry is not None and entry.value == refused:
            await asyncio.shield(self._refresh(provider.secret))
            entry = self._entries.get(provider.secret)
        return bool(entry and entry.value and entry.value != refused)

    def forget(self) -> None:
        """Reads every key again at its next use."""
        self._entries.clear()

    def _age(self, entry: _Entry) -> float:
        return self._clock() - entry.read_at

    def _refresh(self, where: SecretKey) -> "asyncio.Task[None]":
        """The one reading of this key that is under way; it outlives the request that asked for it first."""
        task = self._refreshing.get(where)
        if task is None:
            task = self._refreshing[where] = asyncio.create_task(self._fetch(where))
            task.add_done_callback(lambda _: self._refreshing.pop(where, None))
        return task

    async def _fetch(self, where: SecretKey) -> None:
        try:
            value = await self._read(where)
        except DrovewayError as error:
            log.warning("cannot read Secret %s/%s: %s", where.namespace, where.name, error)
            known = self._entries.get(where)
            value = known.value if known else None
        self._entries[where] = _Entry(value, self._clock())
