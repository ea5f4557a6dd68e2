"""What the events of the other CLIs mean: turns, counts, durations, exit codes (R-P8, R-C31, R-C32)."""

import json
from datetime import timedelta
from typing import Any

import pytest

from droveway.agents import stream_parser
from droveway.api.enums import EndClass
from droveway.api.errors import UserMustAct
from helpers.streams import AT, claude_result, codex_turn, parser_of, pi_turn, play


def test_codex_counts_up_over_a_thread() -> None:
    """R-C32: differences, and never more than was told."""
    thread, item = (
        {"type": "thread.started", "thread_id": "t"},
        {"type": "item.completed", "item": {"type": "reasoning"}},
    )
    lines: list[dict[str, Any]] = [
        thread,
        item,
        codex_turn(100, 10),
        codex_turn(250, 30),
        codex_turn(5, 1),
        thread,
        codex_turn(7, 2),
    ]

    _, events = play("codex", *lines)

    assert [(e.tokens.input, e.tokens.output) for e in events] == [(100, 10), (150, 20), (5, 1), (7, 2)]


def test_a_turn_of_codex_that_says_nothing_of_its_usage_leaves_the_count() -> None:
    failed = {"type": "turn.failed", "error": {"message": "stopped"}}

    outcome, events = play("codex", codex_turn(100, 10), failed, codex_turn(150, 10))

    assert outcome.success
    assert [e.tokens.total for e in events] == [110, 50]


def test_a_turn_of_codex_without_a_word_or_a_token_is_no_success() -> None:
    parser = parser_of("codex")
    parser.feed(json.dumps(codex_turn(0, 0)), AT)
    parser.feed_stderr("ERROR: You've hit your usage limit. Try again in 3 hours.", AT)

    outcome = parser.finish(0, AT)

    assert outcome.end_class is EndClass.SUBSCRIPTION_LIMIT
    assert outcome.limit is not None
    assert outcome.limit.until == AT + timedelta(hours=3)


def test_a_later_turn_of_codex_without_a_word_or_a_token_is_no_success_either() -> None:
    began, item = {"type": "turn.started"}, {"type": "item.completed", "item": {"type": "agent_message", "text": "Hi."}}

    outcome, events = play("codex", began, item, codex_turn(100, 10), began, codex_turn(100, 10))

    assert outcome.end_class is EndClass.AGENT_FAILED
    assert [e.success for e in events] == [True, False]
    assert outcome.result == "Hi."


@pytest.mark.parametrize(
    ("cli", "began", "ended"),
    [("codex", "turn.started", codex_turn(3, 2)), ("pi", "turn_start", pi_turn(output=1))],
    ids=["codex", "pi"],
)
def test_the_duration_of_a_turn_is_by_the_clock(cli: str, began: str, ended: dict[str, Any]) -> None:
    parser = parser_of(cli)
    parser.feed(json.dumps({"type": began}), AT + timedelta(seconds=1))

    (event,) = parser.feed(json.dumps(ended), AT + timedelta(seconds=5))

    assert event.latency_ms == 4000


@pytest.mark.parametrize(
    ("cli", "ended"), [("codex", codex_turn(3, 2)), ("pi", pi_turn(output=1))], ids=["codex", "pi"]
)
def test_a_clock_that_steps_back_makes_no_negative_duration(cli: str, ended: dict[str, Any]) -> None:
    (event,) = parser_of(cli).feed(json.dumps(ended), AT - timedelta(seconds=5))

    assert event.latency_ms is None


@pytest.mark.parametrize(
    ("cli", "line", "buckets"),
    [
        ("codex", {"type": "turn.completed", "usage": {"input_tokens": 9, "cached_input_tokens": 50}}, (0, 0, 0, 9, 0)),
        (
            "codex",
            {
                "type": "turn.completed",
                "usage": {
                    "input_tokens": 9,
                    "cached_input_tokens": 4,
                    "cache_write_input_tokens": 7,
                    "output_tokens": 3,
                    "reasoning_output_tokens": 5,
                },
            },
            (0, 0, 3, 4, 5),
        ),
        (
            "gemini",
            {"type": "result", "status": "success", "stats": {"input_tokens": 9, "cached": 50}},
            (0, 0, 0, 9, 0),
        ),
        ("qwen", claude_result(usage={"input_tokens": 9, "cache_read_input_tokens": 50}), (0, 0, 0, 9, 0)),
    ],
)
def test_a_part_is_never_more_than_the_whole(cli: str, line: dict[str, Any], buckets: tuple[int, ...]) -> None:
    """R-C32: buckets are disjoint, so that no token is counted twice."""
    ((event, *_),) = [play(cli, line)[1]]
    told = event.tokens

    assert (told.input, told.output, told.reasoning, told.cache_read, told.cache_write) == buckets
    assert told.total == sum(buckets)


def test_gemini_counts_each_model_it_switched_to() -> None:
    """R-C32."""

    def stats(total: int, given: int, out: int, cached: int) -> dict[str, int]:
        return {"total_tokens": total, "input_tokens": given, "output_tokens": out, "cached": cached}

    models = {"pro": stats(130, 100, 20, 40), "flash": stats(15, 10, 5, 0), "unused": stats(0, 0, 0, 0)}
    line = {"type": "result", "status": "success", "stats": stats(145, 110, 25, 40) | {"models": models}}

    _, events = play("gemini", line)

    assert [(e.model, e.tokens.input, e.tokens.output, e.tokens.reasoning, e.tokens.cache_read) for e in events] == [
        ("pro", 60, 20, 10, 40),
        ("flash", 10, 5, 0, 0),
    ]


def test_the_last_message_of_gemini_is_the_result() -> None:
    def said(words: str, *, delta: bool = True) -> dict[str, Any]:
        return {"type": "message", "role": "assistant", "content": words, "delta": delta}

    ended = {"type": "result", "status": "success"}

    assert (
        play("gemini", said("I "), said("look."), {"type": "tool_use"}, said(" Done"), said("."), ended)[0].result
        == "Done."
    )
    assert play("gemini", said("Draft"), said("Final", delta=False), ended)[0].result == "Final"
    assert play("gemini", {"type": "message", "role": "user", "content": "Hi"}, ended)[0].result == ""


@pytest.mark.parametrize(
    ("exit_code", "end"),
    [
        (144, EndClass.REQUEST_REJECTED),
        (145, EndClass.AUTH_FAILED),
        (147, EndClass.AUTH_FAILED),
        (148, EndClass.REQUEST_REJECTED),
        (152, EndClass.PROVIDER_OUTAGE),  # 408, and no signal 24
        (157, EndClass.REQUEST_REJECTED),
        (173, EndClass.RATE_LIMITED),
        (244, EndClass.PROVIDER_OUTAGE),
        (246, EndClass.PROVIDER_OUTAGE),
        (247, EndClass.PROVIDER_OUTAGE),
        (248, EndClass.PROVIDER_OUTAGE),
        (139, EndClass.UNKNOWN),
        (2, EndClass.AGENT_FAILED),
    ],
)
def test_the_exit_code_of_gemini_is_an_http_status(exit_code: int, end: EndClass) -> None:
    assert play("gemini", {"type": "init"}, exit_code=exit_code)[0].end_class is end


def test_qwens_error_as_a_success_is_one_only_without_an_answer() -> None:
    """R-C31."""

    def result(out: int) -> dict[str, Any]:
        return {"type": "result", "is_error": False, "result": "[API Error: 503 busy]", "usage": {"output_tokens": out}}

    assert play("qwen", result(0))[0].end_class is EndClass.PROVIDER_OUTAGE
    assert play("qwen", result(9))[0].success


def test_qwen_may_end_for_a_reason_of_its_own() -> None:
    ended = claude_result(subtype="error_max_turns", result="")

    assert play("qwen", ended)[0].end_class is EndClass.AGENT_FAILED


@pytest.mark.parametrize(
    ("told", "success"), [(0, True), (0.0, True), ("0", True), (1, False), (None, False), (False, False)]
)
def test_copilot_tells_its_exit_code_itself(told: Any, success: bool) -> None:
    """R-P5."""
    assert play("copilot", {"type": "result", "exitCode": told})[0].success is success


def test_what_copilot_met_in_a_call_explains_only_what_follows_from_it() -> None:
    met = {"type": "model.call_failure", "data": {"errorMessage": "429 usage limit reached, try again in 3 hours"}}
    work = {"type": "assistant.message", "data": {"content": ""}}
    error = {"type": "session.error", "data": {"message": "the tool broke"}}
    ended = {"type": "result", "exitCode": 1}

    assert play("copilot", met, error, ended, exit_code=1)[0].end_class is EndClass.SUBSCRIPTION_LIMIT
    assert play("copilot", met, work, error, ended, exit_code=1)[0].end_class is EndClass.AGENT_FAILED


def test_pi_gives_up_its_retries() -> None:
    given_up = {"type": "auto_retry_end", "success": False, "finalError": "503 overloaded"}
    alone, (event,) = play("pi", given_up)
    after, (turn,) = play("pi", pi_turn("error", cost={"total": 0}), given_up)

    assert alone.end_class is EndClass.PROVIDER_OUTAGE
    assert (event.success, event.cost_usd) == (False, None)
    assert not after.success
    assert (turn.success, turn.cost_usd) == (False, 0)  # the turn has told it already
    assert play("pi", pi_turn("error"), {"type": "auto_retry_end", "success": True}, pi_turn())[0].success


def test_a_custom_program_is_judged_by_its_exit_code_alone() -> None:
    def ended(exit_code: int | None) -> EndClass:
        parser = stream_parser("custom", "run-1", 1, AT)
        assert parser.feed(json.dumps(claude_result()), AT) == []
        parser.feed_stderr("HTTP 429 Too Many Requests", AT)
        outcome = parser.finish(exit_code, AT)
        assert outcome.events == []
        assert outcome.result == ""
        return outcome.end_class

    assert [ended(code) for code in (0, 1, 173, 143, -9, None)] == [
        EndClass.SUCCEEDED,
        EndClass.AGENT_FAILED,
        EndClass.AGENT_FAILED,
        EndClass.UNKNOWN,
        EndClass.UNKNOWN,
        EndClass.UNKNOWN,
    ]


def test_an_unknown_cli_is_refused() -> None:
    with pytest.raises(UserMustAct, match="aider"):
        stream_parser("aider", "run-1", 1, AT)
