"""The choice among a route's candidates. The operator asks it for a run, the gateway for a request.

Hard filters first: what is limited, open or unfit is *not eligible*, never just worse. Then the strategy ranks what is left.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from droveway.api.enums import Access, Dialect, Strategy

CIRCUIT_OPEN = "CircuitOpen"
NO_FREE_SLOT = "NoFreeSlot"

_NEUTRAL_LATENCY_MS = 2_000.0  # rank of a candidate that nobody has timed yet (R-T11)


@dataclass(frozen=True, slots=True)
class CandidateView:
    """One candidate as it stands now.

    Attributes:
        limited_until: its quota is spent until then.
        circuit_allows: whether its breaker lets a request or run through now.
        circuit_until: when an open breaker turns half-open.
        not_ready: why its provider cannot be used at all (missing, no key, refused login), or empty.
        unfit: why it cannot serve *this* run or request (dialect, agent, no free slot), or empty.
        samples, succeeded: completions in the window, for the success rate (R-T13).
        latency_ms: mean, None when nobody timed it or the telemetry is stale.
        price: US dollars per million tokens of a typical mix, None when unknown.
    """

    name: str
    provider: str
    model: str
    dialect: Dialect
    access: Access
    priority: int = 0
    weight: int = 1
    limited_until: datetime | None = None
    limit_kind: str = ""
    circuit_allows: bool = True
    circuit_until: datetime | None = None
    not_ready: tuple[str, str] | None = None
    unfit: tuple[str, str] | None = None
    samples: int = 0
    succeeded: int = 0
    latency_ms: float | None = None
    price: float | None = None

    @property
    def expected_success(self) -> float:
        """(ok + 1) / (n + 2): no data is 0.5 (R-T13)."""
        return (self.succeeded + 1) / (self.samples + 2)


@dataclass(frozen=True, slots=True)
class Objection:
    """Why a candidate was not chosen, and when that ends by itself."""

    candidate: str
    reason: str
    message: str = ""
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen, why, what was not, and when another look pays."""

    candidate: CandidateView | None
    reason: str
    rejected: tuple[Objection, ...] = ()
    eligible_at: datetime | None = None
    """Nothing eligible: the earliest moment at which something may be. None: only a person can change it."""


def is_not_ready(c: CandidateView, now: datetime) -> Objection | None:
    """The provider cannot be used: somebody must act."""
    return Objection(c.name, *c.not_ready) if c.not_ready else None


def is_unfit(c: CandidateView, now: datetime) -> Objection | None:
    """It cannot serve this run or request."""
    return Objection(c.name, *c.unfit) if c.unfit else None


def is_limited(c: CandidateView, now: datetime) -> Objection | None:
    """Its quota is spent. Limited is not eligible."""
    if c.limited_until is None or c.limited_until <= now:
        return None
    return Objection(
        c.name,
        c.limit_kind or "Limited",
        f"{c.provider} is limited until {c.limited_until:%Y-%m-%dT%H:%M:%SZ}",
        c.limited_until,
    )


def is_open(c: CandidateView, now: datetime) -> Objection | None:
    """Its breaker is open, or half-open with all probes taken."""
    if c.circuit_allows:
        return None
    until = f" until {c.circuit_until:%Y-%m-%dT%H:%M:%SZ}" if c.circuit_until else ""
    return Objection(
        c.name, CIRCUIT_OPEN, f"{c.provider}/{c.model} failed repeatedly; left alone{until}", c.circuit_until
    )


OBJECTIONS: tuple[Callable[[CandidateView, datetime], Objection | None], ...] = (
    is_not_ready,
    is_unfit,
    is_limited,
    is_open,
)


def first_objection(c: CandidateView, now: datetime) -> Objection | None:
    """The first reason that speaks against a candidate."""
    return next((found for rule in OBJECTIONS if (found := rule(c, now))), None)


@dataclass(frozen=True, slots=True)
class Preference:
    """What the ranking may take into account.

    Attributes:
        strategy: the route's.
        dice: a number in [0, 1) that the caller drew; only Weighted looks at it.
        sticky: the candidate that this run is on already; Weighted stays there.
        tried: candidates that this request has already been refused by.
        stay: nothing but the sticky candidate will do (`onLimit: Wait`).
    """

    strategy: Strategy = Strategy.PRIORITY
    dice: float = 0.0
    sticky: str | None = None
    tried: frozenset[str] = field(default_factory=frozenset)
    stay: bool = False


def choose(candidates: Sequence[CandidateView], prefer: Preference, now: datetime) -> Choice:
    """Chooses among candidates, in the order of the route's list."""
    rejected: list[Objection] = []
    eligible: list[CandidateView] = []
    for c in candidates:
        if c.name in prefer.tried:
            rejected.append(Objection(c.name, "Tried", "refused this request"))
        elif prefer.stay and prefer.sticky and c.name != prefer.sticky:
            rejected.append(Objection(c.name, "WaitingForAnother", f"onLimit: Wait keeps the run on {prefer.sticky}"))
        elif found := first_objection(c, now):
            rejected.append(found)
        else:
            eligible.append(c)
    if not eligible:
        waits = [o.until for o in rejected if o.until]
        return Choice(None, _why_none(rejected), tuple(rejected), min(waits, default=None))
    ranked = _rank(eligible, prefer)
    best = ranked[0]
    others = tuple(
        Objection(c.name, "NotPreferred", f"{prefer.strategy.value} ranks {best.name} first") for c in ranked[1:]
    )
    return Choice(best, _why(best, prefer, rejected), (*rejected, *others))


def _rank(eligible: list[CandidateView], prefer: Preference) -> list[CandidateView]:
    match prefer.strategy:
        case Strategy.PRIORITY:
            return sorted(eligible, key=lambda c: c.priority)
        case Strategy.LOWEST_LATENCY:
            return sorted(
                eligible, key=lambda c: ((c.latency_ms or _NEUTRAL_LATENCY_MS) / c.expected_success, c.priority)
            )
        case Strategy.LOWEST_COST:
            return sorted(eligible, key=lambda c: (c.price is None, (c.price or 0.0) / c.expected_success, c.priority))
        case Strategy.WEIGHTED:
            return _by_weight(eligible, prefer)


def _by_weight(eligible: list[CandidateView], prefer: Preference) -> list[CandidateView]:
    stay = [c for c in eligible if c.name == prefer.sticky]
    if stay:
        return stay + [c for c in eligible if c not in stay]
    total = sum(c.weight for c in eligible)
    mark = prefer.dice * total
    for c in eligible:
        mark -= c.weight
        if mark < 0:
            return [c] + [o for o in eligible if o is not c]
    return sorted(eligible, key=lambda c: -c.weight)


def _why(best: CandidateView, prefer: Preference, rejected: list[Objection]) -> str:
    how = {
        Strategy.PRIORITY: "first by priority",
        Strategy.WEIGHTED: "drawn by weight",
        Strategy.LOWEST_LATENCY: "lowest latency",
        Strategy.LOWEST_COST: "lowest cost",
    }[prefer.strategy]
    if not rejected:
        return f"{how} of all candidates"
    return f"{how} of what is eligible; not: " + ", ".join(f"{o.candidate} ({o.reason})" for o in rejected)


def _why_none(rejected: list[Objection]) -> str:
    return "no candidate is eligible: " + ", ".join(f"{o.candidate} ({o.reason})" for o in rejected)
