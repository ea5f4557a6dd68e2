"""A parser needs the same room for a long stream as for a short one: nothing that it keeps grows with what it reads."""

import json
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

import pytest

from droveway.agents.lines import LINE_LIMIT
from droveway.agents.stream import RESULT_LIMIT, StreamParser
from helpers.streams import AT, CLIS, claude_result, codex_turn, opencode_step, parser_of, pi_turn, recordings

WIDE = "w" * 20_000


def room(kept: Any, seen: set[int] | None = None) -> int:
    """Characters and items that an object keeps, at any depth."""
    seen = set() if seen is None else seen
    if id(kept) in seen or kept is None or isinstance(kept, type | datetime | int | float | bool):
        return 1
    seen.add(id(kept))
    if isinstance(kept, str | bytes | memoryview):
        return len(kept)
    if isinstance(kept, dict):
        return sum(room(part, seen) for pair in kept.items() for part in pair)
    if isinstance(kept, Iterable):
        return sum(room(part, seen) for part in kept)
    fields = [name for kind in type(kept).__mro__ for name in getattr(kind, "__slots__", ())]
    return sum(room(part, seen) for part in [*vars_of(kept), *(getattr(kept, name, None) for name in fields)])


def vars_of(kept: object) -> list[Any]:
    return list(vars(kept).values()) if hasattr(kept, "__dict__") else []


def numbered(number: int, cli: str) -> list[dict[str, Any]]:
    """Lines of every kind that a parser keeps something of, unlike all others, and large."""
    name = f"{number}{WIDE}"
    error = f"{name} HTTP 503"
    used = {"input_tokens": number + 1, "output_tokens": 1}
    lines: dict[str, list[dict[str, Any]]] = {
        "claude": [
            {"type": "system", "subtype": "init", "session_id": name, "model": name},
            {"type": "system", "subtype": "api_retry", "error": error},
            {"type": "rate_limit_event", "rate_limit_info": {"status": "rejected", "rateLimitType": name}},
            claude_result(is_error=True, result=error, usage=used, modelUsage={name: {"inputTokens": number}}),
        ],
        "codex": [
            {"type": "thread.started", "thread_id": name},
            {"type": "item.completed", "item": {"type": "agent_message", "text": name}},
            {"type": "error", "message": error},
            {"type": "turn.failed", "error": {"message": error}, "usage": used},
            codex_turn(number, 1) if number % 100 == 0 else {},
        ],
        "opencode": [
            {"type": "text", "sessionID": name, "part": {"messageID": "m", "text": name}},
            opencode_step("error", output=1),
            {"type": "error", "error": {"data": {"message": error, "responseBody": error}}},
        ],
        "gemini": [
            {"type": "init", "session_id": name, "model": name},
            {"type": "message", "role": "assistant", "content": name, "delta": True},
            {"type": "error", "message": error},
            {"type": "result", "error": {"message": error}, "stats": used | {"models": {name: used}}},
        ],
        "qwen": [
            {"type": "system", "session_id": name, "model": name},
            {"type": "result", "is_error": True, "error": {"message": error}, "usage": used},
        ],
        "pi": [
            {"type": "session", "id": name},
            pi_turn("error", error, output=1),
            {
                "type": "turn_end",
                "message": {"model": name, "stopReason": "stop", "content": [{"type": "text", "text": name}]},
            },
            pi_turn("error", output=1),
        ],
        "copilot": [
            {"type": "assistant.message", "data": {"model": name, "content": name}},
            {"type": "model.call_failure", "data": {"errorMessage": error}},
            {"type": "session.error", "data": {"message": error}},
            {"type": "result", "sessionId": name, "exitCode": 1, "usage": {"sessionDurationMs": number}},
        ],
    }
    return lines[cli]


def read(parser: StreamParser, cli: str, numbers: range) -> None:
    for number in numbers:
        for line in numbered(number, cli):
            parser.feed(json.dumps(line), AT)
        parser.feed("noise " + WIDE, AT)
        parser.feed_stderr(f"{number} error {WIDE}", AT)


@pytest.mark.parametrize("cli", CLIS)
def test_a_longer_stream_needs_no_more_room(cli: str) -> None:
    parser = parser_of(cli)
    read(parser, cli, range(100, 300))
    before = room(parser)

    read(parser, cli, range(300, 700))

    assert room(parser) <= before + 1_000  # numbers may get longer
    assert before < 2_000_000


@pytest.mark.parametrize("cli", CLIS)
def test_recordings_without_end_need_no_more_room(cli: str) -> None:
    lines = [line for stream in recordings(cli).values() for line in stream]
    parser = parser_of(cli)
    for line in lines * 80:
        parser.feed(line, AT)
    before = room(parser)

    for line in lines * 40:
        parser.feed(line, AT)

    assert room(parser) == before


@pytest.mark.parametrize(
    "part",
    [
        lambda n: f"2026-11-21T11:29:59Z stdout P {n}{WIDE}",
        lambda n: f"2026-11-21T11:29:59Z std{'out' if n % 2 else 'err'} P {n}{WIDE}",
        lambda n: "[" * 100_000 + str(n),
        lambda n: json.dumps({"type": f"{n}{WIDE}"}),
    ],
    ids=["parts without end", "parts of both streams", "brackets", "unknown events"],
)
def test_lines_without_end_or_meaning_need_no_more_room(part: Callable[[int], str]) -> None:
    parser = parser_of("claude")

    for number in range(200):
        parser.feed(part(number), AT)

    assert room(parser) < 2 * LINE_LIMIT + 200_000


def test_what_is_kept_of_a_long_text_is_bounded() -> None:
    parser = parser_of("claude")
    long = "x" * 500_000
    parser.feed(json.dumps({"type": "system", "subtype": "init", "session_id": long, "model": long}), AT)
    parser.feed(json.dumps(claude_result(result=long, session_id=long)), AT)

    outcome = parser.finish(0, AT)

    assert outcome.session_id == outcome.model == "x" * 256
    assert outcome.result == "x" * RESULT_LIMIT


def test_of_very_many_failed_completions_the_oldest_are_told_as_overcome() -> None:
    """They cannot all wait for the end of the run; no token of theirs is lost."""
    failed = claude_result(is_error=True, result="boom", usage={"output_tokens": 1})
    parser = parser_of("claude")

    told = [event for number in range(200) for event in parser.feed(json.dumps(failed | {"uuid": number}), AT)]
    held = parser.finish(1, AT).events

    assert {e.success for e in told} == {True}
    assert {e.success for e in held} == {False}
    assert len(told) + len(held) == len({e.id for e in [*told, *held]}) == 200
    assert len(held) < 100
