"""Answers of Gemini's generateContent, whole and streamed, read into the neutral form and written from it."""

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
from droveway.dialects.conversion.words import as_json, as_object, tables
from droveway.dialects.gemini import buckets

_STOPS = {"STOP": Stop.END, "MAX_TOKENS": Stop.MAX_TOKENS, "SAFETY": Stop.REFUSAL}
_REASONS = {Stop.MAX_TOKENS: "MAX_TOKENS", Stop.REFUSAL: "SAFETY"}


def read(body: dict[str, Any], frame: Frame) -> Answered:
    """Reads an answer in one piece. Its calls may have no ids: they get the request's, numbered."""
    parts = [found for number, part in enumerate(_parts(body)) if (found := _part(part, f"{frame.id}_{number}"))]
    stop = settled(reason_of(_STOPS, text(first(body.get("candidates")).get("finishReason"))), parts)
    usage = buckets(table(body.get("usageMetadata")))
    return Answered(text(body.get("responseId")), text(body.get("modelVersion")), tuple(parts), stop, usage)


def write(answer: Answered, frame: Frame) -> bytes:
    """Writes an answer in one piece; as the one chunk of an array, if the client asked for that."""
    encoder = GeminiEncoder(frame)
    encoder.encode(Started(answer.id, answer.model))
    parts = [_piece(part, frame) for part in answer.parts]
    chunk = encoder.chunk(parts, _REASONS.get(answer.stop, "STOP"), answer.usage)
    return b"[" + dump_object(chunk) + b"]" if frame.in_array else dump_object(chunk)


class GeminiDecoder(Decoder):
    """Reads chunks."""

    def __init__(self, frame: Frame) -> None:
        super().__init__(frame)
        self._usage: dict[str, Any] = {}
        self._reason = ""
        self._number = -1

    def _read(self, event: dict[str, Any]) -> list[Event]:
        self._usage = table(event.get("usageMetadata")) or self._usage
        self._reason = text(first(event.get("candidates")).get("finishReason")) or self._reason
        told = self._start(text(event.get("responseId")), text(event.get("modelVersion")))
        for part in _parts(event):
            self._number += 1
            match _part(part, f"{self.frame.id}_{self._number}"):
                case Text(words):
                    told += self.order.say(TextDelta(words))
                case Reasoning(words):
                    told += self.order.say(ReasoningDelta(words))
                case ToolCall(call_id, name, arguments):
                    told += self.order.start(self._number, call_id, name)
                    told += self.order.add(self._number, arguments) + self.order.end(self._number)
        return told

    def _end(self) -> tuple[Stop, TokenBreakdown]:
        return reason_of(_STOPS, self._reason), buckets(self._usage)


class GeminiEncoder(Encoder):
    """Writes chunks; a call only when it is complete."""

    def __init__(self, frame: Frame) -> None:
        super().__init__(frame)
        self._head = {"modelVersion": frame.model, "responseId": frame.id}
        self._call = ("", "")
        self._arguments: list[str] = []

    def resume(self, delivered: Delivered) -> None:
        """Goes on under the same id."""
        self._head = {
            "modelVersion": delivered.model or self.frame.model,
            "responseId": delivered.id or self.frame.id,
        }

    def notice(self, told: dict[str, str]) -> bytes:
        """In a chunk that says nothing: Google's client takes a comment for broken JSON."""
        return b"data: %b\n\n" % dump_object({**self.chunk([{"text": ""}]), "droveway": told})

    def encode(self, event: Event) -> bytes:
        """The chunk of this event."""
        match event:
            case Started(given, model):
                self._head = {"modelVersion": model or self.frame.model, "responseId": given or self.frame.id}
            case TextDelta(words):
                return self._data([{"text": words}])
            case ReasoningDelta(words):
                return self._data([{"text": words, "thought": True}])
            case CallStarted(call_id, name):
                self._call, self._arguments = (call_id, name), []
            case CallDelta(arguments):
                self._arguments.append(arguments)
            case CallEnded():
                return self._data([_piece(ToolCall(*self._call, "".join(self._arguments)), self.frame)])
            case Ended(stop, usage):
                return self._data([{"text": ""}], _REASONS.get(stop, "STOP"), usage)
        return b""

    def chunk(
        self, parts: list[dict[str, Any]], reason: str = "", usage: TokenBreakdown | None = None
    ) -> dict[str, Any]:
        """An answer, or a piece of one."""
        candidate = {"content": {"role": "model", "parts": parts}, "index": 0}
        ended = {"finishReason": reason} if reason else {}
        counted = {"usageMetadata": _usage(usage)} if usage else {}
        return {"candidates": [{**candidate, **ended}], **self._head, **counted}

    def _data(self, parts: list[dict[str, Any]], reason: str = "", usage: TokenBreakdown | None = None) -> bytes:
        return b"data: %b\n\n" % dump_object(self.chunk(parts, reason, usage))


def _parts(body: dict[str, Any]) -> list[dict[str, Any]]:
    return tables(table(first(body.get("candidates")).get("content")).get("parts"))


def _part(part: dict[str, Any], otherwise: str) -> Text | Reasoning | ToolCall | None:
    if call := table(part.get("functionCall")):
        arguments = as_json(table(call.get("args")))
        return ToolCall(text(call.get("id")) or f"call_{otherwise}", text(call.get("name")), arguments)
    if words := text(part.get("text")):
        return Reasoning(words) if part.get("thought") else Text(words)
    return None


def _piece(part: Text | Reasoning | ToolCall, frame: Frame) -> dict[str, Any]:
    match part:
        case Text(words):
            return {"text": words}
        case Reasoning(words):
            return {"text": words, "thought": True}
        case ToolCall(call_id, name, arguments):
            called = {"id": call_id, "name": frame.origin(name).name, "args": as_object(arguments)}
            return {"functionCall": called}


def _usage(tokens: TokenBreakdown) -> dict[str, int]:
    asked = tokens.input + tokens.cache_read + tokens.cache_write
    return {
        "promptTokenCount": asked,
        "cachedContentTokenCount": tokens.cache_read,
        "candidatesTokenCount": tokens.output,
        "thoughtsTokenCount": tokens.reasoning,
        "totalTokenCount": asked + tokens.output + tokens.reasoning,
    }
