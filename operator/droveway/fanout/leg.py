"""One call of a fan-out: what is asked, and what came of it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from droveway.api.enums import EndClass
from droveway.api.fanout import CallStatus, Target
from droveway.api.fanoutanswer import CallError, CallResult, Span, TracedAttempt, Usage
from droveway.api.fanoutanswer import ToolCall as ToolCallResult
from droveway.core.completion import TokenBreakdown
from droveway.core.verdict import Verdict
from droveway.dialects.conversion.model import Answered, Text, ToolCall

Heard = Callable[[str], Awaitable[None]]
"""Takes more words of an answer."""

_STATUS = {
    EndClass.SUCCEEDED: CallStatus.OK,
    EndClass.TIMEOUT: CallStatus.TIMEOUT,
    EndClass.CANCELLED: CallStatus.CANCELLED,
}


@dataclass(frozen=True, slots=True)
class Question:
    """What one call asks.

    Attributes:
        messages: in the words of OpenAI's chat API.
        deadline: monotonic seconds; whoever answers keeps it.
        heard: takes the words as they come; None: nobody wants them before the answer is whole.
    """

    target: Target
    messages: list[dict[str, Any]]
    parameters: dict[str, Any]
    deadline: float
    heard: Heard | None = None


def chat_body(question: Question, model: str) -> dict[str, Any]:
    """The question as the body of a chat request."""
    body = {**question.parameters, "model": model, "messages": question.messages}
    return {**body, "stream": True, "stream_options": {"include_usage": True}} if question.heard else body


@dataclass(slots=True)
class Leg:
    """One call under way; whoever answers writes down here what happens.

    Attributes:
        started, ended: monotonic seconds.
        candidate: of the route; "" while it is not known.
        attempts: upstream calls so far.
    """

    id: str
    started: float
    ended: float = 0.0
    status: CallStatus | None = None
    candidate: str = ""
    provider: str = ""
    model: str = ""
    answer: Answered | None = None
    error: CallError | None = None
    attempts: list[TracedAttempt] = field(default_factory=list)

    def end(self, verdict: Verdict, answer: Answered | None = None) -> None:
        """How it ended."""
        self.status = _STATUS.get(verdict.kind, CallStatus.ERROR)
        if self.status is CallStatus.OK:
            self.answer = answer
        else:
            self.error = CallError(code=verdict.kind.value, message=verdict.reason or verdict.kind.value)

    @property
    def text(self) -> str:
        """The words of its answer."""
        return "".join(part.text for part in self.answer.parts if isinstance(part, Text)) if self.answer else ""

    @property
    def tool_calls(self) -> tuple[ToolCallResult, ...]:
        """The tools that its answer wants to be used."""
        parts = self.answer.parts if self.answer else ()
        return tuple(
            ToolCallResult(id=part.id, name=part.name, arguments=part.arguments or "{}")
            for part in parts
            if isinstance(part, ToolCall)
        )

    def result(self) -> CallResult:
        """What came of it."""
        return CallResult(**self.fields())

    def fields(self) -> dict[str, Any]:
        """The fields of its result."""
        answer = self.answer
        return {
            "id": self.id,
            "status": self.status or CallStatus.CANCELLED,
            "candidate": self.candidate or None,
            "provider": self.provider or None,
            "model": self.model or None,
            "text": self.text if answer else None,
            "tool_calls": self.tool_calls,
            "finish_reason": answer.stop.value if answer else None,
            "usage": usage_of(answer.usage) if answer else None,
            "error": self.error,
            "latency_milliseconds": _milliseconds(self.ended - self.started),
        }

    def span(self, began: float, revision: int | None = None) -> Span:
        """Its place in the trace of a fan-out that began at `began`."""
        return Span(
            call=self.id,
            revision=revision,
            status=self.status or CallStatus.CANCELLED,
            start_milliseconds=_milliseconds(self.started - began),
            end_milliseconds=_milliseconds(self.ended - began),
            attempts=tuple(self.attempts),
        )


def usage_of(tokens: TokenBreakdown) -> Usage | None:
    """Tokens as they are told; None: there are none."""
    if not tokens.total:
        return None
    return Usage(
        input=tokens.input,
        output=tokens.output,
        reasoning=tokens.reasoning,
        cache_read=tokens.cache_read,
        cache_write=tokens.cache_write,
    )


def _milliseconds(seconds: float) -> int:
    return max(0, round(seconds * 1000))
