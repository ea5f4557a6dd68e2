"""Logs: one JSON object a line, written by a thread of its own, since a blocked standard output must not stall a loop."""

import atexit
import logging
import queue
import sys
from datetime import UTC, datetime
from logging.handlers import QueueHandler, QueueListener

import orjson

_QUEUE_LENGTH = 10_000  # then lines are dropped: a log that nobody reads must not eat the memory


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


class _Handler(QueueHandler):
    """Hands records over as they are: the thread formats them, and a full queue drops them."""

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            return


def setup_logging(level: str) -> None:
    """Sends every log record of this process to standard error as JSON; what is queued at the end is still written."""
    lines: queue.Queue[logging.LogRecord] = queue.Queue(_QUEUE_LENGTH)
    stream = logging.StreamHandler(sys.stderr)
    stream.setFormatter(JsonFormatter())
    listener = QueueListener(lines, stream)
    logging.basicConfig(level=level, handlers=[_Handler(lines)], force=True)
    listener.start()
    atexit.register(listener.stop)
