"""Answers of OpenAI Responses, whole and streamed, read into the neutral form and written from it."""

from typing import Any

from droveway.core.completion import TokenBreakdown
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
    events_of,
    settled,
)
from droveway.dialects.conversion.model import Answered, Frame, Reasoning, Stop, Text, ToolCall
from droveway.dialects.conversion.words import as_object, stated, tables
from droveway.dialects.openai import buckets
from droveway.dialects.openai_responses import finish_reason

_STOPS = {"completed": Stop.END, "max_output_tokens": Stop.MAX_TOKENS, "content_filter": Stop.REFUSAL}
_CUT_SHORT = {Stop.MAX_TOKENS: "max_output_tokens", Stop.REFUSAL: "content_filter"}
_WORDS = ("input", "output")


def read(body: dict[str, Any], frame: Frame) -> Answered:
    """Reads an answer in one piece."""
    del frame
    parts: list[Text | Reasoning | ToolCall] = []
    refused = False
    for item in tables(body.get("output")):
        match item.get("type"):
            case "message":
                content = tables(item.get("content"))
                refused = refused or any(part.get("type") == "refusal" for part in content)
                parts += [Text(text(part.get("text")) or text(part.get("refusal"))) for part in content]
            case "reasoning":
                parts += [Reasoning(text(part.get("text"))) for part in tables(item.get("summary"))]
            case "function_call":
                parts.append(ToolCall(text(item.get("call_id")), text(item.get("name")), text(item.get("arguments"))))
    usage = buckets(table(body.get("usage")), _WORDS)
    stop = Stop.REFUSAL if refused else settled(reason_of(_STOPS, finish_reason(body)), parts)
    return Answered(text(body.get("id")), text(body.get("model")), tuple(parts), stop, usage)


def write(answer: Answered, frame: Frame) -> bytes:
    """Writes an answer in one piece: what its stream would end with."""
    encoder = ResponsesEncoder(frame)
    for event in events_of(answer):
        encoder.encode(event)
    return dump_object(encoder.response)


class ResponsesDecoder(Decoder):
    """Reads response.created … response.completed. Some providers tell a call's arguments only when they are complete."""

    def __init__(self, frame: Frame) -> None:
        super().__init__(frame)
        self._last: dict[str, Any] = {}
        self._told: set[Any] = set()
        self._refused = False

    def _read(self, event: dict[str, Any]) -> list[Event]:
        kind, key = text(event.get("type")), str(event.get("output_index"))
        match kind.removeprefix("response."):
            case "created":
                response = table(event.get("response"))
                return self._start(text(response.get("id")), text(response.get("model")))
            case "completed" | "incomplete":
                self._last = table(event.get("response"))
            case "output_text.delta" | "refusal.delta":
                self._refused = self._refused or kind == "response.refusal.delta"
                return self.order.say(TextDelta(text(event.get("delta"))))
            case "reasoning_summary_text.delta" | "reasoning_text.delta":
                return self.order.say(ReasoningDelta(text(event.get("delta"))))
            case "output_item.added" if table(event.get("item")).get("type") == "function_call":
                item = table(event.get("item"))
                return self.order.start(key, text(item.get("call_id")), text(item.get("name")))
            case "function_call_arguments.delta":
                self._told.add(key)
                return self.order.add(key, text(event.get("delta")))
            case "function_call_arguments.done":
                return self._arguments(key, event)
            case "output_item.done" if table(event.get("item")).get("type") == "function_call":
                return self._arguments(key, table(event.get("item"))) + self.order.end(key)
        return []

    def _arguments(self, key: Any, holder: dict[str, Any]) -> list[Event]:
        """All arguments at once, unless they came in pieces."""
        if key in self._told:
            return []
        self._told.add(key)
        return self.order.add(key, text(holder.get("arguments")))

    def _end(self) -> tuple[Stop, TokenBreakdown]:
        stop = Stop.REFUSAL if self._refused else reason_of(_STOPS, finish_reason(self._last))
        return stop, buckets(table(self._last.get("usage")), _WORDS)


class ResponsesEncoder(Encoder):
    """Writes response.created, item after item, response.completed or .incomplete.

    Thoughts become comments: a reasoning item that its supposed vendor does not know would be refused when it comes back.

    Attributes:
        response: as it stands.
    """

    def __init__(self, frame: Frame) -> None:
        super().__init__(frame)
        self.response: dict[str, Any] = {}
        self._number = -1
        self._words: list[str] | None = None
        self._call = ("", "")
        self._arguments: list[str] = []
        self._ids: dict[int, str] = {}
        self._hidden = 0

    def encode(self, event: Event) -> bytes:
        """The events of this dialect."""
        match event:
            case Started(given, model):
                self.response = _response(given or self.frame.id, model or self.frame.model, self.frame.created)
                told = [self._event(f"response.{kind}", response=self.response) for kind in ("created", "in_progress")]
                return b"".join(told)
            case TextDelta(words):
                opened = self._open_text() if self._words is None else b""
                self._words = [*(self._words or ()), words]
                return opened + self._text("output_text.delta", delta=words, logprobs=[])
            case ReasoningDelta():
                return b": thinking\n\n"
            case CallStarted(call_id, name):
                closed = self._close_text()
                self._call, self._arguments = (call_id, name), []
                return closed + self._added(self._called("in_progress"))
            case CallDelta(arguments):
                self._arguments.append(arguments)
                custom = self.frame.origin(self._call[1]).custom
                return b"" if custom else self._of_call("function_call_arguments.delta", delta=arguments)
            case CallEnded():
                return self._end_call()
            case Ended(stop, usage):
                return self._close_text() + self._end(stop, usage)

    def resume(self, delivered: Delivered) -> None:
        """Goes on in the open item, or behind the last one."""
        self.response = {**delivered.response, "output": list(delivered.items)}
        self._number = delivered.number
        self._words = [delivered.item_text] if delivered.open else None
        self._ids = {len(delivered.items): delivered.item_id} if delivered.item_id else {}

    def void(self, mark: str) -> bytes:
        """The mark is the last thing in the void item, which keeps its place and is not part of the response."""
        told = super().void(mark) + self._close_text()
        self._hidden = len(self.response["output"])
        return told

    def _end(self, stop: Stop, usage: TokenBreakdown) -> bytes:
        reason = _CUT_SHORT.get(stop)
        status = "incomplete" if reason else "completed"
        details = {"reason": reason} if reason else None
        self.response |= {"status": status, "incomplete_details": details, "usage": _usage(usage)}
        told = {**self.response, "output": self.response["output"][self._hidden :]}
        return self._event(f"response.{status}", response=told)

    def _open_text(self) -> bytes:
        message = {"id": self._item_id("msg"), "type": "message", "role": "assistant", "status": "in_progress"}
        added = self._added({**message, "content": []})
        return added + self._text("content_part.added", part=_piece(""))

    def _close_text(self) -> bytes:
        if self._words is None:
            return b""
        words, self._words = "".join(self._words), None
        message = {"id": self._item_id("msg"), "type": "message", "role": "assistant", "status": "completed"}
        told = self._text("output_text.done", text=words, logprobs=[])
        told += self._text("content_part.done", part=_piece(words))
        return told + self._done({**message, "content": [_piece(words)]})

    def _end_call(self) -> bytes:
        item = self._called("completed", "".join(self._arguments))
        if item["type"] == "custom_tool_call":
            told = self._of_call("custom_tool_call_input.delta", delta=item["input"])
            told += self._of_call("custom_tool_call_input.done", input=item["input"])
        else:
            told = self._of_call("function_call_arguments.done", arguments=item["arguments"], name=item["name"])
        return told + self._done(item)

    def _called(self, status: str, arguments: str = "") -> dict[str, Any]:
        """The item of a call, by the client's own name of the tool."""
        call_id, name = self._call
        origin = self.frame.origin(name)
        named = {"call_id": call_id, "name": origin.name, **stated(namespace=origin.namespace)}
        if origin.custom:
            given = as_object(arguments).get("input", "")
            return {"type": "custom_tool_call", "id": self._item_id("ctc"), "status": status, **named, "input": given}
        return {"type": "function_call", "id": self._item_id("fc"), "status": status, **named, "arguments": arguments}

    def _item_id(self, prefix: str) -> str:
        place = len(self.response["output"])
        return self._ids.get(place) or f"{prefix}_{self.response['id']}_{place}"

    def _added(self, item: dict[str, Any]) -> bytes:
        return self._event("response.output_item.added", output_index=len(self.response["output"]), item=item)

    def _done(self, item: dict[str, Any]) -> bytes:
        told = self._event("response.output_item.done", output_index=len(self.response["output"]), item=item)
        self.response["output"].append(item)
        return told

    def _text(self, kind: str, **data: Any) -> bytes:
        at = {"item_id": self._item_id("msg"), "output_index": len(self.response["output"]), "content_index": 0}
        return self._event(f"response.{kind}", **at, **data)

    def _of_call(self, kind: str, **data: Any) -> bytes:
        prefix = "ctc" if kind.startswith("custom") else "fc"
        at = {"item_id": self._item_id(prefix), "output_index": len(self.response["output"])}
        return self._event(f"response.{kind}", **at, **data)

    def _event(self, kind: str, **data: Any) -> bytes:
        self._number += 1
        body = dump_object({"type": kind, "sequence_number": self._number, **data})
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), body)


def _response(given: str, model: str, created: int) -> dict[str, Any]:
    return {
        "id": given,
        "object": "response",
        "created_at": created,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": model,
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "temperature": None,
        "top_p": None,
        "usage": None,
    }


def _piece(words: str) -> dict[str, Any]:
    return {"type": "output_text", "text": words, "annotations": [], "logprobs": []}


def _usage(tokens: TokenBreakdown) -> dict[str, Any]:
    asked = tokens.input + tokens.cache_read + tokens.cache_write
    answered = tokens.output + tokens.reasoning
    read = {"cached_tokens": tokens.cache_read, "cache_write_tokens": tokens.cache_write}
    return {
        "input_tokens": asked,
        "input_tokens_details": read,
        "output_tokens": answered,
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
        "total_tokens": asked + answered,
    }
