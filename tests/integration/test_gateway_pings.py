"""A stream whose provider thinks for long: signs of life in the agent's dialect, between events, and its answer untouched."""

import asyncio
from pathlib import Path

import pytest

from helpers.gateway import MESSAGE, Talk, provider, route, scripted, serving

PINGS = {
    "Anthropic": b'event: ping\ndata: {"type": "ping"}\n\n',
    "OpenAIChat": b": ping\n\n",
    "OpenAIResponses": b": ping\n\n",
}

REST = b'"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "whole"}}\n\n'


async def thinks(talk: Talk) -> None:
    await talk.head()
    await talk.events("start", "block", "word")
    await asyncio.sleep(0.5)
    await talk.events("word", "stop", "end")
    await talk.end()


@pytest.mark.parametrize("dialect", ["Anthropic", "OpenAIChat", "OpenAIResponses", "Gemini"])
async def test_a_silent_stream_shows_signs_of_life(tmp_path: Path, dialect: str) -> None:
    async with (
        scripted(thinks) as (url, _),
        serving(tmp_path, provider("a", url), route("a"), ping_seconds=0.1) as gateway,
    ):
        got = await gateway.ask(dialect, stream=True)
        assert got.status == 200
        assert not got.broken
        if dialect in PINGS:
            assert 2 <= got.body.count(PINGS[dialect]) <= 6
        else:
            assert b"ping" not in got.body
        words = got.body.replace(PINGS.get(dialect, b"\0"), b"")
        assert words.count(b"word ") >= 2
        assert (await gateway.operator.heard(1))[0].tokens.output == 5


async def test_before_the_first_content_and_in_whole_answers_there_is_silence(tmp_path: Path) -> None:
    async def slow(talk: Talk) -> None:
        await asyncio.sleep(0.4)
        if talk.seen.body["stream"]:
            await talk.head()
            await talk.events("start", "block", "word", "stop", "end")
            await talk.end()
        else:
            await talk.answer(200, MESSAGE)

    async with (
        scripted(slow) as (url, _),
        serving(tmp_path, provider("a", url), route("a"), ping_seconds=0.05) as gateway,
    ):
        for stream in (True, False):
            assert b"ping" not in (await gateway.ask(stream=stream)).body


async def test_half_an_event_is_not_interrupted(tmp_path: Path) -> None:
    async def halves(talk: Talk) -> None:
        await talk.head()
        await talk.events("start", "block", "word")
        await talk.say(b"event: content_block_delta\ndata: {")
        await asyncio.sleep(0.4)
        await talk.say(REST)
        await talk.events("stop", "end")
        await talk.end()

    async with (
        scripted(halves) as (url, _),
        serving(tmp_path, provider("a", url), route("a"), ping_seconds=0.1) as gateway,
    ):
        body = (await gateway.ask(stream=True)).body
        assert PINGS["Anthropic"] in body
        assert b"event: content_block_delta\ndata: {" + REST in body
