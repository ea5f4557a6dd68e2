"""When the windows of quotas begin and end. All but the minute are the calendar's, in UTC."""

from datetime import UTC, datetime, timedelta

from droveway.api.enums import QuotaWindow

CALENDAR = (QuotaWindow.HOUR, QuotaWindow.DAY, QuotaWindow.MONTH)
MINUTE_SECONDS = 60


def start_of(window: QuotaWindow, now: datetime) -> datetime:
    """When the window that holds a moment began.

    Raises:
        ValueError: the window rolls, and has no beginning.
    """
    hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    if window is QuotaWindow.HOUR:
        return hour
    if window is QuotaWindow.DAY:
        return hour.replace(hour=0)
    if window is QuotaWindow.MONTH:
        return hour.replace(day=1, hour=0)
    raise ValueError(f"a {window} rolls")


def end_of(window: QuotaWindow, now: datetime) -> datetime:
    """When the window that holds a moment ends, and the next begins."""
    start = start_of(window, now)
    if window is QuotaWindow.MONTH:
        return start_of(window, start + timedelta(days=32))
    return start + timedelta(hours=1 if window is QuotaWindow.HOUR else 24)
