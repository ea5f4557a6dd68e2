"""What events have told about one run so far, in whole numbers: sums that do not depend on the order of what is added."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from droveway.api.enums import CostSource, EndClass
from droveway.api.v1alpha1 import Usage
from droveway.api.v1alpha1.agentrun import AttemptUsage, ModelUsage
from droveway.api.v1alpha1.modelroute import TokensStatus
from droveway.core.completion import DEAREST_USD, TokenBreakdown
from droveway.core.events import TOKEN_FIELDS, Record
from droveway.core.facts import AttemptFacts, RequestReroute, RunFacts
from droveway.core.verdict import Scope, Verdict

NANO = 1_000_000_000
_REROUTES = 10  # as many as a status keeps
_MODELS = 16
_MOST = 2**53 - 1  # what a JSON number holds exactly; the bound of the schema


@dataclass(slots=True)
class ModelTally:
    """Use of one model. `completions` counts every call that ended, `failures` those of them that failed.

    `cost` is in billionths of a US dollar; None while no call had a price. `unpriced` calls used tokens and had none.
    """

    tokens: list[int] = field(default_factory=lambda: [0] * len(TOKEN_FIELDS))
    cost: int | None = None
    completions: int = 0
    failures: int = 0
    unpriced: int = 0

    def add(self, more: "ModelTally") -> None:
        """Adds calls."""
        self.tokens = [min(a + b, _MOST) for a, b in zip(self.tokens, more.tokens, strict=True)]
        if more.cost is not None:
            self.cost = min((self.cost or 0) + more.cost, _MOST)
        self.completions = min(self.completions + more.completions, _MOST)
        self.failures += more.failures
        self.unpriced += more.unpriced


@dataclass(slots=True)
class AttemptTally:
    """What is known of one attempt; the counts are what the counting source told, `told` is the sidecar's own sum."""

    exhausted: Verdict | None = None
    exhausted_at: datetime | None = None
    reported: Verdict | None = None
    limit_told: Verdict | None = None
    stalled: bool = False
    final: bool = False
    exit_code: int | None = None
    end_class: EndClass | None = None
    message: str = ""
    counted: ModelTally = field(default_factory=ModelTally)
    told: int | None = None
    asked_first: str = ""
    served_by: str = ""
    served_at: datetime | None = None

    def facts(self) -> AttemptFacts:
        """As decisions see it."""
        return AttemptFacts(
            self.exhausted,
            self.reported,
            self.stalled,
            self.final,
            self.exit_code,
            self.end_class,
            self.message,
            AttemptUsage(
                tokens=_tokens_status(self.counted.tokens),
                cost_usd=dollars(self.counted.cost),
                completions=self.counted.completions,
                failures=self.counted.failures,
            ),
        )

    def to_data(self) -> dict[str, Any]:
        """As JSON values; what is at its default is left out."""
        counted = self.counted
        data = {
            "exhausted": verdict_data(self.exhausted),
            "exhausted_at": time_data(self.exhausted_at),
            "reported": verdict_data(self.reported),
            "limit_told": verdict_data(self.limit_told),
            "stalled": self.stalled or None,
            "final": self.final or None,
            "exit_code": self.exit_code,
            "end_class": self.end_class,
            "message": self.message or None,
            "counted": [counted.tokens, counted.cost, counted.completions, counted.failures, counted.unpriced],
            "told": self.told,
            "asked_first": self.asked_first or None,
            "served_by": self.served_by or None,
            "served_at": time_data(self.served_at),
        }
        return {name: value for name, value in data.items() if value is not None}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "AttemptTally":
        """What `to_data` wrote."""
        return cls(**{name: _PARSERS[name](value) if name in _PARSERS else value for name, value in data.items()})


@dataclass(slots=True)
class RunTally:
    """Everything that events have told about one run.

    Attributes:
        models: use by (provider, model).
        priced: who gave costs: price lists (gateways) and the CLIs of Direct attempts (sidecars).
        unpriced: calls that used tokens, and whose cost is in no sum.
    """

    name: str
    models: dict[tuple[str, str], ModelTally] = field(default_factory=dict)
    attempts: dict[int, AttemptTally] = field(default_factory=dict)
    reroutes: list[RequestReroute] = field(default_factory=list)
    priced: set[CostSource] = field(default_factory=set)
    unpriced: int = 0
    session_id: str = ""
    result: str = ""

    def attempt(self, number: int) -> AttemptTally:
        """The tally of an attempt."""
        return self.attempts.setdefault(number, AttemptTally())

    def count(self, record: Record, *, by_agent: bool) -> None:
        """One call has ended."""
        self._add(record, use_of(record), by_agent=by_agent)

    def settle(self, final: Record) -> ModelTally:
        """Takes the totals of a Direct attempt's last record for what never arrived one by one; returns that."""
        counted = self.attempt(final.attempt).counted
        missing = [max(0, a - b) for a, b in zip(_tokens(final.tokens), counted.tokens, strict=True)]
        told = nano_dollars(final.cost_usd)
        cost = None if told is None or told <= (counted.cost or 0) else told - (counted.cost or 0)
        late = ModelTally(missing, cost, max(0, final.completions - counted.completions))
        if told:  # of the whole attempt, whatever its calls have told
            self.unpriced -= counted.unpriced
            counted.unpriced = 0
        elif missing[0]:
            late.unpriced = late.completions
        if late != ModelTally():
            self._add(final, late, by_agent=True)
        return late

    def moved(self, at: datetime, source: str, target: str, reason: str) -> None:
        """The gateway moved the run's requests."""
        self.reroutes = [*self.reroutes, RequestReroute(at, source, target, reason)][-_REROUTES:]

    def drift(self) -> int:
        """Tokens by which the sidecars' sums differ from what was counted, over the attempts that have ended."""
        return sum(abs(a.told - a.counted.tokens[0]) for a in self.attempts.values() if a.told is not None)

    def facts(self, attempt: int | None = None) -> RunFacts:
        """As decisions see it; `served_by` is that of the attempt, by default of the latest one known."""
        latest = self.attempts.get(max(self.attempts, default=0) if attempt is None else attempt)
        return RunFacts(
            usage=self._usage(),
            session_id=self.session_id,
            result=self.result,
            attempts={number: tally.facts() for number, tally in self.attempts.items()},
            reroutes=tuple(self.reroutes),
            served_by=latest.served_by if latest else "",
        )

    def adopt(self, usage: Usage) -> None:
        """Goes on from what a status says, because the books are lost."""
        for m in usage.by_model:
            tokens = [getattr(m.tokens, name) for name in TOKEN_FIELDS]
            cost = nano_dollars(float(m.cost_usd)) if m.cost_usd is not None else None
            self.models[m.provider, m.model] = ModelTally(tokens, cost, m.completions, m.failures)
        self.priced |= {usage.cost_source} - {CostSource.UNKNOWN}
        self.unpriced = usage.unpriced_completions

    def _add(self, record: Record, use: ModelTally, *, by_agent: bool) -> None:
        key = (record.provider[:253], record.model[:256])
        if key not in self.models and len(self.models) >= _MODELS:
            key = next(reversed(self.models))  # the schema's bound; sums stay right
        self.models.setdefault(key, ModelTally()).add(use)
        self.attempt(record.attempt).counted.add(use)
        self.unpriced += use.unpriced
        if use.cost is not None:
            self.priced.add(CostSource.REPORTED if by_agent else CostSource.PRICED)

    def _usage(self) -> Usage:
        total = ModelTally()
        for tally in self.models.values():
            total.add(tally)
        return Usage(
            tokens=_tokens_status(total.tokens),
            cost_usd=dollars(total.cost),
            cost_source=_weakest(self.priced),
            unpriced_completions=self.unpriced,
            completions=total.completions,
            by_model=[
                ModelUsage(
                    model=model,
                    provider=provider,
                    tokens=_tokens_status(tally.tokens),
                    cost_usd=dollars(tally.cost),
                    completions=tally.completions,
                    failures=tally.failures,
                )
                for (provider, model), tally in sorted(self.models.items())
            ],
        )

    def to_data(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "name": self.name,
            "models": [[*key, t.tokens, t.cost, t.completions, t.failures] for key, t in self.models.items()],
            "attempts": {str(number): tally.to_data() for number, tally in self.attempts.items()},
            "reroutes": [[r.at.isoformat(), r.source, r.target, r.reason] for r in self.reroutes],
            "priced": sorted(self.priced),
            "unpriced": self.unpriced,
            "session_id": self.session_id,
            "result": self.result,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "RunTally":
        """What `to_data` wrote."""
        return cls(
            name=data["name"],
            models={(provider, model): ModelTally(*rest) for provider, model, *rest in data["models"]},
            attempts={int(number): AttemptTally.from_data(a) for number, a in data["attempts"].items()},
            reroutes=[RequestReroute(datetime.fromisoformat(at), *rest) for at, *rest in data["reroutes"]],
            priced={CostSource(source) for source in data["priced"]},
            unpriced=data["unpriced"],
            session_id=data["session_id"],
            result=data["result"],
        )


def use_of(record: Record) -> ModelTally:
    """What one call used."""
    tokens, cost = _tokens(record.tokens), nano_dollars(record.cost_usd)
    return ModelTally(tokens, cost, 1, 0 if record.success else 1, 1 if tokens[0] and cost is None else 0)


def _weakest(sources: set[CostSource]) -> CostSource:
    """Of a sum: it is only called reported when all of it was."""
    if not sources:
        return CostSource.UNKNOWN
    return CostSource.PRICED if CostSource.PRICED in sources else CostSource.REPORTED


def nano_dollars(cost_usd: float | None) -> int | None:
    """Billionths of a US dollar; None for what is no price (R-T12)."""
    if cost_usd is None or not 0 <= cost_usd < DEAREST_USD:
        return None
    return min(round(cost_usd * NANO), _MOST)


def dollars(nano: int | None) -> str | None:
    """A decimal string of US dollars, without trailing zeros."""
    if nano is None:
        return None
    whole, rest = divmod(nano, NANO)
    return f"{whole}.{rest:09d}".rstrip("0").rstrip(".")


def verdict_data(verdict: Verdict | None) -> list[str | None] | None:
    """A verdict as JSON values."""
    return [verdict.kind, time_data(verdict.until), verdict.scope, verdict.reason] if verdict else None


def verdict_from(data: list[Any]) -> Verdict:
    """What `verdict_data` wrote of one."""
    kind, until, scope, reason = data
    return Verdict(EndClass(kind), time_from(until), Scope(scope), reason)


def time_data(at: datetime | None) -> str | None:
    """A time as text."""
    return at.isoformat() if at else None


def time_from(text: str | None) -> datetime | None:
    """What `time_data` wrote."""
    return datetime.fromisoformat(text) if text else None


_PARSERS: dict[str, Callable[[Any], Any]] = {
    "exhausted": verdict_from,
    "exhausted_at": time_from,
    "reported": verdict_from,
    "limit_told": verdict_from,
    "end_class": EndClass,
    "counted": lambda values: ModelTally(*values),
    "served_at": time_from,
}


def _tokens(tokens: TokenBreakdown) -> list[int]:
    return [max(0, int(getattr(tokens, name))) for name in TOKEN_FIELDS]


def _tokens_status(tokens: list[int]) -> TokensStatus:
    return TokensStatus(**dict(zip(TOKEN_FIELDS, tokens, strict=True)))
