"""What Claude Code's own events mean: results, models, windows of a subscription (R-C11, R-C33, R-C36)."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from droveway.api.enums import EndClass
from droveway.core.verdict import Scope
from helpers.streams import AT, claude_result, parser_of, play


def rejected(until: datetime | None, **changes: Any) -> dict[str, Any]:
    info: dict[str, Any] = {"status": "rejected", "rateLimitType": "five_hour"}
    if until:
        info["resetsAt"] = int(until.timestamp())
    return {"type": "rate_limit_event", "rate_limit_info": info | changes}


def test_the_last_of_several_results_decides_and_no_token_is_lost() -> None:
    """R-C36."""
    broken = claude_result(is_error=True, result="API Error: 529 Overloaded", api_error_status=529)

    recovered, good = play("claude", broken, claude_result())
    failed, bad = play("claude", claude_result(), broken, exit_code=1)

    assert recovered.success
    assert [e.success for e in good] == [True, True]
    assert sum(e.tokens.total for e in good) == 40
    assert failed.end_class is EndClass.PROVIDER_OUTAGE
    assert [e.success for e in bad] == [True, False]


def test_claude_splits_the_count_among_models_exactly() -> None:
    """R-C33, R-C11."""
    models = {
        "big": {"inputTokens": 20, "outputTokens": 9, "costUSD": 0.4},
        "small": {"inputTokens": 10, "outputTokens": 0, "costUSD": 0.1},
        "<synthetic>": {"inputTokens": 999, "costUSD": 9},
    }

    outcome, events = play("claude", claude_result(modelUsage=models))

    assert [(e.model, e.tokens.input, e.tokens.output, e.cost_usd) for e in events] == [
        ("big", 7, 5, 0.4),
        ("small", 3, 0, 0.1),
    ]
    assert sum(e.tokens.total for e in events) == 20
    assert outcome.model == "big"


def test_a_count_that_no_model_explains_goes_to_the_largest() -> None:
    """R-C33: shares are whole and add up."""
    models = {"a": {"inputTokens": 1}, "b": {"inputTokens": 1}, "c": {"inputTokens": 1}}

    _, events = play("claude", claude_result(usage={"input_tokens": 11, "output_tokens": 4}, modelUsage=models))

    assert [(e.model, e.tokens.input, e.tokens.output) for e in events] == [("a", 5, 4), ("b", 3, 0), ("c", 3, 0)]


def test_cost_and_models_count_up_over_a_session_and_usage_does_not() -> None:
    """As measured with two prompts in one session of version 2.1: nothing is counted twice (R-C33)."""

    def result(cost: float, **models: int) -> dict[str, Any]:
        used = {name: {"outputTokens": count, "costUSD": cost / 2} for name, count in models.items()}
        return claude_result(total_cost_usd=cost, modelUsage=used, usage={"output_tokens": 42})

    _, events = play("claude", result(0.25, a=42), result(0.75, a=84), result(1.0, a=84, b=42), result(0.5, a=42))

    assert [(e.model, e.tokens.output, e.cost_usd) for e in events] == [
        ("a", 42, 0.25),
        ("a", 42, 0.5),
        ("b", 42, 0.25),
        ("a", 42, 0.5),  # less than before: the session was begun anew
    ]


@pytest.mark.parametrize("cost", [None, "dear"])
def test_a_cost_that_is_not_told_stays_unknown(cost: Any) -> None:
    """R-C32."""
    assert [e.cost_usd for e in play("claude", claude_result(), claude_result(total_cost_usd=cost))[1]] == [0.5, None]


def test_the_duration_is_the_results() -> None:
    assert [e.latency_ms for e in play("claude", claude_result(), claude_result(duration_ms=0))[1]] == [900, None]


def test_a_rejected_window_is_known_at_once_and_beats_the_text() -> None:
    """R-C36."""
    parser = parser_of("claude")
    reset = AT + timedelta(hours=2)

    parser.feed(json.dumps(rejected(reset)), AT)

    assert parser.verdict is not None
    assert parser.verdict.until == reset
    parser.feed(json.dumps(claude_result(is_error=True, result="You've hit your limit · resets 11pm")), AT)
    assert parser.finish(1, AT).limit == parser.verdict


def test_a_rejected_window_is_also_read_off_the_result() -> None:
    """R-L2: structured, should the event of its own be lost."""
    reset = AT + timedelta(hours=2)
    info = rejected(reset)["rate_limit_info"]

    limit = play(
        "claude", claude_result(is_error=True, api_error_params={"rate_limit_info": info}, result="spent"), exit_code=1
    )[0].limit

    assert limit is not None
    assert limit.until == reset


def test_of_several_rejected_windows_the_last_reset_counts() -> None:
    later = int((AT + timedelta(days=3)).timestamp())
    windows = {
        "seven_day": {"status": "rejected", "resetsAt": later},
        "other": {"status": "allowed", "resetsAt": later * 2},
    }

    parser = parser_of("claude")
    parser.feed(json.dumps(rejected(AT + timedelta(hours=2), unifiedWindows=windows)), AT)

    assert parser.verdict is not None
    assert parser.verdict.until == AT + timedelta(days=3)


@pytest.mark.parametrize(
    ("event", "until"),
    [
        (rejected(AT + timedelta(days=30)), AT + timedelta(days=8)),
        (rejected(None, resetsAt=(AT + timedelta(hours=1)).timestamp() * 1000), AT + timedelta(hours=1)),
        (rejected(None), None),
        (rejected(None, resetsAt="soon"), None),
    ],
    ids=["clamped", "milliseconds", "unstated", "no number"],
)
def test_a_rejected_window_ends_when_it_says(event: dict[str, Any], until: datetime | None) -> None:
    limit = play("claude", event, claude_result(is_error=True, result="spent"), exit_code=1)[0].limit

    assert limit is not None
    assert limit.kind is EndClass.SUBSCRIPTION_LIMIT
    assert limit.until == until


def test_a_window_whose_reset_has_passed_names_the_end_but_limits_nothing() -> None:
    outcome, _ = play("claude", rejected(AT - timedelta(seconds=1)), claude_result(is_error=True), exit_code=1)

    assert outcome.end_class is EndClass.SUBSCRIPTION_LIMIT
    assert outcome.limit is None


def test_a_window_of_one_family_limits_that_family() -> None:
    parser = parser_of("claude")
    parser.feed(json.dumps(rejected(AT + timedelta(days=2), rateLimitType="seven_day_opus")), AT)

    assert parser.verdict is not None
    assert parser.verdict.scope is Scope.MODEL_FAMILY


@pytest.mark.parametrize("status", ["allowed", "allowed_warning"])
def test_a_window_that_is_not_spent_is_no_limit(status: str) -> None:
    """R-C36."""
    outcome, _ = play(
        "claude", rejected(AT + timedelta(hours=1), status=status), claude_result(is_error=True), exit_code=1
    )

    assert outcome.limit is None
    assert outcome.end_class is EndClass.AGENT_FAILED


def test_a_rejected_window_says_nothing_about_a_failure_of_another_kind() -> None:
    """R-C36: it beats the text of the result, not the status that stands there."""
    outage = claude_result(is_error=True, result="API Error: 529 Overloaded", api_error_status=529)

    outcome, _ = play("claude", rejected(AT + timedelta(hours=1)), outage, exit_code=1)

    assert (outcome.end_class, outcome.limit) == (EndClass.PROVIDER_OUTAGE, None)


def test_how_full_the_windows_are_is_kept_as_last_told() -> None:
    parser = parser_of("claude")
    windows = {
        "five_hour": {"utilization": 0.25, "resetsAt": int((AT + timedelta(hours=1)).timestamp())},
        "seven_day_opus": {"utilization": 0.5, "resetsAt": int((AT + timedelta(days=1)).timestamp())},
        "odd": {"utilization": "full"},
    }

    parser.feed(json.dumps(rejected(None, status="allowed", unifiedWindows=windows)), AT)
    parser.feed(json.dumps(rejected(None, status="allowed")), AT)

    assert [(found.window, found.used_percent) for found in parser.utilization] == [("5h", 25), ("7d_opus", 50)]
    assert parser.verdict is None


@pytest.mark.parametrize(
    ("line", "end"),
    [
        (claude_result(subtype="error_max_turns", result=""), EndClass.AGENT_FAILED),
        (
            claude_result(is_error=True, stop_reason="refusal", result="API Error: can't help"),
            EndClass.REQUEST_REJECTED,
        ),
        (claude_result(is_error=True, api_error="max_output_tokens", result="too long"), EndClass.AGENT_FAILED),
        (claude_result(is_error=True, result="API Error: Connection error."), EndClass.PROVIDER_OUTAGE),
        (
            claude_result(is_error=True, result="Credit balance is too low", api_error_status=400),
            EndClass.BALANCE_EXHAUSTED,
        ),
        (
            claude_result(is_error=True, result="429", api_error_status=429, api_error_type="overloaded_error"),
            EndClass.PROVIDER_OUTAGE,
        ),
        (claude_result(is_error=True, result="no", api_error_status=413), EndClass.REQUEST_REJECTED),
    ],
    ids=["turns", "refusal", "length", "connection", "balance", "overload as 429", "too large"],
)
def test_claude_says_why_in_several_ways(line: dict[str, Any], end: EndClass) -> None:
    assert play("claude", line, exit_code=1)[0].end_class is end


def test_a_refusal_explains_its_own_result_only() -> None:
    """R-C30."""
    refusal = {"type": "system", "subtype": "model_refusal_no_fallback"}
    broken = claude_result(is_error=True, result="it broke")

    assert play("claude", refusal, broken, exit_code=1)[0].end_class is EndClass.REQUEST_REJECTED
    assert play("claude", refusal, broken, broken, exit_code=1)[0].end_class is EndClass.AGENT_FAILED


@pytest.mark.parametrize("flag", [True, 1, "true", [0]])
def test_an_error_flag_of_any_type_is_one(flag: Any) -> None:
    """R-P5."""
    assert not play("claude", claude_result(is_error=flag))[0].success
    assert not play("qwen", claude_result(is_error=flag))[0].success
