"""A streamed answer in no vendor's words, and the order that every client can follow."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from droveway.core.completion import TokenBreakdown
from droveway.dialects.conversion.model import Answered, Reasoning, Stop, Text, ToolCall


@dataclass(frozen=True, slots=True)
class Started:
    """The provider has begun; both may be ""."""

    id: str
    model: str


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More words."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """More thoughts."""

    text: str


@dataclass(frozen=True, slots=True)
class CallStarted:
    """A tool call begins. Until `CallEnded` nothing but `CallDelta` follows."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class CallDelta:
    """More of the JSON text of its arguments."""

    arguments: str


@dataclass(frozen=True, slots=True)
class CallEnded:
    """Its arguments are complete."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The answer is complete."""

    stop: Stop
    usage: TokenBreakdown


Event = Started | TextDelta | ReasoningDelta | CallStarted | CallDelta | CallEnded | Ended


@dataclass(slots=True)
class _Waiting:
    """A call that began before the one before it was complete."""

    id: str
    name: str
    arguments: list[str] = field(default_factory=list)
    ended: bool = False


class Order:
    """Puts what a provider sends into one order: one call after the other, and nothing inside a call.

    Providers may send parallel calls interleaved; the first is passed on as it comes, the others when it is complete.
    """

    def __init__(self) -> None:
        self._open: object = None
        self._waiting: dict[object, _Waiting] = {}
        self._late: list[TextDelta | ReasoningDelta] = []
        self._silent = True
        self.called = False

    def say(self, delta: TextDelta | ReasoningDelta) -> list[Event]:
        """Words or thoughts."""
        if not delta.text:
            return []
        if self._open is None:
            return [delta]
        self._late.append(delta)
        return []

    def start(self, key: object, call_id: str, name: str) -> list[Event]:
        """A call; `key` tells it from the others of this answer."""
        self.called = True
        if self._open is None:
            self._open, self._silent = key, True
            return [CallStarted(call_id, name)]
        self._waiting[key] = _Waiting(call_id, name)
        return []

    def add(self, key: object, arguments: str) -> list[Event]:
        """A piece of its arguments."""
        if not arguments:
            return []
        if key == self._open:
            self._silent = False
            return [CallDelta(arguments)]
        if key in self._waiting:
            self._waiting[key].arguments.append(arguments)
        return []

    def end(self, key: object) -> list[Event]:
        """It is complete."""
        if key in self._waiting:
            self._waiting[key].ended = True
        return self._advance() if key == self._open and key is not None else []

    def finish(self, stop: Stop, usage: TokenBreakdown) -> list[Event]:
        """The answer is complete. Some providers report a normal end after a call."""
        told: list[Event] = []
        while self._open is not None:
            told += self._advance()
        stop = Stop.TOOL_USE if self.called and stop is Stop.END else stop
        return [*told, Ended(stop, usage)]

    def _advance(self) -> list[Event]:
        """Closes the open call; opens the next that waits."""
        told = self._close()
        while self._waiting and self._open is None:
            key = next(iter(self._waiting))
            call = self._waiting.pop(key)
            told += [CallStarted(call.id, call.name), *map(CallDelta, call.arguments)]
            self._open, self._silent = key, not call.arguments
            if call.ended:
                told += self._close()
        if self._open is None:
            told += self._late
            self._late = []
        return told

    def _close(self) -> list[Event]:
        """A call without a word of arguments has none: clients parse what they get."""
        self._open = None
        return [CallDelta("{}"), CallEnded()] if self._silent else [CallEnded()]


def events_of(answer: Answered) -> Iterator[Event]:
    """A complete answer as a stream."""
    yield Started(answer.id, answer.model)
    for part in answer.parts:
        match part:
            case Text(text):
                yield TextDelta(text)
            case Reasoning(text):
                yield ReasoningDelta(text)
            case ToolCall(call_id, name, arguments):
                yield CallStarted(call_id, name)
                yield CallDelta(arguments or "{}")
                yield CallEnded()
    yield Ended(answer.stop, answer.usage)


def settled(stop: Stop, parts: Sequence[Text | Reasoning | ToolCall]) -> Stop:
    """Why a complete answer ended: some providers report a normal end after a call."""
    return Stop.TOOL_USE if stop is Stop.END and any(isinstance(part, ToolCall) for part in parts) else stop
