"""Answers with status 200: per API a list of stream events, and the body in one piece made from the same events."""

import json
import uuid
from typing import Any

from droveway.mockllm.scenario import Call, Json

TEXT = "Hello from the mock model."
WORDS = [f"{word} " for word in TEXT.split()]
Events = list[tuple[str | None, Any]]
"""Name (None: unnamed) and data of each event."""

_ANTHROPIC_USAGE = {
    "input_tokens": 1200,
    "cache_creation_input_tokens": 100,
    "cache_read_input_tokens": 800,
    "output_tokens": 42,
    "service_tier": "standard",
}
_CHAT_USAGE = {
    "prompt_tokens": 1200,
    "completion_tokens": 42,
    "total_tokens": 1242,
    "prompt_tokens_details": {"cached_tokens": 800},
    "completion_tokens_details": {"reasoning_tokens": 7},
}
_RESPONSES_USAGE = {
    "input_tokens": 1200,
    "input_tokens_details": {"cached_tokens": 800},
    "output_tokens": 42,
    "output_tokens_details": {"reasoning_tokens": 7},
    "total_tokens": 1242,
}
_GEMINI_USAGE = {
    "promptTokenCount": 1200,
    "cachedContentTokenCount": 800,
    "candidatesTokenCount": 42,
    "thoughtsTokenCount": 7,
    "totalTokenCount": 1249,
}


def events(call: Call) -> Events:
    """The stream of the call's scenario, in its API."""
    return {"anthropic": _anthropic, "chat": _chat, "responses": _responses, "gemini": _gemini}[call.api](call)


def whole(call: Call) -> Json:
    """The answer in one piece."""
    fold = {"anthropic": _whole_anthropic, "chat": _whole_chat, "responses": _whole_response, "gemini": _whole_gemini}
    return fold[call.api](events(call))


def _fresh(prefix: str, digits: int = 24) -> str:
    return prefix + uuid.uuid4().hex[:digits]


def _anthropic(call: Call) -> Events:
    tools = call.tools()
    blocks: list[tuple[Json, list[Json]]] = [
        (
            {"type": "tool_use", "id": _fresh("toolu_"), "name": name, "input": {}},
            [{"type": "input_json_delta", "partial_json": json.dumps(arguments)}],
        )
        for name, arguments in tools
    ]
    blocks = blocks or [({"type": "text", "text": ""}, [{"type": "text_delta", "text": word} for word in WORDS])]
    ends = {"max_tokens": "max_tokens", "refusal": "refusal"}
    stop = "tool_use" if tools else ends.get(call.scenario.name, "end_turn")
    message: Json = {
        "id": _fresh("msg_"),
        "type": "message",
        "role": "assistant",
        "model": call.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": _ANTHROPIC_USAGE | {"output_tokens": 1},
    }
    told: list[tuple[str, Json]] = [
        ("message_start", {"message": message}),
        *(told for index, block in enumerate(blocks) for told in _anthropic_block(index, *block)),
    ]
    if call.scenario.name == "stream_error":
        told = [*told[:4], ("error", {"error": {"type": "overloaded_error", "message": "Overloaded"}})]
    else:
        end = {"delta": {"stop_reason": stop, "stop_sequence": None}, "usage": _ANTHROPIC_USAGE}
        told += [("message_delta", end), ("message_stop", {})]
    return [(kind, {"type": kind, **data}) for kind, data in told]


def _anthropic_block(index: int, block: Json, deltas: list[Json]) -> list[tuple[str, Json]]:
    return [
        ("content_block_start", {"index": index, "content_block": block}),
        ("ping", {}),
        *(("content_block_delta", {"index": index, "delta": delta}) for delta in deltas),
        ("content_block_stop", {"index": index}),
    ]


def _whole_anthropic(stream: Events) -> Json:
    told = [data for _, data in stream]
    content = [dict(data["content_block"]) for data in told if data["type"] == "content_block_start"]
    deltas = [data for data in told if data["type"] == "content_block_delta"]
    for index, block in enumerate(content):
        if block["type"] == "tool_use":
            block["input"] = json.loads(next(d["delta"]["partial_json"] for d in deltas if d["index"] == index))
        else:
            block["text"] = TEXT
    end = next(data for data in told if data["type"] == "message_delta")
    message: Json = told[0]["message"]
    return {**message, "content": content, "stop_reason": end["delta"]["stop_reason"], "usage": end["usage"]}


def _chat(call: Call) -> Events:
    tools = call.tools()
    base = {
        "id": _fresh("chatcmpl-"),
        "object": "chat.completion.chunk",
        "created": call.now,
        "model": call.model,
        "system_fingerprint": "fp_mock",
    }

    def chunk(delta: Json, finish: str | None = None) -> tuple[None, Json]:
        return None, {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    told: Events = [chunk({"role": "assistant", "content": None if tools else ""})]
    for index, (name, arguments) in enumerate(tools):
        function = {"name": name, "arguments": json.dumps(arguments)}
        told.append(
            chunk({"tool_calls": [{"index": index, "id": _fresh("call_"), "type": "function", "function": function}]})
        )
    if not tools:
        told += [chunk({"content": word}) for word in WORDS]
    if call.scenario.name == "stream_error":
        return [
            *told[:3],
            (None, {"error": {"message": "The server had an error", "type": "server_error", "code": None}}),
        ]
    ends = {"max_tokens": "length", "refusal": "content_filter"}
    told.append(chunk({}, "tool_calls" if tools else ends.get(call.scenario.name, "stop")))
    return [*told, (None, {**base, "choices": [], "usage": _CHAT_USAGE}), (None, "[DONE]")]


def _whole_chat(stream: Events) -> Json:
    choices = [choice for _, data in stream[:-1] for choice in data["choices"]]
    calls = [call for choice in choices for call in choice["delta"].get("tool_calls", [])]
    message: Json = (
        {"role": "assistant", "content": None, "tool_calls": calls}
        if calls
        else {
            "role": "assistant",
            "content": TEXT,
        }
    )
    choice = {"index": 0, "message": message, "finish_reason": choices[-1]["finish_reason"]}
    return {**stream[0][1], "object": "chat.completion", "usage": _CHAT_USAGE, "choices": [choice]}


def _responses(call: Call) -> Events:
    response: Json = {
        "id": _fresh("resp_"),
        "object": "response",
        "created_at": call.now,
        "status": "in_progress",
        "model": call.model,
        "output": [],
        "usage": None,
        "error": None,
    }
    items = [_response_item(tool, index) for index, tool in enumerate(call.tools() or [None])]
    told: Events = [("response.created", {"response": response}), ("response.in_progress", {"response": response})]
    told += [event for _, events in items for event in events]
    if call.scenario.name == "stream_error":
        error = {"code": "server_is_overloaded", "message": "Overloaded"}
        told = [*told[:5], ("response.failed", {"response": {**response, "status": "failed", "error": error}})]
    else:
        status = "incomplete" if call.scenario.name == "max_tokens" else "completed"
        ended = {**response, "status": status, "output": [item for item, _ in items], "usage": _RESPONSES_USAGE}
        if status == "incomplete":
            ended["incomplete_details"] = {"reason": "max_output_tokens"}
        told.append((f"response.{status}", {"response": ended}))
    return [(kind, {"type": kind, "sequence_number": number, **data}) for number, (kind, data) in enumerate(told)]


def _response_item(tool: tuple[str, Json] | None, index: int) -> tuple[Json, Events]:
    """An output item, and the events that build it."""
    if tool:
        item: Json = {
            "type": "function_call",
            "id": _fresh("fc_", 20),
            "status": "completed",
            "call_id": _fresh("call_", 20),
            "name": tool[0],
            "arguments": json.dumps(tool[1]),
        }
        done = {"output_index": index, "item_id": item["id"], "arguments": item["arguments"]}
        return item, [
            ("response.output_item.added", {"output_index": index, "item": {**item, "arguments": ""}}),
            ("response.function_call_arguments.done", done),
            ("response.output_item.done", {"output_index": index, "item": item}),
        ]
    part = {"type": "output_text", "text": TEXT, "annotations": []}
    item = {
        "type": "message",
        "id": _fresh("msg_", 20),
        "role": "assistant",
        "status": "completed",
        "content": [part],
    }
    at = {"output_index": index, "content_index": 0, "item_id": item["id"]}
    return item, [
        ("response.output_item.added", {"output_index": index, "item": {**item, "content": []}}),
        ("response.content_part.added", {**at, "part": {**part, "text": ""}}),
        *(("response.output_text.delta", {**at, "delta": word}) for word in WORDS),
        ("response.output_text.done", {**at, "text": TEXT}),
        ("response.content_part.done", {**at, "part": part}),
        ("response.output_item.done", {"output_index": index, "item": item}),
    ]


def _whole_response(stream: Events) -> Json:
    response: Json = stream[-1][1]["response"]
    return response


def _gemini(call: Call) -> Events:
    base = {"modelVersion": call.model, "responseId": _fresh("", 22)}

    def chunk(part: Json, **end: str) -> tuple[None, Json]:
        candidate = {"content": {"role": "model", "parts": [part]}, "index": 0, **end}
        return None, {**base, "candidates": [candidate], "usageMetadata": _GEMINI_USAGE}

    told: Events = [chunk({"functionCall": {"name": name, "args": arguments}}) for name, arguments in call.tools()]
    told = told or [chunk({"text": word}) for word in WORDS]
    if call.scenario.name == "stream_error":
        error = {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}
        return [*told[:2], (None, {"error": error})]
    ends = {"max_tokens": "MAX_TOKENS", "refusal": "SAFETY"}
    return [*told, chunk({"text": ""}, finishReason=ends.get(call.scenario.name, "STOP"))]


def _whole_gemini(stream: Events) -> Json:
    last: Json = stream[-1][1]
    parts = [part for _, data in stream for part in data["candidates"][0]["content"]["parts"]]
    candidate = {**last["candidates"][0], "content": {"role": "model", "parts": parts}}
    return {**last, "candidates": [candidate]}
