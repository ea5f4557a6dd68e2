"""`POST /v1/events`: what gateways and sidecars tell. Beside it the process's health and metrics.

A sidecar speaks for its own attempt only, with a token that is derived, never stored; a gateway shows its service-account
token, which the API server vouches for.
"""

import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

import orjson
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from droveway.api.errors import DrovewayError
from droveway.api.v1alpha1 import AgentRun
from droveway.cluster.client import Cluster
from droveway.cluster.objects import TOKEN_REVIEWS, Key
from droveway.controllers.metrics import EVENTS
from droveway.controllers.world import World
from droveway.core.events import Batch, Record, batch_from_dict
from droveway.core.keys import RunIdentity, claimed_identity, is_sidecar_token
from droveway.core.sources import sidecar_source

log = logging.getLogger(__name__)

MOST_BYTES = 4 * 1024 * 1024
SIDECAR_GRACE = timedelta(minutes=10)
"""How long after its attempt's end a sidecar is still heard."""
_REVIEW_SECONDS = 60.0
_REVIEWS = 1024
_RETRY_SECONDS = "2"
_MESSAGE = 256


class Submit(Protocol):
    """Whoever takes batches and writes them down."""

    async def submit(self, batch: Batch) -> int:
        """The highest number that is written."""


class NamespaceKey(Protocol):
    """Whoever knows the keys of namespaces."""

    def accepted(self, namespace: str) -> tuple[str, ...]:
        """The namespace's key, and those that it had before, hex."""


@dataclass(frozen=True, slots=True)
class _Start:
    """On what an attempt was started, and when it ended."""

    candidate: str = ""
    provider: str = ""
    ended: datetime | None = None


class _Denied(Exception):  # noqa: N818 - an answer, not an accident
    """The caller may not say this."""


def build_app(
    ledgers: Submit,
    world: World,
    cluster: Cluster,
    keys: NamespaceKey,
    *,
    gateway_account: str,
    active: Callable[[], bool],
    unhealthy: Callable[[], str | None],
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Starlette:
    """The operator's HTTP side.

    Args:
        ledgers: takes the batches.
        world: knows runs and pods.
        cluster: reviews the gateway's tokens.
        keys: of namespaces, for the sidecars' tokens.
        gateway_account: user name of the gateway, `system:serviceaccount:<namespace>:<name>`.
        active: whether this process holds the Lease; a standby takes no events.
        unhealthy: why the process should be restarted, or None.
        now: the clock.
    """
    ingest = _Ingest(ledgers, _Doorman(world, cluster, keys, gateway_account, now), active)

    async def healthz(_: Request) -> Response:
        why = unhealthy()
        return PlainTextResponse(why or "ok", 503 if why else 200)

    async def readyz(_: Request) -> Response:
        return PlainTextResponse("active" if active() else "standby")

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return Starlette(
        routes=[
            Route("/v1/events", ingest.events, methods=["POST"]),
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
        ]
    )


@dataclass(slots=True)
class _Ingest:
    """One batch per request."""

    ledgers: Submit
    doorman: "_Doorman"
    active: Callable[[], bool]

    async def events(self, request: Request) -> Response:
        """Takes a batch; 200 says up to which number its source may forget."""
        if not self.active():
            return _later("this operator is on standby")
        token = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
        body = await _read(request)
        if body is None:
            return JSONResponse({"error": f"a batch has at most {MOST_BYTES} bytes; send fewer records at once"}, 413)
        try:
            batch = _checked(batch_from_dict(orjson.loads(body)))
        except ValueError as error:
            EVENTS.labels("unknown", "malformed").inc()
            return JSONResponse({"error": str(error)[:500]}, 400)
        try:
            allowed = await self.doorman.admit(token, batch)
            return JSONResponse({"acknowledged": await self.ledgers.submit(allowed)})
        except _Denied as denied:
            EVENTS.labels("unknown", "denied").inc()
            return JSONResponse({"error": str(denied)}, 401)
        except DrovewayError as error:
            log.warning("a batch of %s/%s was not written: %s", batch.namespace, batch.route, error)
            return _later(str(error))


class _Doorman:
    """Who may say what."""

    def __init__(
        self, world: World, cluster: Cluster, keys: NamespaceKey, gateway_account: str, now: Callable[[], datetime]
    ) -> None:
        self._world, self._cluster, self._keys = world, cluster, keys
        self._gateway_account, self._now = gateway_account, now
        self._reviews: dict[bytes, tuple[str, float]] = {}

    async def admit(self, token: str, batch: Batch) -> Batch:
        """The batch, as far as its sender may say it.

        Raises:
            _Denied: the token is not good for it.
            TryLater: the API server could not be asked.
        """
        if not token:
            raise _Denied("there is no bearer token")
        if who := claimed_identity(token):
            if not any(is_sidecar_token(token, key, who) for key in self._keys.accepted(batch.namespace)):
                raise _Denied("the token is not one of a sidecar in this namespace")
            return self._own(who, batch)
        if "-" in batch.source:
            raise _Denied("the source is an attempt, the token is not its sidecar's")
        user = await self._user(token)
        if user != self._gateway_account:
            raise _Denied(f"{user or 'nobody'} is not the gateway; its service account is {self._gateway_account}")
        return batch

    def _own(self, who: RunIdentity, batch: Batch) -> Batch:
        """A sidecar tells of its own attempt, on the provider that it was started for."""
        if batch.source != sidecar_source(who.run_uid, who.attempt):
            raise _Denied(f"the token speaks for {sidecar_source(who.run_uid, who.attempt)} only")
        if any((r.run_uid, r.attempt) != (who.run_uid, who.attempt) for r in batch.records):
            raise _Denied("a record tells of another attempt")
        start = self._start(who, batch)
        if start.ended and self._now() > start.ended + SIDECAR_GRACE:
            raise _Denied("the attempt ended more than ten minutes ago")
        return replace(
            batch,
            records=tuple(replace(r, candidate=start.candidate, provider=start.provider) for r in batch.records),
        )

    def _start(self, who: RunIdentity, batch: Batch) -> "_Start":
        """How the attempt was started: by its pod, else by its run's status; a stranger has no provider."""
        run = self._world.runs.get(Key(batch.namespace, batch.records[0].run)) if batch.records else None
        if isinstance(run, AgentRun) and run.metadata.uid == who.run_uid:
            if run.spec.route_ref.name != batch.route:
                raise _Denied(f"the run's route is {run.spec.route_ref.name}")
            if attempt := next((a for a in run.status.attempts if a.number == who.attempt), None):
                return _Start(attempt.candidate, attempt.provider, attempt.end_time)
        if pod := next(
            (p for p in self._world.pods_of(batch.namespace, who.run_uid) if p.attempt == who.attempt), None
        ):
            return _Start(pod.candidate, pod.provider, pod.finished_at if pod.ended else None)
        return _Start()

    async def _user(self, token: str) -> str:
        """Whose token it is, as the API server says; an answer holds for a minute."""
        digest = hashlib.sha256(token.encode()).digest()
        known = self._reviews.get(digest)
        if known and time.monotonic() - known[1] < _REVIEW_SECONDS:
            return known[0]
        review = {
            "apiVersion": TOKEN_REVIEWS.api_version,
            "kind": "TokenReview",
            "metadata": {},
            "spec": {"token": token},
        }
        status = (await self._cluster.create(TOKEN_REVIEWS, review)).get("status") or {}
        user = str((status.get("user") or {}).get("username", "")) if status.get("authenticated") else ""
        while len(self._reviews) >= _REVIEWS:
            del self._reviews[next(iter(self._reviews))]
        self._reviews[digest] = (user, time.monotonic())
        return user


_TEXTS = {"run": 253, "run_uid": 64, "candidate": 63, "provider": 253, "model": 256, "session_id": 256, "result": 4097}


def _checked(batch: Batch) -> Batch:
    """The batch, when its values are of the kinds and sizes that they should be.

    Raises:
        ValueError: they are not.
    """
    for record in batch.records:
        whole = (record.number, record.attempt, record.completions)
        rates = (record.latency_ms, record.cost_usd)
        if any(type(n) is not int for n in whole) or record.number < 1 or not 0 <= record.attempt < 1_000_000:
            raise ValueError(f"number, attempt and completions are whole numbers, number from 1: {whole}")
        if any(isinstance(n, bool) or not isinstance(n, int | float | None) for n in rates):
            raise ValueError(f"latency_ms and cost_usd are numbers: {rates}")
        for name, most in _TEXTS.items():
            if not isinstance(text := getattr(record, name), str) or len(text) > most:
                raise ValueError(f"{name} is a text of at most {most} characters")
        if not all(text is None or isinstance(text, str) for text in (record.error, record.id)):
            raise ValueError("error and id are texts")
    return replace(batch, records=tuple(_cut(record) for record in batch.records))


def _cut(record: Record) -> Record:
    """Messages are kept as long as a status takes them."""
    verdict = record.verdict
    if verdict and len(verdict.reason) > _MESSAGE:
        record = replace(record, verdict=replace(verdict, reason=verdict.reason[:_MESSAGE]))
    return replace(record, error=record.error[:_MESSAGE]) if record.error else record


async def _read(request: Request) -> bytes | None:
    """The body, or None when it is too long."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BYTES:
            return None
        parts.append(part)
    return b"".join(parts)


def _later(why: str) -> Response:
    return JSONResponse({"error": why}, 503, {"Retry-After": _RETRY_SECONDS})
