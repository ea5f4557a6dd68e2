"""Requests of Anthropic Messages, read into the neutral form and written from it."""

from dataclasses import replace
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
    Role,
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
    image_of_url,
    later_instructions,
    portable_id,
    portable_name,
    refuse,
    stated,
    strings,
    tables,
    varied,
    whole,
)

_MOST_TOKENS = 32000  # this dialect must be told a bound; claude's own
_CACHED = {"cache_control": {"type": "ephemeral"}}
_CHOICES = {"auto": Choice("Auto"), "none": Choice("None"), "any": Choice("Required")}
_WORDS = {choice.mode: word for word, choice in _CHOICES.items()}
_BILLING = "x-anthropic-billing-header:"  # claude's word to its own vendor, and another one with each version
_THOUGHTS = ("thinking", "redacted_thinking")


def read(body: dict[str, Any]) -> Neutral:
    """Reads a request.

    Raises:
        CannotCarry: it holds what no other dialect has.
    """
    refuse(body, "mcp_servers", "container")
    names: dict[str, str] = {}
    turns = [_turn(message, names) for message in tables(body.get("messages"))]
    choice = table(body.get("tool_choice"))
    return Neutral(
        temperature=varied(body.get("temperature")),
        top_p=varied(body.get("top_p")),
        turns=conversation(turns),
        system=tuple(p.text for p in _texts(body.get("system")) if not p.text.startswith(_BILLING)),
        tools=tuple(map(_tool, tables(body.get("tools")))),
        choice=_choice(choice),
        parallel=choice.get("disable_parallel_tool_use") is not True,
        max_tokens=whole(body.get("max_tokens")),
        top_k=whole(body.get("top_k")),
        stop=strings(body.get("stop_sequences")),
        format=_format(table(table(body.get("output_config")).get("format")) or table(body.get("output_format"))),
        stream=body.get("stream") is True,
        thoughts=any(_is_thought(block) for message in tables(body.get("messages")) for block in _blocks(message)),
    )


def write(asked: Neutral, model: str) -> dict[str, Any]:
    """Writes a request.

    A request with tools is one of many in a conversation: it is marked for the cache, which the other vendors fill unasked.
    Temperature and top_p exclude each other at newer models.

    Raises:
        CannotCarry: this dialect has no words for it.
    """
    if asked.format and asked.format.schema is None:
        raise CannotCarry("an answer in JSON without a schema")
    turns = [[_block(part) for part in turn.parts] for turn in asked.turns]
    system: list[dict[str, Any]] = [{"type": "text", "text": words} for words in asked.system if words]
    if asked.tools:
        for block in (*system[-1:], *(turns[-1][-1:] if turns else ())):
            block.update(_CACHED)
    form = asked.format and {"format": {"type": "json_schema", "schema": asked.format.schema}}
    return {
        "model": model,
        "max_tokens": asked.max_tokens or _MOST_TOKENS,
        "messages": [{"role": turn.role, "content": blocks} for turn, blocks in zip(asked.turns, turns, strict=True)],
        "stream": asked.stream,
        **stated(
            system=system,
            tools=[_tool_block(tool) for tool in asked.tools],
            tool_choice=_choice_block(asked),
            stop_sequences=list(asked.stop),
            temperature=None if asked.temperature is None else min(asked.temperature, 1.0),
            top_p=asked.top_p if asked.temperature is None else None,
            top_k=asked.top_k,
            output_config=form,
        ),
    }


def _turn(message: dict[str, Any], names: dict[str, str]) -> Turn:
    role: Role = "assistant" if message.get("role") == "assistant" else "user"
    blocks = _blocks(message)
    if message.get("role") == "system":
        return Turn("user", tuple(later_instructions(part.text) for part in _texts(blocks)))
    return Turn(role, tuple(_part(block, names) for block in blocks if not _is_thought(block)))


def _blocks(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content")
    return [{"type": "text", "text": content}] if isinstance(content, str) else tables(content)


def _is_thought(block: dict[str, Any]) -> bool:
    return block.get("type") in _THOUGHTS


def _part(block: dict[str, Any], names: dict[str, str]) -> Part:
    match block.get("type"):
        case "tool_use":
            call = ToolCall(
                portable_id(text(block.get("id"))), portable_name(text(block.get("name"))), as_json(block.get("input"))
            )
            names[call.id] = call.name
            return call
        case "tool_result":
            call_id = portable_id(text(block.get("tool_use_id")))
            content = block.get("content")
            said = [Text(content)] if isinstance(content, str) else [_said(inner) for inner in tables(content)]
            return ToolResult(call_id, names.get(call_id, ""), tuple(said), block.get("is_error") is True)
    return _said(block)


def _said(block: dict[str, Any]) -> Text | Image:
    """Words and pictures, of a turn or of a tool's result."""
    source = table(block.get("source"))
    match block.get("type"), source.get("type"):
        case "text", _:
            return Text(text(block.get("text")))
        case "image", "base64":
            return Image(text(source.get("media_type")), text(source.get("data")))
        case "image", "url":
            return image_of_url(text(source.get("url")))
        case "document", "text":
            return Text(text(source.get("data")))
        case "tool_reference", _:
            return Text(f"The tool {text(block.get('tool_name'))} can be used now.")
        case kind, of:
            raise CannotCarry(f"a block of type {kind}" + (f" from {of}" if of else ""))


def _texts(system: Any) -> list[Text]:
    blocks = [{"text": system}] if isinstance(system, str) else tables(system)
    return [Text(text(block.get("text"))) for block in blocks]


def _tool(given: dict[str, Any]) -> Tool:
    if given.get("type") not in (None, "custom"):
        raise CannotCarry(f"the tool {given.get('type')}, which only its vendor knows")
    name, schema = text(given.get("name")), table(given.get("input_schema"))
    tool = Tool(portable_name(name), text(given.get("description")), schema, given.get("strict") is True)
    return tool if tool.name == name else replace(tool, origin=Origin(name))


def _choice(given: dict[str, Any]) -> Choice | None:
    if given.get("type") == "tool":
        return Choice("Named", portable_name(text(given.get("name"))))
    return _CHOICES.get(text(given.get("type")))


def _format(given: dict[str, Any]) -> Format | None:
    return Format(table(given.get("schema")), strict=True) if given else None


def _block(part: Part) -> dict[str, Any]:
    match part:
        case Text(words):
            return {"type": "text", "text": words}
        case Image():
            source = (
                {"type": "url", "url": part.url}
                if part.url
                else {"type": "base64", "media_type": part.media_type, "data": part.data}
            )
            return {"type": "image", "source": source}
        case ToolCall():
            return {"type": "tool_use", "id": part.id, "name": part.name, "input": as_object(part.arguments)}
        case ToolResult():
            said = [_block(inner) for inner in part.content if inner != Text("")]
            block = {"type": "tool_result", "tool_use_id": part.id, "content": said}
            return {**block, **stated(is_error=part.is_error or None)}


def _tool_block(tool: Tool) -> dict[str, Any]:
    schema = {"type": "object", **tool.schema}
    return {"name": tool.name, **stated(description=tool.description), "input_schema": schema}


def _choice_block(asked: Neutral) -> dict[str, Any] | None:
    if not asked.tools or (asked.choice is None and asked.parallel):
        return None
    choice = asked.choice or Choice()
    block: dict[str, Any] = {"type": _WORDS.get(choice.mode, "tool"), **stated(name=choice.name)}
    if not asked.parallel and choice.mode != "None":
        block["disable_parallel_tool_use"] = True
    return block
