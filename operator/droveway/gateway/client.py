"""The agent's side of one exchange: what was asked, and what was answered so far."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from droveway.api.names import HEADER_ATTEMPTS, HEADER_CANDIDATE, HEADER_REQUEST_ID, HEADER_ROUTE
from droveway.core.cacheterms import Terms
from droveway.core.deadline import NEVER, Deadline
from droveway.core.trace import Trace
from droveway.dialects import DialectSpec, Reply, Request
from droveway.gateway.config import Route
from droveway.gateway.identity import Caller

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
_LAST_WORD_SECONDS = 5.0
_LONGEST_KEPT = 4 * 2**20

Headers = list[tuple[bytes, bytes]]
_REQUEST_ID, _ROUTE, _ATTEMPTS, _CANDIDATE = (
    name.lower().encode() for name in (HEADER_REQUEST_ID, HEADER_ROUTE, HEADER_ATTEMPTS, HEADER_CANDIDATE)
)


class Origin(NamedTuple):
    """Where a request comes from.

    Attributes:
        began: monotonic seconds at which its head was here.
        id: ours, of this request alone: events of its calls have it.
        request_id: the caller's, if it gave one that can be told on; else ours. In logs, in the answer, and upstream.
        trace: the caller's place in its trace, if it named one.
    """

    began: float
    id: str
    request_id: str
    trace: Trace | None = None


class AgentStalled(Exception):  # noqa: N818 - says what happened
    """The agent does not read its answer; nothing more can be told to it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request whose caller, dialect and route are known.

    Attributes:
        id: of this request alone.
        request_id: by which its caller and its provider know it.
        trace: what it is a part of: the caller's span, else the attempt of the run.
        deadline: when it ends, answered or not; whoever waits for something waits no longer.
        cache: on which terms the cache may answer; None: it may not.
        aside: one call of a fan-out; that it finds no candidate does not mean that its run finds none.
    """

    id: str
    caller: Caller
    spec: DialectSpec
    request: Request
    headers: Headers
    route: Route
    session_id: str
    request_id: str
    trace: Trace
    deadline: Deadline = NEVER
    cache: Terms | None = None
    aside: bool = False

    @property
    def drawn_by(self) -> str:
        """What shares are drawn by: a placed run, so that it stays on its side; else its session, else this request."""
        run = self.caller.run
        return run.uid if run.candidate else self.session_id or self.id


class Answering:
    """The answer to the agent.

    Attributes:
        started: the head is out; from now on only the body can tell of trouble.
        sending: a piece is on its way, and the agent has not made room for it yet.
        done: the last piece is on its way or out.
        marks: headers of ours that tell what happened so far.
        kept: what was sent of the body, for whoever has to go on with it; None: nobody has.
    """

    def __init__(self, send: Send) -> None:
        self._send_now = send
        self.started = self.sending = self.done = False
        self.marks: Headers = []
        self.kept: bytearray | None = None
        self._named: Headers = []
        self._spoke, self._between_events = 0.0, False

    def name(self, request_id: str) -> None:
        """The id of the request, for the headers of the answer."""
        self._named = [(_REQUEST_ID, request_id.encode())]

    def mark(self, route: str, candidate: str, attempts: int) -> None:
        """What happened so far, for the headers of the answer."""
        self.marks = [(_ROUTE, route.encode()), (_ATTEMPTS, b"%d" % attempts)]
        if candidate:
            self.marks.append((_CANDIDATE, candidate.encode()))

    async def start(self, status: int, headers: Headers) -> None:
        """Sends the head."""
        self.started = True
        await self._send(
            {"type": "http.response.start", "status": status, "headers": headers + self._named + self.marks}
        )

    async def piece(self, body: bytes) -> None:
        """Sends a piece of the body."""
        if self.kept is not None:
            self.kept += body
            if len(self.kept) > _LONGEST_KEPT:
                self.kept = None
        self._spoke, self._between_events = time.monotonic(), body.endswith(b"\n\n")
        self.sending = True  # as `_send`, without a coroutine of its own: twenty times a stream
        await self._send_now({"type": "http.response.body", "body": body, "more_body": True})
        self.sending = False

    def silent_since(self, moment: float) -> bool:
        """Whether it is between two events of a stream, and has said nothing since then (monotonic)."""
        return self._between_events and self._spoke < moment and not self.sending and not self.done

    async def ping(self, ping: bytes) -> None:
        """Sends a sign of life, which is no part of the answer."""
        self._spoke = time.monotonic()
        await self._send_now({"type": "http.response.body", "body": ping, "more_body": True})

    async def end(self, body: bytes = b"") -> None:
        """Sends the last piece."""
        self.done = True
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def _send(self, message: dict[str, Any]) -> None:
        self.sending = True
        await self._send_now(message)
        self.sending = False

    async def forward(self, message: dict[str, Any]) -> None:
        """Passes on what another answering, of the same request, has to say."""
        if not self.started:
            message["headers"] += self._named
        self.started = True
        if body := message.get("body"):
            self._spoke, self._between_events = time.monotonic(), body.endswith(b"\n\n")
        self.done = message.get("more_body") is False
        await self._send(message)

    async def break_off(self, error: bytes) -> None:
        """Ends an answer that went wrong with an error in its own dialect.

        Raises:
            AgentStalled: the agent does not even read that.
        """
        try:
            async with asyncio.timeout(_LAST_WORD_SECONDS):
                await self.end(error)
        except TimeoutError as stalled:
            raise AgentStalled from stalled

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        """Sends an answer that is complete."""
        await self.start(status, [*headers, (b"content-length", b"%d" % len(body))])
        await self.end(body)

    async def reply(self, reply: Reply) -> None:
        """Sends an answer of our own."""
        headers = [
            (name.lower().encode(), value.encode()) for name, value in reply.headers if name.lower() != "content-length"
        ]
        await self.whole(reply.status, headers, reply.body)
