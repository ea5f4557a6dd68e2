"""The answers that may be given again, and those that are just being made."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from droveway.core.cachekey import Resolved, cache_key
from droveway.core.cacheterms import Terms
from droveway.dialects.conversion.keeping import HEADERS, place
from droveway.gateway.cachestore import Entry, Store
from droveway.gateway.client import Asked
from droveway.gateway.config import Candidate, Provider
from droveway.gateway.flight import Flight, Landing

_HEADERS = {name.encode(): name for name in HEADERS}


class Cache:
    """The cache of one gateway.

    Args:
        store: where answers are kept.
        clock: epoch seconds; replicas that share a store compare theirs.
    """

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store, self.clock = store, clock
        self._flights: dict[str, Flight] = {}

    def key(self, asked: Asked, candidate: Candidate, provider: Provider) -> str:
        """What the answer of this candidate is kept under."""
        told = {_HEADERS[name]: value.decode("latin-1") for name, value in asked.headers if name in _HEADERS}
        model = Resolved(provider.dialect, provider.base_url, candidate.model)
        request = asked.request
        return cache_key(asked.route.key.namespace, asked.spec.dialect, place(request), told, request.body, model)

    async def find(self, keys: Sequence[str], terms: Terms) -> Entry | None:
        """An answer that is fresh enough."""
        entry = await self._store.get(keys, self.clock())
        return entry if entry and self.is_fresh(entry, terms) else None

    def is_fresh(self, entry: Entry, terms: Terms) -> bool:
        """Whether an answer is young enough for a request."""
        return self.clock() - entry.at < terms.max_age

    async def keep(self, key: str, entry: Entry, terms: Terms) -> None:
        """Keeps an answer."""
        await self._store.put(key, entry, terms.ttl)

    @property
    def waiting(self) -> int:
        """Requests that wait for an answer that is just being made."""
        return sum(flight.waiting for flight in self._flights.values())

    def flight(self, key: str) -> Flight | None:
        """The answer that is just being made, if there is one."""
        return self._flights.get(key)

    def depart(self, key: str, work: Coroutine[Any, Any, Landing]) -> Flight:
        """Begins to make an answer; there must be no other flight with this key."""
        flight = self._flights[key] = Flight(work, lambda: self._land(key))
        return flight

    def _land(self, key: str) -> None:
        del self._flights[key]
