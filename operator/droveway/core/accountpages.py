"""What must survive a restart of an account: its limits, throttles in a row, how it comes back, how much of its quota is used.

The status of a ModelProvider says the same for people, but later: a page is written together with the numbers of the events
behind it, so that what is acknowledged is never forgotten.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from droveway.core.limitbook import Limit, Streak
from droveway.core.ramp import Comeback
from droveway.core.summary import limit_from_dict, limit_to_dict
from droveway.core.utilization import Reading


@dataclass(frozen=True, slots=True)
class AccountPage:
    """One quota key at one moment.

    Attributes:
        as_of: the moment; of two pages the later one is right.
        limits: also those that are over while no success has shown it; with who told them, `gateway` or `sidecar`.
        streak: throttles in a row, None when there was none since the last success.
        readings: how much of each window is used.
        comebacks: what takes work again in steps, by what the limit covered.
    """

    as_of: datetime
    limits: tuple[tuple[Limit, str], ...] = ()
    streak: Streak | None = None
    readings: tuple[Reading, ...] = ()
    comebacks: tuple[tuple[str, Comeback], ...] = ()


def pages_to_json(pages: Mapping[str, AccountPage]) -> str:
    """Pages by quota key."""
    return orjson.dumps({key: _to_dict(key, page) for key, page in pages.items()}).decode()


def pages_from_json(text: str) -> dict[str, AccountPage]:
    """What `pages_to_json` wrote.

    Raises:
        ValueError: it is not that.
    """
    try:
        return {key: _from_dict(page) for key, page in orjson.loads(text).items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not the pages of accounts: {error!r}") from error


def _to_dict(key: str, page: AccountPage) -> dict[str, object]:
    return {
        "as_of": page.as_of.isoformat(),
        "limits": [[limit_to_dict(key, limit), source] for limit, source in page.limits],
        "streak": page.streak and [page.streak.count, page.streak.last_at.isoformat()],
        "windows": [
            [r.window, r.used_percent, r.resets_at and r.resets_at.isoformat(), r.at.isoformat()] for r in page.readings
        ],
        "back": [[covers, back.since.isoformat(), back.successes] for covers, back in page.comebacks],
    }


def _from_dict(found: Mapping[str, object]) -> AccountPage:
    limits, streak, windows, back = found["limits"], found["streak"], found["windows"], found.get("back", [])
    if not (isinstance(limits, list) and isinstance(windows, list) and isinstance(back, list)):
        raise TypeError("limits, windows and what comes back are lists")
    return AccountPage(
        as_of=_time(found["as_of"]),
        limits=tuple((limit_from_dict(limit)[1], str(source)) for limit, source in limits),
        streak=_streak(streak) if isinstance(streak, list) else None,
        readings=tuple(
            Reading(str(window), int(used), _time(resets_at) if resets_at else None, _time(at))
            for window, used, resets_at, at in windows
        ),
        comebacks=tuple((str(covers), Comeback(_time(since), int(count))) for covers, since, count in back),
    )


def _streak(found: list[object]) -> Streak:
    count, last_at = found
    if not isinstance(count, int):
        raise TypeError(f"not a count: {count!r:.40}")
    return Streak(count, _time(last_at))


def _time(text: object) -> datetime:
    at = datetime.fromisoformat(str(text))
    if at.tzinfo is None:
        raise ValueError(f"a time needs a zone: {text!r:.40}")
    return at.astimezone(UTC)
