"""With what a client has of a broken stream, who can go on from where."""

import json
from typing import Any

import pytest

from droveway.api.enums import Dialect
from droveway.dialects.conversion import CannotResume, delivered
from helpers.faulty import Voice


def stream(*events: Any) -> bytes:
    return b"".join(f"data: {json.dumps(event)}\n\n".encode() for event in events)


def block(index: int, kind: str, **more: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": {"type": kind, **more}}


def delta(index: int, **said: str) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": said}


def stop(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def chunk(**said: Any) -> dict[str, Any]:
    return {"id": "c", "model": "m", "choices": [{"index": 0, "delta": said, "finish_reason": None}]}


def item(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": "response.output_item.added", "output_index": 0, "item": {"id": "i", "type": kind, **more}}


def done(kind: str) -> dict[str, Any]:
    return {"type": "response.output_item.done", "output_index": 0, "item": {"id": "i", "type": kind}}


def gemini(*parts: Any, **more: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"role": "model", "parts": list(parts)}, **more}], "responseId": "g"}


START = {"type": "message_start", "message": {"id": "m1", "model": "claude"}}
CREATED = {"type": "response.created", "response": {"id": "r1"}}
SAID = {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "hi"}


@pytest.mark.parametrize("dialect", list(Dialect))
def test_words_of_every_dialect_are_found(dialect: Dialect) -> None:
    voice = Voice(dialect.value, "model-up")
    found = delivered(dialect, voice.start() + voice.word("one ") + voice.word("two"))
    assert (found.text, found.started) == ("one two", True)
    assert found.id in ("m1", "c1", "r1", "g1")


@pytest.mark.parametrize("dialect", list(Dialect))
def test_nothing_at_all_can_be_gone_on_with(dialect: Dialect) -> None:
    found = delivered(dialect, b": ping\n\n")
    assert (found.text, found.started) == ("", False)


@pytest.mark.parametrize("dialect", list(Dialect))
def test_an_answer_that_told_its_end_is_over(dialect: Dialect) -> None:
    voice = Voice(dialect.value, "m")
    with pytest.raises(CannotResume):
        delivered(dialect, voice.start() + voice.word("one") + voice.end())


@pytest.mark.parametrize(
    ("dialect", "events", "text", "blocks", "is_open"),
    [
        pytest.param("Anthropic", [START, block(0, "text"), delta(0, text="a")], "a", 1, True, id="open words"),
        pytest.param("Anthropic", [START, block(0, "text", text="a"), stop(0)], "a", 1, False, id="closed words"),
        pytest.param(
            "Anthropic", [START, block(0, "thinking"), delta(0, thinking="x"), stop(0), block(1, "text", text="a")],
            "a", 2, True, id="words behind a complete thought",
        ),
        pytest.param("OpenAIChat", [chunk(reasoning_content="x"), chunk(content="a")], "a", 0, False, id="thoughts aloud"),
        pytest.param("OpenAIResponses", [CREATED, item("message"), SAID], "hi", 0, True, id="an open item"),
        pytest.param(
            "OpenAIResponses", [CREATED, item("reasoning"), done("reasoning"), item("message"), SAID], "hi", 0, True,
            id="an item behind a complete thought",
        ),
        pytest.param("Gemini", [gemini({"text": "x", "thought": True}, {"text": "a"})], "a", 0, False, id="parts"),
    ],
)  # fmt: skip
def test_words_can_be_gone_on_with(dialect: str, events: list[Any], text: str, blocks: int, is_open: bool) -> None:
    found = delivered(Dialect(dialect), stream(*events))
    assert (found.text, found.blocks, found.open) == (text, blocks, is_open)


@pytest.mark.parametrize(
    ("dialect", "events"),
    [
        pytest.param("Anthropic", [START, block(0, "tool_use", id="t", name="n")], id="a call begins"),
        pytest.param("Anthropic", [START, block(0, "thinking"), delta(0, thinking="x")], id="half a thought"),
        pytest.param("Anthropic", [START, block(0, "server_tool_use")], id="what nobody knows"),
        pytest.param("OpenAIChat", [chunk(content="a"), chunk(tool_calls=[{"index": 0}])], id="a call, Chat"),
        pytest.param("OpenAIChat", [chunk(refusal="no")], id="a refusal"),
        pytest.param("OpenAIChat", [{"choices": [{"index": 1, "delta": {"content": "b"}}]}], id="several answers"),
        pytest.param("OpenAIResponses", [CREATED, item("function_call", name="n")], id="a call, Responses"),
        pytest.param("OpenAIResponses", [CREATED, item("custom_tool_call")], id="a call of another kind"),
        pytest.param("OpenAIResponses", [CREATED, item("reasoning")], id="half a thought, Responses"),
        pytest.param("OpenAIResponses", [CREATED, item("message"), item("message")], id="two items at once"),
        pytest.param("Gemini", [gemini({"functionCall": {"name": "n"}})], id="a call, Gemini"),
        pytest.param("Gemini", [gemini({"inlineData": {"data": "x"}})], id="a picture"),
    ],
)
def test_nobody_can_go_on_with_more_than_words(dialect: str, events: list[Any]) -> None:
    with pytest.raises(CannotResume):
        delivered(Dialect(dialect), stream(*events))
