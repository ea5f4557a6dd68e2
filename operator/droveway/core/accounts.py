"""The upstream accounts of one namespace: which quota is spent until when, how much of it is used, whose key is refused."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from droveway.api.enums import EndClass
from droveway.api.v1alpha1 import ModelProvider
from droveway.api.v1alpha1.modelprovider import LimitStatus
from droveway.core.accountpages import AccountPage
from droveway.core.limitbook import Limit, LimitBook, covered, scope_of
from droveway.core.ramp import Comeback
from droveway.core.trials import Trials
from droveway.core.utilization import Reading, UtilizationBook
from droveway.core.verdict import Verdict

_MESSAGE = 256  # the schema's
_LIMITS = 32  # the schema's
_NEVER = datetime.min.replace(tzinfo=UTC)


REFUSAL = timedelta(minutes=5)
"""How long a refused key is left alone, unless its Secret changes sooner."""


@dataclass(frozen=True, slots=True)
class Signal:
    """What one upstream call says of the account that it used.

    Attributes:
        provider, model: by name.
        verdict: None: it succeeded.
        at: when it ended.
        started_at: when it began.
        source: `gateway` or `sidecar`.
    """

    provider: str
    model: str
    verdict: Verdict | None
    at: datetime
    started_at: datetime
    source: str


class Accounts:
    """Limits by quota key, refused keys by provider.

    The durable record are the pages that are written with the events behind them, and the status of the ModelProviders where
    there is no page. A refused key is only remembered while the process lives, so that a restart tries it once more.
    """

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._book = LimitBook()
        self._trials = Trials(self._book)
        self._used = UtilizationBook()
        self._sources: dict[tuple[str, str], str] = {}
        self._refused: dict[str, Verdict] = {}
        self._groups: dict[str, str] = {}
        self._uids: dict[str, str] = {}
        self._defaults: dict[str, timedelta] = {}
        self._as_of: dict[str, datetime] = {}

    def know(self, provider: ModelProvider) -> None:
        """Takes over a provider: its quota group, its default, and what its status says of limits."""
        name, spec = provider.metadata.name, provider.spec
        if self._uids.get(name, provider.metadata.uid) != provider.metadata.uid:
            self.forget(name)  # deleted and made anew while nobody looked
        known = name in self._groups
        self._uids[name] = provider.metadata.uid
        self._groups[name] = f"{self._namespace}/{spec.quota_group or name}"
        self._defaults[name] = timedelta(seconds=spec.limits.default_seconds)
        if known:
            return  # from here on the book is ahead of the status
        for held in provider.status.limits:
            scope = scope_of(held.model)
            limit = Limit(EndClass(held.kind), held.set_time, held.until_time, scope, held.model, held.message)
            if self._book.restore(held.quota_group, limit):
                self._sources[held.quota_group, held.model] = held.source
        for told in provider.status.utilization:
            found = Reading(told.window, told.used_percent, told.reset_time, told.observed_time)
            self._used.note(self._groups[name], [found], found.at)

    def pages(self, providers: Iterable[str], now: datetime) -> dict[str, AccountPage]:
        """What must survive a restart of the accounts of some providers, by quota key."""
        keys = sorted({self.quota_key(provider) for provider in providers})
        return {key: self._page(key, now) for key in keys}

    def _page(self, key: str, now: datetime) -> AccountPage:
        limits = [(limit, self._source(key, limit)) for limit in self._book.all_of(key)]
        readings, back = self._used.readings(key, now), self._trials.comebacks(key, now)
        return AccountPage(now, tuple(limits), self._book.streaks.get(key), tuple(readings), tuple(back))

    def restore(self, pages: Mapping[str, AccountPage]) -> None:
        """Goes on from pages. Of two pages of one account the later one is right; what was learnt after both stands."""
        for key, page in pages.items():
            if page.as_of <= self._as_of.get(key, _NEVER):
                continue
            self._as_of[key] = page.as_of
            later = [limit for limit in self._book.all_of(key) if limit.set_at > page.as_of]
            self._book.forget(key)
            for limit, source in page.limits:
                self._book.restore(key, limit)
                self._sources[key, limit.covers] = source
            for limit in later:
                self._book.restore(key, limit)
            if page.streak:
                self._book.restore_streak(key, page.streak)
            for told in page.readings:
                self._used.note(key, [told], told.at)
            for covers, comeback in page.comebacks:
                self._trials.restore(key, covers, comeback)

    def forget(self, provider: str) -> None:
        """The provider was deleted, and its status with it. Its group's limits stay if others share them."""
        group = self._groups.pop(provider, None)
        if group and not self.sharing(group):
            self._book.forget(group)
            self._used.forget(group)
            self._trials.forget(group)
        self._uids.pop(provider, None)
        self._defaults.pop(provider, None)
        self._refused.pop(provider, None)

    def take(self, signals: Iterable[Signal], now: datetime) -> set[str]:
        """Learns from calls, in their order. Returns the providers whose standing changed."""
        changed: set[str] = set()
        for signal in signals:
            key = self.quota_key(signal.provider)
            if signal.verdict is None:
                if self._refused.pop(signal.provider, None):
                    changed.add(signal.provider)
                if self._trials.succeeded(key, signal.started_at, signal.model, signal.at):
                    changed |= self.sharing(key)
            elif signal.verdict.kind is EndClass.AUTH_FAILED:
                if signal.provider not in self._refused:
                    changed.add(signal.provider)
                self._refused[signal.provider] = replace(signal.verdict, until=now + REFUSAL)
            elif signal.verdict.is_limit and self._limit(key, signal, signal.verdict, now):
                changed |= self.sharing(key)
        return changed

    def learn(self, provider: str, readings: Iterable[Reading], now: datetime) -> set[str]:
        """Learns how much of a quota is used. Returns the providers whose standing changed."""
        key = self.quota_key(provider)
        return self.sharing(key) if self._used.note(key, readings, now) else set()

    def utilization(self, provider: str, now: datetime) -> list[Reading]:
        """How much of the windows of a provider's quota is used."""
        return self._used.readings(self.quota_key(provider), now)

    def used_percent(self, provider: str, model: str, now: datetime) -> int | None:
        """How much of the fullest window is used that counts a model's work; None when nobody told."""
        return self._used.used_percent(self.quota_key(provider), model, now)

    def recovering_until(self, provider: str, model: str, now: datetime) -> datetime | None:
        """Until when nobody should follow the one that tries a quota which is said to be back; see `Trials`."""
        return self._trials.until(self.quota_key(provider), model, now)

    def comeback(self, provider: str, model: str, now: datetime) -> Comeback | None:
        """How a model comes back after a limit; see `Trials`."""
        return self._trials.comeback(self.quota_key(provider), model, now)

    def start(self, provider: str, model: str, now: datetime) -> bool:
        """Whether an attempt may start on a model; after a limit the first one is its trial."""
        return self._trials.begin(self.quota_key(provider), model, now)

    def awaits_trial(self, provider: str, model: str, now: datetime) -> bool:
        """Whether an attempt that starts now is the trial of a quota that has just come back."""
        return self._trials.awaits(self.quota_key(provider), model, now)

    def not_started(self, provider: str, model: str, begun: datetime) -> None:
        """The attempt that `start` allowed at that time was not made."""
        self._trials.give_back(self.quota_key(provider), model, begun)

    def pardon(self, provider: str) -> None:
        """The provider's Secret has changed: its key may be good now."""
        self._refused.pop(provider, None)

    def refused(self, provider: str, now: datetime) -> Verdict | None:
        """Why its key is refused, if it is. After `REFUSAL` it may be tried again: it can be mended where we cannot see it."""
        found = self._refused.get(provider)
        return found if found and found.until and found.until > now else None

    def limit(self, provider: str, model: str, now: datetime) -> Limit | None:
        """The limit that holds longest for a model of a provider."""
        return self._book.find(self.quota_key(provider), now, model)

    def limits(self, provider: str, now: datetime) -> list[LimitStatus]:
        """What the provider's status should say; the limit that ends last comes first."""
        key = self.quota_key(provider)
        held = [limit for owner, limit in self._book.limits(now) if owner == key]
        return [self._status(key, limit) for limit in sorted(held, key=lambda x: x.until, reverse=True)][:_LIMITS]

    def quota_key(self, provider: str) -> str:
        """`<namespace>/<quota group or provider>`."""
        return self._groups.get(provider) or f"{self._namespace}/{provider}"

    def sharing(self, key: str) -> set[str]:
        """The known providers of a quota key."""
        return {name for name, group in self._groups.items() if group == key}

    def _limit(self, key: str, signal: Signal, verdict: Verdict, now: datetime) -> bool:
        ttl = self._defaults.get(signal.provider)
        changed = self._book.set(key, verdict, min(signal.at, now), now, signal.model, ttl)
        if changed:
            self._sources[key, covered(verdict.scope, signal.model)] = signal.source
        return changed

    def _source(self, key: str, limit: Limit) -> str:
        return self._sources.get((key, limit.covers), "")

    def _status(self, key: str, limit: Limit) -> LimitStatus:
        return LimitStatus(
            quota_group=key,
            model=limit.covers,
            kind=limit.kind.value,
            set_time=limit.set_at,
            until_time=limit.until,
            source=self._source(key, limit),
            message=limit.reason[:_MESSAGE],
        )
