"""Real streams with something wrong in the middle: no reader and no translator raises, whatever came of them on the way."""

import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from droveway.api.enums import EndClass
from droveway.dialects import SPECS, Request
from droveway.dialects.bodies import parse_any
from droveway.dialects.conversion import DIALECTS
from droveway.dialects.conversion.coding import Translator
from droveway.dialects.conversion.model import Frame
from helpers.mock_answers import ask

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
NAMES = ["Anthropic", "OpenAIChat", "OpenAIResponses", "Gemini"]
WORDS = st.sampled_from(
    ["", "type", "error", "message_stop", "[DONE]", "response.completed", "STOP", "tool_use", "\ud800", "x" * 300]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)


def request(dialect: str) -> Request:
    if dialect == "Gemini":
        return SPECS[dialect].read_request(b"{}", "/v1beta/models/m1:streamGenerateContent", "alt=sse")
    return SPECS[dialect].read_request(b'{"model":"m1","stream":true}', next(iter(SPECS[dialect].paths)))


def changed(value: Any, data: st.DataObject) -> Any:
    """The value with one part of it replaced by anything."""
    if isinstance(value, dict) and value and data.draw(st.booleans()):
        name = data.draw(st.sampled_from(sorted(value)))
        return {**value, name: changed(value[name], data)}
    if isinstance(value, list) and value and data.draw(st.booleans()):
        place = data.draw(st.integers(0, len(value) - 1))
        return [*value[:place], changed(value[place], data), *value[place + 1 :]]
    return data.draw(VALUES)


def spoilt(stream: bytes, data: st.DataObject) -> bytes:
    """The stream with some of its events changed, dropped, doubled or moved."""
    events = stream.split(b"\n\n")
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(events) - 1))
        head, mark, text = events[place].partition(b"data: ")
        match data.draw(st.sampled_from(["change", "change", "drop", "double", "move", "cut"])):
            case "change" if isinstance(parsed := parse_any(text), dict):
                events[place] = head + mark + json.dumps(changed(parsed, data)).encode()
            case "drop":
                events[place] = b""
            case "double":
                events.insert(place, events[place])
            case "move":
                events.append(events[place])
            case "cut":
                events[place] = events[place][: data.draw(st.integers(0, len(events[place])))]
    return b"\n\n".join(events)


@settings(max_examples=100)
@given(st.sampled_from(NAMES), st.sampled_from(["ok", "tool", "max_tokens", "refusal", "stream_error"]), st.data())
def test_a_spoilt_stream_ends_in_a_verdict(dialect: str, scenario: str, data: st.DataObject) -> None:
    stream = spoilt(ask(dialect, scenario, stream=True).body, data)
    step = data.draw(st.integers(1, 200))
    pieces = [stream[at : at + step] for at in range(0, len(stream), step)]
    reader = SPECS[dialect].reader(request(dialect))
    passed = b"".join([*map(reader.feed, pieces), reader.close()])
    verdict = reader.verdict(NOW)
    assert verdict.kind in EndClass
    assert min(reader.usage.input, reader.usage.output, reader.usage.total) >= 0
    frame = Frame("req-1", "m", 1)
    for client in NAMES:
        translator = Translator(
            DIALECTS[SPECS[dialect].dialect].decoder(frame), DIALECTS[SPECS[client].dialect].encoder(frame)
        )
        told = translator.feed(passed) + translator.finish()
        assert len(told) < 100_000 + 100 * len(stream)
