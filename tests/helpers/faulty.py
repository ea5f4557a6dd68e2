"""Providers of every dialect that say what they are told, and fail where they are told."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

from helpers.gateway import Script, Talk

A_WORDS, B_WORDS = ("Once ", "upon "), ("a ", "time.")
CHAT_USAGE = {
    "prompt_tokens": 10,
    "completion_tokens": 5,
    "total_tokens": 15,
    "prompt_tokens_details": {"cached_tokens": 0},
}
STOPPED = {"Anthropic": "end_turn", "OpenAIChat": "stop", "OpenAIResponses": "completed", "Gemini": "STOP"}


def _event(kind: str, **data: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode()


def _data(chunk: Any) -> bytes:
    return f"data: {json.dumps(chunk)}\n\n".encode()


class Voice:
    """The events of one dialect, as its vendor sends them."""

    def __init__(self, dialect: str, model: str) -> None:
        self.dialect, self.model, self._said = dialect, model, ""
        self._number = 0

    def start(self) -> bytes:
        match self.dialect:
            case "Anthropic":
                usage = {"input_tokens": 10, "output_tokens": 1}
                message: dict[str, Any] = {"id": "m1", "type": "message", "role": "assistant", "model": self.model}
                message |= {"content": []}
                message |= {"stop_reason": None, "stop_sequence": None, "usage": usage}
                block = {"type": "text", "text": ""}
                opened = _event("content_block_start", index=0, content_block=block)
                return _event("message_start", message=message) + opened + _event("ping")
            case "OpenAIChat":
                return self._chunk({"role": "assistant", "content": ""})
            case "OpenAIResponses":
                item = {"id": "msg_up", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
                part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
                told = self._of("response.created", response=self._response("in_progress", []))
                told += self._of("response.output_item.added", output_index=0, item=item)
                place = {"item_id": "msg_up", "output_index": 0, "content_index": 0}
                return told + self._of("response.content_part.added", **place, part=part)
        return _data(self._gemini([]))

    def word(self, word: str) -> bytes:
        self._said += word
        match self.dialect:
            case "Anthropic":
                return _event("content_block_delta", index=0, delta={"type": "text_delta", "text": word})
            case "OpenAIChat":
                return self._chunk({"content": word})
            case "OpenAIResponses":
                place = {"item_id": "msg_up", "output_index": 0, "content_index": 0}
                return self._of("response.output_text.delta", **place, delta=word, logprobs=[])
        return _data(self._gemini([{"text": word}]))

    def end(self) -> bytes:
        match self.dialect:
            case "Anthropic":
                delta = {"stop_reason": "end_turn", "stop_sequence": None}
                ended = _event("message_delta", delta=delta, usage={"output_tokens": 5})
                return _event("content_block_stop", index=0) + ended + _event("message_stop")
            case "OpenAIChat":
                last = {**self._head(), "choices": [], "usage": CHAT_USAGE}
                return self._chunk({}, "stop") + _data(last) + b"data: [DONE]\n\n"
            case "OpenAIResponses":
                item = self._item()
                place = {"item_id": "msg_up", "output_index": 0, "content_index": 0}
                told = self._of("response.output_text.done", **place, text=self._said, logprobs=[])
                told += self._of("response.content_part.done", **place, part=item["content"][0])
                told += self._of("response.output_item.done", output_index=0, item=item)
                return told + self._of("response.completed", response=self._response("completed", [item]))
        return _data(self._gemini([{"text": ""}], "STOP"))

    def error(self) -> bytes:
        match self.dialect:
            case "Anthropic":
                return _event("error", error={"type": "overloaded_error", "message": "Overloaded"})
            case "OpenAIResponses":
                error = {"code": "server_error", "message": "it broke"}
                return self._of("response.failed", response={**self._response("failed", []), "error": error})
            case "Gemini":
                return _data({"error": {"code": 503, "message": "it broke", "status": "UNAVAILABLE"}})
        return _data({"error": {"message": "it broke", "type": "server_error", "code": "server_error"}})

    def whole(self, words: str) -> Any:
        """An answer in one piece."""
        match self.dialect:
            case "Anthropic":
                message: dict[str, Any] = {"id": "m1", "type": "message", "role": "assistant", "model": self.model}
                message |= {"content": [{"type": "text", "text": words}], "stop_reason": "end_turn"}
                return {**message, "usage": {"input_tokens": 10, "output_tokens": 5}}
            case "OpenAIChat":
                choice = {"index": 0, "message": {"role": "assistant", "content": words}, "finish_reason": "stop"}
                return {**self._head(), "object": "chat.completion", "choices": [choice], "usage": CHAT_USAGE}
            case "OpenAIResponses":
                self._said = words
                return self._response("completed", [self._item()])
        return self._gemini([{"text": words}], "STOP")

    def _head(self) -> dict[str, Any]:
        return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": self.model}

    def _chunk(self, delta: dict[str, Any], reason: str | None = None) -> bytes:
        return _data({**self._head(), "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})

    def _of(self, kind: str, **data: Any) -> bytes:
        self._number += 1
        return _event(kind, sequence_number=self._number - 1, **data)

    def _item(self) -> dict[str, Any]:
        part = {"type": "output_text", "text": self._said, "annotations": [], "logprobs": []}
        return {"id": "msg_up", "type": "message", "role": "assistant", "status": "completed", "content": [part]}

    def _response(self, status: str, output: list[Any]) -> dict[str, Any]:
        usage = {
            "input_tokens": 10, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 5,
            "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 15,
        }  # fmt: skip
        told = {"id": "r1", "object": "response", "created_at": 1, "status": status, "error": None, "output": output}
        told |= {"model": self.model, "parallel_tool_calls": True, "tool_choice": "auto", "tools": []}
        return {**told, "usage": usage if status == "completed" else None}

    def _gemini(self, parts: list[Any], reason: str = "") -> dict[str, Any]:
        candidate: dict[str, Any] = {"index": 0, "content": {"role": "model", "parts": parts}}
        usage = {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15}
        told = {"candidates": [candidate | ({"finishReason": reason} if reason else {})], "usageMetadata": usage}
        return {**told, "modelVersion": self.model, "responseId": "g1"}


def wants_stream(talk: Talk) -> bool:
    return "streamGenerateContent" in talk.seen.path or talk.seen.body.get("stream") is True


def healthy(dialect: str, words: tuple[str, ...] = B_WORDS, gap: float = 0.0) -> Script:
    """It answers, streamed or not, as it is asked."""

    async def script(talk: Talk) -> None:
        voice = Voice(dialect, "model-up")
        if not wants_stream(talk):
            await asyncio.sleep(gap)
            await talk.answer(200, voice.whole("".join(words)))
            return
        await talk.head()
        await talk.say(voice.start())
        for word in words:
            await asyncio.sleep(gap)
            await talk.say(voice.word(word))
        await talk.say(voice.end())
        await talk.end()

    return script


Fault = Callable[[Talk, Voice], Awaitable[None]]


async def cut(talk: Talk, voice: Voice) -> None:
    talk.cut()


async def reset(talk: Talk, voice: Voice) -> None:
    talk.reset()


async def in_band(talk: Talk, voice: Voice) -> None:
    if wants_stream(talk):
        await talk.say(voice.error())
    else:
        await talk.say(re.sub(rb"^data: ", b"", voice.error()))
    await talk.end()


async def half_json(talk: Talk, voice: Voice) -> None:
    await talk.say(b'data: {"type": "content_block_delta", "delta": {"te\n\n')
    await talk.end()


async def hang(talk: Talk, voice: Voice) -> None:
    await asyncio.Event().wait()


def before_content(dialect: str, fault: Fault) -> Script:
    """The head, a first event that says nothing, and then the fault."""

    async def script(talk: Talk) -> None:
        voice = Voice(dialect, "model-up")
        await talk.head(200, "text/event-stream" if wants_stream(talk) else "application/json")
        if wants_stream(talk):
            await talk.say(voice.start())
        await fault(talk, voice)

    return script


def after_content(dialect: str, fault: Fault, words: tuple[str, ...] = A_WORDS) -> Script:
    """Words, or half a body, and then the fault."""

    async def script(talk: Talk) -> None:
        voice = Voice(dialect, "model-up")
        await talk.head(200, "text/event-stream" if wants_stream(talk) else "application/json")
        if wants_stream(talk):
            await talk.say(voice.start() + b"".join(map(voice.word, words)))
        else:
            body = json.dumps(voice.whole("".join(words))).encode()
            await talk.say(body[: len(body) // 2])
        await asyncio.sleep(0.03)
        await fault(talk, voice)

    return script


def refuses(status: int, body: Any, **headers: str) -> Script:
    """An error, at once."""

    async def script(talk: Talk) -> None:
        await talk.answer(status, body, **headers)

    return script
