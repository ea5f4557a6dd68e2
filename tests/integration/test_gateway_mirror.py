"""Copies go to a candidate that is only watched: they delay nothing, fail nothing, and are in nobody's account but their own."""

import asyncio
import json
from pathlib import Path
from typing import Any

from droveway.core.events import RecordKind
from helpers.gateway import EVENTS, MESSAGE, Talk, provider, route, scripted, serving, until


def mirrored(percent: int = 100, **spec: Any) -> dict[str, Any]:
    return route("a", "b", mirror={"candidate": "b", "percent": percent}, **spec)


async def plain(talk: Talk) -> None:
    await talk.answer(200, MESSAGE)


async def test_a_copy_is_sent_and_its_answer_thrown_away(tmp_path: Path) -> None:
    async def other(talk: Talk) -> None:
        await talk.answer(200, MESSAGE | {"content": [{"type": "text", "text": "of the mirror"}]})

    async with (
        scripted(plain) as (a, _),
        scripted(other) as (b, copies),
        serving(tmp_path, provider("a", a), provider("b", b), mirrored()) as gateway,
    ):
        answer = await gateway.ask(asked="something")
        assert (answer.headers["x-droveway-candidate"], answer.headers["x-droveway-attempts"]) == ("a", "1")
        assert b"of the mirror" not in answer.body
        await until(lambda: gateway.metric("mirror_completions_total", outcome="Succeeded") == 1)
        copy = copies.seen[0]
        assert (copy.body["asked"], copy.body["model"]) == ("something", "model-b")
        assert copy.headers["x-api-key"] == "key-of-b"
        own, mirror = sorted(await gateway.operator.heard(2), key=lambda r: r.number)
        assert (own.kind, own.candidate) == (RecordKind.COMPLETION, "a")
        assert (mirror.kind, mirror.candidate, mirror.success) == (RecordKind.MIRROR, "b", True)
        assert mirror.tokens.total == own.tokens.total > 0
        assert gateway.metric("completions_total", model="model-b") == 0
        assert (
            gateway.metric("tokens_total", model="model-b")
            == gateway.metric("mirror_tokens_total", model="model-a")
            == 0
        )
        assert gateway.metric("mirror_tokens_total", model="model-b") == own.tokens.total


async def test_streams_are_copied_to_their_end(tmp_path: Path) -> None:
    async def stream(talk: Talk) -> None:
        await talk.head()
        await talk.events("start", "block", "word", "stop", "end")
        await talk.end()

    async with (
        scripted(stream) as (a, _),
        scripted(stream) as (b, copies),
        serving(tmp_path, provider("a", a), provider("b", b), mirrored()) as gateway,
    ):
        answer = await gateway.ask(stream=True)
        assert EVENTS["end"] in answer.body
        await until(lambda: gateway.metric("mirror_completions_total", outcome="Succeeded") == 1)
        assert copies.seen[0].body["stream"] is True


async def test_what_the_mirror_does_harms_nobody(tmp_path: Path) -> None:
    hung = asyncio.Event()

    async def hangs(talk: Talk) -> None:
        await hung.wait()

    async with (
        scripted(plain) as (a, _),
        scripted(hangs) as (b, copies),
        serving(
            tmp_path, provider("a", a), provider("b", b, maxInFlight=100), mirrored(), answer_seconds=60.0
        ) as gateway,
    ):
        answers = [(await gateway.ask()).status for _ in range(40)]
        assert answers == [200] * 40
        await until(lambda: len(copies.seen) == 32)
        assert gateway.metric("mirror_completions_total", outcome="Dropped") == 8, "there are few at once"
        assert gateway.metric("in_flight", provider="b") == 32
        gateway.gateway.stop()  # a drain waits for agents, not for copies
        await asyncio.wait_for(asyncio.gather(*(seen.gone.wait() for seen in copies.seen)), 5)
        await until(lambda: gateway.metric("in_flight", provider="b") == 0)
        assert gateway.metric("mirror_completions_total", outcome="Cancelled") == 32


async def test_a_broken_mirror_is_left_alone_and_a_full_one_gets_no_more(tmp_path: Path) -> None:
    async def broken(talk: Talk) -> None:
        await talk.answer(503, {"type": "error"})

    async with (
        scripted(plain) as (a, _),
        scripted(broken) as (b, copies),
        serving(
            tmp_path, provider("a", a), provider("b", b), mirrored(circuitBreaker={"failureThreshold": 2})
        ) as gateway,
    ):
        for done in range(1, 6):
            assert (await gateway.ask()).status == 200
            await until(lambda done=done: gateway.metric("mirror_completions_total") == done)  # type: ignore[misc]
        assert len(copies.seen) == 2
        assert gateway.metric("mirror_completions_total", outcome="Skipped") == 3
        assert (await gateway.explained())["mirror"] == {"candidate": "b", "percent": 100}


async def test_only_its_share_is_copied_and_only_what_was_answered(tmp_path: Path) -> None:
    async def refuses(talk: Talk) -> None:
        if "refuse" in talk.seen.body:
            await talk.answer(400, {"type": "error", "error": {"type": "invalid_request_error", "message": "no"}})
        else:
            await talk.answer(200, MESSAGE)

    async with (
        scripted(refuses) as (a, _),
        scripted(plain) as (b, copies),
        serving(tmp_path, provider("a", a), provider("b", b, maxInFlight=100), mirrored(50)) as gateway,
    ):
        for _ in range(20):
            assert (await gateway.ask(refuse=True)).status == 400
        for _ in range(200):
            await gateway.ask()
        await until(lambda: gateway.metric("mirror_completions_total") == len(copies.seen) > 0)
        assert 50 < len(copies.seen) < 150
        assert not any("refuse" in json.dumps(seen.body) for seen in copies.seen)


async def test_a_mirror_answers_nobody_even_when_it_alone_is_left(tmp_path: Path) -> None:
    async def broken(talk: Talk) -> None:
        await talk.answer(503, {"type": "error"})

    async with (
        scripted(broken) as (a, _),
        scripted(plain) as (b, copies),
        serving(tmp_path, provider("a", a), provider("b", b), mirrored()) as gateway,
    ):
        answer = await gateway.ask()
        assert answer.status >= 500
        assert copies.seen == []
        skipped = (await gateway.explained())["candidates"][1]["skipped"]
        assert skipped["reason"] == "Mirror"
