"""Does an error text say that a quota is spent? Of which kind, and until when? Standard library only.

Only stderr, terminal error fields and system-error lines of a failed run may be given (R-L1): text alone stays unreliable.
A noun ("usage limit") needs a word of exhaustion near it ("reached") and nothing that takes it back ("if", "not").
"""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from droveway.api.enums import EndClass
from droveway.core import phrases
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


def _find(text: str) -> Finding | None:
    words = phrases.plain_words(text)
    kind, at = _kind(text, words)
    if kind is None:
        return None
    one_model = kind is not EndClass.BALANCE_EXHAUSTED and phrases.ONE_MODEL.search(words)
    scope = Scope.MODEL if one_model else Scope.QUOTA_GROUP
    return Finding(kind, scope, one_line(text.split("\n")[at]))


_remembered = lru_cache(maxsize=512)(_find)


def _kind(text: str, words: str) -> tuple[EndClass | None, int]:
    """The kind of limit and the line that tells it. What lasts longest is looked for first."""
    for kind, patterns in (
        (EndClass.BALANCE_EXHAUSTED, phrases.MONEY),
        (_kind_of_quota(words, EndClass.BALANCE_EXHAUSTED), phrases.QUOTA_AND_BILLING),
        (EndClass.SUBSCRIPTION_LIMIT, phrases.PLAN),
        (_kind_of_quota(words, EndClass.SUBSCRIPTION_LIMIT), phrases.QUOTA),
        (EndClass.RATE_LIMITED, phrases.RATE),
    ):
        if found := next(phrases.claims(words, patterns), None):
            return kind, words.count("\n", 0, found.start())
    if status := next(phrases.claims(text.lower(), (phrases.STATUS_402,)), None):
        return EndClass.BALANCE_EXHAUSTED, text.count("\n", 0, status.start())
    if phrases.OVERLOADED.search(words):  # a 429 that means an outage (R-C38)
        return None, 0
    if found := next(phrases.claims(words, phrases.MANY_REQUESTS), None):
        return EndClass.RATE_LIMITED, words.count("\n", 0, found.start())
    if status := next(phrases.claims(text.lower(), (phrases.STATUS_429,)), None):
        return EndClass.RATE_LIMITED, text.count("\n", 0, status.start())
    return None, 0


def _kind_of_quota(words: str, otherwise: EndClass) -> EndClass:
    """A quota is what its metric says: per day, per minute, or else the given kind (R-C19)."""
    if phrases.PER_DAY.search(words):
        return EndClass.SUBSCRIPTION_LIMIT
    return EndClass.RATE_LIMITED if phrases.PER_MINUTE.search(words) else otherwise


def _bounded(text: str) -> str:
    half = _LONGEST_TEXT // 2
    return text if len(text) <= _LONGEST_TEXT else f"{text[:half]}\n{text[-half:]}"
