"""Requests: what is carried from each dialect to each other."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings

from droveway.api.enums import Dialect
from droveway.dialects import SPECS
from droveway.dialects.conversion import DIALECTS
from droveway.dialects.conversion.model import Neutral, Origin, Text, ToolResult
from helpers.neutral import A, C, G, R, converted, read, requests


@pytest.mark.parametrize("dialect", [A, C, R, G])
@given(neutral=requests())
def test_what_is_written_is_read_back(dialect: Dialect, neutral: Neutral) -> None:
    body = json.loads(json.dumps(DIALECTS[dialect].write_request(neutral, "m")))
    assert replace(DIALECTS[dialect].read_request(body), stream=neutral.stream) == neutral


@pytest.mark.parametrize("spoken", [A, C, R, G])
@pytest.mark.parametrize("wanted", [A, C, R, G])
@given(neutral=requests())
@settings(max_examples=25)
def test_nothing_is_lost_on_the_way_through_another_dialect(spoken: Dialect, wanted: Dialect, neutral: Neutral) -> None:
    body = DIALECTS[spoken].write_request(neutral, "m")
    sent = converted(spoken, wanted, json.loads(json.dumps(body))).request
    assert replace(DIALECTS[wanted].read_request(sent.body), stream=neutral.stream) == neutral


CLAUDE = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 32000,
    "system": [
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.330;"},
        {"type": "text", "text": "You are Claude."},
        {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}},
    ],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "<hint>"}, {"type": "text", "text": "say hello"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
                {"type": "tool_use", "id": "toolu_1", "name": "Write", "input": {"file_path": "a"}},
                {"type": "tool_use", "id": "toolu_2", "name": "Write", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "done"},
                {"type": "tool_result", "tool_use_id": "toolu_2", "content": "no path", "is_error": True},
            ],
        },
    ],
    "tools": [{"name": "Write", "description": "Writes.", "input_schema": {"type": "object", "$schema": "x"}}],
    "metadata": {"user_id": "u"},
    "thinking": {"type": "enabled", "budget_tokens": 31999},
    "context_management": {"edits": []},
    "stream": True,
}


def test_claude_on_chat() -> None:
    sent = converted(A, C, CLAUDE).request
    assert sent.path == "/v1/chat/completions"
    function = {"name": "Write", "description": "Writes.", "parameters": {"type": "object", "$schema": "x"}}
    calls = [("toolu_1", '{"file_path":"a"}'), ("toolu_2", "{}")]
    assert json.loads(sent.raw) == {
        "model": "model-b",
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 32000,
        "messages": [
            {"role": "system", "content": "You are Claude.\n\nBe brief."},
            {"role": "user", "content": "<hint>\nsay hello"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": i, "type": "function", "function": {"name": "Write", "arguments": a}} for i, a in calls
                ],
            },
            {"role": "tool", "tool_call_id": "toolu_1", "content": "done"},
            {"role": "tool", "tool_call_id": "toolu_2", "content": "Error: no path"},
        ],
        "tools": [{"type": "function", "function": function}],
    }


def test_claude_on_gemini() -> None:
    """The first call carries what Google wants of a call that another model made."""
    sent = converted(A, G, CLAUDE).request
    assert SPECS[G].upstream_path(sent, "model-b") == "/v1beta/models/model-b:streamGenerateContent?alt=sse"
    assert sent.body["contents"][1:] == [
        {
            "role": "model",
            "parts": [
                {
                    "functionCall": {"id": "toolu_1", "name": "Write", "args": {"file_path": "a"}},
                    "thoughtSignature": "skip_thought_signature_validator",
                },
                {"functionCall": {"id": "toolu_2", "name": "Write", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "toolu_1", "name": "Write", "response": {"output": "done"}}},
                {"functionResponse": {"id": "toolu_2", "name": "Write", "response": {"error": "no path"}}},
            ],
        },
    ]
    declared = {"name": "Write", "description": "Writes.", "parametersJsonSchema": {"type": "object"}}
    assert sent.body["tools"] == [{"functionDeclarations": [declared]}]


CODEX = {
    "model": "gpt-5.1-codex",
    "input": [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "You are Codex."}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "fix it"}]},
        {"type": "reasoning", "summary": [], "encrypted_content": "gAAA"},
        {"type": "function_call", "call_id": "call_1", "name": "exec", "arguments": '{"cmd":"ls"}'},
        {"type": "custom_tool_call", "call_id": "call_2", "name": "apply_patch", "input": "*** Begin"},
        {"type": "function_call", "call_id": "call_3", "namespace": "agents", "name": "spawn", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "a.txt"},
        {"type": "custom_tool_call_output", "call_id": "call_2", "output": "ok"},
        {"type": "function_call_output", "call_id": "call_3", "output": [{"type": "input_text", "text": "up"}]},
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Hurry."}]},
    ],
    "tools": [
        {"type": "function", "name": "exec", "strict": False, "parameters": {"type": "object"}},
        {"type": "custom", "name": "apply_patch", "description": "Patches.", "format": {"definition": "start: x"}},
        {"type": "namespace", "name": "agents", "tools": [{"type": "function", "name": "spawn", "parameters": {}}]},
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "reasoning": {"summary": "auto"},
    "store": False,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "k",
    "stream": True,
}


def test_codex_on_anthropic() -> None:
    """The caches of the others fill unasked; this one is told what to keep. What is said in between stays in its place."""
    body = converted(R, A, CODEX).request.body
    assert body["max_tokens"] == 32000
    assert body["system"] == [{"type": "text", "text": "You are Codex.", "cache_control": {"type": "ephemeral"}}]
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    assert [(block["name"], block["input"]) for block in body["messages"][1]["content"]] == [
        ("exec", {"cmd": "ls"}),
        ("apply_patch", {"input": "*** Begin"}),
        ("agents__spawn", {}),
    ]
    *results, last = body["messages"][2]["content"]
    assert [block["tool_use_id"] for block in results] == ["call_1", "call_2", "call_3"]
    assert last["text"] == "<system>\nHurry.\n</system>"
    assert last["cache_control"] == {"type": "ephemeral"}
    assert [tool["name"] for tool in body["tools"]] == ["exec", "apply_patch", "agents__spawn"]
    assert body["tools"][1]["input_schema"]["required"] == ["input"]
    assert "start: x" in body["tools"][1]["description"]


GEMINI = {
    "systemInstruction": {"parts": [{"text": "You are an agent."}], "role": "user"},
    "contents": [
        {"role": "user", "parts": [{"text": "say hello"}]},
        {
            "role": "model",
            "parts": [
                {"text": "hm", "thought": True},
                {"functionCall": {"name": "ls", "args": {"n": 1}}, "thoughtSignature": "x"},
                {"functionCall": {"name": "ls", "args": {"n": 2}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "ls", "response": {"output": "one"}}},
                {"functionResponse": {"name": "ls", "response": {"error": "two"}}},
            ],
        },
    ],
    "tools": [
        {
            "functionDeclarations": [
                {
                    "name": "ls",
                    "parameters": {"type": "OBJECT", "properties": {"n": {"type": "INTEGER", "nullable": True}}},
                }
            ]
        }
    ],
    "generationConfig": {"temperature": 1, "topP": 0.95, "topK": 64, "thinkingConfig": {"thinkingBudget": 8192}},
    "safetySettings": [{"category": "x"}],
}


def test_gemini_on_responses() -> None:
    """Calls without ids get some: the same ones whenever the conversation is sent again."""
    body = converted(G, R, GEMINI).request.body
    assert body == {
        "model": "model-b",
        "instructions": "You are an agent.",
        "input": [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "say hello"}]},
            {"type": "function_call", "call_id": "call_1", "name": "ls", "arguments": '{"n":1}'},
            {"type": "function_call", "call_id": "call_2", "name": "ls", "arguments": '{"n":2}'},
            {"type": "function_call_output", "call_id": "call_1", "output": "one"},
            {"type": "function_call_output", "call_id": "call_2", "output": "Error: two"},
        ],
        "tools": [
            {
                "type": "function",
                "name": "ls",
                "parameters": {"type": "object", "properties": {"n": {"type": ["integer", "null"]}}},
                "strict": False,
            }
        ],
        "store": False,
        "stream": False,
    }


def test_odd_names_of_tools_are_fitted_and_remembered() -> None:
    odd = "files.read/" + "x" * 90
    neutral = read(A, tools=[{"name": odd}, {"name": "plain"}])
    assert neutral.origins == {neutral.tools[0].name: Origin(odd)}
    assert len(neutral.tools[0].name) <= 64
    assert neutral.tools[1].name == "plain"


def test_a_picture_in_a_result_is_shown_where_results_are_text() -> None:
    shown = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [shown]}
    call = {"type": "tool_use", "id": "t", "name": "look", "input": {}}
    messages = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [result]},
    ]
    sent = converted(A, C, {"messages": messages}).request.body["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "tool", "user"]
    assert sent[3]["content"] == [{"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}]


def test_broken_arguments_of_a_model_stay_visible() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "ls", "arguments": '{"path": "a'}}
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [call]}]
    messages.append({"role": "tool", "tool_call_id": "c", "content": "bad JSON"})
    block = converted(C, A, {"messages": messages}).request.body["messages"][1]["content"][0]
    assert block["input"] == {"malformed": '{"path": "a'}


def test_results_without_a_known_call_are_kept() -> None:
    neutral = read(C, messages=[{"role": "tool", "tool_call_id": "lost", "content": "x"}])
    assert neutral.turns[0].parts == (ToolResult("lost", "", (Text("x"),)),)


SHOWN: dict[Dialect, dict[str, Any]] = {
    A: {"type": "image", "source": {"type": "url", "url": "https://x.example/a.png"}},
    C: {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}},
    R: {"type": "input_image", "image_url": "https://x.example/a.png"},
    G: {"fileData": {"mimeType": "image/png", "fileUri": "https://x.example/a.png"}},
}


@pytest.mark.parametrize("spoken", list(SHOWN))
@pytest.mark.parametrize("wanted", list(SHOWN))
def test_a_picture_at_an_address_stays_there(spoken: Dialect, wanted: Dialect) -> None:
    turn = {"role": "user", "parts" if spoken is G else "content": [SHOWN[spoken]]}
    name = {G: "contents", R: "input"}.get(spoken, "messages")
    sent = converted(spoken, wanted, {name: [turn]}).request.body
    (told,) = sent[{G: "contents", R: "input"}.get(wanted, "messages")]
    assert told["parts" if wanted is G else "content"] == [SHOWN[wanted]]
