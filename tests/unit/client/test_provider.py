"""The provider interface: what every dialect makes of one question, and what a provider of one's own takes."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest

from droveway.api.enums import Dialect, EndClass
from droveway.api.fanout import FanoutRequest
from droveway.client import DialectClient, LocalFanout, ProviderClient, ProviderError
from droveway.client.provider import Messages
from droveway.core.completion import TokenBreakdown
from droveway.dialects.conversion.model import Answered, Stop, Text
from droveway.dialects.naming import VENDORS

QUESTION = [{"role": "user", "content": "hi"}]
ROOM = Path(__file__).parents[3] / "operator/droveway"
PATHS = {
    Dialect.ANTHROPIC: "/v1/messages",
    Dialect.OPENAI_CHAT: "/v1/chat/completions",
    Dialect.OPENAI_RESPONSES: "/v1/responses",
    Dialect.GEMINI: "/v1beta/models/m:",
}


def client(dialect: Dialect, answer: Callable[[httpx2.Request], httpx2.Response] | None = None) -> DialectClient:
    """In front of the mock provider, or of one answer; without a socket."""
    from droveway import mockllm  # noqa: PLC0415 - starlette takes a while

    transport = httpx2.MockTransport(answer) if answer else httpx2.ASGITransport(mockllm.app())
    return DialectClient(dialect, "http://provider/", "key", http=httpx2.AsyncClient(transport=transport))


@pytest.mark.parametrize("dialect", Dialect)
async def test_every_dialect_answers_whole_and_streamed(dialect: Dialect) -> None:
    asked = client(dialect)
    whole = await asked.complete(QUESTION, "m", 5, {"max_tokens": 10})
    pieces = [piece async for piece in asked.stream(QUESTION, "m", 5)]
    assert "".join(part.text for part in whole.parts if isinstance(part, Text)).strip() == "Hello from the mock model."
    assert isinstance(pieces[-1], Answered)
    words = "".join(piece for piece in pieces if isinstance(piece, str))
    assert words == "Hello from the mock model. "
    assert (pieces[-1].parts, pieces[-1].stop, pieces[-1].usage) == ((Text(words),), Stop.END, whole.usage)
    assert whole.usage.total > 1000
    await asked.close()


@pytest.mark.parametrize("dialect", Dialect)
async def test_a_request_goes_where_its_dialect_says(dialect: Dialect) -> None:
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(529, json={"error": {"type": "overloaded_error", "message": "busy"}})

    with pytest.raises(ProviderError) as error:
        await client(dialect, answer).complete(QUESTION, "m", 2.0)
    assert error.value.verdict.kind is EndClass.PROVIDER_OUTAGE
    assert seen[0].url.path.startswith(PATHS[dialect])
    assert "key" in " ".join(seen[0].headers.values())
    assert 1900 < int(seen[0].headers["x-droveway-deadline-ms"]) <= 2000
    assert "hi" in json.dumps(json.loads(seen[0].content))


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        pytest.param(httpx2.Response(401, json={"error": {"message": "no"}}), EndClass.AUTH_FAILED, id="key refused"),
        pytest.param(httpx2.Response(302, headers={"location": "/"}), EndClass.PROVIDER_OUTAGE, id="redirect"),
        pytest.param(httpx2.Response(200, text="<html>"), EndClass.PROVIDER_OUTAGE, id="no JSON"),
        pytest.param(httpx2.ConnectError("refused"), EndClass.PROVIDER_OUTAGE, id="not there"),
    ],
)
async def test_what_is_no_answer_is_an_error(answer: httpx2.Response | Exception, kind: EndClass) -> None:
    def give(request: httpx2.Request) -> httpx2.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.raises(ProviderError) as error:
        await client(Dialect.OPENAI_CHAT, give).complete(QUESTION, "m", 5)
    assert error.value.verdict.kind is kind
    with pytest.raises(ProviderError):
        [piece async for piece in client(Dialect.OPENAI_CHAT, give).stream(QUESTION, "m", 5)]


async def test_what_cannot_be_carried_is_not_sent() -> None:
    unknown = [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}]}]
    with pytest.raises(ProviderError, match="cannot be carried to Anthropic"):
        await client(Dialect.ANTHROPIC).complete(unknown, "m", 5)


async def test_time_is_up() -> None:
    asked = client(Dialect.OPENAI_CHAT)
    with pytest.raises(ProviderError) as error:
        await asked.complete(QUESTION, "mock-hang", 0.01)
    assert error.value.verdict.kind is EndClass.TIMEOUT
    await asked.close()


class Echo(ProviderClient):
    """A provider of one's own: all that it takes."""

    async def complete(
        self, messages: Messages, model: str, timeout: float, parameters: Mapping[str, Any] | None = None
    ) -> Answered:
        await asyncio.sleep(0)
        return Answered("1", model, (Text(str(messages[-1]["content"])),), Stop.END, TokenBreakdown())

    async def stream(
        self, messages: Messages, model: str, timeout: float, parameters: Mapping[str, Any] | None = None
    ) -> AsyncGenerator[str | Answered]:
        answer = await self.complete(messages, model, timeout, parameters)
        yield "hi"
        yield answer

    async def close(self) -> None: ...


async def test_a_new_provider_is_one_class() -> None:
    async with LocalFanout({"echo": Echo()}) as local:
        asked = FanoutRequest.model_validate({"messages": QUESTION, "calls": [{"model": "echo/e-1"}]})
        found = await local.fanout(asked)
        assert (found.results[0].text, found.results[0].provider, found.results[0].model) == ("hi", "echo", "e-1")
        assert [event.type async for event in local.stream(asked)] == ["start", "delta", "result", "final"]


def test_who_routes_knows_no_vendor() -> None:
    """Names of vendors are in naming.py, what their APIs speak in dialects/: nowhere on the way of a request."""
    vendors = re.compile("|".join([*VENDORS, "gemini", "claude", "gpt-"]), re.IGNORECASE)
    rooms = ("gateway/app.py", "gateway/intake.py", "gateway/serving.py", "gateway/exchange.py", "gateway/attempt.py",
             "gateway/relay.py", "gateway/fanout/*.py", "fanout/*.py", "core/fanout.py", "core/synthesis.py",
             "client/local.py", "client/provider.py", "client/remote.py")  # fmt: skip
    files = [file for room in rooms for file in ROOM.glob(room)]
    assert len(files) >= len(rooms)
    wire = {"OPENAI_CHAT", "OpenAI's chat API"}  # the words in which a fan-out asks
    found = {
        f"{file.name}: {line.strip()}"
        for file in files
        for line in file.read_text().splitlines()
        if vendors.search(re.sub("|".join(wire), "", line)) and "x-claude-code-session-id" not in line
    }
    assert not found
