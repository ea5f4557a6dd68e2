"""What a parser makes of broken lines, of several endings, of signals, and of anything at all."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from droveway.agents import Outcome, Parser, stream_parser
from droveway.agents.stream import StreamParser
from droveway.api.enums import EndClass
from droveway.api.errors import UserMustAct
from droveway.core.completion import CompletionEvent
from droveway.core.verdict import Scope

RECORDINGS = Path(__file__).parents[2] / "fixtures" / "cli"
AT = datetime(2026, 11, 21, 11, 30, tzinfo=UTC)
CLIS = ["claude", "codex", "opencode", "gemini", "qwen", "pi", "copilot"]


def parser_of(cli: str) -> StreamParser:
    parser = stream_parser(cli, "run-1", 1, AT)
    assert isinstance(parser, StreamParser)
    return parser


def play(cli: str, *lines: str | dict[str, Any], exit_code: int | None = 0) -> tuple[Outcome, list[CompletionEvent]]:
    parser = parser_of(cli)
    events = [e for line in lines for e in parser.feed(line if isinstance(line, str) else json.dumps(line), AT)]
    outcome = parser.finish(exit_code, AT)
    return outcome, events + outcome.events


def claude_result(**changes: Any) -> dict[str, Any]:
    usage = {"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 2}
    result = {"type": "result", "subtype": "success", "is_error": False, "result": "done", "session_id": "s-1"}
    return result | {"usage": usage, "duration_ms": 900, "total_cost_usd": 0.5} | changes


def step(reason: str = "stop", **tokens: int) -> dict[str, Any]:
    return {"type": "step_finish", "sessionID": "ses_1", "part": {"reason": reason, "tokens": tokens, "cost": 0.1}}


def rejected(until: datetime | None, **changes: Any) -> dict[str, Any]:
    info: dict[str, Any] = {"status": "rejected", "rateLimitType": "five_hour"}
    if until:
        info["resetsAt"] = int(until.timestamp())
    return {"type": "rate_limit_event", "rate_limit_info": info | changes}


RESULT = json.dumps(claude_result())


@pytest.mark.parametrize(
    "line",
    [
        RESULT + "\r\n",
        "\ufeff" + RESULT,
        "\x1b[32m" + RESULT + "\x1b[0m",
        "\x1b]0;title\x07" + RESULT,
        "data: " + RESULT,
        "2026-11-21T11:29:59.123456789Z " + RESULT,
        "2026-11-21T11:29:59.1+02:00 stdout F " + RESULT,
        "  " + RESULT + "  ",
    ],
    ids=["crlf", "bom", "colours", "title", "sse", "kubelet", "cri", "blanks"],
)
def test_a_line_is_understood_in_any_wrapping(line: str) -> None:
    outcome, events = play("claude", line)

    assert outcome.success
    assert outcome.result == "done"
    assert [e.tokens.total for e in events] == [20]


def test_the_parts_of_a_long_line_are_joined() -> None:
    head, middle, tail = RESULT[:30], RESULT[30:50], RESULT[50:]
    stamp = "2026-11-21T11:29:59.123456789Z stdout"

    outcome, events = play("claude", f"{stamp} P {head}\n", f"{stamp} P {middle}\n", f"{stamp} F {tail}\n")

    assert outcome.success
    assert len(events) == 1


def test_a_last_part_that_never_came_is_read_at_the_end() -> None:
    outcome, events = play("claude", f"2026-11-21T11:29:59Z stdout P {RESULT}")

    assert outcome.success
    assert len(events) == 1


def test_a_bad_line_stops_nothing_and_is_counted() -> None:
    parser = parser_of("claude")
    bad = ["", "   \n", "Warning: hello", '{"type":', "[]", "42", "null", '"x"', "[" * 20_000, "9" * 5_000, RESULT]

    events = [e for line in bad for e in parser.feed(line, AT)]

    assert len(events) == 1
    assert parser.lines.unparseable_total == 4
    assert parser.finish(0, AT).success


def test_a_huge_line_is_cut_and_counted_and_the_next_one_read() -> None:
    parser = parser_of("claude")

    assert parser.feed(json.dumps({"type": "assistant", "x": "y" * 1024 * 1024}), AT) == []
    assert len(parser.feed(RESULT, AT)) == 1
    assert parser.lines.cut_total == 1


WRONG_COUNTS: list[Any] = [-1, 1.5, "twelve", True, [], {}, float("nan"), float("inf"), 1e300, 10**400]


@pytest.mark.parametrize(
    ("value", "counted", "wrong"),
    [(12, 12, 0), ("12", 12, 0), (12.0, 12, 0), (None, 0, 0)] + [(wrong, 0, 1) for wrong in WRONG_COUNTS],
    ids=str,
)
def test_a_token_count_is_whole_or_nothing(value: Any, counted: int, wrong: int) -> None:
    parser = parser_of("claude")

    (event,) = parser.feed(json.dumps(claude_result(usage={"input_tokens": value})), AT)

    assert event.tokens.input == event.tokens.total == counted
    assert parser.lines.mistyped_total == wrong


def test_text_that_cannot_be_encoded_is_replaced() -> None:
    outcome, events = play(
        "claude", '{"type":"system","subtype":"init","session_id":"\\ud800","model":"\udcff"}', exit_code=1
    )

    assert str(outcome).encode()
    assert str(events).encode()


def test_a_model_that_cannot_be_encoded_is_replaced() -> None:
    _, events = play("claude", claude_result(modelUsage={"\ud800": {}, "b": {}}))

    assert str(events).encode()


def test_finish_again_is_the_same_outcome_and_what_comes_later_is_not_read() -> None:
    parser = parser_of("claude")
    first = parser.finish(1, AT)

    assert parser.feed(RESULT, AT) == []
    assert parser.finish(0, AT + timedelta(hours=1)) == first


@pytest.mark.parametrize("cli", CLIS)
@pytest.mark.parametrize(
    ("exit_code", "end"),
    [(0, EndClass.AGENT_FAILED), (1, EndClass.AGENT_FAILED)]
    + [(code, EndClass.UNKNOWN) for code in (-15, -9, 143, 137, 130, None)],
)
def test_without_a_final_event_no_exit_code_makes_a_success(cli: str, exit_code: int | None, end: EndClass) -> None:
    outcome, events = play(cli, {"type": "hello"}, exit_code=exit_code)

    assert outcome.end_class is end
    assert not outcome.success
    assert [e.success for e in events] == [False]


@pytest.mark.parametrize("cli", CLIS)
def test_nothing_at_all_is_a_failure_of_nobodys_model(cli: str) -> None:
    outcome, events = play(cli, exit_code=0)

    assert outcome.end_class is EndClass.AGENT_FAILED
    assert events == []


def test_a_bad_exit_code_beats_a_good_ending() -> None:
    outcome, events = play("claude", claude_result(), exit_code=1)

    assert outcome.end_class is EndClass.AGENT_FAILED
    assert [e.success for e in events] == [True, False]
    assert len({e.id for e in events}) == 2


def test_an_unknown_exit_code_leaves_a_good_ending_as_it_is() -> None:
    assert play("claude", claude_result(), exit_code=None)[0].success
    assert not play("opencode", step(output=1), exit_code=None)[0].success


def test_the_last_of_several_results_decides_and_no_token_is_lost() -> None:
    broken = claude_result(is_error=True, result="API Error: 529 Overloaded", api_error_status=529)

    recovered, good = play("claude", broken, claude_result())
    failed, bad = play("claude", claude_result(), broken, exit_code=1)

    assert recovered.success
    assert [e.success for e in good] == [True, True]
    assert sum(e.tokens.total for e in good) == 40
    assert failed.end_class is EndClass.PROVIDER_OUTAGE
    assert [e.success for e in bad] == [True, False]


def test_claude_splits_the_count_among_models_exactly() -> None:
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


def test_a_rejected_window_is_known_at_once_and_beats_the_text() -> None:
    parser = parser_of("claude")
    reset = AT + timedelta(hours=2)

    parser.feed(json.dumps(rejected(reset)), AT)

    assert parser.verdict is not None
    assert parser.verdict.until == reset
    parser.feed(json.dumps(claude_result(is_error=True, result="You've hit your limit · resets 11pm")), AT)
    assert parser.finish(1, AT).limit == parser.verdict


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
    outcome, _ = play(
        "claude", rejected(AT + timedelta(hours=1), status=status), claude_result(is_error=True), exit_code=1
    )

    assert outcome.limit is None
    assert outcome.end_class is EndClass.AGENT_FAILED


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
    outcome, events = play("opencode", step(output=1), step(reason, input=7, output=output))

    assert outcome.end_class is end
    assert [e.success for e in events] == [True, success]
    assert sum(e.tokens.input for e in events) == 7


def test_opencode_may_leave_out_its_last_step() -> None:
    said = {"type": "text", "sessionID": "ses_1", "part": {"messageID": "m", "text": "Hi."}}

    outcome, _ = play("opencode", said)

    assert outcome.success
    assert outcome.result == "Hi."
    assert not play("opencode", said, exit_code=1)[0].success


def test_opencode_recovers_from_an_error() -> None:
    error = {"type": "error", "error": {"name": "APIError", "data": {"message": "boom", "statusCode": 500}}}

    outcome, events = play("opencode", error, step(output=3))

    assert outcome.success
    assert [e.success for e in events] == [True]


def test_opencode_without_prices_does_not_know_the_cost() -> None:
    free = step(output=3) | {"part": {"reason": "stop", "tokens": {"output": 3}, "cost": 0}}

    assert [e.cost_usd for e in play("opencode", free)[1]] == [None]


def codex_turn(given: int, out: int) -> dict[str, Any]:
    return {"type": "turn.completed", "usage": {"input_tokens": given, "output_tokens": out}}


def test_codex_counts_up_over_a_thread() -> None:
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


def test_a_turn_of_codex_without_a_word_or_a_token_is_no_success() -> None:
    parser = parser_of("codex")
    parser.feed(json.dumps(codex_turn(0, 0)), AT)
    parser.feed_stderr("ERROR: You've hit your usage limit. Try again in 3 hours.", AT)

    outcome = parser.finish(0, AT)

    assert outcome.end_class is EndClass.SUBSCRIPTION_LIMIT
    assert outcome.limit is not None
    assert outcome.limit.until == AT + timedelta(hours=3)


def test_the_duration_of_a_codex_turn_is_by_the_clock() -> None:
    parser = parser_of("codex")
    parser.feed('{"type":"turn.started"}', AT)

    (event,) = parser.feed(json.dumps(codex_turn(3, 2)), AT + timedelta(seconds=4))

    assert event.latency_ms == 4000


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


def test_stderr_of_a_good_run_is_nobodys_business() -> None:
    parser = parser_of("claude")
    parser.feed_stderr("Error: received HTTP 429 Too Many Requests", AT)
    parser.feed(RESULT, AT)

    assert parser.finish(0, AT).success


@pytest.mark.parametrize(
    ("exit_code", "end"),
    [
        (173, EndClass.RATE_LIMITED),
        (144, EndClass.REQUEST_REJECTED),
        (145, EndClass.AUTH_FAILED),
        (247, EndClass.PROVIDER_OUTAGE),
        (2, EndClass.AGENT_FAILED),
    ],
)
def test_the_exit_code_of_gemini_is_an_http_status(exit_code: int, end: EndClass) -> None:
    assert play("gemini", {"type": "init"}, exit_code=exit_code)[0].end_class is end


def test_gemini_counts_each_model_it_switched_to() -> None:
    def stats(total: int, given: int, out: int, cached: int) -> dict[str, int]:
        return {"total_tokens": total, "input_tokens": given, "output_tokens": out, "cached": cached}

    models = {"pro": stats(130, 100, 20, 40), "flash": stats(15, 10, 5, 0), "unused": stats(0, 0, 0, 0)}
    line = {"type": "result", "status": "success", "stats": stats(145, 110, 25, 40) | {"models": models}}

    _, events = play("gemini", line)

    assert [(e.model, e.tokens.input, e.tokens.output, e.tokens.reasoning, e.tokens.cache_read) for e in events] == [
        ("pro", 60, 20, 10, 40),
        ("flash", 10, 5, 0, 0),
    ]


def test_qwens_error_as_a_success_is_one_only_without_an_answer() -> None:
    def result(out: int) -> dict[str, Any]:
        return {"type": "result", "is_error": False, "result": "[API Error: 503 busy]", "usage": {"output_tokens": out}}

    assert play("qwen", result(0))[0].end_class is EndClass.PROVIDER_OUTAGE
    assert play("qwen", result(9))[0].success


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
)
def test_no_secret_comes_out(secret: str) -> None:
    line = claude_result(is_error=True, result=f"it failed with {secret} for once")
    parser = parser_of("claude")
    parser.feed_stderr(f"debug: {secret}", AT)
    parser.feed(json.dumps(line), AT)
    outcome = parser.finish(1, AT)
    bare = secret.removeprefix("Bearer ").removeprefix("password=").removeprefix('"api_key": ').strip('"')

    assert bare not in str(outcome)
    assert "it failed with" in outcome.message
    assert bare not in play("claude", claude_result(result=f"I found {secret}"))[0].result


def test_a_huge_error_is_read_in_no_time_and_cut() -> None:
    outcome, _ = play("claude", claude_result(is_error=True, result="model limit " * 80_000 + "HTTP 503"), exit_code=1)

    assert outcome.end_class is EndClass.PROVIDER_OUTAGE
    assert len(outcome.message) <= 256


def test_ids_survive_a_restart_in_the_middle() -> None:
    lines = [json.dumps(step(output=n)) for n in range(1, 6)]
    whole = [e.id for e in play("opencode", *lines)[1]]

    assert [e.id for e in play("opencode", *lines[3:])[1]] == whole[3:]


def test_equal_lines_are_different_completions() -> None:
    events = play("opencode", step(output=1), step(output=1))[1]

    assert len({e.id for e in events}) == 2


def test_a_custom_program_is_judged_by_its_exit_code_alone() -> None:
    def ended(exit_code: int | None) -> EndClass:
        parser: Parser = stream_parser("custom", "run-1", 1, AT)
        assert parser.feed(RESULT, AT) == []
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


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "12", "error", "rejected", "\ud800"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["type", "x"]), inner, max_size=2),
    max_leaves=4,
)


def recorded_lines(cli: str) -> list[str]:
    """One line of every kind that a CLI was seen to print."""
    kinds: dict[tuple[str, ...], str] = {}
    for stream in sorted(RECORDINGS.glob(f"{cli}/*/stdout.jsonl")):
        for line in stream.read_text().splitlines():
            told = json.loads(line)
            kinds.setdefault((told["type"], str(told.get("subtype")), str(told.get("is_error"))), line)
    return list(kinds.values())


LINES = {cli: recorded_lines(cli) for cli in CLIS}


@st.composite
def damaged(draw: st.DrawFn, cli: str) -> str:
    """A recorded line in which something was replaced by junk, at any depth."""
    line: dict[str, Any] = json.loads(draw(st.sampled_from(LINES[cli])))
    for _ in range(draw(st.integers(1, 3))):
        node: Any = line
        while True:
            keys = sorted(node.keys() - {"type"}) or ["type"] if isinstance(node, dict) else range(len(node))
            key = draw(st.sampled_from(keys))
            if not (node[key] and isinstance(node[key], dict | list) and draw(st.booleans())):
                break
            node = node[key]
        node[key] = draw(JUNK)
    return json.dumps(line)


@pytest.mark.parametrize("cli", CLIS)
@settings(deadline=None)
@given(data=st.data(), exit_code=st.sampled_from([0, 0, 1, 173, 143, -9, None]) | st.integers())
def test_whatever_comes_there_is_one_outcome_and_no_exception(
    cli: str, data: st.DataObject, exit_code: int | None
) -> None:
    lines = data.draw(st.lists(damaged(cli), min_size=1, max_size=6))
    parser = parser_of(cli)
    events: list[CompletionEvent] = []
    for line in lines:
        events += parser.feed(line, AT)
        parser.feed_stderr(line, AT)
    outcome = parser.finish(exit_code, AT)
    events += outcome.events

    assert outcome.success is (outcome.end_class is EndClass.SUCCEEDED)
    assert not outcome.success or exit_code in {0, None}
    assert parser.finish(exit_code, AT) == outcome
    assert len({e.id for e in events}) == len(events)
    assert all(e.tokens.total >= 0 for e in events)
    assert not (outcome.success and [e for e in events if not e.success])
    assert f"{outcome}{events}".encode()


@pytest.mark.parametrize("cli", ["opencode", "pi"])
@pytest.mark.parametrize(
    ("reason", "output", "success"),
    [(reason, 0, True) for reason in ("stop", "end_turn", "tool-calls", "tool_use", "toolUse")]
    + [(reason, 5, False) for reason in ("error", "content-filter", "aborted")]
    + [(reason, output, output > 0) for reason in ("length", "max_tokens") for output in (0, 5)],
)
def test_r_p7_which_reasons_are_normal_ends(cli: str, reason: str, output: int, success: bool) -> None:
    turn = {"type": "turn_end", "message": {"stopReason": reason, "usage": {"output": output}}}

    assert play(cli, step(reason, output=output) if cli == "opencode" else turn)[0].success is success


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
        "pi": {"type": "turn_end", "message": {"stopReason": "error", "errorMessage": said}},
    }

    ends = {cli: play(cli, line, exit_code=exit_code)[0].end_class for cli, line in told.items()}

    assert ends == dict.fromkeys(told, EndClass.PROVIDER_OUTAGE)


@pytest.mark.parametrize(("status", "end"), [(503, EndClass.PROVIDER_OUTAGE), (429, EndClass.SUBSCRIPTION_LIMIT)])
def test_r_l2_a_status_says_more_than_the_words_beside_it(status: int, end: EndClass) -> None:
    said = {"message": "usage limit reached", "statusCode": status}

    assert play("opencode", {"type": "error", "error": {"data": said}}, exit_code=1)[0].end_class is end


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
