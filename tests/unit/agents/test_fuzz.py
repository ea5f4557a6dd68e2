"""Whatever a parser is fed, it does not raise, counts nothing twice, and comes to exactly one outcome (R-P9, R-C2, R-C34, R-C35).

Fed are recordings from which lines are dropped, doubled, swapped, merged, cut and spoilt, recorded lines with junk at any
depth, and free text.
"""

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from droveway.agents import Outcome
from droveway.api.enums import LIMIT_CLASSES, EndClass
from droveway.core.completion import CompletionEvent
from droveway.core.telemetry import TelemetryStore
from helpers.streams import AT, CLIS, parser_of, recordings

ENDS = LIMIT_CLASSES | {
    EndClass.SUCCEEDED,
    EndClass.AGENT_FAILED,
    EndClass.AUTH_FAILED,
    EndClass.PROVIDER_OUTAGE,
    EndClass.REQUEST_REJECTED,
    EndClass.UNKNOWN,
}
"""What a parser may say; everything else is the operator's to say (R-C28)."""

EXIT_CODES = st.sampled_from([0, 0, 1, 173, 143, -9, None]) | st.integers()
STREAMS = {cli: [stream for stream in recordings(cli).values() if stream] for cli in CLIS}
JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "12", "error", "rejected", "\ud800"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["type", "x"]), inner, max_size=2),
    max_leaves=4,
)
TEXT = st.text() | st.text(alphabet='{}[]":,\\ \x1b\r\ufeff\ud8001ePFdata').map(lambda text: '{"type":' + text)


@st.composite
def spoilt(draw: st.DrawFn, lines: list[str]) -> list[str]:
    """A recording whose lines were not left as they were."""
    lines = list(lines)
    for _ in range(draw(st.integers(1, 4))):
        at, other = (draw(st.integers(0, max(0, len(lines) - 1))) for _ in "ab")
        match (
            draw(st.sampled_from(["drop", "double", "swap", "merge", "cut", "spoil", "split", "insert"]))
            if lines
            else "insert"
        ):
            case "drop":
                del lines[at]
            case "double":
                lines.insert(other, lines[at])
            case "swap":
                lines[at], lines[other] = lines[other], lines[at]
            case "merge":
                lines[at : at + 2] = ["".join(line.rstrip("\n") for line in lines[at : at + 2])]
            case "cut":
                lines[at] = lines[at][: draw(st.integers(0, len(lines[at])))]
            case "spoil":
                spot, byte = draw(st.integers(0, len(lines[at]))), bytes([draw(st.integers(0, 255))])
                errors = draw(st.sampled_from(["replace", "surrogateescape"]))
                lines[at] = lines[at][:spot] + byte.decode("utf-8", errors) + lines[at][spot + 1 :]
            case "split":
                spot = draw(st.integers(0, len(lines[at])))
                stamp = "2026-11-21T11:29:59.1Z stdout"
                lines[at : at + 1] = [f"{stamp} P {lines[at][:spot]}", f"{stamp} F {lines[at][spot:]}"]
            case "insert":
                lines.insert(at, draw(TEXT))
    return lines


@st.composite
def with_junk(draw: st.DrawFn, lines: list[str]) -> list[str]:
    """A recording in which values were replaced, at any depth."""
    told: list[Any] = [json.loads(line) for line in lines]
    for _ in range(draw(st.integers(1, 3))):
        node: Any = draw(st.sampled_from(told))
        while True:
            keys = sorted(node.keys() - {"type"}) or ["type"] if isinstance(node, dict) else range(len(node))
            key = draw(st.sampled_from(keys))
            if not (node[key] and isinstance(node[key], dict | list) and draw(st.booleans())):
                break
            node = node[key]
        node[key] = draw(JUNK)
    return [json.dumps(line) for line in told]


def streams(cli: str) -> st.SearchStrategy[list[str]]:
    recorded = st.sampled_from(STREAMS[cli])
    return recorded.flatmap(spoilt) | recorded.flatmap(with_junk) | st.lists(TEXT, max_size=5)


def played(cli: str, lines: list[str], exit_code: int | None) -> tuple[Outcome, list[CompletionEvent]]:
    parser = parser_of(cli)
    events: list[CompletionEvent] = []
    for line in lines:
        events += parser.feed(line, AT)
        parser.feed_stderr(line, AT)
    outcome = parser.finish(exit_code, AT)

    assert parser.finish(exit_code, AT) == outcome
    assert parser.feed(lines[0] if lines else "", AT) == []
    return outcome, [*events, *outcome.events]


def numbers(told: Any) -> int:
    """All counts that a line states, anywhere."""
    if isinstance(told, dict | list):
        return sum(map(numbers, told.values() if isinstance(told, dict) else told))
    return told if isinstance(told, int) and not isinstance(told, bool) and 0 < told < 2**53 else 0


def stated(line: str) -> int:
    try:
        return numbers(json.loads(line))
    except ValueError:
        return 0


@pytest.mark.parametrize("cli", CLIS)
@settings(deadline=None)
@given(data=st.data(), exit_code=EXIT_CODES)
def test_whatever_comes_there_is_one_outcome_and_no_exception(
    cli: str, data: st.DataObject, exit_code: int | None
) -> None:
    lines = data.draw(streams(cli))
    outcome, events = played(cli, lines, exit_code)
    failed = [event for event in events if not event.success]

    assert outcome.success is (outcome.end_class is EndClass.SUCCEEDED)
    assert outcome.end_class in ENDS
    assert not outcome.success or exit_code in {0, None}
    assert not (outcome.success and (failed or outcome.limit or outcome.message))
    assert outcome.success or failed or not any("{" in line for line in lines)
    assert outcome.success or outcome.message
    assert all(event.error for event in failed)
    assert not any(event.error for event in events if event.success)
    assert f"{outcome}{events}".encode()


@pytest.mark.parametrize("cli", CLIS)
@settings(deadline=None)
@given(data=st.data(), exit_code=EXIT_CODES)
def test_nothing_is_counted_twice(cli: str, data: st.DataObject, exit_code: int | None) -> None:
    """Ids are unique and the same again, buckets are disjoint, and no prefix read before a restart adds anything."""
    lines = data.draw(streams(cli))
    _, events = played(cli, lines, exit_code)
    stopped = data.draw(st.integers(0, len(lines)))
    before = parser_of(cli)
    told = [event for line in lines[:stopped] for event in before.feed(line, AT)]
    store = TelemetryStore(timedelta(hours=1))
    store.record_batch([*told, *events], AT)

    assert len({event.id for event in events}) == len(events)
    assert played(cli, lines, exit_code)[1] == events
    assert sum(
        found.successful_completions + found.failed_completions for found in store.all_model_performances(AT)
    ) == len(events)
    for used in (event.tokens for event in events):
        assert used.total == used.input + used.output + used.reasoning + used.cache_read + used.cache_write
        assert min(used.input, used.output, used.reasoning, used.cache_read, used.cache_write) >= 0


@pytest.mark.parametrize("cli", CLIS)
@settings(deadline=None)
@given(data=st.data())
def test_no_more_is_counted_than_was_stated(cli: str, data: st.DataObject) -> None:
    """Lines may be dropped, doubled and swapped: what counts up over a run (codex, claude's cost) is not summed."""
    stream = data.draw(st.sampled_from(STREAMS[cli]))
    lines = data.draw(st.lists(st.sampled_from(stream), max_size=len(stream) + 3))

    _, events = played(cli, lines, 1)

    assert sum(event.tokens.total for event in events) <= sum(map(stated, lines))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 500), st.booleans()), min_size=1, max_size=20))
def test_codex_never_counts_more_than_its_last_word(steps: list[tuple[int, int, bool]]) -> None:
    """R-C32: usage counts up over a thread, and a line may come twice."""
    lines, given_, out = ['{"type":"item.completed","item":{}}'], 0, 0
    for more_given, more_out, twice in steps:
        given_, out = given_ + more_given, out + more_out
        usage = {"input_tokens": given_, "cached_input_tokens": given_ // 2, "output_tokens": out}
        lines += [json.dumps({"type": "turn.completed", "usage": usage})] * (1 + twice)

    _, events = played("codex", lines, 0)

    assert sum(event.tokens.total for event in events) == given_ + out
