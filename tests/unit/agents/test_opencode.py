"""What the steps of opencode and the turns of pi mean: reasons, results, durations, costs (R-P7, R-C29, R-C30)."""

from typing import Any

import pytest

from droveway.api.enums import EndClass
from helpers.streams import opencode_step, pi_turn, play


@pytest.mark.parametrize(
    ("reason", "output", "success", "end"),
    [
        ("stop", 0, True, EndClass.SUCCEEDED),
        ("tool-calls", 5, True, EndClass.SUCCEEDED),
        ("length", 5, True, EndClass.SUCCEEDED),
        ("length", 0, False, EndClass.AGENT_FAILED),
        ("content-filter", 5, False, EndClass.REQUEST_REJECTED),
        ("error", 5, False, EndClass.AGENT_FAILED),
        ("aborted", 5, False, EndClass.AGENT_FAILED),
    ],
)
def test_the_last_step_of_opencode_decides(reason: str, output: int, success: bool, end: EndClass) -> None:
    outcome, events = play("opencode", opencode_step(output=1), opencode_step(reason, input=7, output=output))

    assert outcome.end_class is end
    assert [e.success for e in events] == [True, success]
    assert sum(e.tokens.input for e in events) == 7


@pytest.mark.parametrize("cli", ["opencode", "pi"])
@pytest.mark.parametrize(
    ("reason", "output", "success"),
    [(reason, 0, True) for reason in ("stop", "end_turn", "tool-calls", "tool_use", "toolUse")]
    + [(reason, 5, False) for reason in ("error", "content-filter", "aborted")]
    + [(reason, output, output > 0) for reason in ("length", "max_tokens") for output in (0, 5)],
)
def test_r_p7_which_reasons_are_normal_ends(cli: str, reason: str, output: int, success: bool) -> None:
    turn = pi_turn(reason, output=output) if cli == "pi" else opencode_step(reason, output=output)

    assert play(cli, turn)[0].success is success


def test_opencode_may_leave_out_its_last_step() -> None:
    """R-C29."""
    said = {"type": "text", "sessionID": "ses_1", "part": {"messageID": "m", "text": "Hi."}}

    outcome, _ = play("opencode", said)

    assert outcome.success
    assert outcome.result == "Hi."
    assert not play("opencode", said, exit_code=1)[0].success


def test_a_step_without_a_reason_ended_normally() -> None:
    """R-P7."""
    assert play("opencode", {"type": "step_finish", "part": {}})[0].success


def test_the_parts_of_opencodes_last_message_are_the_result() -> None:
    def said(message: str, words: str) -> dict[str, Any]:
        return {"type": "text", "part": {"messageID": message, "text": words}}

    lines = [said("a", "Thinking."), said("b", "One."), said("b", "Two."), opencode_step()]

    assert play("opencode", *lines)[0].result == "One.\nTwo."


def test_opencode_recovers_from_an_error() -> None:
    """R-C34."""
    error = {"type": "error", "error": {"name": "APIError", "data": {"message": "boom", "statusCode": 500}}}

    outcome, events = play("opencode", error, opencode_step(output=3))

    assert outcome.success
    assert [e.success for e in events] == [True]


def test_the_duration_of_an_opencode_step_is_between_its_timestamps() -> None:
    def began(at: Any) -> dict[str, Any]:
        return {"type": "step_start", "timestamp": at}

    def ended(at: Any) -> dict[str, Any]:
        return opencode_step() | {"timestamp": at}

    _, events = play(
        "opencode", began(1000), ended(3500), began(5000), ended(4000), began("x"), ended(9000), ended(None)
    )

    assert [e.latency_ms for e in events] == [2500, None, None, None]


@pytest.mark.parametrize("cli", ["opencode", "pi"])
def test_a_cli_without_prices_does_not_know_the_cost(cli: str) -> None:
    """R-T12: 0 for tokens is no price."""

    def turn(cost: float, tokens: int) -> dict[str, Any]:
        if cli == "pi":
            return pi_turn(output=tokens, cost={"total": cost})
        return {"type": "step_finish", "part": {"reason": "stop", "tokens": {"output": tokens}, "cost": cost}}

    assert [e.cost_usd for e in play(cli, turn(0, 3), turn(0.5, 3), turn(0, 0))[1]] == [None, 0.5, 0]


def test_a_cost_beside_the_step_counts_too() -> None:
    assert [e.cost_usd for e in play("opencode", opencode_step() | {"cost": 7, "part": {"reason": "stop"}})[1]] == [7]
