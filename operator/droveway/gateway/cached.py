"""One request that the cache may answer: looked up, waited for, or made and kept."""

import time
from typing import Any

from droveway.api.enums import EndClass
from droveway.api.names import HEADER_CACHE, HEADER_CANDIDATE
from droveway.core.cacheterms import Terms
from droveway.dialects.conversion.keeping import kept, objection, told
from droveway.dialects.conversion.model import Frame
from droveway.gateway.attempt import Services
from droveway.gateway.cache import Cache
from droveway.gateway.cachestore import Entry
from droveway.gateway.client import Answering, Asked, Headers
from droveway.gateway.exchange import Exchange
from droveway.gateway.flight import Landing
from droveway.gateway.ledger import Account

_CACHE = HEADER_CACHE.lower().encode()
_CANDIDATE = HEADER_CANDIDATE.lower().encode()
_FLIGHTS = 2  # that a request waits for; then it goes alone, so that a row of failures does not add up
LONGEST = 4 * 2**20  # bytes of an answer that is kept


class Tee:
    """Passes an answer on to the client as it comes, and remembers it.

    Attributes:
        client: None: it has left, and the answer is made for others.
        calls: how many upstream calls there had been when the answer began; more at its end, and it is pieced together.
    """

    def __init__(self, client: Answering, account: Account) -> None:
        self.client: Answering | None = client
        self._account = account
        self.status, self.calls, self.ended = 0, 0, False
        self.headers: dict[bytes, bytes] = {}
        self._pieces: list[bytes] = []
        self._size = 0

    @property
    def body(self) -> bytes | None:
        """All of it; None: it is no complete answer of one call, or too long to be kept."""
        whole = self.ended and self.status == 200 and self.calls == self._account.calls
        return b"".join(self._pieces) if whole and self._size <= LONGEST else None

    async def send(self, message: dict[str, Any]) -> None:
        """Takes a message of the ASGI protocol."""
        if message["type"] == "http.response.start":
            self.status, self.calls, self.headers = message["status"], self._account.calls, dict(message["headers"])
            message = {**message, "headers": [*message["headers"], (_CACHE, b"miss")]}
        else:
            self.ended = not message["more_body"]
            self._size += len(message["body"])
            if self._size <= LONGEST:
                self._pieces.append(message["body"])
        if self.client is not None:
            await self.client.forward(message)


class Cached:
    """One request that has opted in."""

    def __init__(
        self, services: Services, cache: Cache, terms: Terms, asked: Asked, answering: Answering, account: Account
    ) -> None:
        self._services, self._cache, self._terms = services, cache, terms
        self._asked, self._answering, self._account = asked, answering, account
        self._tee = Tee(answering, account)
        self._exchange = Exchange(services, asked, Answering(self._tee.send), account)

    async def serve(self) -> EndClass:
        """Answers the agent; says with what."""
        asked = self._asked
        if objection(asked.spec.dialect, asked.request, varied=self._terms.varied):
            self._count("bypassed")
            return await Exchange(self._services, asked, self._answering, self._account).serve()
        first = self._exchange.first()
        if first is None:
            return await self._without_candidate()
        key = self._key(first)
        if key is None:
            return (await self._make()).outcome
        for _ in range(_FLIGHTS):
            flight = self._cache.flight(key)
            if flight is None:
                return await self._lead(key)
            began = time.monotonic()
            try:
                landing = await flight.follow()
            finally:
                self._account.phases.pause += time.monotonic() - began
            if landing and landing.entry and self._cache.is_fresh(landing.entry, self._terms):
                return await self._replay(landing.entry, "hit" if landing.known else "coalesced")
            if landing and not landing.known:
                break  # an answer for one alone: nobody gains by waiting for another
        return (await self._make()).outcome

    async def _lead(self, key: str) -> EndClass:
        flight = self._cache.depart(key, self._fly(key))
        try:
            landing = await flight.lead()
        finally:
            self._tee.client = None
        if landing.known and landing.entry:
            return await self._replay(landing.entry, "hit")
        return landing.outcome

    async def _fly(self, key: str) -> Landing:
        if entry := await self._cache.find([key], self._terms):
            return Landing(EndClass.SUCCEEDED, entry, known=True)
        return await self._make()

    async def _make(self) -> Landing:
        self._count("miss")
        outcome = await self._exchange.serve()
        return Landing(outcome, await self._keep(outcome))

    async def _keep(self, outcome: EndClass) -> Entry | None:
        """Keeps what was answered under the name of who answered: a stand-in's answer is not the first choice's."""
        tee, asked, body = self._tee, self._asked, self._tee.body
        candidate = tee.headers.get(_CANDIDATE, b"").decode()
        call = next((c for c in reversed(self._account.ended) if c.verdict and c.verdict.is_success), None)
        if outcome is not EndClass.SUCCEEDED or body is None or call is None:
            return None
        streamed = tee.headers.get(b"content-type", b"").startswith(b"text/event-stream")
        found = kept(
            asked.spec.dialect,
            body,
            streamed=streamed,
            tokens=call.tokens,
            frame=self._frame(candidate),
        )
        key = self._key(candidate)
        if found is None or key is None:
            return None
        entry = Entry(found.body, self._cache.clock(), candidate, found.tokens)
        await self._cache.keep(key, entry, self._terms)
        return entry

    async def _without_candidate(self) -> EndClass:
        """Nobody can be asked now, but what somebody has said may still be known."""
        names = [candidate.name for candidate in self._asked.route.candidates]
        keys = [key for key in map(self._key, names) if key]
        if entry := await self._cache.find(keys, self._terms):
            return await self._replay(entry, "hit")
        return (await self._make()).outcome

    async def _replay(self, entry: Entry, result: str) -> EndClass:
        """The answer once more: nobody was asked, and nothing was spent."""
        asked, route = self._asked, self._asked.route.key
        self._count(result)
        self._account.candidate = entry.candidate
        self._services.metrics.cache_saved_tokens(route.namespace, route.name).inc(entry.tokens.total)
        body = told(asked.spec.dialect, entry.body, asked.request, self._frame(entry.candidate))
        self._answering.mark(route.name, entry.candidate, 0)
        await self._answering.whole(200, [*self._headers(entry), (_CACHE, result.encode())], body)
        return EndClass.SUCCEEDED

    def _headers(self, entry: Entry) -> Headers:
        kind = b"text/event-stream" if self._asked.request.stream else b"application/json"
        age = max(0, int(self._cache.clock() - entry.at))
        return [(b"content-type", kind), (b"age", b"%d" % age)]

    def _key(self, name: str) -> str | None:
        """What a candidate's answer is kept under; None: it is not of this route any more, or has no provider."""
        candidate = next((c for c in self._asked.route.candidates if c.name == name), None)
        provider = candidate and self._services.standing.find_provider(candidate)
        return self._cache.key(self._asked, candidate, provider) if candidate and provider else None

    def _frame(self, name: str) -> Frame:
        model = next((c.model for c in self._asked.route.candidates if c.name == name), "")
        return Frame(self._asked.id, model, int(self._cache.clock()))

    def _count(self, result: str) -> None:
        route = self._asked.route.key
        self._account.cache = result
        self._services.metrics.cache_requests(route.namespace, route.name, result).inc()
