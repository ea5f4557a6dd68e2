"""Reading a stream of server-sent events while it is relayed."""

from abc import ABC, abstractmethod
from datetime import datetime

from droveway.core.completion import TokenBreakdown
from droveway.core.verdict import Verdict


class StreamReader(ABC):
    """Observes one stream. Relay what `feed` returns: whole events only, so an error of ours never lands inside one.

    Attributes:
        has_content: text, a tool call or reasoning was seen; before that a failure is invisible to the client.
        terminal: the dialect's explicit end was seen.
        has_error: the provider reported an error inside the stream; the event is not relayed.
        model: the model the provider names, else "".
        finish_reason: in the dialect's own words, else "".
    """

    has_content: bool
    terminal: bool
    has_error: bool
    model: str
    finish_reason: str

    @abstractmethod
    def feed(self, chunk: bytes) -> bytes:
        """Take bytes from upstream; returns the bytes for the client (often the same object, may be empty)."""

    @abstractmethod
    def close(self) -> bytes:
        """Upstream has ended; returns the last bytes for the client. A half event is dropped."""

    @property
    @abstractmethod
    def usage(self) -> TokenBreakdown:
        """Tokens of the last usage seen, also of a stream that broke, in disjoint buckets (R-C32)."""

    @abstractmethod
    def verdict(self, now: datetime) -> Verdict:
        """What the stream came to: an end without terminal event is `ProviderOutage`, never a success."""
