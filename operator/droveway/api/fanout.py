"""What is asked of `/fanout`: one question to several candidates. docs/schemas/ is generated from these models."""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from droveway.api.v1alpha1.common import wire_name

MOST_CALLS = 16
MOST_MILLISECONDS = 3_600_000
_OURS = frozenset({"model", "messages", "stream", "stream_options", "n"})
_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"


class Mode(StrEnum):
    """When a fan-out is over, and what becomes of its answers."""

    ALL = "all"
    FIRST = "first"
    QUORUM = "quorum"
    JUDGE = "judge"
    FUSE = "fuse"


class CallStatus(StrEnum):
    """How one call ended."""

    OK = "ok"
    ERROR = "error"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"


class FanoutStatus(StrEnum):
    """How a fan-out ended: as its mode asks, with less than that, or with nothing."""

    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    FAILED = "failed"


class Plain(BaseModel):
    """Anything that crosses `/fanout`: camelCase outside, and a field that is not known is passed over."""

    model_config = ConfigDict(alias_generator=wire_name, populate_by_name=True, frozen=True)

    def to_wire(self) -> dict[str, Any]:
        """As JSON has it: camelCase, absent fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class _Asked(Plain):
    """What a caller writes: a field that nobody knows is refused, not ignored."""

    model_config = ConfigDict(extra="forbid")


class Message(_Asked):
    """One message of a conversation, in the words of OpenAI's chat API."""

    model_config = ConfigDict(extra="allow")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[dict[str, Any]] | None = None


Messages = Annotated[tuple[Message, ...], Field(min_length=1, max_length=10_000)]
Parameters = Annotated[
    dict[str, Any],
    Field(
        description="More fields of a chat request: temperature, max_tokens, tools, … They are converted like a client's own."
    ),
]
Milliseconds = Annotated[int, Field(ge=1, le=MOST_MILLISECONDS)]


class Target(_Asked):
    """Who is asked. Nothing named: the run's own route, which then chooses as for any request."""

    candidate: str | None = Field(None, min_length=1, max_length=253, description="A candidate of the route.")
    model: str | None = Field(
        None, min_length=1, max_length=253, description="A model of the route's candidates, bare or as `vendor/model`."
    )
    route: str | None = Field(
        None, min_length=1, max_length=253, description="Another ModelRoute of the run's namespace."
    )
    parameters: Parameters = Field(default_factory=dict)
    timeout_milliseconds: Milliseconds | None = Field(
        None, description="From the call's start; the whole's ends it as well."
    )

    @model_validator(mode="after")
    def _consistent(self) -> "Target":
        if self.candidate and self.model:
            raise ValueError("candidate and model name the same thing; leave one out")
        _refuse_ours(self.parameters)
        return self


class Call(Target):
    """One call."""

    id: str | None = Field(
        None, pattern=_ID, description="Names it in events and results; its place in the list by default."
    )
    messages: Messages | None = Field(None, description="Instead of the request's own.")


class Synthesis(Target):
    """Who judges or fuses the answers, and how."""

    instruction: str | None = Field(None, min_length=1, max_length=32_000, description="Instead of the usual one.")
    partial_after: int | None = Field(
        None,
        ge=1,
        le=MOST_CALLS,
        description="Streams only: as soon as so many answers are there, a synthesis of them is made, and made anew as more "
        "come. Each costs a call. The last one is made of all answers, as without this field.",
    )


class FanoutRequest(_Asked):
    """What is asked of `POST /fanout`, and of the first frame of a WebSocket."""

    calls: tuple[Call, ...] = Field(min_length=1, max_length=MOST_CALLS)
    messages: Messages | None = Field(None, description="For all calls that have none of their own.")
    parameters: Parameters = Field(default_factory=dict)
    mode: Mode = Mode.ALL
    quorum: int | None = Field(None, ge=1, le=MOST_CALLS, description="`quorum`: how many answers are enough.")
    synthesis: Synthesis | None = Field(None, description="`judge` and `fuse`: by whom.")
    timeout_milliseconds: Milliseconds = 300_000
    stream: bool = Field(
        default=False, description="Events as they happen; `Accept: text/event-stream` asks for the same."
    )

    @model_validator(mode="after")
    def _consistent(self) -> "FanoutRequest":
        _refuse_ours(self.parameters)
        if len(set(self.names)) < len(self.calls):
            raise ValueError("two calls have the same id; name each once")
        if self.messages is None and any(call.messages is None for call in self.calls):
            raise ValueError("a call without messages needs those of the request; state messages")
        if (self.mode is Mode.QUORUM) != (self.quorum is not None):
            raise ValueError("quorum belongs to mode quorum, and mode quorum needs it")
        if self.quorum and self.quorum > len(self.calls):
            raise ValueError(f"a quorum of {self.quorum} cannot come from {len(self.calls)} calls; lower it")
        if (self.mode in (Mode.JUDGE, Mode.FUSE)) != (self.synthesis is not None):
            raise ValueError("synthesis belongs to the modes judge and fuse, and they need it")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The ids of the calls, in their order."""
        return tuple(call.id or str(place) for place, call in enumerate(self.calls))


def _refuse_ours(parameters: dict[str, Any]) -> None:
    if taken := sorted(_OURS & parameters.keys()):
        raise ValueError(f"parameters cannot state {', '.join(taken)}; the gateway does")
