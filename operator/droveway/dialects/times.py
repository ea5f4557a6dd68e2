"""When a limit ends, as headers say it. What says nothing usable is None, never an error (R-C18, R-C42)."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from droveway.core.resets import (
    from_duration,
    from_epoch,
    from_milliseconds,
    from_retry_after,
    from_rfc3339,
    from_seconds,
)


def moment(value: object) -> datetime | None:
    """An epoch in seconds or milliseconds, or an RFC 3339 time."""
    return from_epoch(value) or (from_rfc3339(value) if isinstance(value, str) else None)


def retry_after(headers: Mapping[str, str], now: datetime) -> datetime | None:
    """retry-after-ms, else retry-after in seconds or as an HTTP date that is not past."""
    until = from_milliseconds(headers.get("retry-after-ms"), now) or from_retry_after(
        headers.get("retry-after", ""), now
    )
    return until if until and until > now else None


def spent_resets(headers: Mapping[str, str], now: datetime) -> datetime | None:
    """The latest reset among the windows of which nothing remains."""
    found = []
    for name, value in headers.items():
        if name.startswith("x-ratelimit-reset"):
            remaining = headers.get(name.replace("reset", "remaining", 1), "0")
            found.append(_duration_or_epoch(value, now) if _is_zero(remaining) else None)
        elif name.startswith("anthropic-ratelimit-") and name.endswith("-reset"):
            remaining = headers.get(name.removesuffix("reset") + "remaining", "")
            found.append(moment(value) if _is_zero(remaining) else None)
    return latest(found)


def latest(times: Iterable[datetime | None]) -> datetime | None:
    """The latest of the times that are known."""
    return max((time for time in times if time), default=None)


def _duration_or_epoch(value: str, now: datetime) -> datetime | None:
    """Go's `1m2.5s`, plain seconds, or an epoch."""
    return from_epoch(value) or from_duration(value, now) or from_seconds(value, now)


def _is_zero(remaining: str) -> bool:
    try:
        return float(remaining) <= 0
    except ValueError:
        return False
