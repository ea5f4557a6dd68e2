"""Hearing an answer out: for whoever wants its words and not its bytes."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from droveway.core.completion import TokenBreakdown
from droveway.core.verdict import Verdict
from droveway.dialects.base import DialectSpec, Request
from droveway.dialects.bodies import first, parse_any, table
from droveway.dialects.conversion import DIALECTS
from droveway.dialects.conversion.events import CallDelta, CallStarted, Ended, Event, ReasoningDelta, Started, TextDelta
from droveway.dialects.conversion.model import Answered, Frame, Reasoning, Stop, Text, ToolCall


class Listener:
    """Hears one answer to one request, whole or streamed.

    Args:
        spec: the dialect in which the answer comes.
        request: what it answers.
        frame: names what the provider leaves without a name.
    """

    def __init__(self, spec: DialectSpec, request: Request, frame: Frame) -> None:
        self._spec, self._frame, self._dialect = spec, frame, DIALECTS[spec.dialect]
        self._reader, self._decoder = spec.reader(request), self._dialect.decoder(frame)
        self._events: list[Event] = []

    def feed(self, piece: bytes) -> str:
        """More of a stream; returns the words in it."""
        return self._hear(self._decoder.feed(self._reader.feed(piece)))

    def end(self, now: datetime) -> tuple[Verdict, Answered]:
        """The stream is over: what it came to, and all that was said."""
        self._hear(self._decoder.feed(self._reader.close()))
        verdict = self._reader.verdict(now)
        if verdict.is_success:
            self._hear(self._decoder.finish())
        return verdict, _answered(self._events)

    def whole(self, body: bytes, now: datetime) -> tuple[Verdict, Answered]:
        """An answer in one piece, with status 200."""
        parsed = parse_any(body)
        said = self._dialect.read_answer(first(parsed) if isinstance(parsed, list) else table(parsed), self._frame)
        return self._spec.read_answer(body, now).verdict, said

    def refused(self, status: int, headers: Mapping[str, str], body: bytes, now: datetime) -> Verdict:
        """An answer with any other status."""
        return self._spec.classify(status, headers, body, now)

    def _hear(self, events: list[Event]) -> str:
        self._events += events
        return "".join(event.text for event in events if isinstance(event, TextDelta))


def _answered(events: list[Event]) -> Answered:
    """A stream as if it had come in one piece."""
    given = model = said = thoughts = ""
    calls: list[ToolCall] = []
    stop, usage = Stop.END, TokenBreakdown()
    for event in events:
        match event:
            case Started():
                given, model = event.id, event.model
            case TextDelta(words):
                said += words
            case ReasoningDelta(words):
                thoughts += words
            case CallStarted(call_id, name):
                calls.append(ToolCall(call_id, name, ""))
            case CallDelta(arguments):
                calls[-1] = replace(calls[-1], arguments=calls[-1].arguments + arguments)
            case Ended(stop, usage):
                pass
    parts = (*([Reasoning(thoughts)] if thoughts else ()), *([Text(said)] if said else ()), *calls)
    return Answered(given, model, parts, stop, usage)
