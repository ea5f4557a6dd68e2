"""Logs: one JSON object a line, formatted and written by a thread of its own, several at once.

A blocked standard error must not stall an event loop, and waking a thread for every line would cost more than the line.
"""

import atexit
import logging
import sys
import threading
from collections import deque
from datetime import UTC, datetime
from typing import TextIO

import orjson

_PAUSE_SECONDS = 0.2
_MOST_WAITING = 10_000  # then the oldest are dropped: a log that nobody reads must not eat the memory


class JsonFormatter(logging.Formatter):
    """One line of JSON. What a caller passes as `extra={"fields": {…}}` becomes fields of it."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


class BackgroundHandler(logging.Handler):
    """Takes records and writes them a little later; warnings at once.

    Args:
        stream: where to.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self._stream = stream
        self._waiting: deque[logging.LogRecord] = deque(maxlen=_MOST_WAITING)
        self._wake, self._ended = threading.Event(), False
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Takes a record."""
        self._waiting.append(record)
        if record.levelno >= logging.WARNING:
            self._wake.set()

    def close(self) -> None:
        """Writes what is waiting, and ends the thread."""
        self._ended = True
        self._wake.set()
        self._thread.join()
        super().close()

    def _run(self) -> None:
        while not self._ended:
            self._wake.wait(_PAUSE_SECONDS)
            self._wake.clear()
            self._write()
        self._write()

    def _write(self) -> None:
        lines = [self.format(self._waiting.popleft()) for _ in range(len(self._waiting))]
        if lines:
            try:
                self._stream.write("\n".join(lines) + "\n")
                self._stream.flush()
            except (OSError, ValueError):  # nobody reads any more
                self._waiting.clear()


def setup_logging(level: str) -> None:
    """Sends every log record of this process to standard error as JSON; what waits at the end is still written."""
    logging._srcfile = None  # noqa: SLF001 - documented for this: no line says where in the code it was written
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False  # in no line, but costly to find out
    handler = BackgroundHandler(sys.stderr)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    atexit.register(handler.close)
