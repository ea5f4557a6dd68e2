"""The sidecar's work: one step after the other, none of which waits for long. Times are given."""

import sys
from collections.abc import Callable
from datetime import datetime

from droveway.sidecar.delivery import Delivery
from droveway.sidecar.journal import Journal
from droveway.sidecar.report import Reporter, termination_message
from droveway.sidecar.settings import Attempt, Paths
from droveway.sidecar.tail import Tail

STEP_BYTES = 4 * 1024 * 1024
"""Read of each stream between two looks at everything else."""

STALL_REPEAT_SECONDS = 30.0
CLOSE_SECONDS = 4.0
"""For the last deliveries after SIGTERM: half of what the kubelet grants (10 s), since each may take a few itself."""

_CLOSE_PAUSE_SECONDS = 0.5


class Watch:
    """Follows one attempt to its end. `at` is the wall clock, `clock` a monotonic one in seconds."""

    def __init__(self, attempt: Attempt, paths: Paths, journal: Journal, delivery: Delivery, at: datetime) -> None:
        self._attempt = attempt
        self._paths = paths
        self._journal = journal
        self._delivery = delivery
        self._stdout = Tail(paths.stream, "stdout")
        self._stderr = Tail(paths.stream, "stderr")
        self._reporter: Reporter | None = None
        self._heard = (-1, 0.0)  # bytes, and since when they are all there is; the first look begins to listen
        self._stall_told: float | None = None
        if journal.last and (final := self._report(at).final):
            self._leave(termination_message(final))

    @property
    def ended(self) -> bool:
        """The agent has ended and the final record is written."""
        return self._reporter is not None and self._reporter.final is not None

    def step(self, at: datetime, clock: float) -> bool:
        """Reads what there is, tells what is due. Whether there is more to do already."""
        busy = False
        if not self.ended:
            exited = self._paths.exit.exists()  # asked first: it is written last, so then all there is can be read
            busy = self._read(at, sys.maxsize if exited else STEP_BYTES)
            if exited:
                self._finish(at)
            else:
                self._listen(at, clock)
        return self._delivery.offer(clock) or busy

    def close(self, at: datetime, now: Callable[[], float], pause: Callable[[float], None]) -> None:
        """The agent's container is gone: leaves the final record, then delivers what it can in `CLOSE_SECONDS`."""
        if not self.ended:
            self._read(at, sys.maxsize)
            self._finish(at)
        until = now() + CLOSE_SECONDS
        while self._journal.pending and now() < until:
            if not self._delivery.send(now()):
                pause(_CLOSE_PAUSE_SECONDS)

    def _report(self, at: datetime) -> Reporter:
        """Made when the agent starts: its image may have taken long, and its first latency counts from here."""
        if self._reporter is None:
            self._reporter = Reporter(self._attempt, self._journal, at)
        return self._reporter

    def _read(self, at: datetime, budget: int) -> bool:
        before = self._bytes
        for line, written in self._stdout.read(budget):
            self._report(at).stdout(line, min(written, at))
        for line, written in self._stderr.read(budget):
            self._report(at).stderr(line, min(written, at))
        return self._bytes - before >= budget

    @property
    def _bytes(self) -> int:
        return self._stdout.bytes_read + self._stderr.bytes_read

    def _listen(self, at: datetime, clock: float) -> None:
        """A stall is told at once, and again while it lasts; its end too."""
        if self._bytes != self._heard[0] or not self._stdout.started:
            self._heard = (self._bytes, clock)
            if self._stall_told is not None:
                self._stall_told = None
                self._report(at).silence(at, stalled=False)
        limit = self._attempt.stall_seconds
        told = self._stall_told
        if 0 < limit <= clock - self._heard[1] and (told is None or clock - told >= STALL_REPEAT_SECONDS):
            self._stall_told = clock
            self._report(at).silence(at, stalled=True)

    def _finish(self, at: datetime) -> None:
        report = self._report(at)
        report.stdout(self._stdout.rest(), at)
        report.stderr(self._stderr.rest(), at)
        self._stdout.close()
        self._stderr.close()
        self._leave(termination_message(report.finish(self._exit_code(), at)))

    def _exit_code(self) -> int | None:
        try:
            return int(self._paths.exit.read_text())
        except (OSError, ValueError):
            return None  # the wrapper was killed before it could write it

    def _leave(self, message: bytes) -> None:
        """In place: the kubelet has mounted the file."""
        try:
            self._paths.termination_log.write_bytes(message)
        except OSError as error:
            sys.stderr.write(f"droveway: the final record cannot be left in the termination message: {error}\n")
