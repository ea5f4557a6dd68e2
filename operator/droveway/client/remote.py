"""Fan-out through the gateway."""

from collections.abc import AsyncGenerator
from typing import Any, Self

import httpx2
from pydantic import TypeAdapter

from droveway.api.errors import DrovewayError
from droveway.api.fanout import FanoutRequest
from droveway.api.fanoutanswer import FanoutEvent, FanoutResponse
from droveway.dialects.bodies import parse_error, table, text

_EVENT: TypeAdapter[FanoutEvent] = TypeAdapter(FanoutEvent)
_CONNECT_SECONDS, _MARGIN_SECONDS = 5.0, 10.0


class Refused(DrovewayError):  # noqa: N818 - says what happened
    """The gateway took no fan-out on.

    Attributes:
        status: 400, 401 or 413: the request or the key must change. 503 or 0 (no answer): try again.
        type: of the error, in the gateway's words.
    """

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status, self.type = status, kind


class GatewayFanout:
    """Asks the gateway.

    Args:
        url: of the gateway, without a path.
        key: a run key.
        http: sends; closed with this client.
    """

    def __init__(self, url: str, key: str, *, http: httpx2.AsyncClient | None = None) -> None:
        self._url, self._key = url.rstrip("/") + "/fanout", key
        self._http = http or httpx2.AsyncClient(trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def fanout(self, request: FanoutRequest) -> FanoutResponse:
        """The whole answer.

        Raises:
            Refused: the gateway took it not on, or cannot be reached.
        """
        try:
            answer = await self._http.post(self._url, **self._call(request, stream=False))
        except httpx2.TransportError as error:
            raise _unreachable(error) from error
        if answer.status_code != 200:
            raise _refused(answer.status_code, answer.content)
        return FanoutResponse.model_validate_json(answer.content)

    async def stream(self, request: FanoutRequest) -> AsyncGenerator[FanoutEvent]:
        """The events as they happen; whoever stops listening ends all calls.

        Raises:
            Refused: the gateway took it not on, cannot be reached, or broke off.
        """
        try:
            async with self._http.stream("POST", self._url, **self._call(request, stream=True)) as answer:
                if answer.status_code != 200:
                    raise _refused(answer.status_code, await answer.aread())
                async for event in httpx2.EventSource(answer):
                    yield _EVENT.validate_json(event.data)
        except httpx2.TransportError as error:
            raise _unreachable(error) from error

    def _call(self, request: FanoutRequest, *, stream: bool) -> dict[str, Any]:
        seconds = request.timeout_milliseconds / 1000 + _MARGIN_SECONDS
        return {
            "json": request.model_copy(update={"stream": stream}).to_wire(),
            "headers": {"authorization": f"Bearer {self._key}"},
            "timeout": httpx2.Timeout(seconds, connect=_CONNECT_SECONDS),
        }


def _unreachable(error: Exception) -> Refused:
    return Refused(0, "unreachable", f"no answer from the gateway: {type(error).__name__}")


def _refused(status: int, body: bytes) -> Refused:
    error = table(table(parse_error(body)).get("error"))
    return Refused(status, text(error.get("type")) or "unknown", text(error.get("message")) or f"HTTP {status}")
