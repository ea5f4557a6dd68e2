"""What a client has of a streamed answer whose provider failed: whether another one can go on with it, and from where."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from droveway.api.enums import Dialect
from droveway.dialects.bodies import first, table, text
from droveway.dialects.conversion.words import tables
from droveway.dialects.stream import event_json, event_kind

_BLANK_LINE = re.compile(rb"\n\r?\n")
_THOUGHTS = ("thinking", "redacted_thinking")

Json = dict[str, Any]


class CannotResume(Exception):  # noqa: N818 - says what happened
    """The client has more than words: a tool call, half a thought, or an end."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """The state of a broken stream.

    Attributes:
        text: the words.
        started: the client knows of the answer; otherwise the next one begins it.
        id: of the answer.
        model: as the client was told.
        blocks: content blocks so far (Anthropic).
        open: the last words stand in a block or item that is not closed.
        half: a thought is not complete.
        items: complete items, by their place (OpenAIResponses).
        item_id, item_text: of the item that is open (OpenAIResponses).
        number: of the last event (OpenAIResponses).
        response: as it was when it began (OpenAIResponses).
    """

    text: str = ""
    started: bool = False
    id: str = ""
    model: str = ""
    blocks: int = 0
    open: bool = False
    half: bool = False
    items: tuple[Json, ...] = ()
    item_id: str = ""
    item_text: str = ""
    number: int = -1
    response: Json = field(default_factory=dict)


def delivered(dialect: Dialect, stream: bytes) -> Delivered:
    """Reads what was sent of a stream of the client's dialect.

    Raises:
        CannotResume: nobody can go on with that.
    """
    state = Delivered()
    for event in _events(stream):
        state = _READ[dialect](state, event)
    if state.half:
        raise CannotResume
    return state


def _events(stream: bytes) -> Iterator[Json]:
    for block in _BLANK_LINE.split(stream):
        if event := event_json(block):
            yield {"type": event_kind(block, event), **event}


def _anthropic(state: Delivered, event: Json) -> Delivered:
    match event["type"]:
        case "message_start":
            message = table(event.get("message"))
            return replace(state, started=True, id=text(message.get("id")), model=text(message.get("model")))
        case "content_block_start":
            block = table(event.get("content_block"))
            if block.get("type") not in ("text", *_THOUGHTS):
                raise CannotResume
            spoken, words = block["type"] == "text", text(block.get("text"))
            return replace(state, blocks=state.blocks + 1, open=spoken, half=not spoken, text=state.text + words)
        case "content_block_delta":
            delta = table(event.get("delta"))
            return replace(state, text=state.text + text(delta.get("text")))
        case "content_block_stop":
            return replace(state, open=False, half=False)
        case "message_delta" | "message_stop":
            raise CannotResume
    return state


def _chat(state: Delivered, event: Json) -> Delivered:
    choices = tables(event.get("choices"))
    delta = table(first(choices).get("delta"))
    whole = any(choice.get("finish_reason") or choice.get("index") for choice in choices)
    if whole or delta.get("tool_calls") or delta.get("refusal") or delta.get("function_call"):
        raise CannotResume
    words = state.text + text(delta.get("content"))
    named = state.id or text(event.get("id")), state.model or text(event.get("model"))
    return replace(state, started=True, id=named[0], model=named[1], text=words)


def _responses(state: Delivered, event: Json) -> Delivered:
    number, item = event.get("sequence_number"), table(event.get("item"))
    state = replace(state, number=number if isinstance(number, int) else state.number + 1)
    match event["type"].removeprefix("response."):
        case "created":
            response = table(event.get("response"))
            return replace(state, started=True, id=text(response.get("id")), response=response)
        case "output_item.added" if item.get("type") in ("message", "reasoning") and not state.open:
            spoken = item["type"] == "message"
            return replace(state, item_id=text(item.get("id")), item_text="", open=spoken, half=not spoken)
        case "output_text.delta" if state.open and not event.get("content_index"):
            words = text(event.get("delta"))
            return replace(state, text=state.text + words, item_text=state.item_text + words)
        case "output_item.done" if item.get("type") in ("message", "reasoning"):
            return replace(state, items=(*state.items, item), item_id="", item_text="", open=False, half=False)
        case kind if kind.startswith(("reasoning", "content_part", "output_text", "in_progress", "queued")):
            return state
    raise CannotResume


def _gemini(state: Delivered, event: Json) -> Delivered:
    candidate = first(event.get("candidates"))
    parts = tables(table(candidate.get("content")).get("parts"))
    if candidate.get("finishReason") or any(not isinstance(part.get("text"), str) for part in parts if part):
        raise CannotResume
    words = "".join(part["text"] for part in parts if part and not part.get("thought"))
    named = state.id or text(event.get("responseId")), state.model or text(event.get("modelVersion"))
    return replace(state, started=True, id=named[0], model=named[1], text=state.text + words)


_READ: Mapping[Dialect, Callable[[Delivered, Json], Delivered]] = {
    Dialect.ANTHROPIC: _anthropic,
    Dialect.OPENAI_CHAT: _chat,
    Dialect.OPENAI_RESPONSES: _responses,
    Dialect.GEMINI: _gemini,
}
