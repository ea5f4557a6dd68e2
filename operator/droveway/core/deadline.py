"""Until when an answer is worth something to whoever asked for it."""

from dataclasses import dataclass
from enum import StrEnum
from math import ceil, inf


class Clock(StrEnum):
    """What may end a call before its answer is complete."""

    CONNECT = "Connect"
    HEADERS = "Headers"
    FIRST_CONTENT = "FirstContent"
    IDLE = "Idle"
    TOTAL = "Total"
    DEADLINE = "Deadline"


@dataclass(frozen=True, slots=True)
class Deadline:
    """The end of a request, whatever it waits for then.

    Attributes:
        at: monotonic seconds; infinite when nobody said.
        clock: whose end it is: the caller's deadline, or the total that the route allows.
        seconds: how long that was at first, for people.
    """

    at: float = inf
    clock: Clock = Clock.DEADLINE
    seconds: float = inf

    @classmethod
    def after(cls, seconds: float, now: float, clock: Clock = Clock.DEADLINE) -> "Deadline":
        """The deadline so many seconds from now."""
        return cls(now + seconds, clock, seconds)

    def left(self, now: float) -> float:
        """Seconds that are left; 0 when it has passed, infinite when there is none."""
        return max(0.0, self.at - now)

    def left_milliseconds(self, now: float) -> int | None:
        """The same for the header that hands it on: at least 1; None when there is no deadline."""
        return None if self.at == inf else max(1, ceil(self.left(now) * 1000))

    def or_sooner(self, other: "Deadline") -> "Deadline":
        """Whichever comes first."""
        return other if other.at < self.at else self

    @property
    def reason(self) -> str:
        """What is told when it has passed."""
        whose = "the caller's deadline" if self.clock is Clock.DEADLINE else "the route's timeouts.totalSeconds"
        return f"no complete answer within {self.seconds:g} s, {whose}"


NEVER = Deadline()
"""Nobody has set one."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """Seconds that one upstream call may take: each clock ends it.

    Attributes:
        connect: until connected.
        headers: from sending it to the head of its answer.
        first_content: from sending it to its first content; pings and empty events are none.
        idle: between two pieces after that.
    """

    connect: float
    headers: float
    first_content: float
    idle: float


def silence(clock: Clock, seconds: float) -> str:
    """What is told when a clock has ended a call."""
    return f"{_SILENT[clock]} within {seconds:g} s"


_SILENT = {
    Clock.CONNECT: "no connection",
    Clock.HEADERS: "silent: no head of an answer",
    Clock.FIRST_CONTENT: "silent: no content",
    Clock.IDLE: "silent: nothing more",
}
