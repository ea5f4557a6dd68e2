"""A stream that breaks off and goes on with another provider, as the vendors' own clients read it."""

import asyncio
import json
from pathlib import Path

import anthropic
import openai
import pytest
from google.genai import errors

from droveway.dialects.conversion.resuming import VOID
from helpers.faulty import A_WORDS, B_WORDS, STOPPED, Voice, after_content, cut, healthy, refuses
from helpers.gateway import MESSAGE, PATHS, Talk, provider, route, scripted, serving, until
from helpers.sdks import SDKS

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning"),  # Google's client
]

DIALECT = pytest.mark.parametrize("dialect", list(PATHS))
A, B = "".join(A_WORDS), "".join(B_WORDS)
RAISED = (anthropic.APIError, openai.APIError, errors.APIError)


@DIALECT
async def test_an_error_in_the_middle_is_raised(tmp_path: Path, dialect: str) -> None:
    async with (
        scripted(after_content(dialect, cut)) as (first, _),
        serving(tmp_path, provider("a", first, dialect), route("a")) as gateway,
        SDKS[dialect](gateway.url, gateway.key) as sdk,
    ):
        sdk.say("Tell a story.")
        with pytest.raises(RAISED):
            await sdk.ask(stream=True)


@DIALECT
@pytest.mark.parametrize("other", list(PATHS))
@pytest.mark.parametrize("mid_stream", ["Continue", "Restart"])
async def test_official_clients_read_on(tmp_path: Path, dialect: str, other: str, mid_stream: str) -> None:
    async with (
        scripted(after_content(dialect, cut)) as (first, _),
        scripted(healthy(other)) as (second, b),
        serving(
            tmp_path,
            provider("a", first, dialect),
            provider("b", second, other),
            route("a", "b", midStream=mid_stream),
        ) as gateway,
        SDKS[dialect](gateway.url, gateway.key) as sdk,
    ):
        sdk.say("Tell a story.")
        said = await sdk.ask(stream=True)
        expected = A + B if mid_stream == "Continue" else A + VOID + B
        if dialect == "OpenAIResponses" and mid_stream == "Restart":
            expected = B  # the response that ends the stream holds what counts, and nothing that is void
        assert (said.text, said.stop, said.calls) == (expected, STOPPED[dialect], [])
        assert said.tokens[2] >= 5
        sdk.say("And then?")
        assert (await sdk.ask(stream=False)).text == B  # what it has kept of the answer is accepted
        assert A in json.dumps(b.seen[0].body) or mid_stream == "Restart"


@pytest.mark.parametrize("mid_stream", ["Continue", "Restart"])
async def test_an_anthropic_stream_stays_one_message(tmp_path: Path, mid_stream: str) -> None:
    async with (
        scripted(after_content("Anthropic", cut)) as (first, _),
        scripted(healthy("Anthropic")) as (second, _),
        serving(
            tmp_path, provider("a", first), provider("b", second), route("a", "b", midStream=mid_stream)
        ) as gateway,
    ):
        answer = await gateway.ask(stream=True, messages=[{"role": "user", "content": "hi"}])
        events = [json.loads(line[6:]) for line in answer.body.splitlines() if line.startswith(b"data: ")]
        kinds = [event["type"] for event in events]
        assert (kinds.count("message_start"), kinds.count("message_stop")) == (1, 1)
        opened = [event["index"] for event in events if event["type"] == "content_block_start"]
        closed = [event["index"] for event in events if event["type"] == "content_block_stop"]
        assert opened == closed == ([0] if mid_stream == "Continue" else [0, 1])
        usage = next(event["usage"] for event in events if event["type"] == "message_delta")
        assert (usage["input_tokens"], usage["output_tokens"]) == (20, 6)  # both calls', as far as the first one told


@pytest.mark.parametrize("mid_stream", ["Continue", "Restart"])
async def test_a_responses_stream_keeps_counting(tmp_path: Path, mid_stream: str) -> None:
    async with (
        scripted(after_content("OpenAIResponses", cut)) as (first, _),
        scripted(healthy("OpenAIResponses")) as (second, _),
        serving(
            tmp_path,
            provider("a", first, "OpenAIResponses"),
            provider("b", second, "OpenAIResponses"),
            route("a", "b", midStream=mid_stream),
        ) as gateway,
    ):
        answer = await gateway.ask("OpenAIResponses", stream=True, input="hi")
        events = [json.loads(line[6:]) for line in answer.body.splitlines() if line.startswith(b"data: ")]
        numbers = [event["sequence_number"] for event in events]
        assert numbers == list(range(len(numbers)))
        assert [event["type"] for event in events].count("response.created") == 1
        assert {event["response"]["id"] for event in events if "response" in event} == {"r1"}
        items = [(event["output_index"], event["item_id"]) for event in events if "item_id" in event]
        assert (0, "msg_up") in items
        assert {index for index, _ in items} == ({0} if mid_stream == "Continue" else {0, 1})
        assert len(events[-1]["response"]["output"]) == 1


async def calls_a_tool(talk: Talk) -> None:
    start = Voice("Anthropic", "m").start()
    block = {"type": "tool_use", "id": "t1", "name": "write", "input": {}}
    await talk.head()
    await talk.say(start)
    await talk.say(b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n')
    opened = {"type": "content_block_start", "index": 1, "content_block": block}
    await talk.say(f"event: content_block_start\ndata: {json.dumps(opened)}\n\n".encode())
    await asyncio.sleep(0.05)
    talk.cut()


@pytest.mark.parametrize("mid_stream", ["Continue", "Restart"])
async def test_nobody_goes_on_with_a_tool_call(tmp_path: Path, mid_stream: str) -> None:
    """A call that is void would be carried out; half a one cannot be completed by another model."""
    async with (
        scripted(calls_a_tool) as (first, _),
        scripted(healthy("Anthropic")) as (second, b),
        serving(
            tmp_path, provider("a", first), provider("b", second), route("a", "b", midStream=mid_stream)
        ) as gateway,
    ):
        answer = await gateway.ask(stream=True, messages=[{"role": "user", "content": "hi"}])
        assert b.seen == []
        assert b"event: error" in answer.body
        assert b"message_stop" not in answer.body


async def test_one_after_the_other_goes_on(tmp_path: Path) -> None:
    async with (
        scripted(after_content("Anthropic", cut, ("one ",))) as (first, _),
        scripted(after_content("OpenAIChat", cut, ("two ",))) as (second, _),
        scripted(refuses(503, {})) as (third, _),
        scripted(healthy("Gemini", ("three.",))) as (fourth, d),
        serving(
            tmp_path,
            provider("a", first),
            provider("b", second, "OpenAIChat"),
            provider("c", third),
            provider("d", fourth, "Gemini"),
            route("a", "b", "c", "d", midStream="Continue"),
        ) as gateway,
        SDKS["Anthropic"](gateway.url, gateway.key) as sdk,
    ):
        sdk.say("Count.")
        assert (await sdk.ask(stream=True)).text == "one two three."
        assert "one two " in json.dumps(d.seen[0].body)
        assert gateway.metric("resumes_total", mode="Continue") == 3
        await until(lambda: len(gateway.operator.completions()) == 4)


async def test_when_nobody_is_left_the_error_is_open(tmp_path: Path) -> None:
    async with (
        scripted(after_content("Anthropic", cut)) as (first, _),
        scripted(refuses(503, {})) as (second, b),
        serving(
            tmp_path, provider("a", first), provider("b", second), route("a", "b", midStream="Continue")
        ) as gateway,
    ):
        answer = await gateway.ask(stream=True, messages=[{"role": "user", "content": "hi"}])
        assert len(b.seen) == 1
        assert b"nobody could go on with it" in answer.body
        assert answer.body.count(b"event: error") == 1
        assert gateway.metric("requests_total", outcome="ProviderOutage") == 1


async def test_who_answers_in_one_piece_goes_on_too(tmp_path: Path) -> None:
    async def whole(talk: Talk) -> None:
        await talk.answer(200, MESSAGE)

    async with (
        scripted(after_content("Anthropic", cut)) as (first, _),
        scripted(whole) as (second, _),
        serving(
            tmp_path, provider("a", first), provider("b", second), route("a", "b", midStream="Continue")
        ) as gateway,
        SDKS["Anthropic"](gateway.url, gateway.key) as sdk,
    ):
        sdk.say("Hi.")
        assert (await sdk.ask(stream=True)).text == A + "hello"
