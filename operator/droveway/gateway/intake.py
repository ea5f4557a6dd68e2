"""What comes in: the body of a request, who sent it, and on which route."""

import itertools
import re
from collections.abc import Callable
from functools import lru_cache

from droveway.api.enums import CacheMode
from droveway.api.names import HEADER_CACHE, HEADER_DEADLINE
from droveway.core.cacheterms import Terms, read_terms
from droveway.core.deadline import NEVER, Deadline
from droveway.core.trace import attempt_trace, read_traceparent
from droveway.dialects import BadRequest, DialectSpec, Operation, client_key
from droveway.gateway.client import Asked, Headers, Origin, Receive, Scope
from droveway.gateway.config import Config, Route, Run
from droveway.gateway.identity import Caller, Doorkeeper

_SESSION_HEADERS = (b"x-claude-code-session-id", b"session-id", b"x-session-id")
_DEADLINE_HEADER = HEADER_DEADLINE.lower().encode()
_CACHE_HEADER = HEADER_CACHE.lower().encode()
_MILLISECONDS = re.compile(rb"0*[1-9][0-9]{0,9}")
_LONG_BODIES = 4  # of the longest kind, half here at once
_GONE = "the agent left before it had sent all of its request"
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=-]{0,127}")
_KEY_PARAMETER = re.compile(r"(?:^|&)key=[^&]*")


_attempt = lru_cache(maxsize=4096)(attempt_trace)


class AgentGone(Exception):  # noqa: N818 - says what happened
    """The agent hung up."""


class TooLong(Exception):  # noqa: N818 - says what happened
    """The body is longer than we take."""


class Encoded(Exception):  # noqa: N818 - says what happened
    """The body is compressed. The message says what to do."""


class NotServed(Exception):  # noqa: N818 - says what happened
    """It cannot be served now."""


class Intake:
    """The way in.

    Args:
        config: what is served.
        doorkeeper: whom it is served to.
        route_of: the route of a run.
        boot: names this process; request ids begin with it.
        max_body_bytes: a longer request is refused.
    """

    def __init__(
        self,
        config: Config,
        doorkeeper: Doorkeeper,
        route_of: Callable[[Run], Route | None],
        boot: str,
        max_body_bytes: int,
    ) -> None:
        self._config, self._doorkeeper, self._route_of = config, doorkeeper, route_of
        self._boot, self.max_body_bytes = boot, max_body_bytes
        self._numbers = itertools.count(1)
        self._half_here = 0

    async def body(self, headers: Headers, receive: Receive) -> bytes:
        """The whole body.

        Raises:
            AgentGone: the client hung up meanwhile.
            TooLong: it is longer than we take.
            Encoded: it is compressed.
            NotServed: too many long ones are on their way already.
        """
        for name, value in headers:
            if name == b"content-length" and value.isdigit() and int(value) > self.max_body_bytes:
                raise self._too_long()
            if name == b"content-encoding" and value.lower() not in (b"", b"identity"):
                raise Encoded("compressed requests are not read here; send it without content-encoding")
        message = await receive()
        if message["type"] == "http.disconnect":
            raise AgentGone(_GONE)
        body: bytes = message["body"]
        if message["more_body"]:
            body = await self._rest(body, receive)
        if len(body) > self.max_body_bytes:
            raise self._too_long()
        return body

    async def _rest(self, piece: bytes, receive: Receive) -> bytes:
        """What comes in several pieces, as long as all that is half here fits into the memory."""
        pieces, size = [piece], len(piece)
        self._half_here += size
        try:
            while True:
                if size > self.max_body_bytes:
                    raise self._too_long()
                if self._half_here > self.max_body_bytes * _LONG_BODIES:
                    raise NotServed("too many long requests are on their way; try again")
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise AgentGone(_GONE)
                pieces.append(message["body"])
                size += len(pieces[-1])
                self._half_here += len(pieces[-1])
                if not message["more_body"]:
                    return b"".join(pieces)
        finally:
            self._half_here -= size

    def _too_long(self) -> TooLong:
        return TooLong(f"the request is longer than {self.max_body_bytes} bytes")

    def origin(self, headers: Headers, began: float) -> Origin:
        """Names a request. A caller's `x-request-id` or `traceparent` that cannot be told on as it is counts as none."""
        number, given, parent = f"{self._boot[:8]}-{next(self._numbers)}", "", None
        for name, value in headers:
            if name == b"x-request-id":
                given = value.decode("latin-1")
            elif name == b"traceparent":
                parent = read_traceparent(value.decode("latin-1"))
        return Origin(began, number, given if _REQUEST_ID.fullmatch(given) else number, parent)

    def asked(self, spec: DialectSpec, scope: Scope, body: bytes, origin: Origin, on: Route | None = None) -> Asked:
        """What is asked, by whom; `on`: on which route, if not the run's own.

        Raises:
            BadRequest: the body is not a request of this dialect, or a header of ours says what we do not understand.
            NotAllowed: the key opens nothing.
            NotServed: the route is not here, or not yet.
        """
        headers, query = scope["headers"], scope["query_string"].decode("latin-1")
        caller, own = self.admit(headers, query)
        route = on or own
        request = spec.read_request(body, scope["path"], _KEY_PARAMETER.sub("", query).lstrip("&"))
        session = next((value.decode("latin-1") for name, value in headers if name in _SESSION_HEADERS), "")
        headers = [pair for pair in headers if pair[0] != b"x-request-id"]
        headers.append((b"x-request-id", origin.request_id.encode()))
        trace = origin.trace or _attempt(caller.run.uid, caller.attempt)
        terms = read_terms_of(headers, route) if request.operation is Operation.GENERATE else None
        deadline = read_deadline(headers, origin.began).or_sooner(route.timing.deadline(origin.began))
        return Asked(
            origin.id, caller, spec, request, headers, route, session[:256], origin.request_id, trace, deadline, terms
        )

    def admit(self, headers: Headers, query: str) -> tuple[Caller, Route]:
        """Who asks, and on which route.

        Raises:
            NotAllowed: the key opens nothing.
            NotServed: the route is not here, or not yet.
        """
        if not self._config.synced:
            raise NotServed("the gateway has just started and does not know its routes yet; try again")
        caller = self._doorkeeper.admit(client_key(headers, query))
        run = caller.run
        route = self._route_of(run)
        if route is None:
            raise NotServed(f"ModelRoute {run.namespace}/{run.route} of run {run.name} does not exist; create it")
        return caller, route


def read_deadline(headers: Headers, now: float) -> Deadline:
    """Until when the caller waits, by its header.

    Raises:
        BadRequest: that is no whole number of milliseconds, at least 1.
    """
    given = next((value for name, value in headers if name == _DEADLINE_HEADER), None)
    if given is None:
        return NEVER
    if not _MILLISECONDS.fullmatch(given):
        told = given[:32].decode("latin-1")
        raise BadRequest(
            f"{HEADER_DEADLINE} must be the milliseconds that are left, a whole number from 1, not {told!r}"
        )
    return Deadline.after(int(given) / 1000, now)


def read_terms_of(headers: Headers, route: Route) -> Terms | None:
    """On which terms the cache may answer, by the route and the request's headers; None: it may not.

    Raises:
        BadRequest: its own header says what nobody understands.
    """
    mode = route.cache.mode
    own = None if mode is CacheMode.NEVER else _first(headers, _CACHE_HEADER)
    if own is None and mode in (CacheMode.NEVER, CacheMode.ON_REQUEST):
        return None
    try:
        return read_terms(route.cache, own, _first(headers, b"cache-control") or "")
    except ValueError as error:
        raise BadRequest(f"{HEADER_CACHE}: {error}") from error


def _first(headers: Headers, name: bytes) -> str | None:
    for given, value in headers:
        if given == name:
            return value.decode("latin-1")
    return None
