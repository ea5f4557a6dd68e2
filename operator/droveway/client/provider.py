"""One provider, asked in the words of OpenAI's chat API whatever it speaks itself."""

import asyncio
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from math import ceil
from typing import Any

import httpx2

from droveway.api.enums import Dialect, EndClass
from droveway.api.errors import DrovewayError
from droveway.api.names import HEADER_DEADLINE
from droveway.core.verdict import Verdict
from droveway.dialects import SPECS, Request
from droveway.dialects.bodies import dump_object
from droveway.dialects.conversion import CannotCarry, convert
from droveway.dialects.conversion.listener import Listener
from droveway.dialects.conversion.model import Answered, Frame

_CHAT = SPECS[Dialect.OPENAI_CHAT]
_PATH = next(iter(_CHAT.paths))
_CONNECT_SECONDS = 5.0

Messages = Sequence[Mapping[str, Any]]


class ProviderError(DrovewayError):
    """The provider gave no answer; the verdict says what that means and whose turn it is."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.reason or verdict.kind.value)
        self.verdict = verdict


class ProviderClient(ABC):
    """Answers conversations. Another provider is a subclass, or a `DialectClient` with another address."""

    @abstractmethod
    async def complete(
        self, messages: Messages, model: str, timeout: float, parameters: Mapping[str, Any] | None = None
    ) -> Answered:
        """The answer, whole.

        Args:
            messages: in the words of OpenAI's chat API.
            model: as the provider calls it.
            timeout: seconds until the answer must be complete; the call is aborted then.
            parameters: more fields of a chat request.

        Raises:
            ProviderError: there is none.
        """

    @abstractmethod
    def stream(
        self, messages: Messages, model: str, timeout: float, parameters: Mapping[str, Any] | None = None
    ) -> AsyncGenerator[str | Answered]:
        """The answer as it comes: its words, and at last all of it. Arguments and errors as in `complete`."""

    @abstractmethod
    async def close(self) -> None:
        """Gives up what it holds."""


class DialectClient(ProviderClient):
    """A provider that speaks one of our dialects.

    Args:
        dialect: which.
        base_url: its address, without the dialect's path.
        key: "" for none.
        http: sends, and is closed with this client; another transport in it is another way to the provider.
        max_in_flight: requests at once; more wait.
    """

    def __init__(
        self, dialect: Dialect, base_url: str, key: str = "", *, http: httpx2.AsyncClient, max_in_flight: int = 32
    ) -> None:
        self._dialect, self._spec, self._base_url = dialect, SPECS[dialect], base_url.rstrip("/")
        self._key, self._http, self._slots = key, http, asyncio.Semaphore(max_in_flight)

    async def complete(
        self, messages: Messages, model: str, timeout: float, parameters: Mapping[str, Any] | None = None
    ) -> Answered:
        """See `ProviderClient`."""
        body = {**(parameters or {}), "model": model, "messages": list(messages)}
        async with self._asked(body, model, timeout) as (answer, listener):
            verdict, said = listener.whole(await answer.aread(), datetime.now(UTC))
            if not verdict.is_success:
                raise ProviderError(verdict)
            return said

    async def stream(
        self, messages: Messages, model: str, timeout: float, parameters: Mapping[str, Any] | None = None
    ) -> AsyncGenerator[str | Answered]:
        """See `ProviderClient`."""
        streamed = {"stream": True, "stream_options": {"include_usage": True}}
        body = {**(parameters or {}), "model": model, "messages": list(messages), **streamed}
        async with self._asked(body, model, timeout) as (answer, listener):
            if not answer.headers.get("content-type", "").startswith("text/event-stream"):
                verdict, said = listener.whole(await answer.aread(), datetime.now(UTC))
            else:
                async for piece in answer.aiter_bytes():
                    if words := listener.feed(piece):
                        yield words
                verdict, said = listener.end(datetime.now(UTC))
            if not verdict.is_success:
                raise ProviderError(verdict)
            yield said

    async def close(self) -> None:
        """Closes its connections."""
        await self._http.aclose()

    @asynccontextmanager
    async def _asked(
        self, body: dict[str, Any], model: str, timeout: float
    ) -> AsyncIterator[tuple[httpx2.Response, Listener]]:
        """Asks; what happens until the answer is read comes out as a ProviderError."""
        deadline = time.monotonic() + timeout
        request, headers, frame = self._request(body, model)
        try:
            async with asyncio.timeout(timeout), self._slots:
                left = max(1, ceil((deadline - time.monotonic()) * 1000))
                headers = [*headers, *self._spec.auth_headers(self._key)] if self._key else headers
                async with self._http.stream(
                    "POST",
                    self._base_url + self._spec.upstream_path(request, model),
                    headers=[*headers, (HEADER_DEADLINE.lower(), str(left))],
                    content=self._spec.rewrite(request, model),
                    timeout=httpx2.Timeout(None, connect=_CONNECT_SECONDS),
                ) as answer:
                    listener = Listener(self._spec, request, frame)
                    if answer.status_code >= 300:
                        body_of = await answer.aread()
                        now = datetime.now(UTC)
                        raise ProviderError(self._refusal(listener, answer, body_of, now))
                    yield answer, listener
        except TimeoutError as error:
            reason = f"no complete answer within {timeout:.3g} s"
            raise ProviderError(Verdict(EndClass.TIMEOUT, reason=reason)) from error
        except httpx2.TransportError as error:
            reason = f"no answer from the provider: {type(error).__name__}"
            raise ProviderError(Verdict(EndClass.PROVIDER_OUTAGE, reason=reason)) from error

    def _refusal(self, listener: Listener, answer: httpx2.Response, body: bytes, now: datetime) -> Verdict:
        if answer.status_code < 400:
            reason = f"HTTP {answer.status_code} points elsewhere; correct the provider's address"
            return Verdict(EndClass.PROVIDER_OUTAGE, reason=reason)
        return listener.refused(answer.status_code, answer.headers, body, now)

    def _request(self, body: dict[str, Any], model: str) -> tuple[Request, list[tuple[str, str]], Frame]:
        """The request in the provider's dialect."""
        given, created = uuid.uuid4().hex, int(time.time())
        frame = Frame(given, model, created)
        asked = _CHAT.read_request(dump_object(body), _PATH)
        if self._dialect is _CHAT.dialect:
            return asked, [("content-type", "application/json")], frame
        try:
            found = convert(asked, _CHAT.dialect, self._dialect, model, given, created)
        except CannotCarry as error:
            reason = f"the request holds what cannot be carried to {self._dialect}: {error.what}"
            raise ProviderError(Verdict(EndClass.REQUEST_REJECTED, reason=reason)) from error
        return found.request, list(found.headers), frame
