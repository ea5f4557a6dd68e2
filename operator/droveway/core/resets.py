"""When is a spent quota back? Reads the ways in which providers and CLIs say it (R-L7, R-C18, R-C42).

Every `from_…` gives an aware UTC time or None when the value says nothing. Times are as stated, not clamped: a result that is
not after `now` is an absolute time that has passed, so the limit is over. Relative and wall-clock forms count from `now`,
which is the moment the words were written. Standard library only.
"""

import re
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from itertools import product
from zoneinfo import ZoneInfo

SHORTEST = timedelta(seconds=1)
LONGEST = timedelta(days=8)
_FAR = timedelta(days=400)  # longer than any quota, short enough to add to a date
_MILLISECONDS_FROM = 1e11  # an epoch above this is in milliseconds
_EARLIEST_EPOCH = 1e9  # in 2001; a smaller number is a duration, or nothing
_NUMBER = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,20})?")

_UNIT_SECONDS = {"w": 604_800.0, "d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 1e-6, "ns": 1e-9}
_UNIT = (
    r"(?:weeks?|w|days?|d|hours?|hrs?|h|milliseconds?|millis|ms|minutes?|mins?|m|microseconds?|[uµμ]s|nanoseconds?|ns"
    r"|seconds?|secs?|s)(?![a-zµ])"
)
_PART = rf"[0-9]{{1,12}}(?:\.[0-9]{{1,12}})?\s?{_UNIT}"
_DURATION = rf"{_PART}(?:(?:\s?,?\s?and\s|\s?,?\s?){_PART}){{0,6}}"
_DURATION_ONLY = re.compile(_DURATION, re.IGNORECASE)
_PARTS = re.compile(rf"([0-9.]{{1,25}})\s?({_UNIT})", re.IGNORECASE)

_SPACES = re.compile(r"\s{2,}")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HTTP_DATE = r"(?:[A-Za-z]{3,9},? )?([0-9A-Za-z][0-9A-Za-z :-]{12,24}?)(?: (?:GMT|UTC))?"
_IMF_DATE = r"(?:[A-Za-z]{3}, )?[0-9]{2} [A-Za-z]{3} [0-9]{4} [0-9:]{8} (?:GMT|UTC)"
_HTTP_DATES = ("%d %b %Y %H:%M:%S", "%d-%b-%y %H:%M:%S", "%b %d %H:%M:%S %Y")  # RFC 9110 names these three
_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,12})?)?(?:[Zz]|\s?[+-][0-9]{2}:?[0-9]{2})?"
)


def clamp(at: datetime, now: datetime) -> datetime:
    """`at`, but at least a second and at most eight days from now (R-C42)."""
    return min(max(at, now + SHORTEST), now + LONGEST)


def from_epoch(value: object) -> datetime | None:
    """Seconds since 1970, or milliseconds if above 10^11; nothing for what is too small to be a moment."""
    number = _number(value)
    if number is None:
        return None
    seconds = number / 1000 if number > _MILLISECONDS_FROM else number
    try:
        return datetime.fromtimestamp(seconds, UTC) if seconds >= _EARLIEST_EPOCH else None
    except (ValueError, OverflowError, OSError):
        return None


def from_seconds(value: object, now: datetime) -> datetime | None:
    """So many seconds from now; nothing for what is not a positive number."""
    number = _number(value)
    return None if number is None else now + min(timedelta(seconds=min(number, _FAR.total_seconds())), _FAR)


def from_milliseconds(value: object, now: datetime) -> datetime | None:
    """So many milliseconds from now; nothing for what is not a positive number."""
    number = _number(value)
    return None if number is None else from_seconds(number / 1000, now)


def from_duration(text: str, now: datetime) -> datetime | None:
    """`1m2.5s`, `12ms`, `4h`, `2 hours and 5 minutes` from now."""
    text = _SPACES.sub(" ", text).strip()
    if not _DURATION_ONLY.fullmatch(text):
        return None
    return from_seconds(sum(_part_seconds(*part) for part in _PARTS.findall(text)), now)


def from_retry_after(value: str, now: datetime) -> datetime | None:
    """The header `retry-after`: seconds or an HTTP date. Zero, negative and other values say nothing (R-C18)."""
    return from_seconds(value, now) or from_http_date(value)


def from_http_date(value: str) -> datetime | None:
    """`Sat, 21 Nov 2026 11:17:38 GMT`, and the two older forms of a date in HTTP."""
    if found := re.fullmatch(_HTTP_DATE, value.strip()):
        for form in _HTTP_DATES:
            with suppress(ValueError):
                return datetime.strptime(found[1], form).replace(tzinfo=UTC)
    return None


def from_rfc3339(value: str) -> datetime | None:
    """`2026-11-22T12:00:00Z`; without a zone it is UTC."""
    if not _RFC3339.fullmatch(value.strip()):
        return None
    try:
        at = datetime.fromisoformat(value.strip().upper().replace(",", "."))
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def find_reset(text: str, now: datetime) -> datetime | None:
    """The reset time that a text states, wherever it stands in it. Fields win over words (R-L2)."""
    text = _SPACES.sub(" ", text)  # a long one would be tried at every length
    for pattern, read in _FORMS:
        for found in pattern.finditer(text):
            if at := read(found, now):
                return at
    return None


def _number(value: object) -> float | None:
    if isinstance(value, str):
        value = float(value.strip()) if _NUMBER.fullmatch(value.strip()) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 < value < 1e20 else None


def _part_seconds(amount: str, unit: str) -> float:
    unit = unit.lower().replace("µ", "u").replace("μ", "u")
    short = {"mil": "ms", "mic": "us", "nan": "ns"}.get(unit[:3]) or (unit if unit in _UNIT_SECONDS else unit[0])
    return float(amount) * _UNIT_SECONDS[short]


def _zone(name: str | None) -> tzinfo | None:
    """The zone of that name; UTC for none, None for one that nobody knows."""
    if not name or name.upper() in ("UTC", "GMT", "Z"):
        return UTC
    if offset := re.fullmatch(r"(?:UTC|GMT)?([+-])([0-9]{1,2})(?::?([0-9]{2}))?", name.strip(), re.IGNORECASE):
        shift = timedelta(hours=int(offset[2]), minutes=int(offset[3] or 0))
        return timezone(shift if offset[1] == "+" else -shift) if shift < timedelta(days=1) else None
    try:
        return ZoneInfo(name.strip())
    except (KeyError, ValueError, OSError):
        return None


def _field_time(found: re.Match[str], _: datetime) -> datetime | None:
    return from_epoch(found[1]) or from_rfc3339(found[1])


def _clock(words: dict[str, str | None]) -> time | None:
    """The wall time; midnight if only a date was given; None for one that no clock shows."""
    if words["hour"] is None:
        return time()
    hour, half = int(words["hour"]), (words["half"] or "")[:1].lower()
    if half:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half == "p" else 0)
    try:
        return time(hour, int(words["minute"] or 0), int(words["second"] or 0))
    except ValueError:
        return None


def _wall_time(found: re.Match[str], now: datetime) -> datetime | None:
    """The first moment after `now` at which a clock in the zone shows that time (R-C17); with a year, that very moment."""
    words = found.groupdict()
    clock, zone = _clock(words), _zone(words["zone"] or words["bare"])
    if clock is None or zone is None:
        return None
    today = now.astimezone(zone).date()
    month, day, year, weekday = map(words.get, ("month", "day", "year", "weekday"))
    if weekday:
        ahead = (_WEEKDAYS.index(weekday[:3].lower()) - today.weekday()) % 7
        days: list[date | None] = [today + timedelta(days=n) for n in (ahead, ahead + 7)]
    elif month is None or day is None:
        days = [today + timedelta(days=n) for n in range(3)]
    elif year:
        stated = _day(int(year), month, day)
        return _instant(stated, clock, zone, 0) if stated else None
    else:
        days = [_day(y, month, day) for y in (today.year, today.year + 1)]
    instants = (_instant(d, clock, zone, fold) for d, fold in product(days, (0, 1)) if d)
    return next((at for at in instants if at > now), None)


def _day(year: int, month: str, day: str) -> date | None:
    try:
        return date(year, int(month) if month.isdigit() else _MONTHS.index(month[:3].lower()) + 1, int(day))
    except ValueError:
        return None


def _instant(day: date, clock: time, zone: tzinfo, fold: int) -> datetime:
    return datetime.combine(day, clock.replace(fold=fold), zone).astimezone(UTC)


_FIELD = r"\\{0,4}[\"']?\s?[:=]\s?\\{0,4}[\"']?\s?"  # between a field's name and its value: quoted, escaped or bare
_NUM = r"([0-9]{1,20}(?:\.[0-9]{1,20})?)(?!\w)(?!\.[0-9])"
_LEAD = (
    r"\b(?:(?<!connection )resets?|renews?|refresh(?:es)?|try(?: it)?\sagain|retry|wait|available(?:\sagain)?"
    r"|regain\saccess|come\sback)"
)
_MONTH = r"(?:jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec)(?:uary|ruary|ch|il|ust|ember|ober)?"
_TIME = (
    r"(?=[0-9]{1,2}(?::[0-9]{2}|\s?[ap]\.?m))(?P<hour>[0-9]{1,2})"
    r"(?::(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:\.[0-9]{1,9})?)?)?(?:\s?(?P<half>[ap]\.?m)\b)?(?![0-9:])"
)
_ZONE = (
    r"(?:\s?\((?P<zone>[^()\n]{1,64})\)|\s?(?P<bare>(?:utc|gmt)(?:[+-][0-9]{1,2}(?::?[0-9]{2})?)?\b|[+-][0-9]{2}:?[0-9]{2}\b"
    r"|(?-i:Z\b|[A-Z][A-Za-z_]{1,30}(?:/[A-Za-z0-9_+-]{1,30}){1,3}|[A-Z]{2,5}\b)))?"
)
_AT = rf"{_LEAD}(?:\s?(?:at|on|after|until|by))?[:\s]\s?"
_LATER = rf"(?:(?:\s?,?\s?(?:at\s)?|T){_TIME})?{_ZONE}"
_DATE = r"(?P<year>2[0-9]{3})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})(?![0-9])"
_US_DATE = r"(?P<month>[0-9]{1,2})/(?P<day>[0-9]{1,2})/(?P<year>2[0-9]{3})\b"
_YEAR = r"(?:,?\s(?P<year>2[0-9]{3})\b(?!:|\s?[ap]\.?m))?"

_FORMS = tuple(
    (re.compile(pattern, re.IGNORECASE), read)
    for pattern, read in (
        (rf"\b(?:resets?_?at|quota_?reset_?time_?stamp){_FIELD}([0-9]{{4}}-[0-9t:.z+-]{{1,40}}|{_NUM})", _field_time),
        (rf"\bresets?_?in_?(?:seconds|secs?){_FIELD}{_NUM}", lambda found, now: from_seconds(found[1], now)),
        (r"\|\s?([0-9]{10,16})(?![0-9])", lambda found, _: from_epoch(found[1])),
        (rf"\bretry[-_]?(?:after|delay)[-_]?ms{_FIELD}{_NUM}", lambda found, now: from_milliseconds(found[1], now)),
        (
            rf"\bretry[-_ ]?after(?:[-_]?sec(?:ond)?s)?(?:{_FIELD}|\s){_NUM}(?!\s?{_UNIT})",
            lambda found, now: from_seconds(found[1], now),
        ),
        (rf"\bretry[-_ ]?after{_FIELD}({_IMF_DATE})", lambda found, _: from_http_date(found[1])),
        (
            rf"\b(?:retry_?delay|quota_?reset_?delay){_FIELD}({_DURATION})",
            lambda found, now: from_duration(found[1], now),
        ),
        (
            rf"{_LEAD}(?:[\s_-]?(?:in|after|for))?[:=\s]\s?(?:in\s)?(?:about\s|approximately\s|another\s|~\s?)?({_DURATION})",
            lambda found, now: from_duration(found[1], now),
        ),
        (rf"{_AT}{_DATE}{_LATER}", _wall_time),
        (rf"(?:{_AT}|\bends\son\s){_US_DATE}{_LATER}", _wall_time),
        (rf"{_AT}(?P<month>{_MONTH})\.?\s(?P<day>[0-9]{{1,2}})(?:st|nd|rd|th)?\b{_YEAR}{_LATER}", _wall_time),
        (rf"{_AT}(?P<weekday>(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?)\b{_LATER}", _wall_time),
        (rf"{_AT}{_TIME}{_ZONE}", _wall_time),
        (r"([0-9]{1,9}) ?秒后重试", lambda found, now: from_seconds(found[1], now)),
        (
            rf"[在于] ?{_DATE} {_TIME}(?P<zone>)(?P<bare>) ?(?:重置|恢复)",
            _wall_time,
        ),
    )
)
