"""The clocks of one upstream call, one running at a time."""

import asyncio
import time

from droveway.api.enums import EndClass
from droveway.core.deadline import Clock, Clocks, Deadline, silence
from droveway.core.verdict import Scope, Verdict

_TAIL_SECONDS = 1.0  # until the connection behind a stream's explicit end is done


class CallClock:
    """Says which clock runs, and ends the call when it is over.

    Args:
        clocks: the seconds of each.
        timeout: what ends the call; entered just now, and not left before `stop`.
        deadline: of the request.
    """

    def __init__(self, clocks: Clocks, timeout: asyncio.Timeout, deadline: Deadline) -> None:
        self._clocks, self._timeout, self._deadline = clocks, timeout, deadline
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        first_content_first = clocks.first_content < clocks.headers
        self._running = Clock.FIRST_CONTENT if first_content_first else Clock.HEADERS
        self._seconds = min(clocks.first_content, clocks.headers)
        self._due = self._began + self._seconds
        self._alarm = self._loop.call_at(self._due, self._ring)

    def head(self) -> None:
        """The head of the answer is there."""
        self._run(Clock.FIRST_CONTENT, self._clocks.first_content, self._began)

    def piece(self) -> None:
        """Content is there, and more of it may follow. An agent that does not read is bounded by the same clock."""
        self._run(Clock.IDLE, self._clocks.idle, self._loop.time())

    def stop(self) -> None:
        """The call is over."""
        self._alarm.cancel()

    @property
    def tail(self) -> float:
        """Seconds for what comes behind a stream's explicit end: the deadline must not cut an answer that is complete."""
        return min(_TAIL_SECONDS, self._deadline.left(time.monotonic()) / 2)

    @property
    def verdict(self) -> Verdict:
        """The meaning of the clock's end."""
        reason = silence(self._running, self._seconds)
        return Verdict(EndClass.PROVIDER_OUTAGE, None, Scope.PROVIDER, reason, self._running)

    def _run(self, clock: Clock, seconds: float, since: float) -> None:
        self._running, self._seconds, self._due = clock, seconds, since + seconds
        if self._due < self._alarm.when():
            self._set_alarm()

    def _ring(self) -> None:
        """Most of the time something has come since, which moved the end: setting the alarm anew then would cost every piece."""
        if self._loop.time() < self._due:
            self._set_alarm()
        else:
            self._timeout.reschedule(self._due)

    def _set_alarm(self) -> None:
        self._alarm.cancel()
        self._alarm = self._loop.call_at(self._due, self._ring)
