"""What events have told about one route: telemetry, breakers, and the accounts of its live runs. Each record counts once.

Telemetry, runs and the sources' numbers are written together (`to_data`), so a crash loses or repeats nothing that was
acknowledged.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import orjson

from droveway.api.enums import Access
from droveway.api.v1alpha1 import ModelRouteSpec
from droveway.core.accounts import Signal
from droveway.core.breakers import Breakers
from droveway.core.canary import canary_of, mirror_of
from droveway.core.changes import Changes
from droveway.core.completion import CompletionEvent
from droveway.core.events import Batch, Record, RecordKind
from droveway.core.facts import RunFacts
from droveway.core.redaction import one_line
from droveway.core.sources import Sources, sidecar_source
from droveway.core.spend import SpendBook
from droveway.core.tally import AttemptTally, ModelTally, RunTally, use_of
from droveway.core.telemetry import TelemetryStore, TelemetrySummary
from droveway.core.trial import Trial
from droveway.core.verdict import Verdict

SUMMARY_KEY, RUNS_KEY, SOURCES_KEY, ROUTE_KEY = "telemetry_summary.json", "runs.json", "sources.json", "route.json"
ACCOUNTS_KEY = "accounts.json"
"""Beside the ledger's own keys: the accounts that the route uses, as of the same write."""
MOST_BYTES = 512 * 1024
MOST_COMPLETIONS = 8_192
"""Of one route, kept one by one: some 6 MiB. From 1.7 a second on, the oldest ones of an hour are kept by the minute."""
_TOKEN = 64  # characters of a reset's token in a message

IsLive = Callable[[str, str], bool]
"""Whether a run, by name and uid, is not over."""


class RouteLedger:
    """State of one route."""

    def __init__(self, spec: ModelRouteSpec, access: Mapping[str, Access], now: datetime) -> None:
        self.breakers = Breakers()
        self.sources = Sources()
        self.spend = SpendBook()
        self.reset_token = self.reset_by = ""
        self._spec: ModelRouteSpec | None = None
        self._window = timedelta(seconds=spec.telemetry.window_seconds)
        self.store = _store(self._window)
        self._runs: dict[str, RunTally] = {}
        self._refusals: dict[str, str] = {}
        self.canary, self.mirror = Trial(), Trial()
        self.configure(spec, access, now)

    def configure(self, spec: ModelRouteSpec, access: Mapping[str, Access], now: datetime) -> None:
        """Follows the manifest, and the access of its providers by name. What did not change keeps its state."""
        self._access = access
        if spec is self._spec:
            return
        self._spec = spec
        self.breakers.configure(spec)
        if self.canary.of != (tried := canary_of(spec)):
            self.canary = Trial(tried)
        if self.mirror.of != (tried := mirror_of(spec)):
            self.mirror = Trial(tried)
        window = timedelta(seconds=spec.telemetry.window_seconds)
        if window != self._window:
            summary = self.store.export_summary(now)
            self._window, self.store = window, _store(window)
            self.store.import_summary(summary, now)

    def apply(self, batch: Batch, now: datetime, is_live: IsLive) -> Changes:
        """Takes the records of a batch that are new."""
        changes, costs, latencies = Changes(), self.store.cost_rejected_total, self.store.latency_rejected_total
        for record in sorted(batch.records, key=lambda r: r.number):
            skipped = self.sources.take(batch.source, record.number, now)
            if skipped is None:
                changes.duplicates += 1
                continue
            changes.gaps += skipped
            changes.accepted += 1
            self._take(record, batch.source, now, is_live, changes)
        changes.costs_rejected = self.store.cost_rejected_total - costs
        changes.latencies_rejected = self.store.latency_rejected_total - latencies
        return changes

    def facts(self, run_uid: str, attempt: int | None = None) -> RunFacts:
        """What was told about a run; see `RunTally.facts`."""
        tally = self._runs.get(run_uid)
        return tally.facts(attempt) if tally else RunFacts()

    def runs(self) -> dict[str, str]:
        """Names of the runs that have an account, by uid."""
        return {uid: tally.name for uid, tally in self._runs.items()}

    def name_of(self, run_uid: str) -> str:
        """Name of a run that has an account; empty if it has none."""
        tally = self._runs.get(run_uid)
        return tally.name if tally else ""

    def adopt(self, run_uid: str, tally: RunTally) -> None:
        """Opens a run's account with a given state."""
        self._runs[run_uid] = tally

    def forget(self, run_uid: str) -> int:
        """Closes the account of a run that is over and written. Returns the drift of its tokens."""
        tally = self._runs.pop(run_uid, None)
        return tally.drift() if tally else 0

    def reset_breakers(self, token: str, by: str, now: datetime) -> Changes | None:
        """Closes all breakers by hand, once per token (R-B8).

        Args:
            token: tells one reset from another.
            by: who gave it, and when; may be empty.
            now: the time.

        Returns:
            The transitions; None when the token is known.
        """
        if not token or token == self.reset_token:
            return None
        self.reset_token, self.reset_by = token, by
        message = f"reset by hand with token {one_line(token, _TOKEN)}" + (f", set by {by}" if by else "")
        return Changes(transitions=self.breakers.reset(now, message))

    def _take(self, record: Record, source: str, now: datetime, is_live: IsLive, changes: Changes) -> None:
        at = min(record.at, now)
        changes.clamped += record.at > now
        by_sidecar = source == sidecar_source(record.run_uid, record.attempt)
        direct = self._access.get(record.provider, Access.GATEWAY) is Access.DIRECT
        tally = self._tally(record, is_live)
        if tally is None:
            changes.strays += 1
        else:
            changes.runs.add(record.run)
        if record.utilization and direct is by_sidecar:
            changes.utilization.append((record.provider, record.utilization))
        if record.kind is RecordKind.COMPLETION:
            if direct is by_sidecar:  # one counting source
                self._count(record, at, now, tally, changes, by_sidecar=by_sidecar)
        elif record.kind is RecordKind.REPORT and by_sidecar:
            self._hear(record, at, tally, changes, direct=direct)
        elif record.kind is RecordKind.MIRROR and not by_sidecar:
            self._watch(record, at, changes)
        elif record.kind is RecordKind.EXHAUSTED and not by_sidecar and tally:
            attempt = tally.attempt(record.attempt)
            attempt.exhausted, attempt.exhausted_at = record.verdict, at

    def _tally(self, record: Record, is_live: IsLive) -> RunTally | None:
        if not is_live(record.run, record.run_uid):
            return None
        tally = self._runs.get(record.run_uid)
        if tally is None:
            tally = self._runs[record.run_uid] = RunTally(record.run)
        return tally

    def _count(
        self, record: Record, at: datetime, now: datetime, tally: RunTally | None, changes: Changes, *, by_sidecar: bool
    ) -> None:
        """One upstream call ended: telemetry, breaker, account, run."""
        known = self.store.duplicates_total
        self.store.record(_completion(record, at), now)
        if self.store.duplicates_total > known:  # its source has forgotten its numbers, not its ids (R-T4)
            changes.duplicates += 1
            return
        started = record.started_at or at - timedelta(milliseconds=max(0.0, record.latency_ms or 0.0))
        self._try(record)
        if change := self.breakers.judge(record, started, now):
            changes.transitions.append((record.candidate, change))
        verdict = None if record.success else record.verdict
        if record.success or (verdict and not (by_sidecar and tally and _repeats(tally, record, verdict))):
            who = "sidecar" if by_sidecar else "gateway"
            changes.signals.append(Signal(record.provider, record.model, verdict, at, started, who))
        use = use_of(record)
        self.spend.add(use, at)
        if by_sidecar:
            self._add_direct(record, use, changes)
        if tally is None:
            return
        tally.count(record, by_agent=by_sidecar)
        if by_sidecar:
            tally.session_id = record.session_id or tally.session_id
        elif not record.aside:
            self._follow(tally, tally.attempt(record.attempt), record, at)

    def _watch(self, record: Record, at: datetime, changes: Changes) -> None:
        """A copy ended: its account has learnt something, the run has nothing to do with it."""
        changes.signals.append(
            Signal(record.provider, record.model, record.verdict, at, record.started_at or at, "gateway")
        )
        mirror = self._spec.mirror if self._spec else None
        known = self.breakers.target(record.candidate) == (record.provider, record.model)
        if mirror and mirror.candidate == record.candidate and known:
            self.mirror.tried.add(record)

    def _try(self, record: Record) -> None:
        """While a canary is tried, each side's calls are counted."""
        spec = self._spec
        if spec and spec.canary and self.breakers.target(record.candidate) == (record.provider, record.model):
            canary = record.candidate == spec.canary.candidate
            (self.canary.tried if canary else self.canary.stable).add(record)

    def _add_direct(self, record: Record, use: ModelTally, changes: Changes) -> None:
        """No gateway counts it. A sidecar could name any model; a candidate of the route has one."""
        account = (record.provider, record.model)
        known = account if self.breakers.target(record.candidate) == account else ("", "")
        changes.direct.setdefault(known, ModelTally()).add(use)

    def _follow(self, tally: RunTally, attempt: AttemptTally, record: Record, at: datetime) -> None:
        """Which candidate serves the attempt's requests, and why it is another one than before."""
        if not record.success:
            self._refusals[record.candidate] = _why(record)
            attempt.asked_first = attempt.asked_first or record.candidate
            return
        if attempt.exhausted_at and at > attempt.exhausted_at:
            attempt.exhausted = attempt.exhausted_at = None
        if attempt.served_at and at < attempt.served_at:
            return
        source = attempt.served_by or attempt.asked_first
        if source != record.candidate and (refusal := self._refusals.get(source)):
            tally.moved(at, source, record.candidate, refusal)
        attempt.served_by, attempt.served_at = record.candidate, at
        self._refusals.pop(record.candidate, None)

    def _hear(self, record: Record, at: datetime, tally: RunTally | None, changes: Changes, *, direct: bool) -> None:
        """What the CLI says. It may speak of limits only where nobody else sees them."""
        verdict = record.verdict
        if direct and verdict and not (tally and _repeats(tally, record, verdict)):
            changes.signals.append(Signal(record.provider, record.model, verdict, at, at, "sidecar"))
        if tally is None:
            return
        attempt = tally.attempt(record.attempt)
        attempt.stalled, attempt.reported = record.stalled, verdict
        tally.session_id = record.session_id or tally.session_id
        if record.final:
            attempt.final, attempt.exit_code, attempt.end_class = True, record.exit_code, record.end_class
            attempt.message = record.error or ""
            tally.result = record.result or tally.result
            if direct:
                rest = tally.settle(record)
                self.spend.add(rest, at)
                self._add_direct(record, rest, changes)
            elif record.completions:
                attempt.told = record.tokens.total

    def to_data(self, now: datetime) -> dict[str, str]:
        """Everything that must survive a restart, within `MOST_BYTES` as far as live runs let it be."""
        self.sources.prune(self._runs, now)
        data = self._render(now)
        if sum(len(text.encode()) for text in data.values()) <= MOST_BYTES:
            return data
        for tally in self._runs.values():
            tally.result = ""  # it is in its run's status by now
        self.sources.drop_sidecars(self._runs)
        return self._render(now)

    def _render(self, now: datetime) -> dict[str, str]:
        return {
            SUMMARY_KEY: self.store.export_summary(now).to_json().decode(),
            RUNS_KEY: _json({uid: tally.to_data() for uid, tally in self._runs.items()}),
            SOURCES_KEY: _json(self.sources.to_data()),
            ROUTE_KEY: _json(
                {
                    "reset_token": self.reset_token,
                    "refusals": self._refusals,
                    "breakers": self.breakers.snapshot(),
                    "spend": self.spend.to_data(),
                    "canary": self.canary.to_data(),
                    "mirror": self.mirror.to_data(),
                }
            ),
        }

    def load(self, data: Mapping[str, str], now: datetime) -> None:
        """Goes on from what `to_data` wrote.

        Raises:
            ValueError: something is broken or of an unknown version (R-T18). Then nothing was taken over.
        """
        try:
            summary = TelemetrySummary.from_json(data[SUMMARY_KEY].encode())
            runs = {uid: RunTally.from_data(tally) for uid, tally in orjson.loads(data[RUNS_KEY]).items()}
            sources = Sources.from_data(orjson.loads(data[SOURCES_KEY]))
            route = orjson.loads(data[ROUTE_KEY])
            token, refusals = str(route["reset_token"]), dict(route["refusals"])
            spend = SpendBook.from_data(route.get("spend") or {})
            for tally in runs.values():
                tally.facts()  # what can be told is whole
            canary, mirror = (
                Trial.from_data(route[name]) if name in route else Trial() for name in ("canary", "mirror")
            )
            self.breakers.put_back(route.get("breakers") or {})
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise ValueError(f"not a ledger: {error!r}") from error
        self.store = _store(self._window)
        self.store.import_summary(summary, now)
        self.canary = canary if canary.of == self.canary.of else self.canary
        self.mirror = mirror if mirror.of == self.mirror.of else self.mirror
        self.sources, self._runs, self.reset_token, self._refusals = sources, runs, token, refusals
        self.spend = spend


def _store(window: timedelta) -> TelemetryStore:
    return TelemetryStore(window, most_completions=MOST_COMPLETIONS)


def _completion(record: Record, at: datetime) -> CompletionEvent:
    """As telemetry counts it. Without the error: what it means for the quota is the verdict's to say."""
    return CompletionEvent(
        model=f"{record.provider}/{record.model}",
        session_id=record.session_id,
        completed_at=at,
        latency_ms=record.latency_ms,
        success=record.success,
        tokens=record.tokens,
        cost_usd=record.cost_usd,
        id=record.id,
    )


def _why(record: Record) -> str:
    verdict = record.verdict
    if verdict is None:
        return f"{record.candidate} failed"
    until = f" until {verdict.until:%H:%MZ}" if verdict.until else ""
    return f"{record.candidate} {verdict.kind}{until}"


def _repeats(tally: RunTally, record: Record, verdict: Verdict) -> bool:
    """A sidecar says its verdict again in every report; that is one observation."""
    attempt = tally.attempt(record.attempt)
    known, attempt.limit_told = attempt.limit_told, verdict
    return known == verdict


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
