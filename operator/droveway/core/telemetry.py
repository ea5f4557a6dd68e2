"""Rolling telemetry of model completions: who performs how, who is limited, what a session used. Standard library only."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Literal

from droveway.api.enums import EndClass
from droveway.core.bucket import Bucket
from droveway.core.completion import DEAREST_USD, CompletionEvent, TokenBreakdown
from droveway.core.limitbook import DEFAULT_LIMIT_TTL, Limit, LimitBook
from droveway.core.limits import classify_text, find_limit
from droveway.core.moments import EPOCH, bounded, microseconds, utc
from droveway.core.performance import ModelPerformance, ModelUsage, SessionUsage
from droveway.core.series import Series
from droveway.core.summary import NANOSECONDS_PER_MS, InheritedLimit, TelemetrySummary
from droveway.core.sums import FAILED, LATENCY_SHIFT, NOTHING, SUCCEEDED, TIMED, Sums, unpack
from droveway.core.verdict import Scope, Verdict

__all__ = [
    "CompletionEvent",
    "ModelPerformance",
    "ModelUsage",
    "SessionUsage",
    "TelemetryStore",
    "TelemetrySummary",
    "TokenBreakdown",
    "default_quota_key",
    "is_subscription_limit_error",
]

SLOTS_PER_WINDOW = 60
MOST_COMPLETIONS = 131_072
"""Completions that a store keeps one by one. Each takes some 800 bytes (`make bench-telemetry`), so all of them 100 MiB: a
process with several stores gives each of them fewer."""
_LONGEST_LATENCY_MS = 1e12
_SHARED_PREFIXES = frozenset({"sonnet", "opus", "haiku", "anthropic", "claude-code"})


def default_quota_key(model: str) -> str:
    """What a model shares its limit with when nothing else is said: the name before the slash (R-T7)."""
    prefix = model.partition("/")[0]
    return "claude-code" if prefix in _SHARED_PREFIXES else prefix


def is_subscription_limit_error(text: str) -> bool:
    """Whether an error text says that a quota is spent."""
    return find_limit(text) is not None


class TelemetryStore:
    """Completions of the last `window`, exact at any `now`, and the limits that failures told (R-T1..R-T18).

    Entries are given up only a whole window after they left it, so that a clock that is set back finds them again.

    Memory is bounded whatever the rate: of more than `most_completions` the oldest slots of window/60 are kept as buckets, as
    after a restart. Then counts, rates and the mean latency stay exact where the window's edge lies between two slots; else
    they may hold the rest of one slot for up to window/60 longer. What such completions told of sessions is forgotten, and
    so are the ids that were taken in first.

    Attributes:
        clock_clamped_total: completions that claimed to end in the future (R-T2).
        duplicates_total: completions whose id was known (R-T4).
        cost_rejected_total: costs that were none (R-T12).
        latency_rejected_total: latencies that were none.
    """

    def __init__(
        self,
        window: timedelta,
        limit_ttl: timedelta = DEFAULT_LIMIT_TTL,
        *,
        limit_scope: Literal["QuotaGroup", "Model"] = "QuotaGroup",
        quota_key: Callable[[str], str] = default_quota_key,
        most_completions: int = MOST_COMPLETIONS,
    ) -> None:
        """An empty store.

        Args:
            window: what counts; zero counts nothing (R-T15).
            limit_ttl: how long a subscription limit lasts that states no end.
            limit_scope: `Model` limits each model by itself.
            quota_key: what a model shares its limit with, for the scope `QuotaGroup`.
            most_completions: how many are kept one by one; of ids, less than twice as many.
        """
        self._window = max(window, timedelta())
        self._span = bounded(window)
        self._width = max(self._span // timedelta(microseconds=1) // SLOTS_PER_WINDOW, 1)
        self._ttl = bounded(limit_ttl)
        self._key = quota_key if limit_scope == "QuotaGroup" else str
        self._book = LimitBook(self._ttl)
        self._series: dict[str, Series] = {}
        self._seen: dict[str, datetime] = {}  # ids of completions, with when they completed
        self._most = most_completions
        self._room = most_completions  # how many more before some are condensed
        self._tidied_at = self._tidy_at = EPOCH
        self.clock_clamped_total = 0
        self.duplicates_total = 0
        self.cost_rejected_total = 0
        self.latency_rejected_total = 0

    def record(self, event: CompletionEvent, now: datetime) -> bool:
        """Takes in one completion. Tells whether it counts: new, and in the window.

        Raises:
            ValueError: a time has no zone.
        """
        if now.tzinfo is not UTC:
            now = utc(now)
        at = event.completed_at
        if at.tzinfo is not UTC:
            at = utc(at)
        if at > now:
            at = now
            self.clock_clamped_total += 1
        cutoff = now - self._span
        name = event.id
        if name is not None and (seen := self._seen.get(name)) is not None and seen > cutoff:
            self.duplicates_total += 1
            return False
        if not event.success:
            if event.error:
                self._note_limit(event.model, classify_text(event.error, at), at, now)
        elif self._book:
            self._note_success(event, at)
        if at <= cutoff:
            return False
        if name is not None:
            self._seen[name] = at
        if (series := self._series.get(event.model)) is None:
            series = self._series[event.model] = Series(self._width)
        series.add(at, self._sums(event), event)
        self._room -= 1
        if self._room < 0 or not self._tidied_at <= now < self._tidy_at:
            self._tidy(now)
        return True

    def record_batch(self, events: Iterable[CompletionEvent], now: datetime) -> int:
        """Takes in several. Tells how many count."""
        return sum([self.record(event, now) for event in events])

    def record_limit(self, model: str, verdict: Verdict, now: datetime) -> bool:
        """Takes in a limit that was not said in an error text (R-C9). Tells whether what is limited changed."""
        return self._note_limit(model, verdict, utc(now), utc(now))

    def model_performance(self, model: str, now: datetime) -> ModelPerformance:
        """How one model performs; all zero for one that nobody knows."""
        series, cutoff = self._series.get(model), self._cutoff(now)
        succeeded, failed, timed, latency_ns = unpack(series.within(cutoff) if series else NOTHING)
        last = series.last if series else cutoff
        limit = self._book.find(self._key(model), now, model)
        seconds = self._window.total_seconds()
        return ModelPerformance(
            model=model,
            successful_completions=succeeded,
            failed_completions=failed,
            window_secs=seconds,
            throughput=succeeded / seconds if seconds else 0.0,
            success_rate=succeeded / (succeeded + failed) if succeeded + failed else 0.0,
            avg_latency_ms=latency_ns / timed / NANOSECONDS_PER_MS if timed else None,
            last_event_at=last if last > cutoff else None,
            subscription_limit_reached=limit is not None,
            subscription_limit_expires_at=limit.until if limit else None,
        )

    def all_model_performances(self, now: datetime) -> list[ModelPerformance]:
        """How every known model performs, sorted by model (R-C8)."""
        return [self.model_performance(model, now) for model in self.known_models(now)]

    def known_models(self, now: datetime) -> list[str]:
        """Models with a completion in the window or a limit, sorted (R-T17)."""
        cutoff = self._cutoff(now)
        known = {model for model, series in self._series.items() if series.last > cutoff}
        if self._book:
            known.update(model for model in self._series if self.limit_of(model, now))
            known.update(limit.model for _, limit in self._book.limits(now) if limit.model)
        return sorted(known)

    def session_usage(self, session_id: str, now: datetime) -> SessionUsage:
        """What a session used in the window, failed completions included."""
        cutoff = self._cutoff(now)
        events = {model: list(series.session(session_id, cutoff)) for model, series in self._series.items()}
        by_model = {model: ModelUsage.of(found) for model, found in sorted(events.items()) if found}
        totals = ModelUsage.of(event for found in events.values() for event in found)
        return SessionUsage(session_id, cutoff, now, by_model, totals)

    def limit_of(self, model: str, now: datetime) -> Limit | None:
        """The limit that holds for a model."""
        return self._book.find(self._key(model), now, model)

    def limited_until(self, model: str, now: datetime) -> datetime | None:
        """Until when a model is limited; None when it is not."""
        return self._book.until(self._key(model), now, model)

    def export_summary(self, now: datetime) -> TelemetrySummary:
        """What must survive a restart."""
        cutoff = self._cutoff(now)
        return TelemetrySummary(
            window=self._window,
            exported_at=now,
            models={
                model: self._series[model].buckets(cutoff) if model in self._series else ()
                for model in self.known_models(now)
            },
            limits=tuple(self._book.limits(now)),
            streaks=dict(self._book.streaks),
        )

    def import_summary(self, summary: TelemetrySummary, now: datetime) -> None:
        """Takes in what was exported before. Doing it again changes nothing (R-T8, R-C22).

        A bucket from more than a window ahead was written by a broken clock and counts as one of now (R-T2).
        """
        cutoff, latest = self._cutoff(now), microseconds(now + self._span)
        for model, buckets in summary.models.items():
            series = self._series.setdefault(model, Series(self._width))
            for bucket in buckets:
                series.put(bucket if bucket.last <= latest else _of(bucket, now), cutoff)
        for key, limit in summary.limits:
            if limit.until > now:
                self._book.restore(key, limit)
        for inherited in summary.inherited:
            self._inherit(inherited, summary.exported_at, now)
        for key, streak in summary.streaks.items():
            self._book.restore_streak(key, streak)

    def _cutoff(self, now: datetime) -> datetime:
        """What is not after this has left the window (R-T1)."""
        return utc(now) - self._span

    def _sums(self, event: CompletionEvent) -> Sums:
        cost, latency = event.cost_usd, event.latency_ms
        if cost is not None and not 0 <= cost < DEAREST_USD:
            self.cost_rejected_total += 1
        if not event.success:
            return FAILED
        if latency is None:
            return SUCCEEDED
        if 0 < latency < _LONGEST_LATENCY_MS:
            return SUCCEEDED + TIMED + (int(latency * NANOSECONDS_PER_MS + 0.5) << LATENCY_SHIFT)
        if latency != 0:
            self.latency_rejected_total += 1
        return SUCCEEDED

    def _note_limit(self, model: str, verdict: Verdict | None, at: datetime, now: datetime) -> bool:
        return verdict is not None and self._book.set(self._key(model), verdict, at, now, model)

    def _note_success(self, event: CompletionEvent, at: datetime) -> None:
        latency = event.latency_ms or 0
        took = timedelta(milliseconds=latency) if 0 < latency < _LONGEST_LATENCY_MS else timedelta()
        self._book.succeeded(self._key(event.model), at - took, event.model, at)

    def _inherit(self, inherited: InheritedLimit, exported_at: datetime, now: datetime) -> None:
        set_at = min(exported_at, now)
        until = inherited.until or set_at + self._ttl
        if until > now:
            limit = Limit(EndClass.SUBSCRIPTION_LIMIT, set_at, until, Scope.QUOTA_GROUP, inherited.model, "inherited")
            self._book.restore(self._key(inherited.model), limit)

    def _tidy(self, now: datetime) -> None:
        """Keeps the store small. Rarely: the cost is shared by all records between."""
        if not self._tidied_at <= now < self._tidy_at:
            self._tidied_at, self._tidy_at = now, now + self._span / 4
            self._give_up(now)
        self._condense()

    def _give_up(self, now: datetime) -> None:
        """Drops what left the window a whole window ago."""
        horizon = now - 2 * self._span
        self._seen = {name: at for name, at in self._seen.items() if at > horizon}
        for model, series in list(self._series.items()):
            series.drop_before(horizon)
            if not series and not self.limit_of(model, now):
                del self._series[model]

    def _condense(self) -> None:
        """Makes room for a quarter of the most that may be kept, if there is none. The oldest slots go first."""
        exact = Counter[int]()
        for series in self._series.values():
            exact.update(series.exact())
        kept, enough = exact.total(), self._most * 3 // 4
        if kept > self._most:
            newest_first = sorted(exact, reverse=True)
            while kept > enough:
                index = newest_first.pop()
                kept -= exact[index]
                for series in self._series.values():
                    series.condense(index)
        self._room = self._most - kept
        if len(self._seen) > self._most:
            self._seen = dict(islice(self._seen.items(), len(self._seen) - enough, None))


def _of(bucket: Bucket, now: datetime) -> Bucket:
    """The bucket with its completions as ones of now (R-T2)."""
    return replace(bucket, first=microseconds(now), last=microseconds(now))
