"""How much of a subscription is used, as the headers of every answer say it, successful ones too."""

from collections.abc import Iterator, Mapping
from datetime import datetime

from droveway.core.resets import from_seconds
from droveway.core.utilization import Reading, reading
from droveway.dialects.times import moment

_UNIFIED = "anthropic-ratelimit-unified-"
_USED = "-utilization"
_CODEX = "x-codex-"
_MINUTES_PER_DAY, _MINUTES_PER_HOUR = 1440, 60
_LONGEST_MINUTES = 366 * _MINUTES_PER_DAY


def utilization(headers: Mapping[str, str], now: datetime) -> tuple[Reading, ...]:
    """The windows of a Claude or ChatGPT subscription; empty for everything else.

    Args:
        headers: of one answer, whatever its status; looked up in lower case.
        now: when it came.
    """
    if f"{_UNIFIED}status" in headers:
        return tuple(found for found in _claude(headers, now) if found)
    if f"{_CODEX}primary-used-percent" in headers or f"{_CODEX}secondary-used-percent" in headers:
        return tuple(found for found in _codex(headers, now) if found)
    return ()


def _claude(headers: Mapping[str, str], now: datetime) -> Iterator[Reading | None]:
    """`5h`, `7d`, and perhaps windows of one family of models."""
    for name, value in headers.items():
        lower = name.lower()
        if lower.startswith(_UNIFIED) and lower.endswith(_USED):
            window = lower[len(_UNIFIED) : -len(_USED)]
            yield reading(window, _number(value), moment(headers.get(f"{_UNIFIED}{window}-reset")), now)


def _codex(headers: Mapping[str, str], now: datetime) -> Iterator[Reading | None]:
    """Two slots, named by how long their windows are: which slot holds which window is not the same for all plans."""
    for slot in ("primary", "secondary"):
        used, minutes = (_number(headers.get(f"{_CODEX}{slot}-{what}")) for what in ("used-percent", "window-minutes"))
        if used is None or minutes is None or not 1 <= minutes <= _LONGEST_MINUTES:
            continue
        resets_at = moment(headers.get(f"{_CODEX}{slot}-reset-at"))
        resets_at = resets_at or from_seconds(headers.get(f"{_CODEX}{slot}-reset-after-seconds"), now)
        yield reading(_length(round(minutes)), used / 100, resets_at, now)


def _length(minutes: int) -> str:
    """How long a window is, in the largest unit that it is a multiple of."""
    if minutes % _MINUTES_PER_DAY == 0:
        return f"{minutes // _MINUTES_PER_DAY}d"
    return f"{minutes // _MINUTES_PER_HOUR}h" if minutes % _MINUTES_PER_HOUR == 0 else f"{minutes}m"


def _number(value: str | None) -> float | None:
    try:
        return float(value) if value is not None else None
    except ValueError:
        return None
