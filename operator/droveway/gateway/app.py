"""The gateway as an ASGI application, written by hand: this is the path of every request."""

import re
import time
from datetime import UTC, datetime
from typing import Any

import orjson

from droveway.api.enums import EndClass
from droveway.dialects import BadRequest, DialectSpec, Reply, by_path
from droveway.gateway.attempt import Services
from droveway.gateway.client import Answering, Receive, Scope, Send
from droveway.gateway.config import Config, Route
from droveway.gateway.explain import explain
from droveway.gateway.fanout import FANOUT_PATH, FanoutEndpoint
from droveway.gateway.gauges import show_candidates
from droveway.gateway.identity import Caller, NotAllowed
from droveway.gateway.intake import AgentGone, Encoded, Intake, NotServed, TooLong
from droveway.gateway.ledger import Account
from droveway.gateway.models import model_list
from droveway.gateway.readiness import readiness
from droveway.gateway.serving import Serving, UnderWay
from droveway.observability.metrics import CONTENT_TYPE

_EXPLAIN = re.compile(r"/v1/routes/([^/:]+):explain")
_NOT_READY_SECONDS = 1
_REFUSED_AS: dict[type[Exception], EndClass] = {
    AgentGone: EndClass.CANCELLED,
    TooLong: EndClass.REQUEST_REJECTED,
    Encoded: EndClass.REQUEST_REJECTED,
    NotAllowed: EndClass.AUTH_FAILED,
    BadRequest: EndClass.REQUEST_REJECTED,
    NotServed: EndClass.PROVIDER_OUTAGE,
}
_STATUS: dict[type[Exception], int] = {TooLong: 413, Encoded: 415, NotAllowed: 401}


class App:
    """Serves agents.

    Args:
        config: what to serve.
        intake: the way in.
        services: with what.

    Attributes:
        under_way: the requests that are not over.
        draining: makes it not ready, so that nobody sends more.
    """

    def __init__(self, config: Config, intake: Intake, services: Services) -> None:
        self._config, self._intake, self._services = config, intake, services
        self.under_way = UnderWay()
        self._fanout = FanoutEndpoint(config, intake, services, self.under_way)
        self.draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "websocket":
            await self._fanout.websocket(scope, receive, send)
            return
        answering = Answering(send)
        method, path = scope["method"], scope["path"]
        if method == "HEAD":
            await answering.whole(200, [], b"")
        elif found := by_path(method, path):
            await self._generate(found[0], scope, receive, answering)
        elif method == "POST" and path == FANOUT_PATH:
            await self._fanout.http(scope, receive, answering)
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
            found = readiness(self._config, self._services.standing, datetime.now(UTC), draining=self.draining)
            shared = self._services.shared
            told = {"valkey": "up" if shared.up else "away; every replica counts for itself"} if shared else {}
            return _json(200 if found.ready else 503, {**found.body, **told})
        if method == "GET" and path == "/metrics":
            show_candidates(self._services.metrics, self._services.standing, self._config.snapshot, datetime.now(UTC))
            return Reply(200, [("content-type", CONTENT_TYPE)], self._services.metrics.expose())
        return _json(404, {"error": {"type": "not_found_error", "message": f"there is no {method} {path} here"}})

    async def _generate(self, spec: DialectSpec, scope: Scope, receive: Receive, answering: Answering) -> None:
        origin = self._intake.origin(scope["headers"], time.monotonic())
        answering.name(origin.request_id)
        try:
            body = await self._intake.body(scope["headers"], receive)
            asked = self._intake.asked(spec, scope, body, origin)
        except (AgentGone, TooLong, Encoded, NotAllowed, BadRequest, NotServed) as error:
            kind = _REFUSED_AS[type(error)]
            self._services.ledger.refused(origin, scope["path"], kind, str(error))
            if not isinstance(error, AgentGone):
                await answering.reply(_refusal_in(spec, kind, error))
        else:
            with self.under_way.take(Serving(self._services, asked, answering, Account(origin.began))) as serving:
                await serving.run(receive)

    def _models(self, scope: Scope) -> Reply:
        try:
            _, route = self._admitted(scope)
        except (NotAllowed, NotServed) as error:
            return _refusal(error)
        return _json(200, model_list(route, scope["path"], scope["headers"]))

    def _explain(self, scope: Scope, name: str) -> Reply:
        """A run asks about its own route; what another route does is not its business."""
        try:
            caller, route = self._admitted(scope)
        except (NotAllowed, NotServed) as error:
            return _refusal(error)
        if name != route.key.name:
            message = f"run {caller.run.name} is on route {route.key.name}; ask about that one"
            return _json(403, {"error": {"type": "permission_error", "message": message}})
        return _json(
            200, explain(self._services.standing, self._services.admission, route, caller.run, datetime.now(UTC))
        )

    def _admitted(self, scope: Scope) -> tuple[Caller, Route]:
        return self._intake.admit(scope["headers"], scope["query_string"].decode("latin-1"))


def _refusal_in(spec: DialectSpec, kind: EndClass, error: Exception) -> Reply:
    """Why a request is turned away, in its own dialect."""
    if isinstance(error, NotServed):
        return spec.error_response(kind, str(error), _NOT_READY_SECONDS)
    reply = spec.error_response(kind, str(error))
    return reply._replace(status=_STATUS.get(type(error), reply.status))


def _refusal(error: Exception) -> Reply:
    status, kind = (401, "authentication_error") if isinstance(error, NotAllowed) else (503, "not_ready_error")
    return _json(status, {"error": {"type": kind, "message": str(error)}})


def _json(status: int, body: dict[str, Any]) -> Reply:
    return Reply(status, [("content-type", "application/json")], orjson.dumps(body))
