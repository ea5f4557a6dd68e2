"""Requests and answers in no vendor's words, made up by hypothesis: what all dialects can carry."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from droveway.api.enums import Dialect
from droveway.core.completion import TokenBreakdown
from droveway.dialects import SPECS, Request
from droveway.dialects.conversion import DIALECTS, Conversion, convert
from droveway.dialects.conversion.model import (
    Answered,
    Choice,
    Image,
    Neutral,
    Reasoning,
    Stop,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
    conversation,
)

A, C, R, G = Dialect.ANTHROPIC, Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES, Dialect.GEMINI
PATHS = {A: "/v1/messages", C: "/v1/chat/completions", R: "/v1/responses", G: "/v1beta/models/m:generateContent"}
PROMPT: dict[str, dict[str, Any]] = {
    A: {"messages": [{"role": "user", "content": "hi"}]},
    C: {"messages": [{"role": "user", "content": "hi"}]},
    R: {"input": "hi"},
    G: {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
}

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=12)
NAMES = st.sampled_from(("write_file", "bash", "mcp__files__read"))
ARGUMENTS = st.dictionaries(st.sampled_from(("path", "text")), WORDS, max_size=2).map(
    lambda given: json.dumps(given, separators=(",", ":"), ensure_ascii=False)
)
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}


@st.composite
def turns(draw: st.DrawFn) -> tuple[Turn, ...]:
    """A conversation in which every call has its result, and the user has the last word."""
    said: list[Turn] = []
    number = 0
    for _ in range(draw(st.integers(0, 2))):
        said.append(Turn("user", (Text(draw(WORDS)),)))
        names = draw(st.lists(NAMES, max_size=2))
        words = [Text(draw(WORDS))] if not names or draw(st.booleans()) else []
        calls = [ToolCall(f"call_{number + n}", name, draw(ARGUMENTS)) for n, name in enumerate(names)]
        number += len(calls)
        said.append(Turn("assistant", (*words, *calls)))
        said.append(Turn("user", tuple(ToolResult(c.id, c.name, (Text(draw(WORDS)),)) for c in calls)))
    shown = draw(st.lists(st.just(Image("image/png", "aGk=")), max_size=1))
    return conversation([*said, Turn("user", (*shown, Text(draw(WORDS))))])


@st.composite
def requests(draw: st.DrawFn) -> Neutral:
    tools = tuple(Tool(name, draw(WORDS), SCHEMA) for name in draw(st.lists(NAMES, unique=True)))
    choices = [None, Choice("Auto"), Choice("None"), Choice("Required"), *(Choice("Named", t.name) for t in tools)]
    return Neutral(
        turns=draw(turns()),
        system=tuple(draw(st.lists(WORDS, max_size=1))),
        tools=tools,
        choice=draw(st.sampled_from(choices)) if tools else None,
        max_tokens=draw(st.integers(16, 9999)),
        temperature=draw(st.sampled_from((None, 0.0, 0.5))),
        stream=draw(st.booleans()),
    )


@st.composite
def answers(draw: st.DrawFn) -> Answered:
    words = [Text(word) for word in draw(st.lists(WORDS, max_size=1))]
    calls = [ToolCall(f"call_{n}", draw(NAMES), draw(ARGUMENTS)) for n in range(draw(st.integers(0, 2)))]
    ends = (Stop.TOOL_USE,) if calls else (Stop.END, Stop.MAX_TOKENS, Stop.REFUSAL)
    fresh, out, read = (draw(st.integers(0, 9999)) for _ in range(3))
    usage = TokenBreakdown(fresh + out + read, fresh, out, 0, read, 0)
    return Answered("id-1", "m1", (*words, *calls), draw(st.sampled_from(ends)), usage)


def thinking(answer: Answered) -> Answered:
    """The same after some thought."""
    return Answered(answer.id, answer.model, (Reasoning("hm"), *answer.parts), answer.stop, answer.usage)


ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from((
                "type", "role", "content", "text", "messages", "input", "contents", "parts", "tools", "name", "function",
                "arguments", "tool_calls", "id", "functionCall", "functionDeclarations", "parameters", "items", "allOf",
                "delta", "index", "choices", "message", "item", "output_index", "response", "usage", "stop", "candidates",
                "generationConfig", "tool_choice", "system", "source", "image_url", "output", "args", "call_id",
            )),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)  # fmt: skip
"""JSON that looks a little like requests and answers."""


def asked(dialect: Dialect, body: dict[str, Any], path: str = "") -> Request:
    return SPECS[dialect].read_request(json.dumps(body).encode(), path or PATHS[dialect])


def read(dialect: Dialect, **body: Any) -> Neutral:
    return DIALECTS[dialect].read_request(PROMPT[dialect] | body)


def converted(spoken: Dialect, wanted: Dialect, body: dict[str, Any], model: str = "model-b") -> Conversion:
    return convert(asked(spoken, body), spoken, wanted, model, "req-1", 1, drops_thoughts=True)
