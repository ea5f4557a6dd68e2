"""Requests of Gemini's generateContent, read into the neutral form and written from it."""

from collections import defaultdict, deque
from dataclasses import dataclass, field, replace
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
from droveway.dialects.conversion.schema import for_gemini, from_openapi
from droveway.dialects.conversion.words import (
    as_json,
    as_object,
    portable_id,
    portable_name,
    refuse,
    stated,
    strings,
    tables,
    varied,
    whole,
)

_TOP_P, _TOP_K = 0.95, 64  # the defaults of its models, which its CLI states all the same
_MODES = {"AUTO": "Auto", "NONE": "None", "ANY": "Required", "VALIDATED": "Auto"}
_WORDS = {"Auto": "AUTO", "None": "NONE", "Required": "ANY", "Named": "ANY"}
_TYPES = {"png": "image/png", "gif": "image/gif", "webp": "image/webp", "heic": "image/heic"}
_FOREIGN = {"thoughtSignature": "skip_thought_signature_validator"}
"""What Google documents for calls that another model made: newer models refuse a call without a signature."""


def read(body: dict[str, Any]) -> Neutral:
    """Reads a request; whether it is a stream, its path says.

    Raises:
        CannotCarry: it holds what no other dialect has.
    """
    body = _camel(body)
    refuse(body, "cachedContent")
    config = _camel(table(body.get("generationConfig")))
    refuse(config, "responseLogprobs", "logprobs", "speechConfig")
    if (whole(config.get("candidateCount")) or 1) > 1:
        raise CannotCarry("more than one answer (candidateCount)")
    if any(kind.upper() != "TEXT" for kind in strings(config.get("responseModalities"))):
        raise CannotCarry("an answer that is not text (responseModalities)")
    pairs, top_k = _Pairs(), whole(config.get("topK"))
    return Neutral(
        temperature=varied(config.get("temperature")),
        top_p=varied(config.get("topP"), _TOP_P),
        turns=conversation([_turn(content, pairs) for content in tables(body.get("contents"))]),
        system=tuple(_system(body.get("systemInstruction"))),
        tools=tuple(tool for entry in tables(body.get("tools")) for tool in _tools(_camel(entry))),
        choice=_choice(_camel(table(_camel(table(body.get("toolConfig"))).get("functionCallingConfig")))),
        max_tokens=whole(config.get("maxOutputTokens")),
        top_k=None if top_k == _TOP_K else top_k,
        stop=strings(config.get("stopSequences")),
        format=_format(config),
        thoughts=any(
            p.get("thought") for content in tables(body.get("contents")) for p in tables(content.get("parts"))
        ),
    )


def write(asked: Neutral, model: str) -> dict[str, Any]:
    """Writes a request; the model stands in its path.

    Raises:
        CannotCarry: this dialect has no words for it.
    """
    del model
    if asked.tools and not asked.parallel:
        raise CannotCarry("one tool at a time (parallel_tool_calls: false)")
    wanted = asked.format
    config = stated(
        temperature=asked.temperature,
        topP=asked.top_p,
        topK=asked.top_k,
        maxOutputTokens=asked.max_tokens,
        stopSequences=list(asked.stop),
        responseMimeType="application/json" if wanted else None,
        responseJsonSchema=for_gemini(wanted.schema) if wanted and wanted.schema else None,
    )
    contents = [
        {"role": "model" if turn.role == "assistant" else "user", "parts": _parts(turn)} for turn in asked.turns
    ]
    declared = [_declaration(tool) for tool in asked.tools]
    system = {"parts": [{"text": words} for words in asked.system if words]}
    return {
        "contents": contents,
        **stated(
            systemInstruction=system if system["parts"] else None,
            tools=[{"functionDeclarations": declared}] if declared else None,
            toolConfig=_calling(asked),
            generationConfig=config,
        ),
    }


@dataclass(slots=True)
class _Pairs:
    """Which result belongs to which call: by id, else by name, the oldest first. Calls without an id are numbered."""

    count: int = 0
    unanswered: dict[str, deque[str]] = field(default_factory=lambda: defaultdict(deque))

    def call(self, given: str, name: str) -> str:
        """The id of a call."""
        self.count += 1
        found = portable_id(given) if given else f"call_{self.count}"
        self.unanswered[name].append(found)
        return found

    def result(self, given: str, name: str) -> str:
        """The id of the call that a result answers."""
        waiting = self.unanswered[name]
        found = portable_id(given) if given else waiting[0] if waiting else f"call_of_{name}"
        if found in waiting:
            waiting.remove(found)
        return found


def _camel(given: dict[str, Any]) -> dict[str, Any]:
    """Google takes both spellings of a name."""
    return {
        name if "_" not in name else name.split("_")[0] + "".join(map(str.capitalize, name.split("_")[1:])): value
        for name, value in given.items()
    }


def _system(given: Any) -> list[str]:
    if isinstance(given, str):
        return [given]
    return [text(part.get("text")) for part in tables(table(given).get("parts"))]


def _turn(content: dict[str, Any], pairs: _Pairs) -> Turn:
    parts = [part for part in map(_camel, tables(content.get("parts"))) if not part.get("thought")]
    role = content.get("role")
    return Turn("assistant" if role == "model" else "user", tuple(found for p in parts for found in _part(p, pairs)))


def _part(part: dict[str, Any], pairs: _Pairs) -> list[Part]:
    if call := table(part.get("functionCall")):
        name = portable_name(text(call.get("name")))
        return [ToolCall(pairs.call(text(call.get("id")), name), name, as_json(table(call.get("args"))))]
    if result := table(part.get("functionResponse")):
        name = portable_name(text(result.get("name")))
        said, is_error = _outcome(table(result.get("response")))
        shown = [_image(_camel(inner)) for inner in tables(result.get("parts"))]
        return [ToolResult(pairs.result(text(result.get("id")), name), name, (Text(said), *shown), is_error)]
    if "text" in part:
        return [Text(text(part["text"]))]
    if part.get("inlineData") or part.get("fileData"):
        return [_image(part)]
    unknown = sorted(set(part) - {"thoughtSignature"})
    if unknown:
        raise CannotCarry(f"a part with {unknown[0]}")
    return []


def _outcome(response: dict[str, Any]) -> tuple[str, bool]:
    """What a tool said, and whether that is an error: Google's convention is one key, `output` or `error`."""
    if len(response) == 1:
        key, said = next(iter(response.items()))
        if key in ("output", "error", "result"):
            return said if isinstance(said, str) else as_json(said), key == "error"
    return as_json(response), False


def _image(part: dict[str, Any]) -> Image:
    inline, stored = _camel(table(part.get("inlineData"))), _camel(table(part.get("fileData")))
    kind = text(inline.get("mimeType")) or text(stored.get("mimeType"))
    url = text(stored.get("fileUri"))
    if not kind.startswith("image/"):
        raise CannotCarry(f"a file of type {kind or 'unknown'}")
    if url and (not url.startswith("https://") or "googleapis.com/" in url):
        raise CannotCarry("a file that is stored at Google")
    return Image(kind, text(inline.get("data")), url)


def _tools(entry: dict[str, Any]) -> list[Tool]:
    for name, value in entry.items():
        if name != "functionDeclarations" and value is not None:
            raise CannotCarry(f"the tool {name}, which runs at its vendor")
    return [_tool(_camel(declared)) for declared in tables(entry.get("functionDeclarations"))]


def _tool(declared: dict[str, Any]) -> Tool:
    name = text(declared.get("name"))
    schema = table(declared.get("parametersJsonSchema")) or from_openapi(table(declared.get("parameters")))
    tool = Tool(portable_name(name), text(declared.get("description")), {"type": "object", **schema})
    return tool if tool.name == name else replace(tool, origin=Origin(name))


def _choice(config: dict[str, Any]) -> Choice | None:
    mode, allowed = str(config.get("mode", "")).upper(), strings(config.get("allowedFunctionNames"))
    if mode not in _MODES:
        return None
    if len(allowed) > 1:
        raise CannotCarry("a choice of some tools (allowedFunctionNames)")
    if allowed and mode == "ANY":
        return Choice("Named", portable_name(allowed[0]))
    return {"Auto": Choice("Auto"), "None": Choice("None"), "Required": Choice("Required")}[_MODES[mode]]


def _format(config: dict[str, Any]) -> Format | None:
    kind = text(config.get("responseMimeType")) or "text/plain"
    if kind == "text/plain":
        return None
    if kind != "application/json":
        raise CannotCarry(f"an answer of type {kind}")
    schema = table(config.get("responseJsonSchema")) or from_openapi(table(config.get("responseSchema")))
    return Format(schema or None)


def _parts(turn: Turn) -> list[dict[str, Any]]:
    parts = [piece for part in turn.parts for piece in _pieces(part)]
    if call := next((piece for piece in parts if "functionCall" in piece), None):
        call.update(_FOREIGN)
    return parts


def _pieces(part: Part) -> list[dict[str, Any]]:
    """Pictures of a result stand behind it: only the newest models take them inside."""
    match part:
        case Text(words):
            return [{"text": words}]
        case Image() if part.url:
            kind = part.media_type or _TYPES.get(part.url.rsplit(".", 1)[-1].lower(), "image/jpeg")
            return [{"fileData": {"mimeType": kind, "fileUri": part.url}}]
        case Image():
            return [{"inlineData": {"mimeType": part.media_type, "data": part.data}}]
        case ToolCall():
            return [{"functionCall": {"id": part.id, "name": part.name, "args": as_object(part.arguments)}}]
        case ToolResult():
            said = "\n".join(inner.text for inner in part.content if isinstance(inner, Text))
            response = {"error" if part.is_error else "output": said}
            told = {"functionResponse": {"id": part.id, "name": part.name, "response": response}}
            return [told, *(piece for inner in part.content if isinstance(inner, Image) for piece in _pieces(inner))]


def _declaration(tool: Tool) -> dict[str, Any]:
    declared = {"name": tool.name, **stated(description=tool.description)}
    return {**declared, **stated(parametersJsonSchema=for_gemini(tool.schema) if tool.schema else None)}


def _calling(asked: Neutral) -> dict[str, Any] | None:
    if asked.choice is None or not asked.tools:
        return None
    config: dict[str, Any] = {"mode": _WORDS[asked.choice.mode]}
    if asked.choice.mode == "Named":
        config["allowedFunctionNames"] = [asked.choice.name]
    return {"functionCallingConfig": config}
