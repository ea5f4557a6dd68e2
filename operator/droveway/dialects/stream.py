"""Reading a stream of server-sent events while it is relayed."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime
from typing import Any

from droveway.api.enums import EndClass
from droveway.core.completion import TokenBreakdown
from droveway.core.verdict import Verdict
from droveway.dialects.bodies import parse_any, parse_error, table, text
from droveway.dialects.judge import SUCCEEDED

MAX_EVENT_BYTES = 16 * 1024 * 1024
"""A longer event is an error of the stream: what is held back must stay bounded."""

DONE = b"[DONE]"
"""What OpenAI's streams end with, where others end with an event."""

_NAME = re.compile(rb"^event: ?([^\r\n]*)", re.MULTILINE)
_BLANK_LINE = re.compile(rb"\n\r?\n")


InBandJudge = Callable[[dict[str, Any], datetime], Verdict]
"""What an error inside a stream means, at a time."""


class StreamReader(ABC):
    """Observes one stream. Relay what `feed` returns: whole events only, so an error of ours never lands inside one.

    Attributes:
        has_content: text, a tool call or reasoning was seen; before that a failure is invisible to the client.
        terminal: the dialect's explicit end was seen.
        has_error: the provider reported an error inside the stream; that event and what follows are not relayed.
        model: the model the provider names, else "".
        finish_reason: in the dialect's own words, else "".
    """

    __slots__ = ("_fault", "_judge", "_tail", "finish_reason", "has_content", "has_error", "model", "terminal")

    def __init__(self, judge: InBandJudge) -> None:
        self._judge = judge
        self.has_content = False
        self.terminal = False
        self.has_error = False
        self.model = ""
        self.finish_reason = ""
        self._fault: dict[str, Any] = {}
        self._tail = bytearray()  # an event whose end has not come yet

    def feed(self, chunk: bytes) -> bytes:
        """Take bytes from upstream; returns the bytes for the client (often the same object, may be empty)."""
        if self.has_error:
            return b""
        if self._tail:
            seam = max(0, len(self._tail) - 2)
            self._tail += chunk
            if _BLANK_LINE.search(self._tail, seam) is None:
                self._bound(len(self._tail))
                return b""
            chunk = bytes(self._tail)
            self._tail.clear()
        return self._relay(chunk)

    def close(self) -> bytes:
        """Upstream has ended; returns the last bytes for the client. A half event is dropped."""
        rest = bytes(self._tail)
        self._tail.clear()
        if not rest or self.has_error or not (event_json(rest) or event_data(rest).strip() == DONE):
            return b""
        # Some providers leave out the blank line behind their last event.
        return rest + b"\n\n" if self._event(rest) else b""

    @property
    @abstractmethod
    def usage(self) -> TokenBreakdown:
        """Tokens of the last usage seen, also of a stream that broke, in disjoint buckets (R-C32)."""

    def verdict(self, now: datetime) -> Verdict:
        """What the stream came to: an end without terminal event is `ProviderOutage`, never a success."""
        if self.has_error:
            return self._judge(self._fault, now)
        if self.terminal:
            return SUCCEEDED
        return Verdict(EndClass.PROVIDER_OUTAGE, reason="the stream ended without its terminal event")

    def _relay(self, chunk: bytes) -> bytes:
        """Show every whole event of the chunk to the dialect; returns those that the client shall have."""
        out, start, sent = b"", 0, 0
        for blank in _BLANK_LINE.finditer(chunk):
            if (size := blank.start() - start) > MAX_EVENT_BYTES:
                self._bound(size)
            if self.has_error or not self._sound(chunk[start : blank.start()]):
                out += chunk[sent:start]
                sent = blank.end()
                if self.has_error:
                    return out
            start = blank.end()
        if start < len(chunk):
            self._tail += chunk[start:]
            self._bound(len(self._tail))
        elif not sent:
            return chunk
        return out + chunk[sent:start]

    def _bound(self, size: int) -> None:
        """Give the stream up when one event is too long."""
        if size > MAX_EVENT_BYTES:
            self._tail.clear()
            self._fail({"message": f"an event of the stream is longer than {MAX_EVENT_BYTES} bytes"})

    def _fail(self, fault: dict[str, Any]) -> None:
        self.has_error, self._fault = True, fault

    def _sound(self, block: bytes) -> bool:
        """Looks at an event if it can be read. After the first content only its end is looked at: that is where it was cut."""
        if (block[-1:] != b"}" or not self.has_content) and _is_broken(block):
            self._fail({"message": "an event of the stream is not JSON"})
            return False
        return self._event(block)

    @abstractmethod
    def _event(self, block: bytes) -> bool:
        """Look at one event, its blank line cut off; returns whether the client shall have it."""


def _is_broken(block: bytes) -> bool:
    data = event_data(block).strip()
    return bool(data) and data != DONE and parse_error(data) is None


def event_json(block: bytes) -> dict[str, Any]:
    """The JSON object that an event carries; empty when it carries none."""
    return table(parse_any(event_data(block)))


def event_kind(block: bytes, event: dict[str, Any]) -> str:
    """What an event is: its data's own `type`, else the name in its `event` line."""
    if kind := text(event.get("type")):
        return kind
    name = _NAME.search(block)
    return name[1].decode("latin-1") if name else ""


def event_data(block: bytes) -> bytes:
    """The data of an event, its lines joined. A bare object (some providers' errors) counts as data."""
    if b"\n" not in block and block.startswith(b"data:"):
        return block[5:]
    lines = block.removeprefix(b"\xef\xbb\xbf").splitlines()
    if lines and lines[0].startswith(b"{"):
        return block
    return b"\n".join(line[5:] for line in lines if line.startswith(b"data:"))
