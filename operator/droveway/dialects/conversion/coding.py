"""What the stream decoders and encoders of all dialects share."""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from droveway.core.completion import TokenBreakdown
from droveway.dialects.bodies import dump_object
from droveway.dialects.conversion.delivered import Delivered
from droveway.dialects.conversion.events import Event, Order, Started, TextDelta
from droveway.dialects.conversion.model import Frame, Stop
from droveway.dialects.stream import event_json, event_kind

_BLANK_LINE = re.compile(rb"\n\r?\n")


def reason_of(stops: Mapping[str, Stop], reason: str) -> Stop:
    """Why an answer ended. What nobody knows is no success: an agent must not take it for the end of its task."""
    return stops.get(reason, Stop.REFUSAL)


class Decoder(ABC):
    """Reads a provider's stream, which its `StreamReader` has found to be free of errors.

    Attributes:
        order: puts the events in order.
    """

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.order = Order()
        self._started = False

    def feed(self, blocks: bytes) -> list[Event]:
        """Reads whole events, as they came."""
        told: list[Event] = []
        for block in filter(None, _BLANK_LINE.split(blocks)):
            if event := event_json(block):
                found = self._read({"type": event_kind(block, event), **event})
                told += [*self._start("", ""), *found] if found else []  # some never say that they begin
        return told

    def finish(self) -> list[Event]:
        """The stream was complete."""
        return [*self._start("", ""), *self.order.finish(*self._end())]

    def _start(self, given: str, model: str) -> list[Event]:
        """The first event, once."""
        if self._started:
            return []
        self._started = True
        return [Started(given, model)]

    @abstractmethod
    def _read(self, event: dict[str, Any]) -> list[Event]:
        """Reads one event."""

    @abstractmethod
    def _end(self) -> tuple[Stop, TokenBreakdown]:
        """Why it ended, and what it used."""


class Encoder(ABC):
    """Writes a client's stream."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame

    @abstractmethod
    def encode(self, event: Event) -> bytes:
        """One event in the words of the dialect; may be none."""

    @abstractmethod
    def resume(self, delivered: Delivered) -> None:
        """Goes on behind what the client has."""

    def notice(self, told: dict[str, str]) -> bytes:
        """An event of ours, which the clients of this dialect skip: a comment."""
        return b": droveway %b\n\n" % dump_object(told)

    def void(self, mark: str) -> bytes:
        """Declares the words that the client has void, and closes what they stand in."""
        return self.encode(TextDelta(mark))


class Translator:
    """A provider's stream in, the client's out.

    Attributes:
        preface: stands before everything else.
    """

    preface = b""

    def __init__(self, decoder: Decoder, encoder: Encoder) -> None:
        self._decoder, self._encoder = decoder, encoder

    def feed(self, blocks: bytes) -> bytes:
        """Whole events, as they came."""
        return b"".join(map(self.encode, self._decoder.feed(blocks)))

    def finish(self) -> bytes:
        """The provider's stream was complete: what the client still has to hear."""
        return b"".join(map(self.encode, self._decoder.finish()))

    def encode(self, event: Event) -> bytes:
        """One event for the client."""
        return self._encoder.encode(event)
