"""Every way of saying when a quota is back (R-L7, R-C16..R-C18, R-C42)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from droveway.core import resets

NOW = datetime(2026, 11, 21, 11, 16, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def at(day: int, hour: int, minute: int = 0, second: int = 0, month: int = 11, year: int = 2026) -> datetime:
    """A moment in UTC."""
    return datetime(year, month, day, hour, minute, second, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("resets in 4h", at(21, 15, 16)),
        ("resets in 2h30m", at(21, 13, 46)),
        ("resets in 2 hours 5 minutes", at(21, 13, 21)),
        ("resets in 90 minutes (about an hour)", at(21, 12, 46)),
        ("try again in 5 days 22 hours 11 minutes", at(27, 9, 27)),
        ("try again in 2 hours, 5 minutes and 3 seconds", at(21, 13, 21, 3)),
        ("resets in 7 days", at(28, 11, 16)),
        ("Your quota will reset after 3h20m10s.", at(21, 14, 36, 10)),
        ("Please try again in 6m0s.", at(21, 11, 22)),
        ("Suggested retry after 2s.. Retrying after 5088ms...", at(21, 11, 16, 2)),
        ("retry after 45s", at(21, 11, 16, 45)),
        ("please wait 30 seconds", at(21, 11, 16, 30)),
        ("resets 11pm", at(21, 23)),
        ("resets 12am", at(22, 0)),
        ("resets 12pm", at(21, 12)),
        ("resets at 14:00 UTC", at(21, 14)),
        ("resets at 00:00 UTC", at(22, 0)),
        ("resets 14:00 (UTC+2)", at(21, 12)),
        ("resets 14:00 (utc-3)", at(21, 17)),
        ("resets 14:00 UTC+5:30", at(22, 8, 30)),
        ("resets 14:00 +05:30", at(22, 8, 30)),
        ("resets 14:00 (UTC+23:59)", at(21, 14, 1)),
        ("resets 14:00 (gmt)", at(21, 14)),
        ("resets 14:00 Z", at(21, 14)),
        ("resets 8am (Asia/Tokyo)", at(21, 23)),
        ("resets 1:46pm (UTC)", at(21, 13, 46)),
        ("resets 1:30am (Asia/Dhaka)", at(21, 19, 30)),
        ("resets 8pm (America/Indianapolis)", at(22, 1)),
        ("Your limit will\nreset at 3pm (America/Santiago).", at(21, 18)),
        ("resets May 5 at 9pm (America/New_York)", at(6, 1, month=5, year=2027)),
        ("resets Nov 23, 3pm (America/New_York)", at(23, 20)),
        ("resets Nov 21 at 9am", at(21, 9, year=2027)),
        ("try again at 1:47 PM.", at(21, 13, 47)),
        ("try again at 1:47\u202fPM.", at(21, 13, 47)),
        ("try again at Nov 22nd, 2026 12:38 PM.", at(22, 12, 38)),
        ("try again at Nov 20th, 2026 12:38 PM.", at(20, 12, 38)),
        ("You will regain access on 2026-12-01 at 00:00 UTC.", at(1, 0, month=12)),
        ("resets at 2026-11-22T12:00:00+02:00", at(22, 10)),
        ("limit reached|1795268790", at(21, 13, 46, 30)),
        ('{"resets_at":1795268790,"resets_in_seconds":9}', at(21, 13, 46, 30)),
        ('{"resetsAt": 1795268790000}', at(21, 13, 46, 30)),
        (r"{\"resets_at\":1795268790}", at(21, 13, 46, 30)),
        ('{"resets_at":"2026-11-21T13:00:00Z"}', at(21, 13)),
        ('{"resets_at":null,"resets_in_seconds":90}', at(21, 11, 17, 30)),
        ('"retryDelay":"34s"', at(21, 11, 16, 34)),
        ("retry-after: 60", at(21, 11, 17)),
        ("Retry-After: Sat, 21 Nov 2026 11:17:38 GMT", at(21, 11, 17, 38)),
        ('"retry-after":"2","retry-after-ms":"2500"', at(21, 11, 16, 2) + SECOND / 2),
        ("retry-after: 5 minutes", at(21, 11, 21)),
        ("retry-after: 0, try again in 9s", at(21, 11, 16, 9)),
        ("resets 3pm, retry-after: 60", at(21, 11, 17)),
        ("resets Monday", at(23, 0)),
        ("resets on Sunday at 9am (UTC)", at(22, 9)),
        ("resets Sat 3pm", at(21, 15)),
        ("resets Sat 9am", at(28, 9)),
        ("resets Thurs, 8:30pm (America/New_York)", at(27, 1, 30)),
        ("Come back in 3 hours", at(21, 14, 16)),
        ("Your usage limits will reset when your monthly cycle ends on 12/17/2026.", at(17, 0, month=12)),
        ("请在 30 秒后重试", at(21, 11, 16, 30)),
        ("您的限额将在 2026-11-22 07:41:44 重置。", at(22, 7, 41, 44)),
        ('"quotaResetTimeStamp": "2026-11-22T09:30:27Z"', at(22, 9, 30, 27)),
        ('"quotaResetDelay": "15h2m3.5s"', at(22, 2, 18, 3) + SECOND / 2),
        (r"{\"retryDelay\": \"34s\"}", at(21, 11, 16, 34)),
        ("resets   in\t 4h", at(21, 15, 16)),
        ("Please try\nagain in 9s", at(21, 11, 16, 9)),
        ("retry_after_seconds=12", at(21, 11, 16, 12)),
    ],
)
def test_r_l7_forms(text: str, expected: datetime) -> None:
    assert resets.find_reset(text, NOW) == expected


@pytest.mark.parametrize(
    "text",
    [
        "resets 13pm",
        "resets 0am",
        "resets 25:00",
        "resets 2:75pm",
        "resets 100pm",
        "resets 3pm (Mars/Olympus)",
        "resets 3pm (America)",
        "resets 3pm (../../etc/passwd)",
        "resets 3pm PST",
        "resets 3pm (UTC+24)",
        "resets Feb 30 at 3pm",
        "resets soon",
        "resets tomorrow",
        "resets on 17/12/2026",
        "resets Someday 3pm",
        "resets_at: 90",
        "limit reached|9000",
        "resets at 14",
        "retry-after: 0",
        "retry-after: -5",
        "retry-after: soon",
        "resets_at: 0",
        "retried 5 times (total retry wait time: 11.21 seconds)",
        "connection reset in 3s",
        "",
    ],
)
def test_r_l7_r_c18_what_says_nothing(text: str) -> None:
    assert resets.find_reset(text, NOW) is None


@pytest.mark.parametrize(
    ("now", "expected"),
    [(at(21, 14, 59), at(21, 15)), (at(21, 15), at(22, 15)), (at(21, 15, 1), at(22, 15))],
    ids=["before", "exactly", "past"],
)
def test_r_c17_a_wall_time_that_is_not_ahead_is_tomorrows(now: datetime, expected: datetime) -> None:
    assert resets.find_reset("resets 3pm", now) == expected


@pytest.mark.parametrize(
    ("text", "now", "expected"),
    [
        ("resets 1:30am (America/New_York)", at(1, 5), at(1, 5, 30)),
        ("resets 1:30am (America/New_York)", at(1, 5, 45), at(1, 6, 30)),  # the hour that comes twice
        ("resets 1:30am (America/New_York)", at(1, 6, 45), at(2, 6, 30)),
        ("resets 2:30am (America/New_York)", at(8, 6, month=3), at(8, 7, 30, month=3)),  # the hour that never comes
    ],
)
def test_r_l7_daylight_saving(text: str, now: datetime, expected: datetime) -> None:
    assert resets.find_reset(text, now) == expected


@pytest.mark.parametrize(
    ("read", "value", "expected"),
    [
        (resets.from_epoch, 1795268790, at(21, 13, 46, 30)),
        (resets.from_epoch, "1795268790", at(21, 13, 46, 30)),
        (resets.from_epoch, 1795268790000, at(21, 13, 46, 30)),
        (resets.from_epoch, 1e19, None),
        (resets.from_epoch, float("nan"), None),
        (resets.from_epoch, True, None),
        (resets.from_epoch, "soon", None),
        (resets.from_epoch, None, None),
        (resets.from_epoch, 10**9, datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC)),
        (resets.from_epoch, 10**9 - 1, None),
        (resets.from_epoch, 10**19, None),
        (resets.from_http_date, "Saturday, 21-Nov-26 11:17:38 GMT", at(21, 11, 17, 38)),
        (resets.from_http_date, "Sat Nov 21 11:17:38 2026", at(21, 11, 17, 38)),
        (resets.from_http_date, "Sun Nov  1 11:17:38 2026", at(1, 11, 17, 38)),
        (resets.from_http_date, "21.11.2026 11:17", None),
        (resets.from_http_date, "Sat, 21 Nov 2026 11:17:38 GMT", at(21, 11, 17, 38)),
        (resets.from_http_date, "Sat, 31 Nov 2026 11:17:38 GMT", None),
        (resets.from_rfc3339, "2026-11-21T13:00:00Z", at(21, 13)),
        (resets.from_rfc3339, "2026-11-21T13:00:00", at(21, 13)),
        (resets.from_rfc3339, "2026-11-21t13:00:00.5-01:30", at(21, 14, 30) + SECOND / 2),
        (resets.from_rfc3339, "2026-11-21T13:00:00,5Z", at(21, 13) + SECOND / 2),
        (resets.from_rfc3339, "2026-13-21T13:00:00Z", None),
        (resets.from_rfc3339, "9999-12-31T23:59:59-05:00", None),
        (resets.from_rfc3339, "20261121", None),
    ],
)
def test_absolute_values(read: Any, value: object, expected: datetime | None) -> None:
    assert read(value) == expected


@pytest.mark.parametrize(
    ("read", "value", "seconds"),
    [
        (resets.from_seconds, 60, 60),
        (resets.from_seconds, "1.5", 1.5),
        (resets.from_seconds, 0, None),
        (resets.from_seconds, -1, None),
        (resets.from_seconds, "abc", None),
        (resets.from_seconds, float("inf"), None),
        (resets.from_milliseconds, "274579000", 274_579),
        (resets.from_duration, "1m2.5s", 62.5),
        (resets.from_duration, "12ms", 0.012),
        (resets.from_duration, "6m0s", 360),
        (resets.from_duration, "250µs", 0.00025),  # the micro sign
        (resets.from_duration, "250μs", 0.00025),  # the letter mu
        (resets.from_duration, "250 microseconds", 0.00025),
        (resets.from_duration, "12 milliseconds", 0.012),
        (resets.from_duration, "12 millis", 0.012),
        (resets.from_duration, "900000 nanoseconds", 0.0009),
        (resets.from_duration, "900000ns", 0.0009),
        (resets.from_duration, "2  hours  5 minutes", 7500),
        (resets.from_milliseconds, "soon", None),
        (resets.from_duration, "1h", 3600),
        (resets.from_duration, "h", None),
        (resets.from_duration, "0s", None),
        (resets.from_retry_after, "60", 60),
        (resets.from_retry_after, "Sat, 21 Nov 2026 11:17:00 GMT", 60),
        (resets.from_retry_after, "", None),
    ],
)
def test_relative_values(read: Any, value: object, seconds: float | None) -> None:
    assert read(value, NOW) == (None if seconds is None else NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("seconds", "clamped"), [(-5, 1), (0.5, 1), (1, 1), (2, 2), (8 * 86_400, 8 * 86_400), (9 * 86_400, 8 * 86_400)]
)
def test_r_c42_clamped(seconds: float, clamped: float) -> None:
    assert resets.clamp(NOW + timedelta(seconds=seconds), NOW) == NOW + timedelta(seconds=clamped)


_words = st.sampled_from(
    [
        "resets",
        " ",
        "at",
        "in",
        "3pm",
        "(",
        ")",
        "Asia/Dhaka",
        "99",
        ":",
        "retry-after",
        "|",
        "1795268790",
        "Nov",
        "22nd",
        "2026",
        ",",
        "h",
        "\n",
    ]
)


@given(st.lists(_words, max_size=30).map("".join) | st.text(max_size=80))
def test_no_text_breaks_it(text: str) -> None:
    found = resets.find_reset(text, NOW)
    assert found is None or found.tzinfo is UTC


def test_of_an_hour_that_comes_twice_the_first_is_meant_also_with_a_year() -> None:
    eve = datetime(2026, 10, 24, 12, tzinfo=UTC)
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert resets.find_reset("resets October 25, 2026 at 2:30am (Europe/Berlin)", eve) == first
