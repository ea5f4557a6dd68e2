"""What a fan-out answers: whole, and as the events of a stream. docs/schemas/ is generated from these models."""

from typing import Annotated, Literal

from pydantic import Field

from droveway.api.fanout import CallStatus, FanoutStatus, Mode, Plain


class Usage(Plain):
    """Tokens in disjoint buckets."""

    input: int = 0
    output: int = 0
    reasoning: int = 0
    cache_read: int = 0
    cache_write: int = 0


class ToolCall(Plain):
    """The model wants a tool to be used."""

    id: str
    name: str
    arguments: str = Field(description="JSON text.")


class CallError(Plain):
    """Why a call gave no answer."""

    code: str = Field(description="An end class: RateLimited, ProviderOutage, Timeout, …")
    message: str


class CallResult(Plain):
    """What came of one call."""

    id: str
    status: CallStatus
    candidate: str | None = None
    provider: str | None = None
    model: str | None = None
    text: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = Field(None, description="End, ToolUse, MaxTokens, StopSequence or Refusal.")
    usage: Usage | None = Field(None, description="Absent when the provider has told none.")
    error: CallError | None = None
    latency_milliseconds: int = 0


class SynthesisResult(CallResult):
    """What came of the last synthesis."""

    calls: tuple[str, ...] = Field(description="The calls whose answers it is made of.")
    best: str | None = Field(None, description="`judge`: the call whose answer is best.")
    reason: str | None = Field(None, description="`judge`: why.")


class Answer(Plain):
    """The one answer of `first`, `judge` and `fuse`."""

    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    call: str | None = Field(None, description="Whose it is; absent: fused.")


class TracedAttempt(Plain):
    """One upstream call."""

    candidate: str
    provider: str
    model: str
    outcome: str = Field(description="An end class; Succeeded for an answer.")
    usage: Usage | None = Field(
        None, description="Also of a call that was cut; absent when the provider has told none."
    )
    cost_usd: str | None = Field(None, description="US dollars; absent when nobody knows the price.")


class Span(Plain):
    """One call in the trace, or one revision of the synthesis. Milliseconds count from the fan-out's start."""

    call: str
    revision: int | None = None
    status: CallStatus
    start_milliseconds: int
    end_milliseconds: int
    attempts: tuple[TracedAttempt, ...] = ()


class FanoutResponse(Plain):
    """The answer to a request without `stream`, and what the last event of one with it carries."""

    id: str
    mode: Mode
    status: FanoutStatus
    results: tuple[CallResult, ...] = Field(description="One per call, in the order of the calls.")
    synthesis: SynthesisResult | None = None
    answer: Answer | None = None
    latency_milliseconds: int = 0
    trace: tuple[Span, ...] = ()


class _Event(Plain):
    sequence: int = Field(description="Counts the events of one fan-out, from 1.")
    at_milliseconds: int = Field(description="Since the fan-out's start.")


class StartEvent(_Event):
    """A call has begun."""

    type: Literal["start"] = "start"
    call: str
    candidate: str | None = Field(None, description="Absent while the route has not chosen.")


class DeltaEvent(_Event):
    """More words of a call's answer."""

    type: Literal["delta"] = "delta"
    call: str
    candidate: str | None = None
    text: str


class ResultEvent(_Event):
    """A call has its answer."""

    type: Literal["result"] = "result"
    call: str
    candidate: str | None = None
    result: CallResult


class ErrorEvent(_Event):
    """A call gave none: it failed, was too slow, or was not needed any more."""

    type: Literal["error"] = "error"
    call: str
    candidate: str | None = None
    result: CallResult


class SynthesisEvent(_Event):
    """More words of a synthesis, or all of one. A higher revision replaces a lower one."""

    type: Literal["synthesis"] = "synthesis"
    revision: int
    calls: tuple[str, ...] = Field(description="The calls whose answers it is made of.")
    candidate: str | None = None
    delta: str | None = None
    result: SynthesisResult | None = None


class FinalEvent(_Event):
    """The last one."""

    type: Literal["final"] = "final"
    response: FanoutResponse


FanoutEvent = Annotated[
    StartEvent | DeltaEvent | ResultEvent | ErrorEvent | SynthesisEvent | FinalEvent, Field(discriminator="type")
]


class ErrorBody(Plain):
    """What went wrong with a request as a whole."""

    type: str
    message: str


class ErrorResponse(Plain):
    """The body of every refusal of `/fanout`: status 400, 401, 413, 503."""

    error: ErrorBody
