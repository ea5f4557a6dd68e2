"""Reading streams while they pass: content, end, errors, tokens."""

import json
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from droveway.api.enums import EndClass
from droveway.core.completion import TokenBreakdown
from droveway.dialects import SPECS, Request, StreamReader
from droveway.dialects.stream import MAX_EVENT_BYTES
from helpers.mock_answers import ask

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
DIALECTS = ["Anthropic", "OpenAIChat", "OpenAIResponses", "Gemini"]
USAGE = {  # the mock's constants in disjoint buckets (R-C32)
    "Anthropic": TokenBreakdown(2142, 1200, 42, 0, 800, 100),
    "OpenAIChat": TokenBreakdown(1242, 400, 35, 7, 800, 0),
    "OpenAIResponses": TokenBreakdown(1242, 400, 35, 7, 800, 0),
    "Gemini": TokenBreakdown(1249, 400, 42, 7, 800, 0),
}


def request_for(dialect: str, *, options: bytes = b"") -> Request:
    spec = SPECS[dialect]
    if dialect == "Gemini":
        return spec.read_request(b"{}", "/v1beta/models/m1:streamGenerateContent", "alt=sse")
    return spec.read_request(b'{"model":"m1","stream":true' + options + b"}", next(iter(spec.paths)))


def reader_for(dialect: str) -> StreamReader:
    return SPECS[dialect].reader(request_for(dialect, options=b',"stream_options":{"include_usage":true}'))


def read(reader: StreamReader, *chunks: bytes) -> bytes:
    return b"".join([*map(reader.feed, chunks), reader.close()])


def told(reader: StreamReader) -> tuple[object, ...]:
    verdict = reader.verdict(NOW)
    return (
        reader.has_content,
        reader.terminal,
        reader.has_error,
        reader.model,
        reader.finish_reason,
        reader.usage,
        verdict,
    )


def sse(*events: dict[str, object], named: bool = False) -> bytes:
    head = [f"event: {e['type']}\n" if named else "" for e in events]
    return "".join(f"{h}data: {json.dumps(e)}\n\n" for h, e in zip(head, events, strict=True)).encode()


@pytest.mark.parametrize("scenario", ["ok", "tool", "max_tokens", "refusal"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_whole_stream_is_a_success_with_its_tokens(dialect: str, scenario: str) -> None:
    said, reader = ask(dialect, scenario, stream=True), reader_for(dialect)
    assert read(reader, *said.pieces) == said.body
    assert reader.verdict(NOW).kind is EndClass.SUCCEEDED
    assert (reader.has_content, reader.terminal, reader.model) == (True, True, "m1")
    assert reader.usage == USAGE[dialect]


@pytest.mark.parametrize(
    ("dialect", "scenario", "reason"),
    [
        ("Anthropic", "ok", "end_turn"), ("Anthropic", "tool", "tool_use"), ("Anthropic", "refusal", "refusal"),
        ("OpenAIChat", "ok", "stop"), ("OpenAIChat", "tool", "tool_calls"), ("OpenAIChat", "max_tokens", "length"),
        ("OpenAIResponses", "ok", "completed"), ("OpenAIResponses", "max_tokens", "max_output_tokens"),
        ("Gemini", "ok", "STOP"), ("Gemini", "refusal", "SAFETY"),
    ],
)  # fmt: skip
def test_the_finish_reason_is_kept_in_the_dialects_words(dialect: str, scenario: str, reason: str) -> None:
    said, reader = ask(dialect, scenario, stream=True), reader_for(dialect)
    read(reader, said.body)
    assert reader.finish_reason == reason


@pytest.mark.parametrize(
    ("dialect", "scenario", "event"),
    [
        ("Anthropic", "ok", 3),  # message_start, the block's start and a ping say nothing
        ("Anthropic", "tool", 1),  # the start of a tool call does
        ("OpenAIChat", "ok", 1),  # the first chunk has a role only
        ("OpenAIChat", "tool", 1),
        ("OpenAIResponses", "ok", 4),
        ("OpenAIResponses", "tool", 2),
        ("Gemini", "ok", 0),
        ("Gemini", "tool", 0),
    ],
)
def test_content_is_seen_with_the_first_event_that_has_some(dialect: str, scenario: str, event: int) -> None:
    reader = reader_for(dialect)
    seen = [
        reader.has_content for piece in ask(dialect, scenario, stream=True).pieces if reader.feed(piece) is not None
    ]
    assert seen.index(True) == event


@pytest.mark.parametrize(
    ("dialect", "event"),
    [
        ("Anthropic", {"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": "hm"}}),
        ("OpenAIChat", {"choices": [{"delta": {"reasoning_content": "hm"}}]}),
        ("OpenAIResponses", {"type": "response.reasoning_summary_text.delta", "delta": "hm"}),
        ("Gemini", {"candidates": [{"content": {"parts": [{"text": "hm", "thought": True}]}}]}),
    ],
    ids=DIALECTS,
)
def test_reasoning_is_content(dialect: str, event: dict[str, object]) -> None:
    reader = reader_for(dialect)
    reader.feed(sse(event))
    assert reader.has_content


@pytest.mark.parametrize(
    ("dialect", "event"),
    [
        ("Anthropic", {"type": "content_block_delta", "delta": {"type": "text_delta", "text": ""}}),
        ("OpenAIChat", {"choices": [{"delta": {"role": "assistant", "content": "", "tool_calls": None}}]}),
        ("OpenAIResponses", {"type": "response.output_text.delta", "delta": ""}),
        ("Gemini", {"candidates": [{"content": {"parts": [{"text": "", "thoughtSignature": "x"}]}}]}),
    ],
    ids=DIALECTS,
)
def test_an_empty_delta_is_no_content(dialect: str, event: dict[str, object]) -> None:
    reader = reader_for(dialect)
    reader.feed(sse(event))
    assert not reader.has_content


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_stream_that_just_ends_is_an_outage(dialect: str) -> None:
    """Never a silent end: whatever came before, no terminal event means failure."""
    said, reader = ask(dialect, "disconnect", stream=True), reader_for(dialect)
    assert read(reader, *said.pieces) == said.body
    assert reader.verdict(NOW).kind is EndClass.PROVIDER_OUTAGE
    assert not reader.terminal


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_error_inside_a_stream_is_judged_and_not_relayed(dialect: str) -> None:
    said, reader = ask(dialect, "stream_error", stream=True), reader_for(dialect)
    assert read(reader, *said.pieces, b"data: more\n\n") == b"".join(said.pieces[:-1])
    assert reader.has_error
    assert reader.verdict(NOW).kind is EndClass.PROVIDER_OUTAGE


@pytest.mark.parametrize(
    ("dialect", "event", "kind"),
    [
        ("Anthropic", {"type": "error", "error": {"type": "rate_limit_error"}}, EndClass.RATE_LIMITED),
        ("Anthropic", {"type": "error", "error": {"type": "invalid_request_error"}}, EndClass.REQUEST_REJECTED),
        ("Anthropic", {"type": "error", "error": "?"}, EndClass.PROVIDER_OUTAGE),
        ("OpenAIChat", {"error": {"code": 429, "message": "slow"}}, EndClass.RATE_LIMITED),
        ("OpenAIChat", {"error": {"code": "insufficient_quota"}}, EndClass.BALANCE_EXHAUSTED),
        ("OpenAIChat", {"error": "it broke"}, EndClass.PROVIDER_OUTAGE),
        ("OpenAIResponses", {"type": "error", "code": "invalid_api_key"}, EndClass.AUTH_FAILED),
        (
            "OpenAIResponses",
            {"type": "response.failed", "response": {"error": {"code": "context_length_exceeded"}}},
            EndClass.REQUEST_REJECTED,
        ),
        (
            "OpenAIResponses",
            {
                "type": "response.failed",
                "response": {"error": {"code": "usage_limit_reached", "resets_in_seconds": 60}},
            },
            EndClass.SUBSCRIPTION_LIMIT,
        ),
        ("Gemini", {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}, EndClass.RATE_LIMITED),
    ],
)
def test_an_error_inside_means_what_its_status_would(dialect: str, event: dict[str, object], kind: EndClass) -> None:
    reader = reader_for(dialect)
    assert reader.feed(sse(event)) == b""
    assert reader.verdict(NOW).kind is kind


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("scenario", ["ok", "stream_error", "disconnect"])
def test_a_cut_at_any_byte_changes_nothing(dialect: str, scenario: str) -> None:
    body = ask(dialect, scenario, stream=True).body
    whole = reader_for(dialect)
    relayed = read(whole, body)
    for at in range(len(body)):
        reader = reader_for(dialect)
        assert read(reader, body[:at], body[at:]) == relayed
        assert told(reader) == told(whole)


@given(
    dialect=st.sampled_from(DIALECTS),
    scenario=st.sampled_from(["ok", "tool", "stream_error", "disconnect"]),
    line_end=st.sampled_from([b"\n", b"\r\n"]),
    cuts=st.lists(st.integers(0, 8000), max_size=40),
)
def test_chunks_never_change_the_result(dialect: str, scenario: str, line_end: bytes, cuts: list[int]) -> None:
    body = ask(dialect, scenario, stream=True).body.replace(b"\n", line_end)
    whole, reader = reader_for(dialect), reader_for(dialect)
    at = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts)})
    assert read(reader, *(body[a:b] for a, b in pairwise(at))) == read(whole, body)
    assert told(reader) == told(whole)


@given(st.sampled_from(DIALECTS), st.lists(st.binary(max_size=60), max_size=8))
def test_no_bytes_make_a_reader_raise(dialect: str, chunks: list[bytes]) -> None:
    reader = reader_for(dialect)
    read(reader, *chunks, b"\n\n", b'data: {"type":3,"choices":3,"candidates":[3],"usage":[],"error":0}\n\n')
    assert reader.verdict(NOW).kind in EndClass


def test_data_in_several_lines_comments_and_unknown_events_are_understood() -> None:
    reader = reader_for("OpenAIChat")
    read(
        reader,
        b"\xef\xbb\xbf: hello\n\n",
        b'id: 7\nevent: message\ndata: {"model": "m9",\ndata: "choices": [{"delta": {"content": "x"}}]}\n\n',
        b"retry: 10\n\n",
        b'event: later\ndata: {"type": "unknown"}\n\n',
        b"data: [DONE]\n",  # without the blank line
    )
    assert (reader.model, reader.has_content, reader.terminal) == ("m9", True, True)


def test_words_of_the_answer_are_not_taken_for_the_end_or_an_error() -> None:
    reader = reader_for("OpenAIChat")
    trap = '[DONE] "error": {} "finish_reason":"stop" "usage":{}'
    read(reader, sse({"choices": [{"delta": {"content": trap}, "finish_reason": None}]}) * 2)
    assert (reader.terminal, reader.has_error, reader.usage) == (False, False, TokenBreakdown())


@pytest.mark.parametrize(
    ("options", "hidden"),
    [
        (b"", True),
        (b',"stream_options":{"include_usage":false}', True),
        (b',"stream_options":{"include_usage":true}', False),
    ],
    ids=["absent", "false", "true"],
)
def test_the_usage_chunk_is_hidden_from_who_did_not_ask(options: bytes, hidden: bool) -> None:
    said = ask("OpenAIChat", "ok", stream=True)
    reader = SPECS["OpenAIChat"].reader(request_for("OpenAIChat", options=options))
    relayed = read(reader, said.body)
    assert (b'"usage"' not in relayed) is hidden
    assert relayed.endswith(b"data: [DONE]\n\n")
    assert reader.usage == USAGE["OpenAIChat"]


def test_a_finish_chunk_that_carries_the_usage_is_not_hidden() -> None:
    reader = SPECS["OpenAIChat"].reader(request_for("OpenAIChat"))
    last = sse(
        {"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}
    )
    assert read(reader, last) == last
    assert reader.usage == TokenBreakdown(5, 3, 2)


def test_reasoning_beside_the_output_is_not_taken_out_of_it() -> None:
    reader = reader_for("OpenAIChat")
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 35}
    read(reader, sse({"choices": [], "usage": {**usage, "completion_tokens_details": {"reasoning_tokens": 20}}}))
    assert reader.usage == TokenBreakdown(35, 10, 5, 20)


@pytest.mark.parametrize("dialect", ["Anthropic", "Gemini"])
def test_a_broken_stream_still_tells_the_input_it_cost(dialect: str) -> None:
    reader = reader_for(dialect)
    read(reader, *ask(dialect, "disconnect", stream=True).pieces)
    assert reader.usage.cache_read == 800


def test_nonsense_token_counts_are_zero() -> None:
    reader = reader_for("Anthropic")
    usage = {
        "input_tokens": -5,
        "output_tokens": "7",
        "cache_read_input_tokens": 1.5,
        "cache_creation_input_tokens": True,
    }
    read(reader, sse({"type": "message_delta", "usage": usage}))
    assert reader.usage == TokenBreakdown()


def test_an_endless_event_ends_the_stream_instead_of_the_memory() -> None:
    reader, piece = reader_for("OpenAIChat"), b"x" * (1024 * 1024)
    for _ in range(MAX_EVENT_BYTES // len(piece) + 1):
        assert reader.feed(piece) == b""
    assert reader.has_error
    assert reader.verdict(NOW).kind is EndClass.PROVIDER_OUTAGE


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_whole_answer_tells_the_same_tokens_as_its_stream(dialect: str) -> None:
    answer = SPECS[dialect].read_answer(ask(dialect, "ok").body, NOW)
    assert (answer.usage, answer.model) == (USAGE[dialect], "m1")
    assert answer.verdict.kind is EndClass.SUCCEEDED
    assert answer.finish_reason


def test_a_gemini_stream_without_sse_is_a_list_whose_last_chunk_counts() -> None:
    chunks = [json.loads(piece.removeprefix(b"data: ")) for piece in ask("Gemini", "ok", stream=True).pieces]
    answer = SPECS["Gemini"].read_answer(json.dumps(chunks).encode(), NOW)
    assert (answer.usage, answer.finish_reason) == (USAGE["Gemini"], "STOP")


@pytest.mark.parametrize(
    ("dialect", "body", "kind"),
    [
        ("Anthropic", b"<html>login</html>", EndClass.PROVIDER_OUTAGE),
        ("Anthropic", b'{"type":"error","error":{"type":"overloaded_error"}}', EndClass.PROVIDER_OUTAGE),
        ("OpenAIChat", b'{"error":{"code":402,"message":"pay"}}', EndClass.BALANCE_EXHAUSTED),
        ("OpenAIResponses", b'{"status":"failed","error":{"code":"rate_limit_exceeded"}}', EndClass.RATE_LIMITED),
        ("OpenAIResponses", b'{"status":"failed","error":null}', EndClass.PROVIDER_OUTAGE),
        ("Gemini", b'[{"error":{"code":503}}]', EndClass.PROVIDER_OUTAGE),
    ],
)
def test_an_error_in_a_200_is_no_success(dialect: str, body: bytes, kind: EndClass) -> None:
    assert SPECS[dialect].read_answer(body, NOW).verdict.kind is kind
