"""The one mechanism for "this quota is spent until then". Standard library only.

Telemetry, the operator's provider status and every gateway keep a book. A page is a quota key, one model of it, or one family of
models. Reading at any time forgets nothing (R-C23).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from droveway.api.enums import EndClass
from droveway.core.families import FAMILIES, family
from droveway.core.resets import LONGEST
from droveway.core.verdict import Scope, Verdict

DEFAULT_LIMIT_TTL = timedelta(hours=1)
_BALANCE_TTL = timedelta(hours=6)
_FIRST_BACKOFF_SECONDS = 60
_LONGEST_BACKOFF_SECONDS = 600

Page = tuple[str, str]
"""A quota key and what of it is limited: a model, a family of models, or "" for the whole group."""


@lru_cache(maxsize=4096)
def pages(key: str, model: str) -> frozenset[Page]:
    """Where a limit may stand that holds for a model of a quota key."""
    return frozenset((key, covers) for covers in ("", model, family(model)))


def covered(scope: Scope, model: str) -> str:
    """Under which name a limit of that scope is kept, when a model's failure told of it."""
    if scope is Scope.MODEL_FAMILY:
        return family(model)
    return model if scope is Scope.MODEL else ""


def scope_of(covers: str) -> Scope:
    """What a limit speaks for that is kept under that name."""
    if not covers:
        return Scope.QUOTA_GROUP
    return Scope.MODEL_FAMILY if covers in FAMILIES else Scope.MODEL


@dataclass(frozen=True, slots=True)
class Limit:
    """A quota that is spent.

    Attributes:
        kind: SubscriptionLimit, RateLimited or BalanceExhausted.
        set_at: when it was last seen to be spent; what started later and succeeds disproves it.
        until: when it is back.
        scope: Model when only `model` is limited, ModelFamily when its family is.
        model: the model whose failure told.
        reason: one redacted line.
    """

    kind: EndClass
    set_at: datetime
    until: datetime
    scope: Scope = Scope.QUOTA_GROUP
    model: str = ""
    reason: str = ""

    @property
    def covers(self) -> str:
        """The model or the family that alone is limited; "" when the whole group is."""
        return covered(self.scope, self.model)


@dataclass(frozen=True, slots=True)
class Streak:
    """Rate limits of a quota key in a row, without a success in between (R-C14)."""

    count: int
    last_at: datetime


class LimitBook:
    """What is limited, until when (R-T5, R-T6, R-T10, R-C14, R-C20)."""

    __slots__ = ("_limits", "_streaks", "_ttl")

    def __init__(self, ttl: timedelta = DEFAULT_LIMIT_TTL) -> None:
        """A book in which a subscription limit without a stated end lasts `ttl`."""
        self._ttl = ttl
        self._limits: dict[Page, Limit] = {}
        self._streaks: dict[str, Streak] = {}

    def __bool__(self) -> bool:
        """Whether anything stands in it, perhaps over by now."""
        return bool(self._limits or self._streaks)

    def set(
        self,
        key: str,
        verdict: Verdict,
        at: datetime,
        now: datetime,
        model: str = "",
        ttl: timedelta | None = None,
    ) -> bool:
        """Notes a limit that was stated at `at`; anything but a limit changes nothing.

        A stated end replaces what stands there; without one a limit is never shortened (R-T5). Nor is it by what was stated
        before it and arrives later, nor a spent quota by a throttle: that the one is over in a minute says nothing of the other.

        Args:
            key: the quota key.
            verdict: what was stated.
            at: when.
            now: the time.
            model: the model whose failure told.
            ttl: how long a subscription limit without a stated end lasts; None is the book's own.

        Returns:
            Whether what is limited changed.
        """
        if not verdict.is_limit:
            return False
        until = verdict.until or at + self._default(key, verdict.kind, ttl)
        if verdict.kind is EndClass.RATE_LIMITED:
            self._count(key, at)
        if until <= now:
            return False
        page = (key, covered(verdict.scope, model))
        held = self._limits.get(page)
        if held and held.until > now:
            throttle = verdict.kind is EndClass.RATE_LIMITED and held.kind is not EndClass.RATE_LIMITED
            weaker = verdict.until is None or throttle or at < held.set_at
            at = max(at, held.set_at)
            if weaker and held.until >= until:
                self._limits[page] = Limit(held.kind, at, held.until, held.scope, held.model, held.reason)
                return False
        scope = verdict.scope if page[1] else Scope.QUOTA_GROUP
        self._limits[page] = Limit(verdict.kind, at, until, scope, model, verdict.reason)
        self._drop_ancient(now)
        return held is None or (held.kind, held.until) != (verdict.kind, until)

    def succeeded(self, key: str, started_at: datetime, model: str = "", at: datetime | None = None) -> bool:
        """Notes a success of a model of that key; one that started after a limit was set clears it (R-T6, R-C20).

        Args:
            key: the quota key.
            started_at: when the call began.
            model: the model that answered.
            at: when it answered; None is `started_at`.

        Returns:
            Whether a limit was cleared.
        """
        if (streak := self._streaks.get(key)) and (at or started_at) > streak.last_at:
            del self._streaks[key]
        if not self._limits:
            return False
        held = [page for page in pages(key, model) if page in self._limits]
        cleared = [page for page in held if started_at > self._limits[page].set_at]
        for page in cleared:
            del self._limits[page]
        return bool(cleared)

    def find(self, key: str, now: datetime, model: str = "") -> Limit | None:
        """The limit that holds longest for a model of that key at `now`."""
        if not self._limits:
            return None
        held = [limit for page in pages(key, model) if (limit := self._limits.get(page)) and limit.until > now]
        return max(held, key=lambda limit: limit.until, default=None)

    def unproven(self, key: str, now: datetime, model: str = "") -> tuple[Page, Limit] | None:
        """The limit of a model of that key that ended last, while no success has shown that it did."""
        if not self._limits:
            return None
        over = [(p, limit) for p in pages(key, model) if (limit := self._limits.get(p)) and limit.until <= now]
        return max(over, key=lambda found: found[1].until, default=None)

    def until(self, key: str, now: datetime, model: str = "") -> datetime | None:
        """Until when a model of that key is limited; None when it is not."""
        limit = self.find(key, now, model)
        return limit.until if limit else None

    def limits(self, now: datetime) -> list[tuple[str, Limit]]:
        """Every limit that holds at `now` with its key, sorted."""
        return [(page[0], limit) for page, limit in sorted(self._limits.items()) if limit.until > now]

    def all_of(self, key: str) -> list[Limit]:
        """Everything that stands under a key, also what is over."""
        return [limit for page, limit in sorted(self._limits.items()) if page[0] == key]

    def restore(self, key: str, limit: Limit) -> bool:
        """Puts back a limit that was kept elsewhere; one that was set later stands. Tells whether it was put back."""
        page = (key, limit.covers)
        held = self._limits.get(page)
        if held and (held.set_at, held.until) >= (limit.set_at, limit.until):
            return False
        self._limits[page] = limit
        return True

    def forget(self, key: str) -> None:
        """The account behind a quota key is gone; whoever takes its name starts afresh."""
        self._limits = {page: limit for page, limit in self._limits.items() if page[0] != key}
        self._streaks.pop(key, None)

    @property
    def streaks(self) -> Mapping[str, Streak]:
        """Rate limits in a row by quota key: with `limits`, all that must survive a restart."""
        return self._streaks

    def restore_streak(self, key: str, streak: Streak) -> None:
        """Puts back a streak that was kept elsewhere; one that is newer stands."""
        held = self._streaks.get(key)
        if held is None or held.last_at < streak.last_at:
            self._streaks[key] = streak

    def _default(self, key: str, kind: EndClass, ttl: timedelta | None) -> timedelta:
        """How long a limit lasts that states no end (R-C14)."""
        if kind is EndClass.BALANCE_EXHAUSTED:
            return _BALANCE_TTL
        if kind is EndClass.SUBSCRIPTION_LIMIT:
            return self._ttl if ttl is None else ttl
        before = self._streaks[key].count if key in self._streaks else 0
        return timedelta(seconds=min(_FIRST_BACKOFF_SECONDS << min(before, 8), _LONGEST_BACKOFF_SECONDS))

    def _count(self, key: str, at: datetime) -> None:
        streak = self._streaks.get(key)
        self._streaks[key] = Streak(streak.count + 1, max(at, streak.last_at)) if streak else Streak(1, at)

    def _drop_ancient(self, now: datetime) -> None:
        """Keeps the book small: drops limits that have been over for longer than any limit lasts."""
        if any(limit.until < now - LONGEST for limit in self._limits.values()):
            self._limits = {page: limit for page, limit in self._limits.items() if limit.until >= now - LONGEST}
