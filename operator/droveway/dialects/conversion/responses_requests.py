"""Requests of OpenAI Responses, read into the neutral form and written from it."""

from itertools import dropwhile, takewhile
from typing import Any

from droveway.dialects.bodies import table, text
from droveway.dialects.conversion.chat_requests import read_choice
from droveway.dialects.conversion.model import (
    CannotCarry,
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
    tables,
    url_of_image,
    varied,
    whole,
)

_WORDS = {"Auto": "auto", "None": "none", "Required": "required"}
_INSTRUCTS = ("system", "developer")
_FEWEST_TOKENS = 16  # a smaller bound is refused
_PLAIN = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}


def read(body: dict[str, Any]) -> Neutral:
    """Reads a request.

    Raises:
        CannotCarry: it holds what no other dialect has.
    """
    refuse(body, "previous_response_id", "conversation", "prompt", "background", "top_logprobs")
    given = body.get("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else tables(given)
    said = [item for item in items if item.get("type") != "reasoning"]
    first, names = list(takewhile(_instructs, said)), dict[str, str]()
    choice = body.get("tool_choice")
    return Neutral(
        temperature=varied(body.get("temperature")),
        top_p=varied(body.get("top_p")),
        turns=conversation([_turn(item, names) for item in dropwhile(_instructs, said)]),
        system=tuple(words for words in (text(body.get("instructions")), *map(_words, first)) if words),
        tools=tuple(tool for entry in tables(body.get("tools")) for tool in _tools(entry)),
        choice=read_choice(choice, table(choice) if table(choice).get("type") in ("function", "custom") else {}),
        parallel=body.get("parallel_tool_calls") is not False,
        max_tokens=whole(body.get("max_output_tokens")),
        format=_format(table(table(body.get("text")).get("format"))),
        effort=text(table(body.get("reasoning")).get("effort")),
        stream=body.get("stream") is True,
        thoughts=len(said) < len(items),
    )


def write(asked: Neutral, model: str) -> dict[str, Any]:
    """Writes a request. The vendor is not asked to keep it, and schemas are only strict where the client said so.

    Raises:
        CannotCarry: this dialect has no words for it.
    """
    few_stop_sequences(asked, 0)
    return {
        "model": model,
        "input": [item for turn in asked.turns for item in _items(turn)],
        "store": False,
        "stream": asked.stream,
        **stated(
            instructions="\n\n".join(asked.system),
            tools=[_tool_object(tool) for tool in asked.tools],
            tool_choice=_choice_word(asked),
            parallel_tool_calls=False if asked.tools and not asked.parallel else None,
            max_output_tokens=asked.max_tokens and max(asked.max_tokens, _FEWEST_TOKENS),
            temperature=asked.temperature,
            top_p=asked.top_p,
            text=_format_object(asked.format),
            reasoning={"effort": asked.effort} if asked.effort else None,
        ),
    }


def _instructs(item: dict[str, Any]) -> bool:
    return item.get("role") in _INSTRUCTS


def _words(item: dict[str, Any]) -> str:
    return "\n".join(part.text for part in _said(item.get("content")) if isinstance(part, Text))


def _turn(item: dict[str, Any], names: dict[str, str]) -> Turn:
    call_id = portable_id(text(item.get("call_id")))
    match item.get("type", "message"):
        case "message" if _instructs(item):
            return Turn("user", (later_instructions(_words(item)),))
        case "message":
            return Turn("assistant" if item.get("role") == "assistant" else "user", tuple(_said(item.get("content"))))
        case "function_call" | "custom_tool_call" as kind:
            given = (
                {"input": item.get("input")} if kind == "custom_tool_call" else as_object(text(item.get("arguments")))
            )
            names[call_id] = _qualified(text(item.get("name")), text(item.get("namespace")))
            return Turn("assistant", (ToolCall(call_id, names[call_id], as_json(given)),))
        case "function_call_output" | "custom_tool_call_output":
            return Turn("user", (ToolResult(call_id, names.get(call_id, ""), tuple(_said(item.get("output")))),))
        case kind:
            raise CannotCarry(f"an item of type {kind}")


def _said(content: Any) -> list[Text | Image]:
    if isinstance(content, str):
        return [Text(content)]
    found: list[Text | Image] = []
    for part in tables(content):
        match part.get("type"):
            case "input_text" | "output_text" | "text":
                found.append(Text(text(part.get("text"))))
            case "refusal":
                found.append(Text(text(part.get("refusal"))))
            case "input_image" if part.get("image_url"):
                found.append(image_of_url(text(part.get("image_url"))))
            case kind:
                raise CannotCarry(f"content of type {kind}")
    return found


def _qualified(name: str, namespace: str) -> str:
    return portable_name(f"{namespace}__{name}" if namespace else name)


def _tools(given: dict[str, Any], namespace: str = "") -> list[Tool]:
    name = text(given.get("name"))
    called, words = _qualified(name, namespace), text(given.get("description"))
    origin = None if called == name else Origin(name, namespace)
    match given.get("type"):
        case "function":
            return [Tool(called, words, table(given.get("parameters")), given.get("strict") is True, origin)]
        case "custom":
            return [Tool(called, _with_grammar(words, given), _PLAIN, origin=Origin(name, namespace, custom=True))]
        case "namespace":
            return [tool for inner in tables(given.get("tools")) for tool in _tools(inner, name)]
        case kind:
            raise CannotCarry(f"the tool {kind}, which runs at its vendor")


def _with_grammar(words: str, given: dict[str, Any]) -> str:
    """A custom tool's grammar cannot be enforced elsewhere; the model can still read it."""
    definition = text(table(given.get("format")).get("definition"))
    return f"{words}\n\nIts input must follow this grammar:\n{definition}" if definition else words


def _format(given: dict[str, Any]) -> Format | None:
    match given.get("type"):
        case None | "text":
            return None
        case "json_object":
            return Format()
        case "json_schema":
            return Format(table(given.get("schema")), text(given.get("name")) or "answer", given.get("strict") is True)
        case kind:
            raise CannotCarry(f"the text format {kind}")


def _items(turn: Turn) -> list[dict[str, Any]]:
    said = [part for part in turn.parts if isinstance(part, Text | Image)]
    items: list[dict[str, Any]] = [_result(part) for part in turn.parts if isinstance(part, ToolResult)]
    if said:
        kind = "output_text" if turn.role == "assistant" else "input_text"
        items.append({"type": "message", "role": turn.role, "content": [_piece(part, kind) for part in said]})
    calls = [part for part in turn.parts if isinstance(part, ToolCall)]
    named = [{"call_id": call.id, "name": call.name, "arguments": call.arguments} for call in calls]
    return items + [{"type": "function_call", **call} for call in named]


def _result(result: ToolResult) -> dict[str, Any]:
    shown = [_piece(part, "input_text") for part in result.content if isinstance(part, Image)]
    words = result_text(result)
    output = [*([{"type": "input_text", "text": words}] if words else []), *shown] if shown else words
    return {"type": "function_call_output", "call_id": result.id, "output": output}


def _piece(part: Part, kind: str) -> dict[str, Any]:
    if isinstance(part, Image):
        return {"type": "input_image", "image_url": url_of_image(part)}
    return {"type": kind, "text": part.text if isinstance(part, Text) else ""}


def _tool_object(tool: Tool) -> dict[str, Any]:
    function = {"type": "function", "name": tool.name, **stated(description=tool.description)}
    return {**function, "parameters": dict(tool.schema), "strict": tool.strict}


def _choice_word(asked: Neutral) -> Any:
    if asked.choice is None or not asked.tools:
        return None
    return _WORDS.get(asked.choice.mode) or {"type": "function", "name": asked.choice.name}


def _format_object(wanted: Format | None) -> dict[str, Any] | None:
    if wanted is None:
        return None
    if wanted.schema is None:
        return {"format": {"type": "json_object"}}
    form = {"type": "json_schema", "name": wanted.name, "schema": dict(wanted.schema), "strict": wanted.strict}
    return {"format": form}
