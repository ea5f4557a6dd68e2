"""A real gateway on a real socket, with a mock provider, an operator that listens, and a provider that can be scripted."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import uvicorn
import yaml
from jsonschema import Draft202012Validator

from droveway import mockllm
from droveway.core.events import Record, RecordKind, batch_from_dict
from droveway.gateway.files import print_key
from droveway.gateway.serve import Gateway
from droveway.gateway.settings import GatewaySettings

MASTER = b"a-master-key-for-tests-only"
RUN = "default/run"
EXPLAIN = Path(__file__).parents[2] / "docs/schemas/explain.schema.json"

PATHS = {
    "Anthropic": "/v1/messages?beta=true",
    "OpenAIChat": "/v1/chat/completions",
    "OpenAIResponses": "/v1/responses",
    "Gemini": "/v1beta/models/asked:{verb}",
}
TERMINALS = {
    "Anthropic": b"message_stop",
    "OpenAIChat": b"[DONE]",
    "OpenAIResponses": b"response.completed",
    "Gemini": b'"STOP"',
}


def provider(name: str, url: str, dialect: str = "Anthropic", **spec: Any) -> dict[str, Any]:
    """A ModelProvider with a Secret of its own, whose key is `key-of-<name>`."""
    return {
        "kind": "ModelProvider",
        "metadata": {"name": name},
        "spec": {"dialect": dialect, "baseURL": url, "credentialsRef": {"name": f"{name}-key", "key": "k"}, **spec},
    }


def secret(name: str, value: str | None = None) -> dict[str, Any]:
    return {"kind": "Secret", "metadata": {"name": f"{name}-key"}, "stringData": {"k": value or f"key-of-{name}"}}


def route(*candidates: str, **spec: Any) -> dict[str, Any]:
    """A ModelRoute of candidates that are named like their providers; the model of `a` is `model-a`."""
    lines = [{"name": c, "providerRef": {"name": c}, "model": f"model-{c}"} for c in candidates]
    return {"kind": "ModelRoute", "metadata": {"name": "main"}, "spec": {"candidates": lines, **spec}}


def run(**status: Any) -> dict[str, Any]:
    return {
        "kind": "AgentRun",
        "metadata": {"name": "run", "uid": "uid-1"},
        "spec": {"routeRef": {"name": "main"}, "prompt": "hi"},
        "status": {"attemptCount": 1, **status},
    }


@dataclass
class Answer:
    """What an agent got."""

    status: int
    headers: dict[str, str]
    body: bytes
    broken: bool = False

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Running:
    """A gateway that serves."""

    gateway: Gateway
    folder: Path
    agent: aiohttp.ClientSession
    operator: Operator
    key: str = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.gateway.port}"

    def headers(self) -> dict[str, str]:
        return {"x-api-key": self.key, "content-type": "application/json", "anthropic-beta": "a-2025,b-2026"}

    async def explained(self) -> Any:
        """What the route `main` would do now, in the shape that is promised."""
        async with self.agent.get(f"{self.url}/v1/routes/main:explain", headers=self.headers()) as answer:
            told = await answer.json()
        Draft202012Validator(json.loads(EXPLAIN.read_text())).validate(told)
        return told

    def request(self, dialect: str = "Anthropic", *, stream: bool = False, **body: Any) -> Any:
        verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
        data = {"model": "asked", "stream": stream, "messages": [], "unknown": {"kept": [1, 2.5]}, **body}
        if dialect == "Gemini":
            del data["model"], data["stream"]
        path = PATHS[dialect].format(verb=verb)
        return self.agent.post(self.url + path, data=json.dumps(data), headers=self.headers())

    async def ask(self, dialect: str = "Anthropic", *, stream: bool = False, **body: Any) -> Answer:
        """One request, and everything that came back."""
        async with self.request(dialect, stream=stream, **body) as answer:
            pieces = bytearray()
            broken = False
            try:
                async for piece in answer.content.iter_any():
                    pieces += piece
            except aiohttp.ClientError:
                broken = True
            return Answer(answer.status, {k.lower(): v for k, v in answer.headers.items()}, bytes(pieces), broken)

    async def served(self, sessions: range) -> Counter[str]:
        """Which candidate answers one request of each of many sessions."""
        gate = asyncio.Semaphore(16)
        body = json.dumps({"model": "asked", "messages": []})

        async def one(n: int) -> str:
            headers = self.headers() | {"x-session-id": f"session-{n}"}
            async with gate, self.agent.post(self.url + PATHS["Anthropic"], data=body, headers=headers) as answer:
                await answer.read()
                return answer.headers["x-droveway-candidate"]

        return Counter(await asyncio.gather(*(one(n) for n in sessions)))

    async def edit(self, *manifests: dict[str, Any]) -> None:
        """Writes another configuration and waits until it is served."""
        before = self.gateway.config.snapshot
        write(self.folder, *manifests)
        await until(lambda: self.gateway.config.snapshot is not before)

    def metric(self, name: str, **labels: str) -> float:
        """A sample of the gateway's own metrics, summed over all other labels; 0 when there is none."""
        found = 0.0
        for line in self.gateway.metrics.expose().decode().splitlines():
            if line.startswith((f"droveway_gateway_{name} ", f"droveway_gateway_{name}{{")) and all(
                f'{k}="{v}"' in line for k, v in labels.items()
            ):
                found += float(line.rsplit(" ", 1)[1])
        return found


class Operator:
    """Listens to events like the real one: it acknowledges what it has taken."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.arrivals: list[float] = []
        self.tokens: set[str] = set()
        self.refuse: list[tuple[int, dict[str, str]]] = []
        self._highest: dict[tuple[str, str], int] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        self.tokens.add(dict(scope["headers"]).get(b"authorization", b"").decode())
        if self.refuse:
            status, headers = self.refuse.pop(0)
            await respond(send, status, b"{}", headers)
            return
        batch = batch_from_dict(json.loads(body))
        line = (batch.source, f"{batch.namespace}/{batch.route}")
        for record in batch.records:
            if record.number > self._highest.get(line, 0):
                self._highest[line] = record.number
                self.records.append(record)
                self.arrivals.append(time.monotonic())
        await respond(send, 200, json.dumps({"acknowledged": self._highest[line]}).encode())

    def completions(self) -> list[Record]:
        return [r for r in self.records if r.kind is RecordKind.COMPLETION]

    def exhausted(self) -> list[Record]:
        return [r for r in self.records if r.kind is RecordKind.EXHAUSTED]

    async def heard(self, count: int) -> list[Record]:
        """The records, as soon as there are so many."""
        await until(lambda: len(self.records) >= count)
        return self.records


async def respond(send: Any, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
    pairs = [(k.encode(), v.encode()) for k, v in ({"content-type": "application/json"} | (headers or {})).items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def until(true: Callable[[], object], seconds: float = 10.0) -> None:
    """Waits for something that happens on its own."""
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.005)


def write(folder: Path, *manifests: dict[str, Any]) -> None:
    part = folder / "all.yaml.part"
    part.write_text(yaml.safe_dump_all(manifests))
    part.rename(folder / "all.yaml")


class _Quiet(uvicorn.Server):
    @asynccontextmanager
    async def up(self) -> AsyncIterator[str]:
        task = asyncio.create_task(self._serve())
        await until(lambda: self.started)
        try:
            yield f"http://127.0.0.1:{self.servers[0].sockets[0].getsockname()[1]}"
        finally:
            self.should_exit = self.force_exit = True
            await task


@asynccontextmanager
async def asgi(app: Any) -> AsyncIterator[str]:
    """An ASGI application on a port of its own."""
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=1
    )
    async with _Quiet(config).up() as url:
        yield url


@asynccontextmanager
async def mock_provider() -> AsyncIterator[str]:
    """The mock provider; `<url>/s/<scenario>` is a base URL that fails on demand."""
    async with asgi(mockllm.app()) as url:
        yield url


@asynccontextmanager
async def serving(
    folder: Path, *manifests: dict[str, Any], priced: bool = False, **settings: Any
) -> AsyncIterator[Running]:
    """A gateway that serves these manifests from files. Secrets of providers and a run are added where they are missing.

    Only with `priced` does it look prices up, in a process of its own.
    """
    master = folder / "master"
    master.write_bytes(MASTER)
    config = folder / "config"
    config.mkdir()
    write(config, *completed(manifests))
    operator = Operator()
    (folder / "token").write_text("service-account-token\n")
    async with asgi(operator) as operator_url, aiohttp.ClientSession() as agent:
        defaults: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": 0,
            "config_dir": config,
            "master_key_file": master,
            "operator_url": operator_url,
            "token_file": folder / "token",
            "drain_seconds": 0.2,
        }
        gateway = Gateway(GatewaySettings(**(defaults | settings)))
        if not priced:
            gateway.prices.learn = lambda models: None  # type: ignore[method-assign]
        task = asyncio.create_task(gateway.run())
        started = asyncio.create_task(gateway.started.wait())
        await asyncio.wait([task, started], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            started.cancel()
            task.result()
        key = print_key(config, MASTER, RUN)
        try:
            yield Running(gateway, config, agent, operator, key)
        finally:
            gateway.stop()
            await task


def completed(manifests: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
    kinds = {(m["kind"], m["metadata"]["name"]) for m in manifests}
    secrets = [
        secret(m["metadata"]["name"])
        for m in manifests
        if m["kind"] == "ModelProvider" and ("Secret", f"{m['metadata']['name']}-key") not in kinds
    ]
    runs = [] if any(kind == "AgentRun" for kind, _ in kinds) else [run()]
    return [*manifests, *secrets, *runs]


# ------------------------------------------------------------------------------------------------ a provider by script


@dataclass
class Seen:
    """One request as the provider saw it, and the moment in which its connection ended."""

    path: str
    headers: dict[str, str]
    body: Any
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    gone_at: float = 0.0


class Talk:
    """The provider's side of one request."""

    def __init__(self, seen: Seen, writer: asyncio.StreamWriter) -> None:
        self.seen, self._writer = seen, writer

    async def head(self, status: int = 200, kind: str = "text/event-stream", **headers: str) -> None:
        extra = "".join(f"{k.replace('_', '-')}: {v}\r\n" for k, v in headers.items())
        self._writer.write(
            f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n{extra}\r\n".encode()
        )
        await self._writer.drain()

    async def say(self, data: bytes) -> None:
        self._writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        await self._writer.drain()

    async def events(self, *names: str) -> None:
        """Events of an Anthropic stream."""
        for name in names:
            await self.say(EVENTS[name])

    async def end(self) -> None:
        self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()

    async def answer(self, status: int, body: Any, **headers: str) -> None:
        await self.head(status, "application/json", **headers)
        await self.say(body if isinstance(body, bytes) else json.dumps(body).encode())
        await self.end()

    def cut(self) -> None:
        self._writer.close()

    def reset(self) -> None:
        """A TCP reset instead of an end."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


def _event(kind: str, **data: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode()


EVENTS = {
    "start": _event(
        "message_start",
        message={
            "id": "m",
            "model": "real-model",
            "role": "assistant",
            "content": [],
            "usage": {"input_tokens": 10, "output_tokens": 1},
        },
    ),
    "block": _event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
    "ping": _event("ping"),
    "word": _event("content_block_delta", index=0, delta={"type": "text_delta", "text": "word "}),
    "stop": _event("content_block_stop", index=0)
    + _event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 5}),
    "end": _event("message_stop"),
    "overloaded": _event("error", error={"type": "overloaded_error", "message": "Overloaded"}),
}
MESSAGE = {
    "type": "message",
    "role": "assistant",
    "model": "real-model",
    "content": [{"type": "text", "text": "hello"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 10, "output_tokens": 5},
}

Script = Callable[[Talk], Awaitable[None]]


class Scripted:
    """A provider that does what a test says, and notes when its callers leave."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.seen: list[Seen] = []
        self.connections = 0

    @asynccontextmanager
    async def up(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                seen = Seen(head[0].split(" ")[1], headers, json.loads(body))
                self.seen.append(seen)
                work = asyncio.ensure_future(self.script(Talk(seen, writer)))
                left = asyncio.ensure_future(reader.read(1))
                await asyncio.wait([work, left], return_when=asyncio.FIRST_COMPLETED)
                if left.done():
                    seen.gone_at = time.monotonic()
                    seen.gone.set()
                    left.exception()
                    work.cancel()
                    with suppress(asyncio.CancelledError, ConnectionError):
                        await work
                    break
                left.cancel()
                with suppress(asyncio.CancelledError):
                    await left
                work.result()
                if writer.is_closing():
                    break
        writer.close()


@asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[tuple[str, Scripted]]:
    """A scripted provider: its base URL and itself."""
    provider = Scripted(script)
    async with provider.up() as url:
        yield url, provider
