"""The sidecar as a process: environment, signals, clocks."""

import os
import signal
import sys
import time
from datetime import UTC, datetime

from droveway.api.errors import DrovewayError, TryLater
from droveway.sidecar.delivery import Delivery, sender
from droveway.sidecar.journal import Journal
from droveway.sidecar.settings import Attempt, Paths
from droveway.sidecar.watch import Watch

POLL_SECONDS = 0.25


def main() -> int:
    """Works until SIGTERM, which a native sidecar gets when the agent has ended. The exit code."""
    stop: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: stop.append(received))
    try:
        attempt, paths = Attempt.from_env(os.environ), Paths.from_env(os.environ)
        journal = Journal(paths.journal)
        delivery = Delivery(attempt, journal, sender(attempt.operator_url, _token(paths)))
    except DrovewayError as error:
        sys.stderr.write(f"droveway: {error}\n")
        return 1
    watch = Watch(attempt, paths, journal, delivery, _wall())
    problem = ""
    while not stop:
        busy = watch.step(_wall(), time.monotonic())
        if delivery.problem != problem:
            problem = delivery.problem
            sys.stderr.write(f"droveway: {problem or 'the operator answers again'}\n")
        if not busy and not stop:
            time.sleep(POLL_SECONDS)
    watch.close(_wall(), time.monotonic, time.sleep)
    return 0


def _wall() -> datetime:
    return datetime.now(UTC)


def _token(paths: Paths) -> str:
    try:
        return paths.token.read_text()
    except OSError as error:
        raise TryLater(f"the sidecar's token cannot be read; the setup container writes it: {error}") from error
