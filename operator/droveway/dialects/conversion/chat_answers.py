"""Answers of OpenAI Chat, whole and streamed, read into the neutral form and written from it."""

from typing import Any

from droveway.core.completion import TokenBreakdown
from droveway.dialects.bodies import dump_object, first, table, text
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
from droveway.dialects.conversion.words import stated, tables
from droveway.dialects.openai import buckets

_STOPS = {
    "": Stop.END,  # some imitations only send [DONE]
    "stop": Stop.END,
    "length": Stop.MAX_TOKENS,
    "tool_calls": Stop.TOOL_USE,
    "content_filter": Stop.REFUSAL,
}
_REASONS = {stop: reason for reason, stop in _STOPS.items()} | {Stop.STOP_SEQUENCE: "stop"}
_WORDS = ("prompt", "completion")


def read(body: dict[str, Any], frame: Frame) -> Answered:
    """Reads an answer in one piece."""
    choice = first(body.get("choices"))
    message = table(choice.get("message"))
    refused = text(message.get("refusal"))
    said = text(message.get("content")) or refused
    thoughts = _thoughts(message)
    calls = [_call(call, f"{frame.id}_{n}") for n, call in enumerate(tables(message.get("tool_calls")))]
    parts = (*([Reasoning(thoughts)] if thoughts else ()), *([Text(said)] if said else ()), *calls)
    stop = Stop.REFUSAL if refused else settled(reason_of(_STOPS, text(choice.get("finish_reason"))), parts)
    usage = buckets(table(body.get("usage")), _WORDS)
    return Answered(text(body.get("id")), text(body.get("model")), parts, stop, usage)


def write(answer: Answered, frame: Frame) -> bytes:
    """Writes an answer in one piece."""
    said = "".join(part.text for part in answer.parts if isinstance(part, Text))
    thoughts = "".join(part.text for part in answer.parts if isinstance(part, Reasoning))
    calls = [
        {
            "id": part.id,
            "type": "function",
            "function": {"name": frame.origin(part.name).name, "arguments": part.arguments or "{}"},
        }
        for part in answer.parts
        if isinstance(part, ToolCall)
    ]
    message = {"role": "assistant", "content": said or None, "refusal": None}
    message |= stated(reasoning_content=thoughts, tool_calls=calls)
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _REASONS[answer.stop]}
    head = _head(answer.id or frame.id, answer.model or frame.model, frame)
    return dump_object({**head, "object": "chat.completion", "choices": [choice], "usage": _usage(answer.usage)})


class ChatDecoder(Decoder):
    """Reads chunks. Some imitations give every call the index 0: another id is another call, too."""

    def __init__(self, frame: Frame) -> None:
        super().__init__(frame)
        self._usage: dict[str, Any] = {}
        self._reason = ""
        self._refused = False
        self._keys: dict[Any, tuple[Any, str]] = {}
        self._calls = 0

    def _read(self, event: dict[str, Any]) -> list[Event]:
        self._usage = table(event.get("usage")) or self._usage
        choice = first(event.get("choices"))
        delta = table(choice.get("delta"))
        self._reason = text(choice.get("finish_reason")) or self._reason
        refusal = text(delta.get("refusal"))
        self._refused = self._refused or bool(refusal)
        told = self._start(text(event.get("id")), text(event.get("model")))
        told += self.order.say(ReasoningDelta(_thoughts(delta)))
        told += self.order.say(TextDelta(text(delta.get("content")) or refusal))
        for call in tables(delta.get("tool_calls")):
            told += self._call(call)
        return told

    def _call(self, call: dict[str, Any]) -> list[Event]:
        index, function = str(call.get("index", 0)), table(call.get("function"))
        given, name = text(call.get("id")), text(function.get("name"))
        known = self._keys.get(index)
        told: list[Event] = []
        if known is None or (given and name and given != known[1]):
            known = self._keys[index] = (index, given or f"{self.frame.id}_{self._calls}")
            self._calls += 1
            told = self.order.start(known, known[1], name)
        return told + self.order.add(known, text(function.get("arguments")))

    def _end(self) -> tuple[Stop, TokenBreakdown]:
        return Stop.REFUSAL if self._refused else reason_of(_STOPS, self._reason), buckets(self._usage, _WORDS)


class ChatEncoder(Encoder):
    """Writes chunks, the usage if it was asked for, and [DONE]."""

    def __init__(self, frame: Frame) -> None:
        super().__init__(frame)
        self._base = _head(frame.id, frame.model, frame)
        self._calls = -1

    def encode(self, event: Event) -> bytes:
        """The chunk of this event."""
        match event:
            case Started(given, model):
                self._base = _head(given or self.frame.id, model or self.frame.model, self.frame)
                return self._chunk({"role": "assistant", "content": ""})
            case TextDelta(words):
                return self._chunk({"content": words})
            case ReasoningDelta(words):
                return self._chunk({"reasoning_content": words})
            case CallStarted(call_id, name):
                self._calls += 1
                function = {"name": self.frame.origin(name).name, "arguments": ""}
                return self._call({"id": call_id, "type": "function", "function": function})
            case CallDelta(arguments):
                return self._call({"function": {"arguments": arguments}})
            case CallEnded():
                return b""
            case Ended(stop, usage):
                told = self._chunk({}, _REASONS[stop])
                if self.frame.wants_usage:
                    told += _data({**self._base, "choices": [], "usage": _usage(usage)})
                return told + b"data: [DONE]\n\n"

    def resume(self, delivered: Delivered) -> None:
        """Goes on under the same id."""
        self._base = _head(delivered.id or self.frame.id, delivered.model or self.frame.model, self.frame)

    def _call(self, call: dict[str, Any]) -> bytes:
        return self._chunk({"tool_calls": [{"index": self._calls, **call}]})

    def _chunk(self, delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return _data({**self._base, "choices": [choice]})


def _data(chunk: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % dump_object(chunk)


def _head(given: str, model: str, frame: Frame) -> dict[str, Any]:
    return {"id": given, "object": "chat.completion.chunk", "created": frame.created, "model": model}


def _thoughts(message: dict[str, Any]) -> str:
    """Not OpenAI's own, but what its imitations have agreed on."""
    return text(message.get("reasoning_content")) or text(message.get("reasoning"))


def _call(call: dict[str, Any], otherwise: str) -> ToolCall:
    function = table(call.get("function"))
    return ToolCall(text(call.get("id")) or otherwise, text(function.get("name")), text(function.get("arguments")))


def _usage(tokens: TokenBreakdown) -> dict[str, Any]:
    asked = tokens.input + tokens.cache_read + tokens.cache_write
    answered = tokens.output + tokens.reasoning
    read = {"cached_tokens": tokens.cache_read, **stated(cache_write_tokens=tokens.cache_write or None)}
    return {
        "prompt_tokens": asked,
        "completion_tokens": answered,
        "total_tokens": asked + answered,
        "prompt_tokens_details": read,
        "completion_tokens_details": {"reasoning_tokens": tokens.reasoning},
    }
