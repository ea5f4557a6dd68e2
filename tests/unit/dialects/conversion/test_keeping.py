"""Which answers may be given again. What clients make of one is in tests/integration/test_gateway_cache.py."""

import json
from typing import Any

import pytest

from droveway.api.enums import Dialect
from droveway.core.completion import TokenBreakdown
from droveway.dialects import SPECS
from droveway.dialects.conversion.keeping import kept, objection, place, told
from droveway.dialects.conversion.model import Frame

FRAME = Frame("id", "m", 1)
TOKENS = TokenBreakdown(15, 10, 5)
PATHS = {
    "Anthropic": "/v1/messages",
    "OpenAIChat": "/v1/chat/completions",
    "OpenAIResponses": "/v1/responses",
    "Gemini": "/v1beta/models/m:generateContent",
}


def why(dialect: str, body: dict[str, Any], path: str = "", query: str = "", *, varied: bool = False) -> str:
    request = SPECS[dialect].read_request(json.dumps(body).encode(), path or PATHS[dialect], query)
    return objection(Dialect(dialect), request, varied=varied)


@pytest.mark.parametrize(
    ("dialect", "body", "objects"),
    [
        ("Anthropic", {"messages": [{"role": "user", "content": "x"}]}, ""),
        ("Anthropic", {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1"}]}]}, "tools"),
        ("Anthropic", {"mcp_servers": [{"url": "x"}]}, "mcp_servers"),
        ("Anthropic", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "web_search"),
        ("Anthropic", {"tools": [{"name": "f", "input_schema": {}}]}, ""),
        ("OpenAIChat", {"messages": [{"role": "tool", "tool_call_id": "1", "content": "x"}]}, "tools"),
        ("OpenAIChat", {"n": 2}, "(n)"),
        ("OpenAIChat", {"logprobs": True}, "logprobs"),
        ("OpenAIChat", {"temperature": 0.1}, "temperature"),
        ("OpenAIChat", {"temperature": 0}, ""),
        ("OpenAIChat", {"temperature": None}, ""),
        ("OpenAIResponses", {"input": [{"type": "function_call_output", "call_id": "1", "output": "x"}]}, "tools"),
        ("OpenAIResponses", {"previous_response_id": "x"}, "previous_response_id"),
        ("OpenAIResponses", {"background": True}, "background"),
        ("OpenAIResponses", {"tools": [{"type": "web_search"}]}, "web_search"),
        ("Gemini", {"contents": [{"parts": [{"functionResponse": {"name": "f", "response": {}}}]}]}, "tools"),
        ("Gemini", {"generation_config": {"temperature": 2}}, "temperature"),
        ("Gemini", {"generationConfig": {"candidateCount": 2}}, "candidateCount"),
        ("Gemini", {"tools": [{"googleSearch": {}}]}, "googleSearch"),
    ],
)  # fmt: skip
def test_what_is_asked(dialect: str, body: dict[str, Any], objects: str) -> None:
    found = why(dialect, body)
    assert objects in found
    assert bool(found) == bool(objects)


def test_a_route_may_say_that_a_temperature_is_no_reason() -> None:
    assert why("OpenAIChat", {"temperature": 1.5}, varied=True) == ""


def test_a_stream_in_one_array_is_not_kept() -> None:
    path = "/v1beta/models/m:streamGenerateContent"
    assert why("Gemini", {}, path) == "a stream in one array"
    assert why("Gemini", {}, path, "alt=sse") == ""


def test_gemini_asks_for_the_same_in_two_places() -> None:
    plain = SPECS["Gemini"].read_request(b"{}", "/v1beta/models/a:generateContent", "x=1")
    stream = SPECS["Gemini"].read_request(b"{}", "/v1beta/models/b:streamGenerateContent", "alt=sse&x=1")
    older = SPECS["Gemini"].read_request(b"{}", "/v1/models/a:generateContent", "x=1")
    assert place(plain) == place(stream) != place(older)


def response(*content: dict[str, Any]) -> bytes:
    item = {"type": "message", "content": list(content)}
    return json.dumps({"id": "r", "status": "completed", "output": [item]}).encode()


@pytest.mark.parametrize(
    ("body", "is_kept"),
    [
        (response({"type": "output_text", "text": "yes"}), True),
        (response({"type": "refusal", "refusal": "no"}), False),
        (response(), False),
        (b"[]", False),
        (b"no JSON", False),
    ],
)
def test_what_is_answered(body: bytes, is_kept: bool) -> None:
    found = kept(Dialect.OPENAI_RESPONSES, body, streamed=False, tokens=TOKENS, frame=FRAME)
    assert (found is not None) == is_kept
    assert found is None or (found.body, found.tokens) == (body, TOKENS)


def test_a_refusal_in_a_stream_is_not_kept() -> None:
    def stream(kind: str) -> bytes:
        events = [
            {"type": "response.created", "response": {"id": "r"}},
            {"type": f"response.{kind}.delta", "delta": "word"},
            {"type": "response.completed", "response": {"status": "completed"}},
        ]
        return b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events)

    def is_kept(kind: str) -> bool:
        found = kept(Dialect.OPENAI_RESPONSES, stream(kind), streamed=True, tokens=TOKENS, frame=FRAME)
        return found is not None

    assert is_kept("output_text")
    assert not is_kept("refusal")


def test_the_client_of_a_stream_may_not_have_asked_for_the_usage_but_the_next_one_gets_it() -> None:
    chunk = {"id": "c", "model": "m", "choices": [{"delta": {"content": "hi"}, "finish_reason": "stop"}]}
    body = b"data: %b\n\ndata: [DONE]\n\n" % json.dumps(chunk).encode()
    found = kept(Dialect.OPENAI_CHAT, body, streamed=True, tokens=TOKENS, frame=FRAME)
    assert found is not None
    assert json.loads(found.body)["usage"]["total_tokens"] == 15

    def again(**options: Any) -> bytes:
        request = SPECS["OpenAIChat"].read_request(
            json.dumps({"stream": True, "stream_options": options}).encode(), PATHS["OpenAIChat"]
        )
        return told(Dialect.OPENAI_CHAT, found.body, request, FRAME)

    assert b'"total_tokens":15' in again(include_usage=True)
    assert b'"total_tokens"' not in again()
