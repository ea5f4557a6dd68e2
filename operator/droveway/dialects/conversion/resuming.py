"""The rest of an answer by another provider, in the stream that the client is reading already. docs/streams.md."""

from dataclasses import dataclass

from droveway.core.completion import TokenBreakdown
from droveway.dialects.conversion.coding import Decoder, Encoder, Translator
from droveway.dialects.conversion.delivered import Delivered
from droveway.dialects.conversion.events import Ended, Event, Started
from droveway.dialects.conversion.model import Text, Turn

VOID = "\n\n[droveway: everything above is void; the answer starts again below]\n\n"
"""The last words of what a restart declares void: all that a client sees which knows nothing of restarts."""

_GO_ON = (
    "Your last message was cut off. Go on exactly where it ends, even in the middle of a word: "
    "repeat nothing of it, and do not mention the interruption."
)


@dataclass(frozen=True, slots=True)
class Resume:
    """How an answer goes on.

    Attributes:
        state: what the client has.
        restarts: that is void, and the answer starts again; else the words are continued.
        failed: the candidate that began it.
        reason: what became of that one.
        used: its tokens, which the client has to know of, too.
    """

    state: Delivered
    restarts: bool
    failed: str
    reason: str
    used: TokenBreakdown

    @property
    def turns(self) -> tuple[Turn, ...]:
        """What the next model has to be told. A turn of the user's: not every vendor takes a message that is half written."""
        if self.restarts or not self.state.text.strip():
            return ()
        return Turn("assistant", (Text(self.state.text),)), Turn("user", (Text(_GO_ON),))

    @property
    def notice(self) -> dict[str, str]:
        """The event that tells of it."""
        return {
            "event": "restarted" if self.restarts else "continued",
            "failed": self.failed,
            "reason": self.reason,
        }


class Resumption(Translator):
    """Goes on in a stream that has begun: it does not begin again, and its usage is that of both."""

    def __init__(self, decoder: Decoder, encoder: Encoder, resume: Resume) -> None:
        super().__init__(decoder, encoder)
        self._resume = resume
        if resume.state.started:
            encoder.resume(resume.state)
        void = encoder.void(VOID) if resume.restarts and resume.state.text else b""
        self.preface = encoder.notice(resume.notice) + void

    def encode(self, event: Event) -> bytes:
        """One event for the client."""
        match event:
            case Started() if self._resume.state.started:
                return b""
            case Ended(stop, usage):
                return super().encode(Ended(stop, usage + self._resume.used))
        return super().encode(event)
