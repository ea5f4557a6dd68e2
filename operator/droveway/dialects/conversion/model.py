"""What requests and answers say, in no vendor's words: every dialect is read into this and written from it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal

from droveway.core.completion import TokenBreakdown

Role = Literal["user", "assistant"]


class CannotCarry(Exception):  # noqa: N818 - says what happened
    """A request holds something that another dialect has no words for, and without which it would be another request."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


@dataclass(frozen=True, slots=True)
class Text:
    """Words."""

    text: str


@dataclass(frozen=True, slots=True)
class Image:
    """A picture: base64 `data` of a `media_type`, or the `url` it is fetched from."""

    media_type: str = ""
    data: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Reasoning:
    """What a model thought aloud. Only in answers: in a request it is worth something to its own vendor alone."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model wants a tool to be used.

    Attributes:
        id: pairs it with its result.
        name: a portable one, as in `Tool`.
        arguments: JSON text of an object, as the model wrote it.
    """

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What came of a call."""

    id: str
    name: str
    content: tuple[Text | Image, ...]
    is_error: bool = False


Part = Text | Image | ToolCall | ToolResult


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side said, without the other speaking in between."""

    role: Role
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Origin:
    """How the client itself calls a tool.

    Attributes:
        name: its own name.
        namespace: of OpenAIResponses; "" for none.
        custom: it takes plain text instead of JSON (OpenAIResponses); here it has one argument, `input`.
    """

    name: str
    namespace: str = ""
    custom: bool = False


@dataclass(frozen=True, slots=True)
class Tool:
    """A function of the client.

    Attributes:
        name: one that every dialect accepts.
        schema: JSON Schema of its arguments.
        strict: the model must keep to the schema to the letter.
        origin: what the client calls it, when that is something else.
    """

    name: str
    description: str
    schema: Mapping[str, Any]
    strict: bool = False
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """Whether the model may, must or must not use tools; `Named` means this one."""

    mode: Literal["Auto", "None", "Required", "Named"] = "Auto"
    name: str = ""


@dataclass(frozen=True, slots=True)
class Format:
    """The answer has to be JSON; of this schema, if there is one."""

    schema: Mapping[str, Any] | None = None
    name: str = "answer"
    strict: bool = False


@dataclass(frozen=True, slots=True)
class Neutral:
    """A request to generate.

    Attributes:
        system: instructions that stand before the conversation.
        choice: None: not stated.
        parallel: several tools may be called at once.
        max_tokens: None: not stated.
        effort: how hard to think, in OpenAI's words; "" for not stated.
        thoughts: the conversation held thoughts of a model, which are left out here: signed or encrypted as they are, they
            are worth something at their own vendor only.
    """

    turns: tuple[Turn, ...]
    system: tuple[str, ...] = ()
    tools: tuple[Tool, ...] = ()
    choice: Choice | None = None
    parallel: bool = True
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    format: Format | None = None
    effort: str = ""
    stream: bool = False
    thoughts: bool = False

    @property
    def origins(self) -> dict[str, Origin]:
        """The client's own names of the tools that go by another here."""
        return {tool.name: tool.origin for tool in self.tools if tool.origin}


class Stop(StrEnum):
    """Why an answer ended."""

    END = "End"
    TOOL_USE = "ToolUse"
    MAX_TOKENS = "MaxTokens"
    STOP_SEQUENCE = "StopSequence"
    REFUSAL = "Refusal"


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer that is complete.

    Attributes:
        id: the provider's; "" for none.
        model: as the provider names it; "" for none.
    """

    id: str
    model: str
    parts: tuple[Text | Reasoning | ToolCall, ...]
    stop: Stop
    usage: TokenBreakdown


@dataclass(frozen=True, slots=True)
class Frame:
    """What an answer must know of its request to be written.

    Attributes:
        id: for a provider's answer that has none.
        model: the same.
        created: epoch seconds.
        origins: the client's own names of tools.
        wants_usage: the client asked for the usage of a stream (OpenAIChat).
        in_array: the client wants the chunks of a stream as one JSON array (Gemini).
    """

    id: str
    model: str
    created: int
    origins: Mapping[str, Origin] = field(default_factory=dict)
    wants_usage: bool = True
    in_array: bool = False

    def origin(self, name: str) -> Origin:
        """What the client calls a tool."""
        return self.origins.get(name) or Origin(name)


def conversation(turns: Iterable[Turn]) -> tuple[Turn, ...]:
    """Turns as every dialect takes them: one side's in a row as one, results before words, words in one piece, nothing empty.

    Raises:
        CannotCarry: the model had the last word; vendors disagree on what should follow.
    """
    joined: list[Turn] = []
    for turn in turns:
        parts = tuple(part for part in turn.parts if part != Text(""))
        if joined and joined[-1].role == turn.role:
            joined[-1] = replace(joined[-1], parts=joined[-1].parts + parts)
        elif parts:
            joined.append(Turn(turn.role, parts))
    if joined and joined[-1].role == "assistant":
        raise CannotCarry("a conversation in which the model has the last word")
    return tuple(replace(turn, parts=_in_order(turn.parts)) for turn in joined)


def _in_order(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Results, then what the user says; what the model says, then its calls."""
    place = {ToolResult: 0, ToolCall: 2}
    found: list[Part] = []
    for part in sorted(parts, key=lambda part: place.get(type(part), 1)):
        last = found[-1] if found else None
        if isinstance(part, Text) and isinstance(last, Text):
            found[-1] = Text(f"{last.text}\n{part.text}")
        else:
            found.append(part)
    return tuple(found)
