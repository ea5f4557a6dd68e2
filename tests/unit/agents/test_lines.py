"""What comes between a CLI and its JSON: broken, cut, joined, coloured and mistyped lines (R-P1..R-P6, R-P12)."""

import json
from typing import Any

import pytest

from droveway.agents.lines import LINE_LIMIT, Lines
from helpers.streams import AT, claude_result, parser_of, play

RESULT = json.dumps(claude_result())
STAMP = "2026-11-21T11:29:59.123456789Z"


WRAPPED = {
    "crlf": RESULT + "\r\n",
    "bom": "\ufeff" + RESULT,
    "colours": "\x1b[32m" + RESULT + "\x1b[0m",
    "title": "\x1b]0;title\x07" + RESULT,
    "link": "\x1b]8;;http://x\x1b\\" + RESULT,
    "character set": "\x1b(B\x1b[m" + RESULT + "\x1b7\x1b=",
    "sse": "data: " + RESULT,
    "sse without blank": "data:" + RESULT,
    "kubelet": f"{STAMP} {RESULT}",
    "kubelet and sse": f"{STAMP} data: {RESULT}",
    "cri": f"2026-11-21T11:29:59.1+02:00 stdout F {RESULT}",
    "cri tag": f"{STAMP} stdout F:tag {RESULT}",
    "all at once": f"{STAMP} stdout F \ufeff\x1b[1mdata: {RESULT}\x1b[0m\r\n",
    "blanks": "  " + RESULT + "  ",
}


@pytest.mark.parametrize("line", WRAPPED.values(), ids=WRAPPED.keys())
def test_a_line_is_understood_in_any_wrapping(line: str) -> None:
    """R-P6, R-P12."""
    outcome, events = play("claude", line)

    assert outcome.success
    assert outcome.result == "done"
    assert [e.tokens.total for e in events] == [20]
    assert [e.id for e in events] == [e.id for e in play("claude", RESULT)[1]]


def test_the_parts_of_a_long_line_are_joined() -> None:
    """R-P6."""
    head, middle, tail = RESULT[:30], RESULT[30:50], RESULT[50:]

    outcome, events = play(
        "claude", f"{STAMP} stdout P {head}\n", f"{STAMP} stdout P {middle}\n", f"{STAMP} stdout F {tail}\n"
    )

    assert outcome.success
    assert len(events) == 1


def test_parts_of_two_streams_are_not_mixed() -> None:
    """R-P6: a container runtime writes both into one file."""
    lines = [f"{STAMP} stdout P {RESULT[:30]}", f"{STAMP} stderr P warn", f"{STAMP} stderr F ing"]

    assert play("claude", *lines, "noise", f"{STAMP} stdout F {RESULT[30:]}")[0].success


@pytest.mark.parametrize("last", ["", f"{STAMP} stdout F", f"{STAMP} stdout F "])
def test_a_last_part_that_never_came_is_read_at_the_end(last: str) -> None:
    """R-P6."""
    outcome, events = play("claude", f"{STAMP} stdout P {RESULT}", last)

    assert outcome.success
    assert len(events) == 1


def test_a_bad_line_stops_nothing_and_is_counted() -> None:
    parser = parser_of("claude")
    bad = ["", "   \n", "Warning: hello", '{"type":', "[]", "42", "null", '"x"', "[" * 20_000, "9" * 5_000, RESULT]

    events = [e for line in bad for e in parser.feed(line, AT)]

    assert len(events) == 1
    assert parser.lines.unparseable_total == 4
    assert parser.finish(0, AT).success


@pytest.mark.parametrize("gap", ["", " ", "\t", "\r"])
def test_objects_that_were_merged_into_one_line_are_read_one_by_one(gap: str) -> None:
    """R-P1."""
    first, second = json.dumps(claude_result(uuid="1")), json.dumps(claude_result(uuid="2"))

    _, merged = play("claude", f"{first}{gap}{second}\n")
    _, apart = play("claude", first, second)

    assert [e.id for e in merged] == [e.id for e in apart]
    assert len({e.id for e in merged}) == 2


@pytest.mark.parametrize(
    ("line", "read", "unparseable"),
    [
        (RESULT + RESULT[:40], 1, 1),
        (RESULT + " and more", 1, 1),
        (RESULT + ",", 1, 1),
        (RESULT + " [] 42 " + RESULT, 2, 0),
        (RESULT[:40] + RESULT, 0, 1),
        ("[" + RESULT + "]", 0, 0),
        ("log: " + RESULT, 0, 1),
    ],
    ids=["truncated", "text", "comma", "other values", "truncated before", "array", "text before"],
)
def test_what_stands_beside_an_object_is_counted_or_ignored(line: str, read: int, unparseable: int) -> None:
    """R-P1, R-P4."""
    parser = parser_of("claude")

    assert len(parser.feed(line, AT)) == read
    assert parser.lines.unparseable_total == unparseable


@pytest.mark.parametrize("filler", ["y", "é", "→", "😀"])
@pytest.mark.parametrize(("beyond", "read", "cut"), [(0, 1, 0), (1, 0, 1)])
def test_a_line_may_have_a_mebibyte_and_not_one_byte_more(filler: str, beyond: int, read: int, cut: int) -> None:
    """R-P2."""
    empty = json.dumps(claude_result(pad=""), ensure_ascii=False)
    room = LINE_LIMIT + beyond - len(empty)
    width = len(filler.encode())
    line = json.dumps(claude_result(pad=filler * (room // width) + "x" * (room % width)), ensure_ascii=False)
    parser = parser_of("claude")

    assert len(line.encode()) == LINE_LIMIT + beyond
    assert len(parser.feed(line + "\r\n", AT)) == read
    assert parser.lines.cut_total == parser.lines.unparseable_total == cut


def test_a_huge_line_is_cut_and_counted_and_the_next_one_read() -> None:
    parser = parser_of("claude")

    assert parser.feed(json.dumps({"type": "assistant", "x": "y" * 1024 * 1024}), AT) == []
    assert len(parser.feed(RESULT, AT)) == 1
    assert parser.lines.cut_total == 1


def test_a_long_line_that_is_no_text_is_cut_too() -> None:
    """R-P2, R-P3."""
    parser = parser_of("claude")

    assert parser.feed("{" + "\udcff" * (LINE_LIMIT - 1), AT) == []  # each stands for one byte
    assert parser.lines.cut_total == 0
    assert parser.feed("{" + "\udcff" * LINE_LIMIT, AT) == []
    assert parser.lines.cut_total == 1


@pytest.mark.parametrize("control", ["\t", "\x00", "\x07", "\x7f", "\u2028"])
def test_control_characters_in_a_text_break_nothing(control: str) -> None:
    """R-P1: some CLIs copy a tool's output as it is."""
    assert play("claude", RESULT.replace("done", f"do{control}ne"))[0].result == f"do{control}ne"


def test_parts_beyond_a_mebibyte_are_cut_as_one_line() -> None:
    """R-P2, R-P6."""
    parser = parser_of("claude")
    parts = [f"{STAMP} stdout P " + "y" * 16_000 for _ in range(100)]

    assert [parser.feed(line, AT) for line in [*parts, f"{STAMP} stdout F y"]] == [[]] * 101
    assert parser.lines.cut_total == 1
    assert len(parser.feed(RESULT, AT)) == 1


WRONG_COUNTS: list[Any] = [-1, 1.5, "twelve", True, [], {}, float("nan"), float("inf"), 1e300, 10**400]
WRONG_COUNTS += ["", "1_000", "١٢", "1e999", "-1", "0x10", "9" * 400, 2**53]


@pytest.mark.parametrize(
    ("value", "counted", "wrong"),
    [
        (12, 12, 0),
        ("12", 12, 0),
        (" 12.0 ", 12, 0),
        ("1.2e1", 12, 0),
        (12.0, 12, 0),
        (0, 0, 0),
        (-0.0, 0, 0),
        (None, 0, 0),
    ]
    + [(wrong, 0, 1) for wrong in WRONG_COUNTS],
    ids=lambda value: str(value)[:12],
)
def test_a_token_count_is_whole_or_nothing(value: Any, counted: int, wrong: int) -> None:
    """R-P5."""
    parser = parser_of("claude")

    (event,) = parser.feed(json.dumps(claude_result(usage={"input_tokens": value})), AT)

    assert event.tokens.input == event.tokens.total == counted
    assert parser.lines.mistyped_total == wrong


@pytest.mark.parametrize(("usage", "wrong"), [({}, 0), (None, 0), ("12", 1), (12, 1), ([], 1), (True, 1)], ids=str)
def test_counts_that_are_no_object_are_none_and_counted(usage: Any, wrong: int) -> None:
    """R-P5."""
    parser = parser_of("claude")

    (event,) = parser.feed(json.dumps(claude_result(usage=usage)), AT)

    assert event.tokens.total == 0
    assert parser.lines.mistyped_total == wrong


NO_AMOUNTS: list[Any] = [-0.5, "dear", True, [], float("inf"), 10**400]


@pytest.mark.parametrize(
    ("value", "number", "wrong"),
    [(3, 3.0, 0), (0.25, 0.25, 0), ("0.25", 0.25, 0), (2**60, float(2**60), 0), (None, None, 0)]
    + [(odd, None, 1) for odd in NO_AMOUNTS],
    ids=lambda value: str(value)[:12],
)
def test_an_amount_is_finite_and_not_negative_or_unknown(value: Any, number: float | None, wrong: int) -> None:
    """R-P5."""
    lines = Lines()

    assert lines.number({"cost": value}, "cost") == number
    assert lines.mistyped_total == wrong


def test_text_that_cannot_be_encoded_is_replaced() -> None:
    """R-P3."""
    outcome, events = play(
        "claude", '{"type":"system","subtype":"init","session_id":"\\ud800","model":"\udcff"}', exit_code=1
    )

    assert str(outcome).encode()
    assert str(events).encode()


def test_a_model_that_cannot_be_encoded_is_replaced() -> None:
    """R-P3."""
    _, events = play("claude", claude_result(modelUsage={"\ud800": {}, "b": {}}))

    assert str(events).encode()


@pytest.mark.parametrize("errors", ["surrogateescape", "replace"])
def test_bytes_that_are_no_text_break_nothing(errors: str) -> None:
    """R-P3: however the reader decoded them."""
    line = json.dumps(claude_result(is_error=True, errors=["bad \ud800"], result="")).encode()
    line = line.replace(b"bad", b"bad \xff\xfe").replace(b"s-1", b"s-\xc3")

    outcome, events = play("claude", line.decode("utf-8", errors), exit_code=1)

    assert "bad" in outcome.message
    assert f"{outcome}{events}".encode()
