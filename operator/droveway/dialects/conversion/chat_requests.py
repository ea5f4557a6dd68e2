"""Requests of OpenAI Chat, read into the neutral form and written from it."""

import re
from dataclasses import replace
from itertools import dropwhile, takewhile
from typing import Any

from droveway.dialects.bodies import table, text
from droveway.dialects.conversion.model import (
    CannotCarry,
    Choice,
    Format,
    Image,
    Neutral,
    Origin,
    Part,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
    conversation,
)
from droveway.dialects.conversion.words import (
    as_json,
    as_object,
    few_stop_sequences,
    image_of_url,
    later_instructions,
    portable_id,
    portable_name,
    refuse,
    result_text,
    stated,
    strings,
    tables,
    url_of_image,
    varied,
    whole,
)

_CHOICES = {"auto": Choice("Auto"), "none": Choice("None"), "required": Choice("Required")}
_WORDS = {choice.mode: word for word, choice in _CHOICES.items()}
_INSTRUCTS = ("system", "developer")
_OF_OPENAI = re.compile(r"(?:.*/)?(?:gpt-|o\d|chatgpt|codex)")  # refuse max_tokens; its imitations know nothing else
_STOP_SEQUENCES = 4


def read(body: dict[str, Any]) -> Neutral:
    """Reads a request.

    Raises:
        CannotCarry: it holds what no other dialect has.
    """
    refuse(body, "functions", "function_call", "logprobs", "logit_bias", "audio", "web_search_options")
    if (whole(body.get("n")) or 1) > 1:
        raise CannotCarry("more than one answer (n)")
    messages, names = tables(body.get("messages")), dict[str, str]()
    first = list(takewhile(_instructs, messages))
    turns = [_turn(message, names) for message in dropwhile(_instructs, messages)]
    return Neutral(
        temperature=varied(body.get("temperature")),
        top_p=varied(body.get("top_p")),
        turns=conversation(turns),
        system=tuple(_words(message) for message in first),
        tools=tuple(map(_tool, tables(body.get("tools")))),
        choice=read_choice(body.get("tool_choice"), table(table(body.get("tool_choice")).get("function"))),
        parallel=body.get("parallel_tool_calls") is not False,
        max_tokens=whole(body.get("max_completion_tokens")) or whole(body.get("max_tokens")),
        stop=strings(body.get("stop")),
        format=_format(table(body.get("response_format"))),
        effort=text(body.get("reasoning_effort")),
        stream=body.get("stream") is True,
    )


def write(asked: Neutral, model: str) -> dict[str, Any]:
    """Writes a request.

    Raises:
        CannotCarry: this dialect has no words for it.
    """
    few_stop_sequences(asked, _STOP_SEQUENCES)
    system = "\n\n".join(asked.system)
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    for turn in asked.turns:
        messages += _assistant(turn) if turn.role == "assistant" else _user(turn)
    bound = "max_completion_tokens" if _OF_OPENAI.match(model) else "max_tokens"
    options = {"stream": True, "stream_options": {"include_usage": True}} if asked.stream else {}
    return {
        "model": model,
        "messages": messages,
        **options,
        **stated(
            tools=[_tool_object(tool) for tool in asked.tools],
            tool_choice=_choice_word(asked),
            parallel_tool_calls=False if asked.tools and not asked.parallel else None,
            temperature=asked.temperature,
            top_p=asked.top_p,
            stop=list(asked.stop),
            response_format=_format_object(asked.format),
            reasoning_effort=asked.effort,
            **{bound: asked.max_tokens},
        ),
    }


def read_choice(given: Any, named: dict[str, Any]) -> Choice | None:
    """OpenAI's choice of tools: a word, or an object in which one is named."""
    if isinstance(given, str):
        return _CHOICES.get(given)
    if not given:
        return None
    if not isinstance(named.get("name"), str):
        raise CannotCarry(f"the tool choice {table(given).get('type')}")
    return Choice("Named", portable_name(named["name"]))


def _instructs(message: dict[str, Any]) -> bool:
    return message.get("role") in _INSTRUCTS


def _words(message: dict[str, Any]) -> str:
    return "\n".join(part.text for part in _said(message.get("content")) if isinstance(part, Text))


def _turn(message: dict[str, Any], names: dict[str, str]) -> Turn:
    refuse(message, "function_call", "audio")
    content = _said(message.get("content"))
    match message.get("role"):
        case "assistant":
            calls = [_call(call) for call in tables(message.get("tool_calls"))]
            names.update({call.id: call.name for call in calls})
            return Turn("assistant", (*content, *calls))
        case "tool":
            call_id = portable_id(text(message.get("tool_call_id")))
            return Turn("user", (ToolResult(call_id, names.get(call_id, ""), tuple(content)),))
        case "user":
            return Turn("user", tuple(content))
        case "system" | "developer":
            return Turn("user", (later_instructions(_words(message)),))
        case role:
            raise CannotCarry(f"a message of role {role}")


def _call(call: dict[str, Any]) -> ToolCall:
    function = table(call.get("function"))
    if not function:
        raise CannotCarry(f"a tool call of type {call.get('type')}")
    arguments = as_json(as_object(text(function.get("arguments"))))
    return ToolCall(portable_id(text(call.get("id"))), portable_name(text(function.get("name"))), arguments)


def _said(content: Any) -> list[Text | Image]:
    if isinstance(content, str):
        return [Text(content)]
    found: list[Text | Image] = []
    for part in tables(content):
        match part.get("type"):
            case "text":
                found.append(Text(text(part.get("text"))))
            case "refusal":
                found.append(Text(text(part.get("refusal"))))
            case "image_url":
                found.append(image_of_url(text(table(part.get("image_url")).get("url"))))
            case kind:
                raise CannotCarry(f"content of type {kind}")
    return found


def _tool(given: dict[str, Any]) -> Tool:
    function = table(given.get("function"))
    if given.get("type", "function") != "function":
        raise CannotCarry(f"a tool of type {given.get('type')}")
    name, schema = text(function.get("name")), table(function.get("parameters"))
    tool = Tool(portable_name(name), text(function.get("description")), schema, function.get("strict") is True)
    return tool if tool.name == name else replace(tool, origin=Origin(name))


def _format(given: dict[str, Any]) -> Format | None:
    match given.get("type"):
        case None | "text":
            return None
        case "json_object":
            return Format()
        case "json_schema":
            found = table(given.get("json_schema"))
            return Format(table(found.get("schema")), text(found.get("name")) or "answer", found.get("strict") is True)
        case kind:
            raise CannotCarry(f"the response format {kind}")


def _assistant(turn: Turn) -> list[dict[str, Any]]:
    said = "\n".join(part.text for part in turn.parts if isinstance(part, Text))
    calls = [
        {"id": part.id, "type": "function", "function": {"name": part.name, "arguments": part.arguments}}
        for part in turn.parts
        if isinstance(part, ToolCall)
    ]
    return [{"role": "assistant", "content": said or None, **stated(tool_calls=calls)}]


def _user(turn: Turn) -> list[dict[str, Any]]:
    """Results come first, one message each; a picture in one goes into the user's message: a tool can only write."""
    results = [part for part in turn.parts if isinstance(part, ToolResult)]
    told = [{"role": "tool", "tool_call_id": result.id, "content": result_text(result)} for result in results]
    shown = [part for result in results for part in result.content if isinstance(part, Image)]
    said: list[Part] = [*shown, *(part for part in turn.parts if not isinstance(part, ToolResult))]
    if not said:
        return told
    only_text = all(isinstance(part, Text) for part in said)
    content = "\n".join(part.text for part in said if isinstance(part, Text)) if only_text else list(map(_piece, said))
    return [*told, {"role": "user", "content": content}]


def _piece(part: Part) -> dict[str, Any]:
    if isinstance(part, Image):
        return {"type": "image_url", "image_url": {"url": url_of_image(part)}}
    return {"type": "text", "text": part.text if isinstance(part, Text) else ""}


def _tool_object(tool: Tool) -> dict[str, Any]:
    function = {"name": tool.name, **stated(description=tool.description), "parameters": dict(tool.schema)}
    return {"type": "function", "function": {**function, **stated(strict=tool.strict or None)}}


def _choice_word(asked: Neutral) -> Any:
    if asked.choice is None or not asked.tools:
        return None
    return _WORDS.get(asked.choice.mode) or {"type": "function", "function": {"name": asked.choice.name}}


def _format_object(wanted: Format | None) -> dict[str, Any] | None:
    if wanted is None:
        return None
    if wanted.schema is None:
        return {"type": "json_object"}
    schema = {"name": wanted.name, "schema": dict(wanted.schema), "strict": wanted.strict}
    return {"type": "json_schema", "json_schema": schema}
