"""Answers: whole and streamed, from each dialect to each other, in the order that clients can follow."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from droveway.api.enums import Dialect
from droveway.core.completion import TokenBreakdown
from droveway.dialects import SPECS, StreamReader
from droveway.dialects.conversion import DIALECTS, Conversion, convert
from droveway.dialects.conversion.coding import Translator
from droveway.dialects.conversion.events import (
    CallDelta,
    CallEnded,
    CallStarted,
    Ended,
    Event,
    Order,
    ReasoningDelta,
    Started,
    TextDelta,
    events_of,
)
from droveway.dialects.conversion.model import Answered, Frame, Origin, Reasoning, Stop, Text, ToolCall
from helpers.mock_answers import ask
from helpers.neutral import ANYTHING, PATHS, A, C, G, R, answers, thinking

EVERY = pytest.mark.parametrize("dialect", [A, C, R, G])
FRAME = Frame("req-1", "m1", 1)
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def written(dialect: Dialect, answer: Answered, frame: Frame = FRAME) -> bytes:
    encoder = DIALECTS[dialect].encoder(frame)
    return b"".join(map(encoder.encode, events_of(answer)))


def decoded(dialect: Dialect, stream: bytes) -> list[Event]:
    decoder = DIALECTS[dialect].decoder(FRAME)
    return [*decoder.feed(stream), *decoder.finish()]


def reader(dialect: Dialect) -> StreamReader:
    spec = SPECS[dialect]
    return spec.reader(spec.read_request(b'{"stream":true,"stream_options":{"include_usage":true}}', PATHS[dialect]))


@EVERY
@given(answer=answers())
def test_a_whole_answer_is_read_back(dialect: Dialect, answer: Answered) -> None:
    body = DIALECTS[dialect].write_answer(answer, FRAME)
    assert DIALECTS[dialect].read_answer(json.loads(body), FRAME) == answer


@EVERY
@given(answer=answers())
def test_the_gateway_finds_in_it_what_it_counts(dialect: Dialect, answer: Answered) -> None:
    told = SPECS[dialect].read_answer(DIALECTS[dialect].write_answer(answer, FRAME), NOW)
    assert told.verdict.is_success
    assert told.usage == answer.usage


@EVERY
@given(answer=answers(), size=st.integers(1, 99))
@settings(max_examples=50)
def test_a_stream_is_complete_for_its_own_reader_and_read_back(dialect: Dialect, answer: Answered, size: int) -> None:
    stream = written(dialect, thinking(answer))
    observer, decoder = reader(dialect), DIALECTS[dialect].decoder(FRAME)
    found: list[Event] = []
    for start in range(0, len(stream), size):
        found += decoder.feed(observer.feed(stream[start : start + size]))
    found += decoder.feed(observer.close()) + decoder.finish()
    assert observer.verdict(NOW).is_success
    assert observer.usage == answer.usage
    assert [event for event in found if not isinstance(event, ReasoningDelta)] == list(events_of(answer))


@EVERY
def test_thoughts_go_where_they_can_come_back_without_harm(dialect: Dialect) -> None:
    answer = Answered("i", "m", (Reasoning("because"), Text("yes")), Stop.END, TokenBreakdown())
    for told in (written(dialect, answer), DIALECTS[dialect].write_answer(answer, FRAME)):
        assert (b"because" in told) is (dialect in (C, G))


@pytest.mark.parametrize("spoken", [A, C, R, G])
@pytest.mark.parametrize("wanted", [A, C, R, G])
@pytest.mark.parametrize("scenario", ["ok", "tool", "tool,calls=2", "max_tokens", "refusal"])
def test_the_mocks_answers_mean_the_same_in_every_dialect(spoken: Dialect, wanted: Dialect, scenario: str) -> None:
    """Whole and streamed alike; usage in five buckets."""
    body = b"{}" if spoken is G else b'{"model":"m"}'
    request = SPECS[spoken].read_request(body, PATHS[spoken])
    conversion = convert(request, spoken, wanted, "m", "req-1", 1)
    whole = DIALECTS[wanted].read_answer(json.loads(ask(wanted, scenario).body), FRAME)
    again = DIALECTS[spoken].read_answer(json.loads(conversion.answer(ask(wanted, scenario).body)), FRAME)
    assert again.stop == whole.stop
    assert again.usage.total == whole.usage.total
    assert [part.name for part in again.parts if isinstance(part, ToolCall)] == [
        part.name for part in whole.parts if isinstance(part, ToolCall)
    ]

    translator = conversion.translator()
    stream = translator.feed(ask(wanted, scenario, stream=True).body) + translator.finish()
    ended = decoded(spoken, stream)[-1]
    assert isinstance(ended, Ended)
    assert (ended.stop, ended.usage.total) == (whole.stop, whole.usage.total)


def test_anthropics_events_come_in_the_order_of_its_vendor() -> None:
    parts = (Text("a"), ToolCall("c1", "ls", "{}"), ToolCall("c2", "ls", '{"a":1}'))
    stream = written(A, Answered("i", "m", parts, Stop.TOOL_USE, TokenBreakdown()))
    block = ["content_block_start", "content_block_delta", "content_block_stop"]
    kinds = [line[7:] for line in stream.decode().splitlines() if line.startswith("event: ")]
    assert kinds == ["message_start", *block * 3, "message_delta", "message_stop"]
    indexes = [json.loads(line[6:]).get("index") for line in stream.decode().splitlines() if line.startswith("data: ")]
    assert indexes == [None, 0, 0, 0, 1, 1, 1, 2, 2, 2, None, None]


def test_responses_events_are_numbered_and_their_last_one_tells_all() -> None:
    parts = (Text("a"), ToolCall("c1", "ls", '{"a":1}'))
    stream = written(R, Answered("i", "m", parts, Stop.TOOL_USE, TokenBreakdown()))
    events = [json.loads(line[6:]) for line in stream.decode().splitlines() if line.startswith("data: ")]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"].removeprefix("response.") for event in events] == [
        "created",
        "in_progress",
        *("output_item.added", "content_part.added", "output_text.delta"),
        *("output_text.done", "content_part.done", "output_item.done"),
        *("output_item.added", "function_call_arguments.delta", "function_call_arguments.done", "output_item.done"),
        "completed",
    ]
    assert events[0]["response"]["output"] == []
    assert [item["type"] for item in events[-1]["response"]["output"]] == ["message", "function_call"]


def test_a_clients_own_names_of_tools_come_back() -> None:
    origins = {"t_x": Origin("files.read"), "patch": Origin("patch", custom=True), "a__b": Origin("b", "a")}
    frame = replace(FRAME, origins=origins)
    calls = tuple(ToolCall(name, name, '{"input":"*** Begin"}') for name in origins)
    answer = Answered("i", "m", calls, Stop.TOOL_USE, TokenBreakdown())
    read, patch, spawn = json.loads(DIALECTS[R].write_answer(answer, frame))["output"]
    assert (read["type"], read["name"]) == ("function_call", "files.read")
    assert (patch["type"], patch["name"], patch["input"]) == ("custom_tool_call", "patch", "*** Begin")
    assert (spawn["name"], spawn["namespace"]) == ("b", "a")
    for dialect in (A, C, G):
        assert b'"files.read"' in DIALECTS[dialect].write_answer(answer, frame)
        assert b'"files.read"' in written(dialect, answer, frame)


def test_parallel_calls_that_come_interleaved_leave_one_after_the_other() -> None:
    order = Order()
    told = order.start("a", "1", "ls") + order.start("b", "2", "cat") + order.add("b", "{") + order.add("a", "{}")
    told += order.say(TextDelta("then")) + order.add("b", "}") + order.end("b") + order.end("a")
    told += order.start("c", "3", "pwd") + order.finish(Stop.END, TokenBreakdown())
    assert told == [
        *(CallStarted("1", "ls"), CallDelta("{}"), CallEnded()),
        *(CallStarted("2", "cat"), CallDelta("{"), CallDelta("}"), CallEnded()),
        TextDelta("then"),
        *(CallStarted("3", "pwd"), CallDelta("{}"), CallEnded()),
        Ended(Stop.TOOL_USE, TokenBreakdown()),
    ]


@pytest.mark.parametrize("wanted", [True, False])
def test_the_usage_of_a_chat_stream_is_told_to_who_asked_for_it(wanted: bool) -> None:
    answer = Answered("i", "m", (Text("a"),), Stop.END, TokenBreakdown(3, 1, 2))
    assert (b'"usage"' in written(C, answer, replace(FRAME, wants_usage=wanted))) is wanted


def test_calls_that_share_an_index_are_told_apart_by_id() -> None:
    """As Google's imitation of Chat sends them."""
    chunks = [
        {"index": 0, "id": f"c{n}", "function": {"name": "ls", "arguments": f'{{"n":{n}}}'}, "type": "function"}
        for n in range(2)
    ]
    stream = b"".join(
        b"data: %b\n\n" % json.dumps({"choices": [{"delta": {"tool_calls": [call]}}]}).encode() for call in chunks
    )
    assert [event.id for event in decoded(C, stream) if isinstance(event, CallStarted)] == ["c0", "c1"]
    assert [event.arguments for event in decoded(C, stream) if isinstance(event, CallDelta)] == ['{"n":0}', '{"n":1}']


@pytest.mark.parametrize(
    ("dialect", "stream"),
    [
        (A, b'data: {"type":"message_delta","delta":{"stop_reason":"new_reason"}}\n\n'),
        (C, b'data: {"choices":[{"delta":{},"finish_reason":"new_reason"}]}\n\n'),
        (G, b'data: {"promptFeedback":{"blockReason":"SAFETY"}}\n\n'),
        (G, b'data: {"candidates":[{"finishReason":"MALFORMED_FUNCTION_CALL"}]}\n\n'),
    ],
)
def test_an_end_for_an_unknown_reason_is_no_success(dialect: Dialect, stream: bytes) -> None:
    assert decoded(dialect, stream) == [Started("", ""), Ended(Stop.REFUSAL, TokenBreakdown())]


def test_a_whole_answer_to_a_client_that_wants_a_stream_becomes_one() -> None:
    request = SPECS[A].read_request(b'{"model":"m","stream":true}', PATHS[A])
    told = convert(request, A, C, "m", "req-1", 1).answer(ask(C, "ok").body)
    assert told.startswith(b"event: message_start")
    assert b"message_stop" in told


def test_an_array_is_answered_with_an_array() -> None:
    request = SPECS[G].read_request(b"{}", "/v1beta/models/m:streamGenerateContent")
    told = json.loads(convert(request, G, C, "m", "req-1", 1).answer(ask(C, "ok").body))
    assert told[0]["candidates"][0]["finishReason"] == "STOP"


@EVERY
@settings(max_examples=30)
@given(events=st.lists(st.dictionaries(st.sampled_from(("type", "choices", "candidates", "delta", "item")), ANYTHING)))
def test_whatever_a_provider_streams_it_never_raises(dialect: Dialect, events: list[dict[str, Any]]) -> None:
    stream = b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events)
    for client in (A, C, R, G):
        translator = Translator(DIALECTS[dialect].decoder(FRAME), DIALECTS[client].encoder(FRAME))
        assert translator.feed(stream) + translator.finish()


@EVERY
@given(body=ANYTHING)
def test_whatever_a_provider_answers_it_never_raises(dialect: Dialect, body: Any) -> None:
    for client in (A, C, R, G):
        request = SPECS[client].read_request(b'{"model":"m"}', PATHS[client])
        conversion: Conversion = convert(request, client, dialect, "m", "req-1", 1)
        assert conversion.answer(json.dumps(body).encode())
