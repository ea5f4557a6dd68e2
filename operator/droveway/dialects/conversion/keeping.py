"""Which requests and answers may be kept and given again, and how a kept answer is told: in one piece or as a stream.

What has no words in the neutral form is not kept: tools of the vendor's own, several answers at once, log probabilities.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from droveway.api.enums import Dialect
from droveway.core.completion import TokenBreakdown
from droveway.dialects.base import Request
from droveway.dialects.bodies import parse_any, table
from droveway.dialects.conversion import DIALECTS
from droveway.dialects.conversion.events import Ended, Event, ReasoningDelta, Started, TextDelta, events_of
from droveway.dialects.conversion.model import (
    Answered,
    CannotCarry,
    Frame,
    Reasoning,
    Stop,
    Text,
    ToolCall,
    ToolResult,
)

HEADERS = ("anthropic-version", "anthropic-beta", "openai-beta")
"""Headers that change what is answered."""

_GEMINI_MODEL = re.compile(r"/models/[^:]+:(?:streamG|g)enerateContent")
_FORM = re.compile(r"(?:^|&)alt=[^&]*")


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer that may be given again: the JSON object that a client gets that wants no stream, and what it used."""

    body: bytes
    tokens: TokenBreakdown


def place(request: Request) -> str:
    """Path and query of a request without its model and the form of its answer."""
    path = _GEMINI_MODEL.sub(":generateContent", request.path)
    query = _FORM.sub("", request.query).lstrip("&")
    return f"{path}?{query}" if query else path


def objection(dialect: Dialect, request: Request, *, varied: bool) -> str:
    """Why the answer to a request must not be kept; "": nothing speaks against it. If `varied`, no temperature does."""
    body = request.body
    if not varied and _temperature(dialect, body) > 0:
        return "a temperature above 0 asks for other words each time"
    if dialect is Dialect.GEMINI and not request.stream and "streamGenerateContent" in request.path:
        return "a stream in one array"
    try:
        asked = DIALECTS[dialect].read_request(body)
    except CannotCarry as reason:
        return reason.what
    if any(isinstance(part, ToolCall | ToolResult) for turn in asked.turns for part in turn.parts):
        return "tools are at work"
    return ""


def kept(dialect: Dialect, body: bytes, *, streamed: bool, tokens: TokenBreakdown, frame: Frame) -> Kept | None:
    """All that a client got, in the form in which it is kept; None: it must not be.

    The tokens are those that the provider has told: the client of a stream may not have asked for them.
    """
    own = DIALECTS[dialect]
    if streamed:
        decoder = own.decoder(frame)
        answered = _collected([*decoder.feed(body), *decoder.finish()])
        answered = answered and replace(answered, usage=tokens)
    else:
        parsed = parse_any(body)
        answered = own.read_answer(parsed, frame) if isinstance(parsed, dict) else None
    if answered is None or not _may_be_kept(answered):
        return None
    return Kept(own.write_answer(answered, frame) if streamed else body, tokens)


def told(dialect: Dialect, body: bytes, request: Request, frame: Frame) -> bytes:
    """A kept answer as the client of this request wants it."""
    if not request.stream:
        return body
    own = DIALECTS[dialect]
    encoder = own.encoder(replace(frame, wants_usage=request.wants_usage))
    return b"".join(map(encoder.encode, events_of(own.read_answer(table(parse_any(body)), frame))))


def _temperature(dialect: Dialect, body: dict[str, Any]) -> float:
    if dialect is Dialect.GEMINI:
        body = table(body.get("generationConfig") or body.get("generation_config"))
    given = body.get("temperature")
    return given if isinstance(given, int | float) else 0


def _collected(events: Iterable[Event]) -> Answered | None:
    """The answer that a stream has told, unless it calls a tool."""
    given, model = "", ""
    said: list[tuple[type[Text | Reasoning], list[str]]] = []
    for event in events:
        match event:
            case Started():
                given, model = event.id, event.model
            case TextDelta(words) | ReasoningDelta(words):
                kind = Text if isinstance(event, TextDelta) else Reasoning
                if not said or said[-1][0] is not kind:
                    said.append((kind, []))
                said[-1][1].append(words)
            case Ended(stop, usage):
                return Answered(given, model, tuple(kind("".join(words)) for kind, words in said), stop, usage)
            case _:
                return None
    return None


def _may_be_kept(answered: Answered) -> bool:
    said = [part for part in answered.parts if not isinstance(part, Reasoning)]
    return answered.stop is Stop.END and bool(said) and all(isinstance(part, Text) for part in said)
