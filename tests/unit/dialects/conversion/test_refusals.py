"""Requests that cannot be carried, and what is dropped without a word."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from droveway.api.enums import Dialect
from droveway.dialects.conversion import CannotCarry, convert
from helpers.neutral import ANYTHING, PROMPT, A, C, G, R, asked, converted, read

SEARCH = {"type": "web_search_20250305", "name": "web_search"}


@pytest.mark.parametrize(
    ("dialect", "body", "says"),
    [
        (A, {"tools": [SEARCH]}, "web_search_20250305"),
        (A, {"mcp_servers": [{"url": "x"}]}, "mcp_servers"),
        (
            A,
            {"messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "base64"}}]}]},
            "document",
        ),
        (A, {"messages": [{"role": "assistant", "content": "As I"}]}, "last word"),
        (A, {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "file"}}]}]}, "file"),
        (C, {"n": 2}, "more than one answer"),
        (C, {"logprobs": True}, "logprobs"),
        (C, {"audio": {"voice": "x"}}, "audio"),
        (C, {"web_search_options": {"a": 1}}, "web_search_options"),
        (C, {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "input_audio"),
        (C, {"messages": [{"role": "user", "content": [{"type": "file"}]}]}, "file"),
        (C, {"tools": [{"type": "custom", "custom": {}}]}, "custom"),
        (C, {"tool_choice": {"type": "allowed_tools"}}, "allowed_tools"),
        (R, {"previous_response_id": "resp_1"}, "previous_response_id"),
        (R, {"background": True}, "background"),
        (R, {"tools": [{"type": "web_search"}]}, "web_search"),
        (R, {"tools": [{"type": "mcp"}]}, "mcp"),
        (R, {"tool_choice": {"type": "file_search"}}, "file_search"),
        (R, {"input": [{"type": "item_reference", "id": "x"}]}, "item_reference"),
        (R, {"input": [{"type": "compaction", "encrypted_content": "x"}]}, "compaction"),
        (R, {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "x"}]}]}, "input_image"),
        (G, {"cachedContent": "cachedContents/1"}, "cachedContent"),
        (G, {"cached_content": "cachedContents/1"}, "cachedContent"),
        (G, {"tools": [{"googleSearch": {}}]}, "googleSearch"),
        (G, {"generationConfig": {"candidateCount": 2}}, "candidateCount"),
        (G, {"generationConfig": {"responseModalities": ["IMAGE"]}}, "responseModalities"),
        (G, {"contents": [{"parts": [{"inlineData": {"mimeType": "audio/mp3", "data": "x"}}]}]}, "audio/mp3"),
        (G, {"contents": [{"parts": [{"executableCode": {"code": "x"}}]}]}, "executableCode"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_only_one_vendor_has_cannot_be_carried(dialect: Dialect, body: dict[str, Any], says: str) -> None:
    with pytest.raises(CannotCarry, match=says):
        read(dialect, **body)


@pytest.mark.parametrize(
    ("spoken", "body", "wanted", "says"),
    [
        (C, {"stop": ["END"]}, R, "stop sequences"),
        (A, {"stop_sequences": list("abcde")}, C, "5 stop sequences"),
        (C, {"response_format": {"type": "json_object"}}, A, "without a schema"),
        (
            A,
            {"tools": [{"name": "x"}], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
            G,
            "one tool",
        ),
    ],
)
def test_what_some_dialects_have_no_words_for(
    spoken: Dialect, body: dict[str, Any], wanted: Dialect, says: str
) -> None:
    with pytest.raises(CannotCarry, match=says):
        converted(spoken, wanted, PROMPT[spoken] | body)


@pytest.mark.parametrize(
    ("dialect", "hint"),
    [
        (A, {"metadata": {"user_id": "u"}, "service_tier": "auto", "thinking": {"type": "enabled"}}),
        (A, {"output_config": {"effort": "high"}, "context_management": {"edits": []}}),
        (C, {"user": "u", "service_tier": "flex", "store": True, "metadata": {"a": "b"}, "seed": 1, "n": 1}),
        (C, {"temperature": 1, "top_p": 1, "logprobs": False, "logit_bias": {}}),
        (R, {"store": True, "include": ["reasoning.encrypted_content"], "truncation": "auto", "prompt_cache_key": "k"}),
        (G, {"safetySettings": [], "generationConfig": {"temperature": 1.0, "topP": 0.95, "topK": 64, "seed": 1}}),
        (G, {"generationConfig": {"thinkingConfig": {"thinkingBudget": 9}}, "labels": {"a": "b"}}),
    ],
)
def test_what_only_tunes_is_dropped(dialect: Dialect, hint: dict[str, Any]) -> None:
    assert read(dialect, **hint) == read(dialect)


def test_a_count_of_tokens_is_its_vendors_own() -> None:
    request = asked(A, PROMPT[A], "/v1/messages/count_tokens")
    with pytest.raises(CannotCarry, match="count of tokens"):
        convert(request, A, C, "m", "req-1", 1)


@pytest.mark.parametrize("dialect", [A, C, R, G])
@given(body=st.dictionaries(st.sampled_from(("messages", "input", "contents", "tools", "system", "stop")), ANYTHING))
def test_whatever_a_client_sends_it_is_carried_or_refused(dialect: Dialect, body: dict[str, Any]) -> None:
    for wanted in (A, C, R, G):
        with suppress(CannotCarry):
            sent = converted(dialect, wanted, body).request
            assert json.loads(sent.raw) == json.loads(json.dumps(sent.body))


THOUGHTS = [
    (
        A,
        {"messages": [{"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "c2ln"}]}]},
    ),
    (A, {"messages": [{"role": "assistant", "content": [{"type": "redacted_thinking", "data": "eA=="}]}]}),
    (R, {"input": [{"type": "reasoning", "encrypted_content": "eA==", "summary": []}]}),
    (G, {"contents": [{"role": "model", "parts": [{"text": "hm", "thought": True}]}]}),
]


@pytest.mark.parametrize(("spoken", "body"), THOUGHTS)
def test_thoughts_are_dropped_only_where_the_route_says_so(spoken: Dialect, body: dict[str, Any]) -> None:
    request, wanted = asked(spoken, PROMPT[spoken] | body), C
    with pytest.raises(CannotCarry, match="earlierThoughts: Drop"):
        convert(request, spoken, wanted, "m", "req-1", 1)
    assert convert(request, spoken, wanted, "m", "req-1", 1, drops_thoughts=True)
