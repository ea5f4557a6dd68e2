"""The gateway as an ASGI application, written by hand: this is the path of every request."""

import asyncio
import itertools
import logging
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import orjson

from droveway.api.enums import EndClass
from droveway.dialects import BadRequest, DialectSpec, Reply, by_path, client_key
from droveway.gateway.attempt import Services
from droveway.gateway.client import AgentStalled, Answering, Asked, Headers, Send
from droveway.gateway.config import Config, Route
from droveway.gateway.exchange import Exchange
from droveway.gateway.explain import explain
from droveway.gateway.identity import Caller, Doorkeeper, NotAllowed
from droveway.gateway.ledger import Account
from droveway.gateway.models import model_list
from droveway.observability.metrics import CONTENT_TYPE

log = logging.getLogger(__name__)

Receive = Callable[[], Awaitable[dict[str, Any]]]
Scope = dict[str, Any]

_SESSION_HEADERS = (b"x-claude-code-session-id", b"session-id", b"x-session-id")
_KEY_PARAMETER = re.compile(r"(?:^|&)key=[^&]*")
_EXPLAIN = re.compile(r"/v1/routes/([^/:]+):explain")
_NOT_READY_SECONDS = 1


class AgentGone(Exception):  # noqa: N818 - says what happened
    """The agent hung up."""


class TooLong(Exception):  # noqa: N818 - says what happened
    """The body is longer than we take."""


class App:
    """Serves agents.

    Args:
        config: what to serve.
        doorkeeper: whom to serve.
        services: with what.
        boot: names this process; request ids begin with it.
        max_body_bytes: a longer request is refused.

    Attributes:
        idle: set while no request is under way.
        draining: makes it not ready, so that nobody sends more.
    """

    def __init__(
        self, config: Config, doorkeeper: Doorkeeper, services: Services, boot: str, max_body_bytes: int
    ) -> None:
        self._config, self._doorkeeper, self._services = config, doorkeeper, services
        self._boot, self._max_body_bytes = boot, max_body_bytes
        self._numbers = itertools.count(1)
        self._under_way: set[_Serving] = set()
        self.idle = asyncio.Event()
        self.idle.set()
        self.draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        answering = Answering(send)
        method, path = scope["method"], scope["path"]
        if method == "HEAD":
            await answering.whole(200, [], b"")
        elif found := by_path(method, path):
            await self._generate(found[0], scope, receive, answering)
        elif method == "GET" and path in ("/v1/models", "/v1beta/models"):
            await answering.reply(self._models(scope))
        elif method == "GET" and (named := _EXPLAIN.fullmatch(path)):
            await answering.reply(self._explain(scope, named[1]))
        else:
            await answering.reply(self._plain(method, path))

    def _plain(self, method: str, path: str) -> Reply:
        """Health, metrics, and everything that is not here."""
        if method == "GET" and path == "/healthz":
            return _json(200, {"status": "ok"})
        if method == "GET" and path == "/readyz":
            ready = self._config.synced and not self.draining
            return _json(
                200 if ready else 503, {"status": "ok" if ready else "draining" if self.draining else "starting"}
            )
        if method == "GET" and path == "/metrics":
            return Reply(200, [("content-type", CONTENT_TYPE)], self._services.metrics.expose())
        return _json(404, {"error": {"type": "not_found_error", "message": f"there is no {method} {path} here"}})

    async def stop(self, reason: str) -> None:
        """Ends everything that is under way, each answer with an error in its own dialect."""
        for serving in list(self._under_way):
            serving.stop(reason)
        await self.idle.wait()

    async def _generate(self, spec: DialectSpec, scope: Scope, receive: Receive, answering: Answering) -> None:
        began = time.monotonic()
        try:
            body = await self._body(scope["headers"], receive)
            asked = self._asked(spec, scope, body)
        except AgentGone:
            return
        except TooLong:
            message = f"the request is longer than {self._max_body_bytes} bytes"
            await answering.reply(spec.error_response(EndClass.REQUEST_REJECTED, message)._replace(status=413))
        except NotAllowed as error:
            await answering.reply(spec.error_response(EndClass.AUTH_FAILED, str(error))._replace(status=401))
        except BadRequest as error:
            await answering.reply(spec.error_response(EndClass.REQUEST_REJECTED, str(error)))
        except _NotServed as error:
            await answering.reply(spec.error_response(EndClass.PROVIDER_OUTAGE, str(error), _NOT_READY_SECONDS))
        else:
            serving = _Serving(self._services, asked, answering, Account(began))
            self._under_way.add(serving)
            self.idle.clear()
            try:
                await serving.run(receive)
            finally:
                self._under_way.discard(serving)
                if not self._under_way:
                    self.idle.set()

    async def _body(self, headers: Headers, receive: Receive) -> bytes:
        length = next((value for name, value in headers if name == b"content-length"), b"0")
        if length.isdigit() and int(length) > self._max_body_bytes:
            raise TooLong
        pieces, size, more = [], 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise AgentGone
            pieces.append(message["body"])
            size += len(pieces[-1])
            if size > self._max_body_bytes:
                raise TooLong
            more = message["more_body"]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _asked(self, spec: DialectSpec, scope: Scope, body: bytes) -> Asked:
        headers, query = scope["headers"], scope["query_string"].decode("latin-1")
        caller, route = self._admit(headers, query)
        request = spec.read_request(body, scope["path"], _KEY_PARAMETER.sub("", query).lstrip("&"))
        session = next((value.decode("latin-1") for name, value in headers if name in _SESSION_HEADERS), "")
        return Asked(f"{self._boot[:8]}-{next(self._numbers)}", caller, spec, request, headers, route, session[:256])

    def _admit(self, headers: Headers, query: str) -> tuple[Caller, Route]:
        if not self._config.synced:
            raise _NotServed("the gateway has just started and does not know its routes yet; try again")
        caller = self._doorkeeper.admit(client_key(headers, query))
        run = caller.run
        route = self._services.standing.route(run)
        if route is None:
            raise _NotServed(f"ModelRoute {run.namespace}/{run.route} of run {run.name} does not exist; create it")
        return caller, route

    def _models(self, scope: Scope) -> Reply:
        try:
            _, route = self._admit(scope["headers"], scope["query_string"].decode("latin-1"))
        except (NotAllowed, _NotServed) as error:
            return _refusal(error)
        anthropic = any(name == b"anthropic-version" for name, _ in scope["headers"])
        return _json(200, model_list(route, scope["path"], anthropic=anthropic))

    def _explain(self, scope: Scope, name: str) -> Reply:
        """A run asks about its own route; what another route does is not its business."""
        try:
            caller, route = self._admit(scope["headers"], scope["query_string"].decode("latin-1"))
        except (NotAllowed, _NotServed) as error:
            return _refusal(error)
        if name != route.key.name:
            message = f"run {caller.run.name} is on route {route.key.name}; ask about that one"
            return _json(403, {"error": {"type": "permission_error", "message": message}})
        return _json(200, explain(self._services.standing, route, caller.run, datetime.now(UTC)))


class _NotServed(Exception):  # noqa: N818 - says what happened
    """It cannot be served now."""


class _Serving:
    """One exchange, and what may end it from outside: the agent's leaving, and the gateway's end."""

    def __init__(self, services: Services, asked: Asked, answering: Answering, account: Account) -> None:
        self._services, self._asked, self._answering, self._account = services, asked, answering, account
        self._task: asyncio.Task[Any] | None = None
        self._left_at: float | None = None
        self._stopped = ""

    async def run(self, receive: Receive) -> None:
        """Serves it. The agent is watched from the moment its request is read."""
        self._task = asyncio.current_task()
        watcher = asyncio.create_task(self._watch(receive))
        outcome = EndClass.UNKNOWN
        try:
            outcome = await Exchange(self._services, self._asked, self._answering, self._account).serve()
        except AgentStalled:
            outcome = EndClass.CANCELLED  # returning without an end makes the server close the connection
        except asyncio.CancelledError:
            outcome = EndClass.SUCCEEDED if self._account.answered else EndClass.CANCELLED
            with suppress(AgentStalled):
                await self._cancelled()
        except Exception:
            log.exception("request %s broke", self._asked.id)
            raise
        finally:
            watcher.cancel()
            self._services.ledger.request_ended(self._asked, self._account, outcome)

    def stop(self, reason: str) -> None:
        """Ends it."""
        self._stopped = reason
        if self._task and not self._answering.done:
            self._task.cancel()

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        if self._task and not self._answering.done:
            self._left_at = time.monotonic()
            self._task.cancel()

    async def _cancelled(self) -> None:
        """The upstream call is aborted already; what is left is to tell the agent, if it is there."""
        if self._task:
            self._task.uncancel()
        if self._left_at is not None:
            self._services.metrics.aborts.observe(time.monotonic() - self._left_at)
        elif not self._stopped:
            raise asyncio.CancelledError
        elif self._answering.started:
            await self._answering.break_off(self._asked.spec.in_band_error(EndClass.PROVIDER_OUTAGE, self._stopped))
        else:
            await self._answering.reply(self._asked.spec.error_response(EndClass.PROVIDER_OUTAGE, self._stopped, 1))


def _refusal(error: Exception) -> Reply:
    status = 401 if isinstance(error, NotAllowed) else 503
    return _json(status, {"error": {"type": "authentication_error", "message": str(error)}})


def _json(status: int, body: dict[str, Any]) -> Reply:
    return Reply(status, [("content-type", "application/json")], orjson.dumps(body))
