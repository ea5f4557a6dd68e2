"""The agents' connections: how many, and how long a request may take to arrive and an answer to be read.

uvicorn bounds only how long a connection is kept alive between two requests. What is missing is here: a bound on the size of a
request, on the time until it is there as a whole (a body in drips is as much a slow loris as a head in drips), on answers that
nobody reads, and on the number of connections, where those that wait for their client make room for new ones.
"""

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from droveway.gateway.client import Receive, Scope, Send

_PROBES = ("/healthz", "/readyz", "/metrics")
_RESERVE = 16
"""Connections beyond the bound that may ask for health and metrics: a busy pod must not be taken for a dead one."""


class Bounds(NamedTuple):
    """Of one process.

    Attributes:
        connections: at once.
        request_seconds: from the first byte of a request to its last, and from accepting a connection to its first request.
        unread_seconds: how long the end of an answer may wait for the agent to read it.
        request_bytes: of one request as it is sent; no more is read.
        note: is told why a connection was refused or closed: `full`, `large`, `malformed`, `slow`, `unread`.
        head_bytes: of a request line and its headers, to the next 256 KiB.
        headers: of one request.
    """

    connections: int
    request_seconds: float
    unread_seconds: float
    request_bytes: int
    note: Callable[[str], None]
    head_bytes: int = 64 * 1024
    headers: int = 128


_HEAD_TOO_LARGE = (431, "the head of the request is too large; send fewer or shorter headers")


class Connection(HttpToolsProtocol):
    """One agent's connection. `bounded` makes the class that uvicorn is given."""

    bounds: ClassVar[Bounds]
    waiting: ClassVar[dict["Connection", None]]
    """Those whose client owes them a request, or the rest of one; the longest-waiting first."""

    _clock: asyncio.TimerHandle | None = None
    _received = 0
    _in_head = True
    _spare = False
    _refusal = (400, "this is no HTTP request")

    @classmethod
    def let_go(cls) -> None:
        """Closes all whose client owes something."""
        for connection in list(cls.waiting):
            connection.close("slow")

    def connection_made(self, transport: Any) -> None:
        """Takes it, and lets go of the one that has waited longest if there are too many."""
        super().connection_made(transport)
        self._await_request()
        if len(self.connections) <= self.bounds.connections:
            return
        oldest = next(iter(self.waiting))
        if oldest is not self:
            oldest.close("full")
        elif len(self.connections) > self.bounds.connections + _RESERVE:
            self.close("full")
        else:
            self._spare = True

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets it."""
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Reads on; what has no end is refused."""
        if self._clock is None and (self.cycle is None or self.cycle.response_complete):
            self._await_request()
        super().data_received(data)
        if self._clock is None or self.transport.is_closing():
            return
        self._received += len(data)
        if self._received > (self.bounds.head_bytes if self._in_head else self.bounds.request_bytes):
            self._refusal = _HEAD_TOO_LARGE if self._in_head else (413, "the request is too long")
            self.send_400_response("")

    def on_message_begin(self) -> None:
        """A request begins."""
        if self._clock is None:
            self._await_request()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its head is there."""
        if len(self.headers) > self.bounds.headers:
            self._refusal = _HEAD_TOO_LARGE
            raise ValueError("too many headers")  # the parser stops, and the refusal is sent
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """All of it is there."""
        self._stop_clock()
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        """Leaves it to another protocol."""
        self._stop_clock()
        super().handle_websocket_upgrade()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        full: Any = _full
        joined: Any = _Joined(cycle.transport, self._close)
        if cycle.scope["method"] != "HEAD":  # whose head is all that is sent
            cycle.transport = joined
        super()._start_asgi_task(cycle, full if self._spare and cycle.scope["path"] not in _PROBES else app)

    def on_response_complete(self) -> None:
        """Its answer is written, if not read."""
        super().on_response_complete()
        if self.transport.get_write_buffer_size():
            self.loop.call_later(self.bounds.unread_seconds, self._abort_unread)
        if self._clock is None and not self.pipeline:
            self.waiting[self] = None

    def send_400_response(self, msg: str) -> None:
        """Refuses what is no request, and closes; once an answer has begun it only closes."""
        self.bounds.note("malformed" if self._refusal[0] == 400 else "slow" if self._refusal[0] == 408 else "large")
        self._stop_clock()
        cycle = self.cycle
        if cycle is not None and cycle.response_started and not (cycle.response_complete and self._in_head):
            self.transport.abort()
            return
        status, message = self._refusal
        body = orjson.dumps({"error": {"type": "invalid_request_error", "message": message}})
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[status] + head % len(body) + body)
        self._close()

    def close(self, reason: str) -> None:
        """Closes it without waiting for its client."""
        self.bounds.note(reason)
        self._stop_clock()
        self._close()

    def _close(self) -> None:
        self.transport.close()
        self.loop.call_later(self.bounds.unread_seconds, self._abort_unread)

    def _await_request(self) -> None:
        self._received, self._in_head = 0, True
        self.waiting.pop(self, None)
        self.waiting[self] = None
        self._clock = self.loop.call_later(self.bounds.request_seconds, self._too_slow)

    def _stop_clock(self) -> None:
        self.waiting.pop(self, None)
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _too_slow(self) -> None:
        self._refusal = (408, f"the request was not here as a whole after {self.bounds.request_seconds:g} s")
        self.send_400_response("")

    def _abort_unread(self) -> None:
        """Whoever has not read the end of an answer by now will not, and its memory is needed."""
        over = self.cycle is None or self.cycle.response_complete or self.transport.is_closing()
        if over and self.transport.get_write_buffer_size():
            self.bounds.note("unread")
            self.transport.abort()


class _Joined:
    """A transport for one answer that sends its head together with what comes next: one system call, one packet."""

    __slots__ = ("_head", "_transport", "close", "is_closing", "write")

    def __init__(self, transport: Any, close: Callable[[], None]) -> None:
        self._transport = transport
        self.close, self.is_closing = close, transport.is_closing
        self.write: Callable[[bytes], None] = self._hold

    def _hold(self, head: bytes) -> None:
        self._head = head
        self.write = self._send_both

    def _send_both(self, body: bytes) -> None:
        self.write = self._transport.write
        self.write(self._head + body)


def bounded(bounds: Bounds) -> type[Connection]:
    """The protocol of a server with these bounds."""
    return type("Bounded", (Connection,), {"bounds": bounds, "waiting": {}})


async def _full(scope: Scope, receive: Receive, send: Send) -> None:
    body = orjson.dumps({"error": {"type": "overloaded_error", "message": "too many connections; try again"}})
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"retry-after", b"1"),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
