"""The vendors' own clients, each on a provider of every dialect: what they get is what that provider would have meant."""

import json
from pathlib import Path
from typing import Any

import aiohttp
import anthropic
import openai
import pytest
from google.genai import errors

from helpers.gateway import mock_provider, provider, route, serving
from helpers.sdks import PIXEL, SDKS, SYSTEM, WORDS

STREAM = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "plain"])
CLIENT = pytest.mark.parametrize("client", list(SDKS))
PROVIDER = pytest.mark.parametrize("spoken", list(SDKS))
OTHERS = [(client, spoken) for client in SDKS for spoken in SDKS if client != spoken]
OTHER = pytest.mark.parametrize(("client", "spoken"), OTHERS)

TEXT = "Hello from the mock model."
TOKENS = {"Anthropic": (2100, 800, 42), "Gemini": (1200, 800, 49)}
"""Read in, thereof from the cache, and out, as the mock of each dialect counts; the two of OpenAI are alike."""
STOPS = {"Anthropic": "end_turn", "OpenAIChat": "stop", "OpenAIResponses": "completed", "Gemini": "STOP"}
TOOLS = {"Anthropic": "tool_use", "OpenAIChat": "tool_calls", "OpenAIResponses": "completed", "Gemini": "STOP"}
CUT = {
    "Anthropic": "max_tokens",
    "OpenAIChat": "length",
    "OpenAIResponses": "max_output_tokens",
    "Gemini": "MAX_TOKENS",
}
ERRORS = (anthropic.APIError, openai.APIError, errors.APIError)

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning"),  # Google's client
]


async def calls(mock: str, run: str) -> list[dict[str, Any]]:
    async with aiohttp.ClientSession() as session, session.get(f"{mock}/_mock/calls?run={run}") as answer:
        found: list[dict[str, Any]] = await answer.json()
        return found


@CLIENT
@PROVIDER
@STREAM
async def test_words_and_counts_arrive(tmp_path: Path, client: str, spoken: str, stream: bool) -> None:
    async with (
        mock_provider() as mock,
        serving(tmp_path, provider("a", f"{mock}/s/ok,run=x", spoken), route("a")) as gateway,
        SDKS[client](gateway.url, gateway.key) as sdk,
    ):
        sdk.say("what is this?", image=True)
        said = await sdk.ask(stream=stream)

        assert said.text.strip() == TEXT
        assert said.stop == STOPS[client]
        assert said.tokens == TOKENS.get(spoken, (1200, 800, 42))
        assert said.model == "model-a"
        asked = json.dumps((await calls(mock, "x"))[0]["body"])
        assert SYSTEM in asked
        assert PIXEL in asked
        tokens = (await gateway.operator.heard(1))[0].tokens
        assert tokens is not None
        assert (tokens.input + tokens.cache_read + tokens.cache_write, tokens.cache_read) == said.tokens[:2]


@CLIENT
@PROVIDER
@STREAM
async def test_a_task_with_two_tools_at_once_is_finished(
    tmp_path: Path, client: str, spoken: str, stream: bool
) -> None:
    async with (
        mock_provider() as mock,
        serving(tmp_path, provider("a", f"{mock}/s/tool,calls=2,run=x", spoken), route("a")) as gateway,
        SDKS[client](gateway.url, gateway.key) as sdk,
    ):
        sdk.say("write two files")
        wanted = await sdk.ask(stream=stream, tools=True)
        assert [call[1] for call in wanted.calls] == ["write_file"] * 2
        assert wanted.calls[0][2] == {"path": "mock.txt", "content": "written by a mock tool call\n"}
        assert wanted.stop == TOOLS[client]

        sdk.results(wanted)
        done = await sdk.ask(stream=stream, tools=True)
        assert (done.text.strip(), done.stop) == (TEXT, STOPS[client])

        first, second = (call["body"] for call in await calls(mock, "x"))
        assert WORDS in json.dumps(first)
        told = json.dumps(second)
        assert "result 0" in told
        assert "result 1" in told
        ids = [call[0] for call in wanted.calls if call[0]]
        assert len(set(ids)) == len(ids)
        for call_id in ids:
            assert told.count(json.dumps(call_id)) == 2 or spoken == client == "Gemini"


@OTHER
@STREAM
async def test_an_answer_that_is_cut_short_says_so(tmp_path: Path, client: str, spoken: str, stream: bool) -> None:
    async with (
        mock_provider() as mock,
        serving(tmp_path, provider("a", f"{mock}/s/max_tokens", spoken), route("a")) as gateway,
        SDKS[client](gateway.url, gateway.key) as sdk,
    ):
        sdk.say("go on")
        assert (await sdk.ask(stream=stream)).stop == CUT[client]


@OTHER
@STREAM
async def test_a_failure_before_content_moves_on_to_a_provider_of_another_dialect(
    tmp_path: Path, client: str, spoken: str, stream: bool
) -> None:
    async with (
        mock_provider() as mock,
        serving(
            tmp_path,
            provider("a", f"{mock}/s/overloaded,run=a", client),
            provider("b", f"{mock}/s/ok,run=b", spoken),
            route("a", "b"),
        ) as gateway,
        SDKS[client](gateway.url, gateway.key) as sdk,
    ):
        sdk.say("hello")
        said = await sdk.ask(stream=stream)
        assert (said.text.strip(), said.model) == (TEXT, "model-b")
        assert [len(await calls(mock, run)) for run in "ab"] == [1, 1]
        assert gateway.metric("reroutes_total") == 1


@OTHER
@pytest.mark.parametrize("scenario", ["stream_error", "disconnect"])
async def test_a_stream_that_breaks_ends_in_an_error_of_the_clients_own_dialect(
    tmp_path: Path, client: str, spoken: str, scenario: str
) -> None:
    async with (
        mock_provider() as mock,
        serving(tmp_path, provider("a", f"{mock}/s/{scenario}", spoken), route("a")) as gateway,
        SDKS[client](gateway.url, gateway.key) as sdk,
    ):
        sdk.say("hello")
        with pytest.raises(ERRORS):
            await sdk.ask(stream=True)
        failed = (await gateway.operator.heard(1))[0]
        assert failed.verdict is not None
        assert failed.verdict.kind == "ProviderOutage"


@OTHER
@STREAM
async def test_a_refused_request_is_refused_in_the_clients_own_dialect(
    tmp_path: Path, client: str, spoken: str, stream: bool
) -> None:
    async with (
        mock_provider() as mock,
        serving(tmp_path, provider("a", f"{mock}/s/context", spoken), route("a")) as gateway,
        SDKS[client](gateway.url, gateway.key) as sdk,
    ):
        sdk.say("hello")
        with pytest.raises(ERRORS, match=r"(?i)token|context|long") as told:
            await sdk.ask(stream=stream)
        status = getattr(told.value, "status_code", None) or getattr(told.value, "code", None)
        assert status == 400
