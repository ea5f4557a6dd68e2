"""Answers of Anthropic Messages, whole and streamed, read into the neutral form and written from it."""

from typing import Any

from droveway.core.completion import TokenBreakdown
from droveway.dialects.anthropic import buckets
from droveway.dialects.bodies import dump_object, table, text
from droveway.dialects.conversion.coding import Decoder, Encoder, reason_of
from droveway.dialects.conversion.delivered import Delivered
from droveway.dialects.conversion.events import (
    CallDelta,
    CallEnded,
    CallStarted,
    Ended,
    Event,
    ReasoningDelta,
    Started,
    TextDelta,
    settled,
)
from droveway.dialects.conversion.model import Answered, Frame, Reasoning, Stop, Text, ToolCall
from droveway.dialects.conversion.words import as_json, as_object, tables

_STOPS = {
    "end_turn": Stop.END,
    "pause_turn": Stop.END,
    "tool_use": Stop.TOOL_USE,
    "max_tokens": Stop.MAX_TOKENS,
    "model_context_window_exceeded": Stop.MAX_TOKENS,
    "stop_sequence": Stop.STOP_SEQUENCE,
    "refusal": Stop.REFUSAL,
}
_REASONS = {
    Stop.END: "end_turn",
    Stop.TOOL_USE: "tool_use",
    Stop.MAX_TOKENS: "max_tokens",
    Stop.STOP_SEQUENCE: "stop_sequence",
    Stop.REFUSAL: "refusal",
}
_PING = b'event: ping\ndata: {"type":"ping"}\n\n'


def read(body: dict[str, Any], frame: Frame) -> Answered:
    """Reads an answer in one piece."""
    del frame
    parts: list[Text | Reasoning | ToolCall] = []
    for block in tables(body.get("content")):
        match block.get("type"):
            case "text":
                parts.append(Text(text(block.get("text"))))
            case "thinking":
                parts.append(Reasoning(text(block.get("thinking"))))
            case "tool_use":
                arguments = as_json(table(block.get("input")))
                parts.append(ToolCall(text(block.get("id")), text(block.get("name")), arguments))
    stop = settled(reason_of(_STOPS, text(body.get("stop_reason"))), parts)
    return Answered(
        text(body.get("id")), text(body.get("model")), tuple(parts), stop, buckets(table(body.get("usage")))
    )


def write(answer: Answered, frame: Frame) -> bytes:
    """Writes an answer in one piece. Thoughts are left out: sent back to their supposed vendor, they would be refused."""
    content: list[dict[str, Any]] = []
    for part in answer.parts:
        match part:
            case Text(words):
                content.append({"type": "text", "text": words})
            case ToolCall(call_id, name, arguments):
                called = {"id": call_id, "name": frame.origin(name).name, "input": as_object(arguments)}
                content.append({"type": "tool_use", **called})
    message = _message(answer.id or frame.id, answer.model or frame.model)
    ended = {"stop_reason": _REASONS[answer.stop], "usage": _usage(answer.usage)}
    return dump_object({**message, "content": content, **ended})


class AnthropicDecoder(Decoder):
    """Reads message_start … message_stop."""

    def __init__(self, frame: Frame) -> None:
        super().__init__(frame)
        self._usage: dict[str, Any] = {}
        self._reason = ""

    def _read(self, event: dict[str, Any]) -> list[Event]:
        key = str(event.get("index"))
        match event.get("type"):
            case "message_start":
                message = table(event.get("message"))
                self._count(message)
                return self._start(text(message.get("id")), text(message.get("model")))
            case "content_block_start":
                block = table(event.get("content_block"))
                if block.get("type") == "tool_use":
                    given = block.get("input")
                    started = self.order.start(key, text(block.get("id")), text(block.get("name")))
                    return started + (self.order.add(key, as_json(given)) if given else [])
                return self._delta(key, block)
            case "content_block_delta":
                return self._delta(key, table(event.get("delta")))
            case "content_block_stop":
                return self.order.end(key)
            case "message_delta":
                self._reason = text(table(event.get("delta")).get("stop_reason")) or self._reason
                self._count(event)
        return []

    def _delta(self, key: Any, delta: dict[str, Any]) -> list[Event]:
        words = self.order.say(TextDelta(text(delta.get("text"))))
        thoughts = self.order.say(ReasoningDelta(text(delta.get("thinking"))))
        return words + thoughts + self.order.add(key, text(delta.get("partial_json")))

    def _count(self, holder: dict[str, Any]) -> None:
        self._usage |= {k: v for k, v in table(holder.get("usage")).items() if v is not None}

    def _end(self) -> tuple[Stop, TokenBreakdown]:
        return reason_of(_STOPS, self._reason), buckets(self._usage)


class AnthropicEncoder(Encoder):
    """Writes message_start, block after block, message_delta, message_stop.

    Thoughts become pings: as thinking without a signature they would be refused when the client sends them back.
    """

    def __init__(self, frame: Frame) -> None:
        super().__init__(frame)
        self._index = -1
        self._in_text = False

    def encode(self, event: Event) -> bytes:
        """The events of this dialect."""
        match event:
            case Started(given, model):
                message = _message(given or self.frame.id, model or self.frame.model)
                return _event("message_start", message={**message, "usage": _usage(TokenBreakdown())})
            case TextDelta(words):
                opened = b"" if self._in_text else self._open({"type": "text", "text": ""})
                self._in_text = True
                return opened + self._delta({"type": "text_delta", "text": words})
            case ReasoningDelta():
                return _PING
            case CallStarted(call_id, name):
                block = {"type": "tool_use", "id": call_id, "name": self.frame.origin(name).name, "input": {}}
                return self._close_text() + self._open(block)
            case CallDelta(arguments):
                return self._delta({"type": "input_json_delta", "partial_json": arguments})
            case CallEnded():
                return self._stop()
            case Ended(stop, usage):
                delta = {"stop_reason": _REASONS[stop], "stop_sequence": None}
                ended = _event("message_delta", delta=delta, usage=_usage(usage))
                return self._close_text() + ended + _event("message_stop")

    def resume(self, delivered: Delivered) -> None:
        """Goes on in the open block, or behind the last one."""
        self._index, self._in_text = delivered.blocks - 1, delivered.open

    def void(self, mark: str) -> bytes:
        """The mark is the last thing in the void block."""
        return super().void(mark) + self._close_text()

    def _open(self, block: dict[str, Any]) -> bytes:
        self._index += 1
        return _event("content_block_start", index=self._index, content_block=block)

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return _event("content_block_delta", index=self._index, delta=delta)

    def _close_text(self) -> bytes:
        if not self._in_text:
            return b""
        self._in_text = False
        return self._stop()

    def _stop(self) -> bytes:
        return _event("content_block_stop", index=self._index)


def _event(kind: str, **data: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), dump_object({"type": kind, **data}))


def _message(given: str, model: str) -> dict[str, Any]:
    return {
        "id": given,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _usage(tokens: TokenBreakdown) -> dict[str, int]:
    return {
        "input_tokens": tokens.input,
        "cache_creation_input_tokens": tokens.cache_write,
        "cache_read_input_tokens": tokens.cache_read,
        "output_tokens": tokens.output + tokens.reasoning,
    }
