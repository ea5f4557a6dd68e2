"""How a run ended: one outcome, its words, and the completions that it leaves (R-P9, R-C1, R-C29, R-C34, R-C37)."""

import json
from datetime import timedelta
from typing import Any

import pytest

from droveway.api.enums import EndClass
from helpers.streams import AT, CLIS, claude_result, opencode_step, parser_of, pi_turn, play

RESULT = json.dumps(claude_result())


def test_finish_again_is_the_same_outcome_and_what_comes_later_is_not_read() -> None:
    """R-C1."""
    parser = parser_of("claude")
    first = parser.finish(1, AT)

    assert parser.feed(RESULT, AT) == []
    assert parser.finish(0, AT + timedelta(hours=1)) == first


@pytest.mark.parametrize("cli", CLIS)
@pytest.mark.parametrize(
    ("exit_code", "end"),
    [(0, EndClass.AGENT_FAILED), (1, EndClass.AGENT_FAILED)]
    + [(code, EndClass.UNKNOWN) for code in (-15, -9, 143, 137, 130, 139, 141, 159, None)],
)
def test_without_a_final_event_no_exit_code_makes_a_success(cli: str, exit_code: int | None, end: EndClass) -> None:
    """R-P9, R-C28, R-C29."""
    outcome, events = play(cli, {"type": "hello"}, exit_code=exit_code)

    assert outcome.end_class is end
    assert not outcome.success
    assert [e.success for e in events] == [False]


@pytest.mark.parametrize("cli", CLIS)
def test_nothing_at_all_is_a_failure_of_nobodys_model(cli: str) -> None:
    """R-C29."""
    outcome, events = play(cli, exit_code=0)

    assert outcome.end_class is EndClass.AGENT_FAILED
    assert events == []


def test_a_bad_exit_code_beats_a_good_ending() -> None:
    """R-C29."""
    outcome, events = play("claude", claude_result(), exit_code=1)

    assert outcome.end_class is EndClass.AGENT_FAILED
    assert [e.success for e in events] == [True, False]
    assert len({e.id for e in events}) == 2


def test_a_signal_after_a_good_ending_is_nobodys_fault_yet() -> None:
    """R-C28: the operator says why."""
    assert play("claude", claude_result(), exit_code=-15)[0].end_class is EndClass.UNKNOWN
    assert play("opencode", opencode_step(), exit_code=143)[0].end_class is EndClass.UNKNOWN
    assert play("claude", claude_result(is_error=True), exit_code=143)[0].end_class is EndClass.AGENT_FAILED


def test_an_unknown_exit_code_leaves_a_good_ending_as_it_is() -> None:
    """R-C29."""
    assert play("claude", claude_result(), exit_code=None)[0].success
    assert not play("opencode", opencode_step(output=1), exit_code=None)[0].success


@pytest.mark.parametrize(
    ("reason", "end"),
    [
        ("refusal", EndClass.REQUEST_REJECTED),
        ("content-filter", EndClass.REQUEST_REJECTED),
        ("length", EndClass.AGENT_FAILED),
        ("aborted", EndClass.AGENT_FAILED),
    ],
)
def test_r_c30_a_refusal_is_the_requests_fault_and_a_length_the_agents(reason: str, end: EndClass) -> None:
    ends = [play("opencode", opencode_step(reason))[0], play("pi", pi_turn(reason))[0]]

    assert [found.end_class for found in ends] == [end, end]


@pytest.mark.parametrize("cli", CLIS)
def test_r_c34_whatever_was_printed_a_failure_leaves_one_completion(cli: str) -> None:
    outcome, events = play(cli, "Traceback: it broke", exit_code=1)

    assert [(e.success, e.error, e.tokens.total) for e in events] == [(False, outcome.message, 0)]
    assert play(cli, "", "  ", "\x1b[0m", exit_code=1)[1] == []


def test_r_c34_failures_that_were_overcome_count_as_used_and_not_as_failed() -> None:
    broken = claude_result(is_error=True, result="boom")
    empty = claude_result(is_error=True, result="boom", usage={})
    parser = parser_of("claude")

    held = [event for line in (broken, empty, broken) for event in parser.feed(json.dumps(line), AT)]
    told = parser.feed(RESULT, AT)

    assert held == []
    assert [(e.success, e.error, e.tokens.total) for e in told] == [(True, None, 20)] * 3
    assert parser.finish(0, AT).events == []


def test_each_failed_completion_keeps_its_own_error() -> None:
    first, last = claude_result(is_error=True, result="first"), claude_result(is_error=True, result="last")

    outcome, events = play("claude", first, last, exit_code=1)

    assert [e.error for e in events] == ["first", "last"]
    assert outcome.message == "last"


@pytest.mark.parametrize(
    "secret",
    [
        "sk-ant-abc123",
        "ghp_abcdefghij",
        "Bearer eyJhbGciOi.x.y",
        "password=hunter2",
        "dwk-5f0c-1-abc",
        '"api_key": "abc"',
    ],
    ids=lambda secret: secret[:4],
)
def test_no_secret_comes_out(secret: str) -> None:
    """R-C37."""
    line = claude_result(is_error=True, result=f"it failed with {secret} for once; usage limit reached, {secret} again")
    parser = parser_of("claude")
    parser.feed_stderr(f"debug: {secret}", AT)
    parser.feed(json.dumps(line), AT)
    outcome = parser.finish(1, AT)
    bare = secret.removeprefix("Bearer ").removeprefix("password=").removeprefix('"api_key": ').strip('"')

    assert bare not in str(outcome)
    assert "it failed with" in outcome.message
    assert bare not in play("claude", claude_result(result=f"I found {secret}"))[0].result


def test_a_failure_that_says_nothing_is_told_by_its_exit_code() -> None:
    outcome, (event,) = play("copilot", {"type": "result", "exitCode": 3}, exit_code=3)

    assert outcome.message == event.error == "ended with exit code 3 without a final event"


@pytest.mark.parametrize(
    ("cli", "line"),
    [
        ("claude", {"type": "system", "subtype": "init", "model": "<synthetic>"}),
        ("claude", claude_result(modelUsage={"<synthetic>": {"inputTokens": 10}})),
        ("qwen", {"type": "system", "model": "<synthetic>"}),
        ("pi", {"type": "turn_end", "message": {"model": "<synthetic>", "stopReason": "stop"}}),
        ("copilot", {"type": "assistant.message", "data": {"model": "<synthetic>"}}),
    ],
)
def test_r_c11_no_model_is_called_synthetic(cli: str, line: dict[str, Any]) -> None:
    outcome, events = play(cli, line, exit_code=1)

    assert outcome.model == ""
    assert {e.model for e in events} == {""}
