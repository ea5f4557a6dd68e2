"""What a provider can do wrong, at the socket, and what the agent sees of it: by where it fails, and what the route says."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from droveway.api.enums import EndClass
from droveway.dialects.conversion.resuming import VOID
from helpers.faulty import (
    A_WORDS,
    B_WORDS,
    Fault,
    after_content,
    before_content,
    cut,
    half_json,
    hang,
    healthy,
    in_band,
    refuses,
    reset,
)
from helpers.gateway import PATHS, TERMINALS, Answer, Running, Script, Talk, provider, route, scripted, serving

pytestmark = pytest.mark.integration

DIALECT = pytest.mark.parametrize("dialect", list(PATHS))
MID_STREAM = pytest.mark.parametrize("mid_stream", ["Error", "Continue", "Restart"])
STREAMED = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "plain"])
CLOCKS: dict[str, Any] = {"answer_seconds": 0.3, "idle_seconds": 0.3}
A, B = "".join(A_WORDS), "".join(B_WORDS)
ASKED: dict[str, dict[str, Any]] = {
    "Anthropic": {"messages": [{"role": "user", "content": "Tell a story."}], "max_tokens": 99},
    "OpenAIChat": {"messages": [{"role": "user", "content": "Tell a story."}]},
    "OpenAIResponses": {"input": "Tell a story."},
    "Gemini": {"contents": [{"role": "user", "parts": [{"text": "Tell a story."}]}]},
}


def limited(dialect: str) -> Script:
    """A spent subscription, in the vendor's own form."""
    match dialect:
        case "Anthropic":
            headers = {
                "anthropic_ratelimit_unified_status": "rejected",
                "anthropic_ratelimit_unified_reset": "9999999999",
            }
            return refuses(429, {"type": "error", "error": {"type": "rate_limit_error", "message": "spent"}}, **headers)
        case "Gemini":
            quota = {
                "@type": "type.googleapis.com/google.rpc.QuotaFailure",
                "violations": [{"quotaId": "RequestsPerDay"}],
            }
            error = {"code": 429, "message": "spent", "status": "RESOURCE_EXHAUSTED", "details": [quota]}
            return refuses(429, {"error": error})
    return refuses(429, {"error": {"message": "spent", "type": "usage_limit_reached", "resets_in_seconds": 9999}})


def throttled(dialect: str) -> Script:
    return refuses(429, {"error": {"message": "slow down", "type": "requests"}}, retry_after="60")


def unavailable(dialect: str) -> Script:
    return refuses(503, b"<html>busy</html>")


def silent(dialect: str) -> Script:
    async def script(talk: Talk) -> None:
        await hang(talk, None)  # type: ignore[arg-type]

    return script


def hung_up(dialect: str) -> Script:
    async def script(talk: Talk) -> None:
        talk.reset()

    return script


def inside(fault: Fault) -> Callable[[str], Script]:
    return lambda dialect: before_content(dialect, fault)


BEFORE = [
    pytest.param(throttled, EndClass.RATE_LIMITED, id="429"),
    pytest.param(unavailable, EndClass.PROVIDER_OUTAGE, id="503"),
    pytest.param(limited, EndClass.SUBSCRIPTION_LIMIT, id="subscription 429"),
    pytest.param(silent, EndClass.PROVIDER_OUTAGE, id="hang before the head"),
    pytest.param(hung_up, EndClass.PROVIDER_OUTAGE, id="reset before the head"),
    pytest.param(inside(in_band), EndClass.PROVIDER_OUTAGE, id="in-band error"),
    pytest.param(inside(cut), EndClass.PROVIDER_OUTAGE, id="cut"),
    pytest.param(inside(reset), EndClass.PROVIDER_OUTAGE, id="reset"),
    pytest.param(inside(half_json), EndClass.PROVIDER_OUTAGE, id="broken JSON"),
    pytest.param(inside(hang), EndClass.PROVIDER_OUTAGE, id="hang behind the head"),
]
AFTER = [
    pytest.param(in_band, id="in-band error"),
    pytest.param(cut, id="cut"),
    pytest.param(reset, id="reset"),
    pytest.param(half_json, id="broken JSON"),
    pytest.param(hang, id="hang"),
]


def words(dialect: str, body: bytes) -> str:
    """Everything that is said in a stream, or in an answer in one piece."""
    found = []
    for line in body.splitlines() if b"data:" in body else [b"data: " + body]:
        if not line.startswith(b"data: ") or line == b"data: [DONE]":
            continue
        event = json.loads(line[6:])
        match dialect:
            case "Anthropic":
                parts = event.get("content") or [event.get("delta", {})]
                found += [part.get("text", "") for part in parts]
            case "OpenAIChat":
                said = [choice.get("delta") or choice.get("message") or {} for choice in event.get("choices", ())]
                found += [part.get("content") or "" for part in said]
            case "OpenAIResponses":
                found += [event["delta"]] if event.get("type") == "response.output_text.delta" else []
                found += [part["text"] for item in event.get("output", ()) for part in item["content"]]
            case "Gemini":
                chosen = [choice.get("content", {}) for choice in event.get("candidates", ())]
                found += [part.get("text", "") for content in chosen for part in content.get("parts", ())]
    return "".join(found)


def notices(body: bytes) -> list[dict[str, Any]]:
    """Our own events: comments, and for Gemini a member of a chunk."""
    found = re.findall(rb'^: droveway (.*)$|^data: .*"droveway":({.*?})', body, re.MULTILINE)
    return [json.loads(comment or member) for comment, member in found]


async def ask(gateway: Running, dialect: str, *, stream: bool) -> Answer:
    return await gateway.ask(dialect, stream=stream, **ASKED[dialect])


@MID_STREAM
@STREAMED
@pytest.mark.parametrize("dialect", ["Anthropic", "OpenAIResponses"])
@pytest.mark.parametrize(("fault", "kind"), BEFORE)
async def test_a_fault_before_content_stays_unseen(
    tmp_path: Path, fault: Callable[[str], Script], kind: EndClass, dialect: str, stream: bool, mid_stream: str
) -> None:
    async with (
        scripted(fault(dialect)) as (first, a),
        scripted(healthy(dialect)) as (second, b),
        serving(
            tmp_path,
            provider("a", first, dialect),
            provider("b", second, dialect),
            route("a", "b", midStream=mid_stream),
            **CLOCKS,
        ) as gateway,
    ):
        answer = await ask(gateway, dialect, stream=stream)
        assert (answer.status, answer.broken) == (200, False)
        assert words(dialect, answer.body) == B
        assert not notices(answer.body)
        assert b'"error": {' not in answer.body
        assert answer.headers["x-droveway-candidate"] == "b"
        assert (len(a.seen), len(b.seen)) == (1, 1)
        failed, served = await gateway.operator.heard(2)
        assert failed.verdict is not None
        assert (failed.verdict.kind, served.success) == (kind, True)
        assert gateway.metric("in_flight") == 0


@DIALECT
@MID_STREAM
@pytest.mark.parametrize("fault", AFTER)
async def test_a_fault_after_content_ends_as_the_route_says(
    tmp_path: Path, fault: Fault, mid_stream: str, dialect: str
) -> None:
    async with (
        scripted(after_content(dialect, fault)) as (first, _),
        scripted(healthy(dialect)) as (second, b),
        serving(
            tmp_path,
            provider("a", first, dialect),
            provider("b", second, dialect),
            route("a", "b", midStream=mid_stream),
            **CLOCKS,
        ) as gateway,
    ):
        answer = await ask(gateway, dialect, stream=True)
        assert (answer.status, answer.broken) == (200, False)
        whole = TERMINALS[dialect] in answer.body
        told = [(notice["event"], notice["failed"], notice["reason"]) for notice in notices(answer.body)]
        match mid_stream:
            case "Error":
                assert (words(dialect, answer.body), told, len(b.seen)) == (A, [], 0)
                assert b'"error"' in answer.body
                assert not whole
            case "Continue":
                assert (words(dialect, answer.body), whole) == (A + B, True)
                assert told == [("continued", "a", "ProviderOutage")]
                assert A in json.dumps(b.seen[0].body)
                assert "cut off" in json.dumps(b.seen[0].body)
            case "Restart":
                assert (words(dialect, answer.body), whole) == (A + VOID + B, True)
                assert told == [("restarted", "a", "ProviderOutage")]
                assert A not in json.dumps(b.seen[0].body)
        records = await gateway.operator.heard(1 if mid_stream == "Error" else 2)
        assert records[0].verdict is not None
        assert records[0].verdict.kind is EndClass.PROVIDER_OUTAGE
        assert gateway.metric("in_flight") == 0


@DIALECT
@MID_STREAM
@pytest.mark.parametrize("fault", [cut, reset, hang])
async def test_half_an_answer_in_one_piece_stays_unseen(
    tmp_path: Path, fault: Fault, mid_stream: str, dialect: str
) -> None:
    async with (
        scripted(after_content(dialect, fault)) as (first, _),
        scripted(healthy(dialect)) as (second, _),
        serving(
            tmp_path,
            provider("a", first, dialect),
            provider("b", second, dialect),
            route("a", "b", midStream=mid_stream),
            **CLOCKS,
        ) as gateway,
    ):
        answer = await ask(gateway, dialect, stream=False)
        assert (answer.status, words(dialect, answer.body)) == (200, B)
        assert answer.headers["x-droveway-candidate"] == "b"


@DIALECT
@MID_STREAM
@STREAMED
async def test_who_is_slow_is_waited_for(tmp_path: Path, dialect: str, stream: bool, mid_stream: str) -> None:
    async with (
        scripted(healthy(dialect, gap=0.15)) as (first, _),
        scripted(healthy(dialect)) as (second, b),
        serving(
            tmp_path,
            provider("a", first, dialect),
            provider("b", second, dialect),
            route("a", "b", midStream=mid_stream),
            **CLOCKS,
        ) as gateway,
    ):
        answer = await ask(gateway, dialect, stream=stream)
        assert (answer.status, words(dialect, answer.body), b.seen) == (200, B, [])
