"""Anything at all at the gateway's socket gets an answer in JSON or a closed connection, never a 500; nothing is left over."""

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.gateway import Running, mock_provider, provider, serving, until

DIALECTS = ("Anthropic", "OpenAIChat", "OpenAIResponses", "Gemini")
PATHS = ["/v1/messages", "/v1/messages/count_tokens", "/v1/chat/completions", "/v1/responses", "/fanout", "/v1/models",
         "/v1beta/models", "/v1beta/models/m:generateContent", "/v1beta/models/m:streamGenerateContent?alt=sse",
         "/v1beta/models/m:countTokens", "/v1/routes/main:explain", "/healthz", "/readyz", "/metrics", "/"]  # fmt: skip
FIELDS = ["model", "messages", "input", "contents", "system", "systemInstruction", "instructions", "tools",
          "stream", "role", "content", "type", "text", "parts", "image", "source", "tool_use", "tool_result",
          "tool_calls", "function", "functionCall", "arguments", "id", "max_tokens", "temperature", "stop",
          "calls", "candidate", "mode", "quorum", "synthesis", "name", "parameters", "response_format", "thinking",
          "reasoning", "cache_control", "metadata", "stream_options", "n", "generationConfig"]  # fmt: skip
WORDS = st.sampled_from(["user", "assistant", "system", "tool", "text", "tool_use", "tool_result", "image", "a",
                         "all", "first", "judge", "function", "message", "\ud800", "\0",
                         "x" * 2000]) | st.text(max_size=5)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**65), 2**65) | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(FIELDS) | WORDS, inner, max_size=5),
    max_leaves=15,
)
BODIES = st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=8)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["x-droveway-deadline-ms", "x-droveway-cache", "content-type", "accept", "anthropic-beta", "traceparent",
                         "connection", "content-encoding", "x-session-id", "expect", "cookie", "x"]),
        st.sampled_from(["", "0", "-1", "1e9", "5000", "on", "no-store", "max-age=-1", "close", "identity", "100-continue",
                         "application/json", "00-0-0-0", "x" * 300]),
    ),
    max_size=4,
)  # fmt: skip
EDITS = st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=6)), max_size=4)
SLOW = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A gateway in a thread of its own, with a provider of every dialect."""
    folder = tmp_path_factory.mktemp("gateway")
    ready, over = threading.Event(), threading.Event()
    found: list[Running] = []

    async def serve() -> None:
        lines = [{"name": d.lower(), "providerRef": {"name": d.lower()}, "model": "m"} for d in DIALECTS]
        main: dict[str, Any] = {"kind": "ModelRoute", "metadata": {"name": "main"},
                                "spec": {"strategy": "Weighted", "candidates": lines}}  # fmt: skip
        async with mock_provider() as url:
            providers = [provider(d.lower(), url, d) for d in DIALECTS]
            async with serving(folder, *providers, main, request_seconds=1, queue_seconds=1) as running:
                found.append(running)
                ready.set()
                await asyncio.to_thread(over.wait)
                await until(lambda: not running.metric("open_requests") and not running.metric("in_flight"))
                assert running.metric("upstream_connections") == 0
                assert running.metric("connections") == 0

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    failed: list[BaseException] = []
    before, threading.excepthook = threading.excepthook, lambda told: failed.append(told.exc_value or Exception())
    thread.start()
    assert ready.wait(30)
    yield found[0]
    over.set()
    thread.join(60)
    threading.excepthook = before
    assert not failed, failed


def said(gateway: Running, sent: bytes) -> bytes:
    """Everything until the gateway closes the connection."""
    with socket.create_connection(("127.0.0.1", gateway.gateway.port), timeout=15) as client:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            client.sendall(sent)
        pieces = []
        with contextlib.suppress(ConnectionResetError):
            while piece := client.recv(2**16):
                pieces.append(piece)
    return b"".join(pieces)


def request(gateway: Running, method: str, path: str, headers: list[tuple[str, str]], body: bytes) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: g", f"x-api-key: {gateway.key}", f"content-length: {len(body)}",
             *(f"{name}: {value}" for name, value in headers), "connection: close"]  # fmt: skip
    return "\r\n".join([*lines, "", ""]).encode() + body


def check(answer: bytes) -> None:
    """No 500, and errors are JSON."""
    if not answer:
        return
    head, _, body = answer.partition(b"\r\n\r\n")
    while head.startswith(b"HTTP/1.1 100 "):
        head, _, body = body.partition(b"\r\n\r\n")
    status = int(head.split(b" ")[1])
    assert status != 500, answer
    if status >= 400 and b"content-type: application/json" in head:
        assert json.loads(body.splitlines()[0] if b"chunked" not in head else b"{}") is not None


@SLOW
@given(st.sampled_from(["POST", "POST", "POST", "GET", "PUT", "OPTIONS"]), st.sampled_from(PATHS), HEADERS, BODIES)
def test_any_json_gets_an_answer(gateway: Running, method: str, path: str, headers: Any, body: dict[str, Any]) -> None:
    answer = said(gateway, request(gateway, method, path, headers, json.dumps(body).encode()))
    check(answer)
    assert answer


@SLOW
@given(
    st.sampled_from(PATHS),
    st.binary(max_size=200),
    st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=6)), max_size=4),
)
def test_any_bytes_get_an_answer_or_a_closed_connection(gateway: Running, path: str, body: bytes, edits: Any) -> None:
    sent = bytearray(request(gateway, "POST", path, [], body))
    for place, what in edits:
        sent[place : place + len(what)] = what
    check(said(gateway, bytes(sent) + b"\r\n\r\n"))


@SLOW
@given(st.sampled_from(PATHS), st.lists(st.binary(min_size=1, max_size=100), max_size=5), st.booleans())
def test_any_chunks_get_an_answer_or_a_closed_connection(
    gateway: Running, path: str, chunks: list[bytes], last: bool
) -> None:
    head = f"POST {path} HTTP/1.1\r\nhost: g\r\nx-api-key: {gateway.key}\r\ntransfer-encoding: chunked\r\n"
    head += "connection: close\r\n\r\n"
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    answer = said(gateway, head.encode() + body + (b"0\r\n\r\n" if last else b"not a size\r\n"))
    check(answer)


@SLOW
@given(st.sampled_from(PATHS), st.binary(max_size=12))
def test_any_path_gets_an_answer(gateway: Running, path: str, more: bytes) -> None:
    safe = "".join(chr(33 + byte % 94) for byte in more)
    check(said(gateway, request(gateway, "GET", path + safe, [], b"")))


def test_it_still_serves(gateway: Running) -> None:
    body = b'{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}'
    assert said(gateway, request(gateway, "POST", "/v1/messages", [], body)).startswith(b"HTTP/1.1 200 ")
