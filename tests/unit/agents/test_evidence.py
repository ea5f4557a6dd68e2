"""Why a run failed: what is evidence, what beats what, and what is never searched (R-P10, R-L1, R-L2, R-C16, R-C28, R-C38)."""

import json
from typing import Any

import pytest

from droveway.api.enums import EndClass
from helpers.streams import AT, CLIS, claude_result, opencode_step, parser_of, pi_turn, play

RESULT = json.dumps(claude_result())


def said_by_the_agent(cli: str, words: str) -> list[dict[str, Any]]:
    """The words as the agent's own, as what a tool was given, and as what it answered."""
    blocks = [{"type": "text", "text": words}, {"type": "tool_use", "input": {"command": words}}]
    answered = {"type": "user", "message": {"content": [{"type": "tool_result", "content": words}]}}
    command = {"type": "command_execution", "command": words, "aggregated_output": words, "exit_code": 1}
    lines: dict[str, list[dict[str, Any]]] = {
        "claude": [{"type": "assistant", "message": {"model": "m", "content": blocks}}, answered],
        "codex": [{"type": "item.completed", "item": i} for i in ({"type": "agent_message", "text": words}, command)],
        "opencode": [
            {"type": "text", "part": {"messageID": "m", "text": words}},
            {"type": "tool_use", "part": {"state": {"input": words, "output": words, "error": words}}},
        ],
        "gemini": [
            {"type": "message", "role": "assistant", "content": words, "delta": True},
            {"type": "tool_use", "parameters": {"command": words}},
            {"type": "tool_result", "status": "error", "output": words, "error": {"message": words}},
        ],
        "qwen": [{"type": "assistant", "message": {"content": blocks}}, answered],
        "pi": [
            {"type": "message_end", "message": {"role": "assistant", "content": blocks}},
            {"type": "tool_execution_end", "args": words, "result": words, "isError": True},
        ],
        "copilot": [
            {"type": "assistant.message", "data": {"content": words}},
            {"type": "tool.execution_complete", "data": {"success": False, "error": {"message": words}}},
        ],
    }
    return lines[cli]


@pytest.mark.parametrize("cli", CLIS)
def test_r_p10_no_cli_is_judged_by_what_its_agent_or_its_tools_say(cli: str) -> None:
    words = "Error 429: Too Many Requests. You've hit your usage limit, resets 11pm. HTTP 503 overloaded"

    outcome, events = play(cli, *said_by_the_agent(cli, words), words, exit_code=1)

    assert (outcome.end_class, outcome.limit) == (EndClass.AGENT_FAILED, None)
    assert not any("429" in (event.error or "") for event in events)


def test_the_agents_own_words_are_never_searched() -> None:
    words = "Error 429: Too Many Requests. You've hit your usage limit, resets 11pm"
    lines: list[str | dict[str, Any]] = [
        {"type": "assistant", "message": {"model": "m", "content": [{"type": "text", "text": words}]}},
        {"type": "user", "message": {"content": [{"type": "tool_result", "content": words}]}},
        words,
        claude_result(result=words),
    ]

    assert play("claude", *lines, exit_code=1)[0].end_class is EndClass.AGENT_FAILED
    assert play("claude", *lines)[0].success


@pytest.mark.parametrize("exit_code", [1, -15, 143])
@pytest.mark.parametrize(
    "said",
    ["Request timed out.", "connect ECONNREFUSED 10.0.0.1:443", "stream disconnected before completion", "terminated"],
)
def test_r_c28_a_timeout_of_the_provider_s_is_an_outage_and_no_timeout_of_ours(said: str, exit_code: int) -> None:
    told: dict[str, dict[str, Any]] = {
        "claude": claude_result(is_error=True, result=said),
        "codex": {"type": "turn.failed", "error": {"message": said}},
        "opencode": {"type": "error", "error": {"data": {"message": said}}},
        "gemini": {"type": "result", "status": "error", "error": {"message": said}},
        "qwen": {"type": "result", "is_error": True, "error": {"message": said}},
        "pi": pi_turn("error", said),
    }

    ends = {cli: play(cli, line, exit_code=exit_code)[0].end_class for cli, line in told.items()}

    assert ends == dict.fromkeys(told, EndClass.PROVIDER_OUTAGE)


@pytest.mark.parametrize(("status", "end"), [(503, EndClass.PROVIDER_OUTAGE), (429, EndClass.SUBSCRIPTION_LIMIT)])
def test_r_l2_a_status_says_more_than_the_words_beside_it(status: int, end: EndClass) -> None:
    said = {"message": "usage limit reached", "statusCode": status}

    assert play("opencode", {"type": "error", "error": {"data": said}}, exit_code=1)[0].end_class is end


@pytest.mark.parametrize(
    ("status", "said", "end"),
    [
        (402, "no", EndClass.BALANCE_EXHAUSTED),
        (403, "no", EndClass.AUTH_FAILED),
        (404, "no", EndClass.REQUEST_REJECTED),
        (408, "no", EndClass.PROVIDER_OUTAGE),
        (429, "no", EndClass.RATE_LIMITED),
        (429, "The model is overloaded, please try again later", EndClass.PROVIDER_OUTAGE),
        (400, "API key not valid. Please pass a valid API key.", EndClass.AUTH_FAILED),
        (None, "Overloaded", EndClass.PROVIDER_OUTAGE),
        (None, "API Error: 404 not here", EndClass.REQUEST_REJECTED),
    ],
)
def test_r_c38_an_error_is_what_its_status_says_and_else_its_words(
    status: int | None, said: str, end: EndClass
) -> None:
    error = {"message": said} | ({"statusCode": status} if status else {})

    assert play("opencode", {"type": "error", "error": {"data": error}}, exit_code=1)[0].end_class is end


def test_r_c16_a_limit_that_is_over_names_the_end_and_limits_nothing() -> None:
    over = "You've hit your usage limit. It resets at 2026-11-21T11:00:00Z"

    outcome, _ = play("pi", pi_turn("error", over))

    assert (outcome.end_class, outcome.limit) == (EndClass.SUBSCRIPTION_LIMIT, None)


@pytest.mark.parametrize("status", [0, 200, 302, 700, 1e300, -1, "x"])
def test_what_is_no_status_of_an_error_says_nothing(status: Any) -> None:
    said = {"message": "it broke", "statusCode": status}

    assert (
        play("opencode", {"type": "error", "error": {"data": said}}, exit_code=1)[0].end_class is EndClass.AGENT_FAILED
    )


def test_an_error_that_was_overcome_does_not_explain_a_later_end() -> None:
    retry = {"type": "system", "subtype": "api_retry", "error_status": 429, "error": "rate_limit"}
    work = {"type": "assistant", "message": {"model": "claude-sonnet-4-5"}}

    assert play("claude", retry, exit_code=1)[0].end_class is EndClass.RATE_LIMITED
    assert play("claude", retry, work, exit_code=1)[0].end_class is EndClass.AGENT_FAILED


@pytest.mark.parametrize(
    ("lines", "end"),
    [
        (["Error: received HTTP 429 Too Many Requests"], EndClass.RATE_LIMITED),
        (["You have reached your quota limit; it will", "reset at 3pm (UTC)"], EndClass.SUBSCRIPTION_LIMIT),
        (["connect ECONNREFUSED 10.0.0.1:8099"], EndClass.PROVIDER_OUTAGE),
        (["Failed: status: 503", *["    at frame"] * 40], EndClass.PROVIDER_OUTAGE),
        (["Error: 401 Unauthorized"], EndClass.AUTH_FAILED),
        (["model not found in cache", "error loading config.toml"], EndClass.AGENT_FAILED),
        ([], EndClass.AGENT_FAILED),
    ],
    ids=["rate", "two lines", "refused", "long trace", "auth", "own trouble", "silence"],
)
def test_stderr_explains_a_run_that_said_nothing(lines: list[str], end: EndClass) -> None:
    parser = parser_of("gemini")
    for line in lines:
        parser.feed_stderr(line, AT)

    outcome = parser.finish(1, AT)

    assert outcome.end_class is end
    assert outcome.message


def test_stderr_explains_opencodes_end_after_a_step_since_no_step_is_the_end() -> None:
    parser = parser_of("opencode")
    parser.feed(json.dumps(opencode_step("tool-calls")), AT)
    parser.feed_stderr("Error: 401 Unauthorized", AT)

    assert parser.finish(1, AT).end_class is EndClass.AUTH_FAILED


def test_stderr_does_not_explain_a_bad_exit_after_a_good_ending() -> None:
    """What it holds of retries was overcome."""
    parser = parser_of("claude")
    parser.feed_stderr("Error: received HTTP 429 Too Many Requests", AT)
    parser.feed(RESULT, AT)

    assert parser.finish(1, AT).end_class is EndClass.AGENT_FAILED


def test_stderr_of_a_good_run_is_nobodys_business() -> None:
    parser = parser_of("claude")
    parser.feed_stderr("Error: received HTTP 429 Too Many Requests", AT)
    parser.feed(RESULT, AT)

    assert parser.finish(0, AT).success


def test_what_stderr_said_last_is_the_message_when_nobody_said_more() -> None:
    parser = parser_of("gemini")
    for line in ("one", "two", "", "three", "four \udcff"):
        parser.feed_stderr(line, AT)

    assert parser.finish(1, AT).message == "two three four ?"


def test_the_last_of_several_verdicts_on_stderr_counts() -> None:
    parser = parser_of("codex")
    for line in ("Error: 401 Unauthorized", *["working"] * 5, "connect ECONNREFUSED 10.0.0.1", *["at frame"] * 5):
        parser.feed_stderr(line, AT)

    assert parser.finish(1, AT).end_class is EndClass.PROVIDER_OUTAGE


def test_a_huge_error_is_read_in_no_time_and_cut() -> None:
    outcome, _ = play("claude", claude_result(is_error=True, result="model limit " * 80_000 + "HTTP 503"), exit_code=1)

    assert outcome.end_class is EndClass.PROVIDER_OUTAGE
    assert len(outcome.message) <= 256
