"""Log lines are JSON, written by another thread, and complete when the process ends."""

import io
import json
import logging

from droveway.observability.logging import BackgroundHandler


def logger_to(stream: io.StringIO) -> tuple[logging.Logger, BackgroundHandler]:
    handler = BackgroundHandler(stream)
    logger = logging.Logger("test")  # noqa: LOG001 - one that no other test sees
    logger.addHandler(handler)
    return logger, handler


def test_fields_are_fields_and_the_end_loses_nothing() -> None:
    stream = io.StringIO()
    logger, handler = logger_to(stream)
    for number in range(100):
        logger.info("request", extra={"fields": {"number": number}})
    handler.close()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["number"] for line in lines] == list(range(100))
    assert (lines[0]["level"], lines[0]["logger"], lines[0]["message"]) == ("info", "test", "request")


def test_an_exception_is_part_of_its_line() -> None:
    stream = io.StringIO()
    logger, handler = logger_to(stream)
    try:
        int("odd\nvalue")
    except ValueError:
        logger.exception("it broke")
    handler.close()
    (line,) = stream.getvalue().splitlines()
    assert "ValueError: invalid literal" in json.loads(line)["exception"]


def test_a_closed_stream_harms_nobody() -> None:
    stream = io.StringIO()
    logger, handler = logger_to(stream)
    stream.close()
    logger.warning("nobody reads this")
    handler.close()
