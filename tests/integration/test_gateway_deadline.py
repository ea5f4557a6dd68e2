"""The caller's deadline: its error comes at once, in its own dialect, and the provider is let go."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from droveway.api.enums import EndClass
from helpers.gateway import MESSAGE, PATHS, Answer, Running, Talk, provider, route, scripted, serving, until

pytestmark = pytest.mark.integration

ERRORS = {
    "Anthropic": lambda body: body["error"]["type"] == "timeout_error",
    "OpenAIChat": lambda body: body["error"]["code"] == "timeout",
    "OpenAIResponses": lambda body: body["error"]["code"] == "timeout",
    "Gemini": lambda body: body["error"]["status"] == "DEADLINE_EXCEEDED",
}


async def ask(gateway: Running, deadline: str, dialect: str = "Anthropic", *, stream: bool = False) -> Answer:
    """One request with a deadline."""
    verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
    data: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}
    if dialect != "Gemini":
        data |= {"model": "asked", "stream": stream}
    headers = gateway.headers() | {"X-Droveway-Deadline-Ms": deadline}
    url = gateway.url + PATHS[dialect].format(verb=verb)
    async with gateway.agent.post(url, data=json.dumps(data), headers=headers) as answer:
        return Answer(answer.status, {k.lower(): v for k, v in answer.headers.items()}, await answer.read())


async def hang(talk: Talk) -> None:
    await asyncio.Event().wait()


async def held_back(talk: Talk) -> None:
    await talk.head()
    await talk.events("start", "ping")
    await asyncio.Event().wait()


async def half_a_body(talk: Talk) -> None:
    await talk.head(200, "application/json")
    await talk.say(b'{"type": "message",')
    await asyncio.Event().wait()


@pytest.mark.parametrize("dialect", ["Anthropic", "OpenAIChat", "OpenAIResponses", "Gemini"])
@pytest.mark.parametrize(("script", "stream"), [(hang, False), (hang, True), (held_back, True), (half_a_body, False)])
async def test_a_deadline_ends_the_wait(tmp_path: Path, script: Any, stream: bool, dialect: str) -> None:
    async with (
        scripted(script) as (url, upstream),
        serving(tmp_path, provider("a", url, dialect), route("a")) as gateway,
    ):
        began = time.monotonic()
        answer = await ask(gateway, "300", dialect, stream=stream)
        took = time.monotonic() - began
        assert 0.3 <= took < 0.4
        assert answer.status == 504
        assert ERRORS[dialect](answer.json)
        assert "the caller's deadline" in answer.body.decode()
        seen = upstream.seen[0]
        await asyncio.wait_for(seen.gone.wait(), 1)
        assert seen.gone_at - began < 0.4
        assert 200 < int(seen.headers["x-droveway-deadline-ms"]) <= 300
        record = (await gateway.operator.heard(1))[0]
        assert record.verdict is not None
        assert record.verdict.kind is EndClass.TIMEOUT
        assert gateway.metric("requests_total", outcome="Timeout") == 1
        assert gateway.metric("in_flight") == 0


async def test_a_deadline_ends_a_stream_in_band(tmp_path: Path) -> None:
    async def slow(talk: Talk) -> None:
        await talk.head()
        await talk.events("start", "block")
        while True:
            await talk.events("word")
            await asyncio.sleep(0.02)

    async with scripted(slow) as (url, upstream), serving(tmp_path, provider("a", url), route("a")) as gateway:
        answer = await ask(gateway, "300", stream=True)
        assert answer.status == 200
        assert answer.body.endswith(b"\n\n")
        assert b"timeout_error" in answer.body.rsplit(b"event: ", 1)[1]
        await asyncio.wait_for(upstream.seen[0].gone.wait(), 1)


async def test_a_deadline_ends_the_wait_for_a_slot(tmp_path: Path) -> None:
    async with (
        scripted(hang) as (url, upstream),
        serving(tmp_path, provider("a", url, maxInFlight=1), route("a")) as gateway,
    ):
        first = asyncio.create_task(gateway.ask())
        await until(lambda: upstream.seen)
        began = time.monotonic()
        answer = await ask(gateway, "200")
        assert time.monotonic() - began < 0.4
        assert answer.status in (504, 529)
        assert len(upstream.seen) == 1
        first.cancel()


async def test_a_deadline_that_is_not_reached_changes_nothing(tmp_path: Path) -> None:
    async def script(talk: Talk) -> None:
        await talk.answer(200, MESSAGE)

    async with scripted(script) as (url, upstream), serving(tmp_path, provider("a", url), route("a")) as gateway:
        assert (await ask(gateway, "60000")).status == 200
        assert 59_000 < int(upstream.seen[0].headers["x-droveway-deadline-ms"]) <= 60_000
        assert (await gateway.ask()).status == 200
        assert "x-droveway-deadline-ms" not in upstream.seen[1].headers


@pytest.mark.parametrize("bad", ["0", "-5", "soon", "1.5", "1e3", "99999999999", " "])
async def test_what_is_no_number_of_milliseconds_is_refused(tmp_path: Path, bad: str) -> None:
    async with scripted(hang) as (url, upstream), serving(tmp_path, provider("a", url), route("a")) as gateway:
        answer = await ask(gateway, bad)
        assert answer.status == 400
        assert "X-Droveway-Deadline-Ms" in answer.json["error"]["message"]
        assert not upstream.seen
