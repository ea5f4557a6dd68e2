"""`POST /fanout`, answered whole or as server-sent events, and `GET /fanout`, upgraded to a WebSocket."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import ValidationError

from droveway.api.enums import EndClass
from droveway.api.fanout import FanoutRequest
from droveway.api.fanoutanswer import ErrorBody, ErrorResponse, FanoutEvent, FanoutResponse
from droveway.api.names import HEADER_ROUTE
from droveway.dialects import BadRequest, Reply, client_key
from droveway.fanout import Fanout, Tell
from droveway.gateway.attempt import Services
from droveway.gateway.client import Answering, Headers, Origin, Receive, Scope, Send
from droveway.gateway.config import Config, Route
from droveway.gateway.fanout.leg import Legs
from droveway.gateway.fanout.targets import narrowed
from droveway.gateway.identity import Caller, NotAllowed
from droveway.gateway.intake import AgentGone, Encoded, Intake, NotServed, TooLong, read_deadline
from droveway.gateway.serving import UnderWay

PATH = "/fanout"
_LAST_WORD_SECONDS = 5.0  # beyond the deadline: for a client that reads slowly
_PING_SECONDS = 15.0
_FIRST_FRAME_SECONDS = 30.0
_SSE: Headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
_CLOSE_OK, _CLOSE_REFUSED = 1000, 1008
_REFUSALS: dict[type[Exception], tuple[int, str, EndClass]] = {
    NotAllowed: (401, "authentication_error", EndClass.AUTH_FAILED),
    BadRequest: (400, "invalid_request_error", EndClass.REQUEST_REJECTED),
    TooLong: (413, "invalid_request_error", EndClass.REQUEST_REJECTED),
    Encoded: (415, "invalid_request_error", EndClass.REQUEST_REJECTED),
    NotServed: (503, "not_ready_error", EndClass.PROVIDER_OUTAGE),
    AgentGone: (499, "client_gone", EndClass.CANCELLED),
}


@dataclass(frozen=True, slots=True)
class _Planned:
    """A fan-out that may begin."""

    id: str
    request: FanoutRequest
    route: Route
    legs: Legs
    deadline: float


class FanoutEndpoint:
    """Takes fan-outs on."""

    def __init__(self, config: Config, intake: Intake, services: Services, under_way: UnderWay) -> None:
        self._config, self._intake, self._services, self._under_way = config, intake, services, under_way

    async def http(self, scope: Scope, receive: Receive, answering: Answering) -> None:
        """One request."""
        origin = self._intake.origin(scope["headers"], time.monotonic())
        answering.name(origin.request_id)
        try:
            plan = self._plan(scope, await self._intake.body(scope["headers"], receive), origin)
        except tuple(_REFUSALS) as error:
            reply = self._refusal(origin, error)
            if not isinstance(error, AgentGone):
                await answering.reply(reply)
            return
        answering.marks = [(HEADER_ROUTE.lower().encode(), plan.route.key.name.encode())]
        if not _wants_events(plan.request, scope["headers"]):
            if response := await self._run(plan, receive, None, None):
                body = orjson.dumps(response.to_wire())
                await answering.whole(200, [(b"content-type", b"application/json")], body)
            return
        await answering.start(200, _SSE)

        async def tell(event: FanoutEvent) -> None:
            data = orjson.dumps(event.to_wire())
            await answering.piece(b"event: %b\nid: %d\ndata: %b\n\n" % (event.type.encode(), event.sequence, data))

        if await self._run(plan, receive, tell, lambda: answering.piece(b": ping\n\n")):
            await answering.end()

    async def websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection: a request in the first frame, then an event in each."""
        origin = self._intake.origin(scope["headers"], time.monotonic())
        await receive()
        if scope["path"] != PATH:
            await _deny(scope, send, _refused(404, "not_found_error", f"only {PATH} speaks WebSocket here"))
            return
        try:
            self._admit(scope)
        except (NotAllowed, NotServed) as error:
            await _deny(scope, send, self._refusal(origin, error))
            return
        await send({"type": "websocket.accept"})
        try:
            plan = self._plan(scope, await _first_frame(receive), origin)
        except tuple(_REFUSALS) as error:
            reply = self._refusal(origin, error)
            if not isinstance(error, AgentGone):
                await send({"type": "websocket.send", "text": reply.body.decode()})
                await send({"type": "websocket.close", "code": _CLOSE_REFUSED})
            return

        async def tell(event: FanoutEvent) -> None:
            await send({"type": "websocket.send", "text": orjson.dumps(event.to_wire()).decode()})

        if await self._run(plan, receive, tell, None):
            await send({"type": "websocket.close", "code": _CLOSE_OK})

    def _admit(self, scope: Scope) -> tuple[Caller, Route]:
        return self._intake.admit(scope["headers"], scope["query_string"].decode("latin-1"))

    def _plan(self, scope: Scope, body: bytes, origin: Origin) -> _Planned:
        """What is asked, by whom, and of whom.

        Raises:
            BadRequest: the body is no request, or names what does not exist.
            TooLong: every call has a copy of it, and all of them together are longer than we take.
            NotAllowed: the key opens nothing.
            NotServed: the route is not here, or not yet.
        """
        _, own = self._admit(scope)
        try:
            request = FanoutRequest.model_validate_json(body)
        except ValidationError as error:
            raise BadRequest(_in_words(error)) from error
        if len(body) * len(request.calls) > (most := self._intake.max_body_bytes):
            raise TooLong(f"{len(request.calls)} calls of {len(body)} bytes are longer than {most} bytes together")
        snapshot = self._config.snapshot
        deadline = read_deadline(scope["headers"], origin.began).at
        targets = [*request.calls, *([request.synthesis] if request.synthesis else ())]
        routes = {id(target): narrowed(snapshot, own, target) for target in targets}
        legs = Legs(
            self._intake, self._services, self._under_way, _for_calls(scope, origin), lambda target: routes[id(target)]
        )
        return _Planned(origin.id, request, own, legs, deadline)

    async def _run(
        self,
        plan: _Planned,
        receive: Receive,
        tell: Tell | None,
        ping: Callable[[], Awaitable[None]] | None,
    ) -> FanoutResponse | None:
        """Runs it until it is over (its response), or its client is gone or does not read (None)."""
        fanout = Fanout(plan.id, plan.request, plan.legs, plan.deadline, tell)
        response, left = await self._watched(fanout, receive, ping)
        status = response.status.value if response else "cancelled"
        tenant, mode, metrics = plan.route.key.namespace, plan.request.mode.value, self._services.metrics
        metrics.fanouts(tenant, mode, status).inc()
        metrics.fanout_calls(tenant, mode).observe(len(plan.request.calls))
        if left is not None:
            metrics.aborts.observe(time.monotonic() - left)
        return response

    async def _watched(
        self, fanout: Fanout, receive: Receive, ping: Callable[[], Awaitable[None]] | None
    ) -> tuple[FanoutResponse | None, float | None]:
        """The response, or the moment in which the client was seen to be gone, or neither: it does not read."""
        running, gone = _task(fanout.run()), _task(_leaves(receive))
        try:
            while (left := fanout.deadline + _LAST_WORD_SECONDS - time.monotonic()) > 0:
                done, _ = await asyncio.wait(
                    {running, gone}, timeout=min(left, _PING_SECONDS), return_when=asyncio.FIRST_COMPLETED
                )
                if running in done:
                    return running.result(), None
                if gone in done:
                    left_at = time.monotonic()
                    running.cancel()
                    await asyncio.gather(running, return_exceptions=True)
                    return None, left_at
                if ping:
                    async with asyncio.timeout(left):
                        await ping()
        except TimeoutError:
            pass
        finally:
            for task in (running, gone):
                task.cancel()
            await asyncio.gather(running, gone, return_exceptions=True)
        return None, None

    def _refusal(self, origin: Origin, error: Exception) -> Reply:
        """Why it is turned away."""
        status, kind, outcome = _REFUSALS[type(error)]
        self._services.ledger.refused(origin, PATH, outcome, str(error))
        return _refused(status, kind, str(error))


def _refused(status: int, kind: str, message: str) -> Reply:
    body = ErrorResponse(error=ErrorBody(type=kind, message=message)).to_wire()
    retry = [("retry-after", "1")] if status == 503 else []
    return Reply(status, [("content-type", "application/json"), *retry], orjson.dumps(body))


def _task(work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
    return asyncio.create_task(work)


async def _leaves(receive: Receive) -> None:
    """Returns when the client is gone."""
    while (await receive())["type"] not in ("http.disconnect", "websocket.disconnect"):
        pass


async def _first_frame(receive: Receive) -> bytes:
    """The request of a WebSocket.

    Raises:
        AgentGone: it left without one.
        BadRequest: it did not come.
    """
    try:
        async with asyncio.timeout(_FIRST_FRAME_SECONDS):
            message = await receive()
    except TimeoutError:
        raise BadRequest(f"no request came within {_FIRST_FRAME_SECONDS:g} s; send it as the first frame") from None
    if message["type"] != "websocket.receive":
        raise AgentGone("the client left without a request")
    return message.get("bytes") or (message.get("text") or "").encode()


async def _deny(scope: Scope, send: Send, reply: Reply) -> None:
    """Answers the handshake with an error, as far as the server can."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": _CLOSE_REFUSED})
        return
    headers = [(name.encode(), value.encode()) for name, value in reply.headers]
    await send({"type": "websocket.http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": reply.body, "more_body": False})


def _wants_events(request: FanoutRequest, headers: Headers) -> bool:
    return request.stream or any(name == b"accept" and b"text/event-stream" in value for name, value in headers)


def _for_calls(scope: Scope, origin: Origin) -> Headers:
    """The headers of every call: the fan-out's own, a key that came in the query and its request id among them."""
    key = client_key(scope["headers"], scope["query_string"].decode("latin-1"))
    own = [pair for pair in scope["headers"] if pair[0] != b"x-request-id"]
    return [*own, (b"x-api-key", key.encode("latin-1")), (b"x-request-id", origin.request_id.encode())]


def _in_words(error: ValidationError) -> str:
    """The first thing that is wrong, for people."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message
