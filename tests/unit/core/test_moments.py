"""Moments have zones; texts of them are read, or refused."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from droveway.core.moments import bounded, microseconds, moment, parsed, utc

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize("zone", [timezone(timedelta(hours=-3)), ZoneInfo("Asia/Kathmandu"), UTC], ids=str)
def test_any_zone_becomes_utc(zone: timezone | ZoneInfo) -> None:
    found = utc(NOON.astimezone(zone))
    assert (found, found.tzinfo) == (NOON, UTC)


def test_a_time_without_a_zone_could_be_any() -> None:
    with pytest.raises(ValueError, match=r"^a time needs a zone: 2026-11-21T12:00:00$"):
        utc(NOON.replace(tzinfo=None))


@pytest.mark.parametrize(
    "text", ["2026-11-21T12:00:00Z", "2026-11-21T13:00:00+01:00", "2026-11-21T12:00:00.000000000Z"]
)
def test_a_text_is_a_moment(text: str) -> None:
    assert parsed(text) == NOON


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("noon", "Invalid isoformat"),
        ("2026-11-21", "a time needs a zone"),
        ("2026-11-21T12:00:00", "a time needs a zone"),
        ("0001-01-01T00:00:00+23:59", r"a time beyond the calendar: 0001-01-01T00:00:00\+23:59"),
        ("9999-12-31T23:59:59-23:59", "a time beyond the calendar"),
    ],
)
def test_what_is_no_moment_is_a_value_error(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parsed(text)


@pytest.mark.parametrize("at", [NOON, NOON - timedelta(days=40_000, microseconds=1), NOON + timedelta(microseconds=7)])
def test_microseconds_are_exact(at: datetime) -> None:
    assert moment(microseconds(at)) == at
    assert microseconds(at) - microseconds(NOON) == (at - NOON) // timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("duration", "days"), [(timedelta(-1), 0), (timedelta(1), 1), (timedelta(36_501), 36_500), (timedelta.max, 36_500)]
)
def test_a_duration_is_neither_negative_nor_endless(duration: timedelta, days: int) -> None:
    assert bounded(duration) == timedelta(days)
