"""Does an error text say that a quota is spent? Of which kind, and until when? Standard library only.

Only stderr, terminal error fields and system-error lines of a failed run may be given (R-L1): text alone stays unreliable.
A noun ("usage limit") needs a word of exhaustion near it ("reached") and nothing that takes it back ("if", "not").
"""

import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from droveway.api.enums import EndClass
from droveway.core import phrases
from droveway.core.hedges import claims, reported
from droveway.core.phrases import Wording
from droveway.core.redaction import one_line
from droveway.core.resets import clamp, find_reset
from droveway.core.verdict import Scope, Verdict

_LONGEST_TEXT = 65_536  # of a longer text the first and the last half count: errors stand there
_CACHED_TEXT = 1_024


@dataclass(frozen=True, slots=True)
class Finding:
    """What a text says about a quota, whenever it was said."""

    kind: EndClass
    scope: Scope
    line: str


def classify_text(text: str, now: datetime) -> Verdict | None:
    """The limit that an error text speaks of; None if it speaks of none, or of one that is over (R-C16).

    Args:
        text: what was printed.
        now: when it was printed: relative and wall-clock times count from there (R-C15).

    Returns:
        A verdict whose `until` is the stated end, within a second and eight days from now; None when none is stated: then
        the default of its kind holds, which `LimitBook` knows.
    """
    found = find_limit(text)
    if found is None:
        return None
    reset = find_reset(_bounded(text), now)
    if reset is not None and reset <= now:
        return None
    return Verdict(found.kind, clamp(reset, now) if reset else None, found.scope, found.line)


def find_limit(text: str) -> Finding | None:
    """The limit that a text speaks of, regardless of time."""
    return _remembered(text) if len(text) <= _CACHED_TEXT else _find(_bounded(text))


def speaks_of_overload(text: str) -> bool:
    """Whether a text says that the provider, not the caller, has too much to do (R-C38)."""
    return phrases.OVERLOADED.search(phrases.plain_words(text)) is not None


def _find(text: str) -> Finding | None:
    told = phrases.without_addresses(reported(text))
    words = phrases.plain_words(told)
    kind, at = _kind(told, words)
    if kind is None:
        return None
    return Finding(kind, _scope(kind, words), one_line(text.split("\n")[at]))


_remembered = lru_cache(maxsize=512)(_find)


def _kind(told: str, words: str) -> tuple[EndClass | None, int]:
    """The kind of limit and the line that tells it. What lasts longest is looked for first."""
    if found := _first(words, phrases.MONEY):
        return EndClass.BALANCE_EXHAUSTED, _line(words, found)
    if found := _first(words, phrases.QUOTA_AND_BILLING):
        return _kind_of_quota(words, EndClass.BALANCE_EXHAUSTED), _line(words, found)
    plan, money = _first(words, phrases.PLAN), _first(words, phrases.CREDITS)
    if money and not (plan and plan.start() < money.start()):
        return EndClass.BALANCE_EXHAUSTED, _line(words, money)
    if plan:
        return EndClass.SUBSCRIPTION_LIMIT, _line(words, plan)
    if quota := _first(words, phrases.QUOTA):
        return _kind_of_quota(words, EndClass.SUBSCRIPTION_LIMIT), _line(words, quota)
    if status := _first(told, phrases.STATUS_402):
        return EndClass.BALANCE_EXHAUSTED, _line(told, status)
    return _throttle(told, words)


def _throttle(told: str, words: str) -> tuple[EndClass | None, int]:
    """A rate limit, which is a window of a subscription when its period is a day or more."""
    if _first(told, phrases.STATUS_413) or phrases.OVERLOADED.search(words):  # a request at fault, or an outage (R-C38)
        return None, 0
    found = _first(words, phrases.RATE)
    if found := found or _first(words, phrases.MANY_REQUESTS):
        at = _line(words, found)
        line = words.split("\n")[at]
        lasting = phrases.PER_DAY.search(line) and not phrases.PER_MINUTE.search(line)
        return EndClass.SUBSCRIPTION_LIMIT if lasting else EndClass.RATE_LIMITED, at
    if status := _first(told, phrases.STATUS_429):
        return EndClass.RATE_LIMITED, _line(told, status)
    return None, 0


def _kind_of_quota(words: str, otherwise: EndClass) -> EndClass:
    """A quota is what its metric says: per day, per minute, or else the given kind (R-C19)."""
    if phrases.PER_DAY.search(words):
        return EndClass.SUBSCRIPTION_LIMIT
    soon = phrases.PER_MINUTE.search(words) or phrases.RETRY_SOON.search(words)
    return EndClass.RATE_LIMITED if soon else otherwise


def _line(text: str, found: re.Match[str]) -> int:
    return text.count("\n", 0, found.start())


def _scope(kind: EndClass, words: str) -> Scope:
    if kind is EndClass.BALANCE_EXHAUSTED:
        return Scope.QUOTA_GROUP
    if phrases.ONE_FAMILY.search(words):
        return Scope.MODEL_FAMILY
    return Scope.MODEL if phrases.ONE_MODEL.search(words) else Scope.QUOTA_GROUP


def _first(text: str, wording: Wording) -> re.Match[str] | None:
    return min(claims(text, wording), key=re.Match.start, default=None)


def _bounded(text: str) -> str:
    half = _LONGEST_TEXT // 2
    return text if len(text) <= _LONGEST_TEXT else f"{text[:half]}\n{text[-half:]}"
