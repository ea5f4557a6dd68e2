"""Moments: always aware, always in UTC, as whole microseconds where they are kept. Standard library only."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BEFORE_ALL = datetime.min.replace(tzinfo=UTC)
AFTER_ALL = datetime.max.replace(tzinfo=UTC)
LONGEST = timedelta(days=36_500)
"""No configured duration is longer: a hundred years are for ever, and no sum with a moment leaves the calendar."""


def utc(at: datetime) -> datetime:
    """The same moment in UTC.

    Raises:
        ValueError: it has no zone, so it could be any of two dozen moments.
    """
    if at.utcoffset() is None:
        raise ValueError(f"a time needs a zone: {at.isoformat()}")
    return at.astimezone(UTC)


def parsed(text: str) -> datetime:
    """The moment of an ISO 8601 text.

    Raises:
        ValueError: it is no time, has no zone, or lies outside the calendar.
    """
    try:
        return utc(datetime.fromisoformat(text))
    except OverflowError as error:
        raise ValueError(f"a time beyond the calendar: {text}") from error


def microseconds(at: datetime) -> int:
    """Since 1970, exact."""
    since = at - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def moment(since: int) -> datetime:
    """What `microseconds` was taken of."""
    return EPOCH + timedelta(microseconds=since)


def bounded(duration: timedelta) -> timedelta:
    """A duration that is not negative and at most `LONGEST`."""
    return min(max(duration, timedelta()), LONGEST)
