"""The choice among a route's candidates. The operator asks it for a run, the gateway for a request.

Hard filters first: what is limited, open or unfit is *not eligible*, never just worse. Then the strategy ranks what is left.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from droveway.api.enums import Strategy
from droveway.core.ranking import RECOVERING, CandidateView, Preference, Ranked, numbers, rank

CIRCUIT_OPEN = "CircuitOpen"
NO_FREE_SLOT = "NoFreeSlot"
NOT_PREFERRED = "NotPreferred"


@dataclass(frozen=True, slots=True)
class Objection:
    """Why a candidate was not chosen, and when that ends by itself."""

    candidate: str
    reason: str
    message: str = ""
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen, why, what was not, and when another look pays.

    Attributes:
        candidate: the first of the ranking; None: nothing is eligible.
        reason: one sentence for people.
        ranking: what is eligible, best first, with the numbers behind it.
        rejected: every other candidate, with its reason.
        eligible_at: nothing eligible: the earliest moment at which something may be. None: only a person can change it.
    """

    candidate: CandidateView | None
    reason: str
    ranking: tuple[Ranked, ...] = ()
    rejected: tuple[Objection, ...] = ()
    eligible_at: datetime | None = None


def is_not_ready(c: CandidateView, now: datetime) -> Objection | None:
    """Somebody has to act."""
    del now
    return Objection(c.name, *c.not_ready) if c.not_ready else None


def is_withheld(c: CandidateView, now: datetime) -> Objection | None:
    """Its route gives it no work."""
    del now
    return Objection(c.name, *c.withheld) if c.withheld else None


def is_unfit(c: CandidateView, now: datetime) -> Objection | None:
    """It cannot serve this run or request."""
    del now
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
    del now
    if c.circuit_allows:
        return None
    until = f" until {c.circuit_until:%Y-%m-%dT%H:%M:%SZ}" if c.circuit_until else ""
    return Objection(
        c.name, CIRCUIT_OPEN, f"{c.provider}/{c.model} failed repeatedly; left alone{until}", c.circuit_until
    )


def is_recovering(c: CandidateView, now: datetime) -> Objection | None:
    """Its limit is over, and another one finds out whether that is true."""
    if c.recovering_until is None or c.recovering_until <= now:
        return None
    message = f"{c.provider} has just come back from a limit; one tries it first, the others follow"
    return Objection(c.name, RECOVERING, message, c.recovering_until)


OBJECTIONS: tuple[Callable[[CandidateView, datetime], Objection | None], ...] = (
    is_withheld,
    is_not_ready,
    is_unfit,
    is_limited,
    is_open,
)


def first_objection(c: CandidateView, now: datetime) -> Objection | None:
    """The first reason that speaks against a candidate."""
    return next((found for rule in OBJECTIONS if (found := rule(c, now))), None)


def choose(candidates: Sequence[CandidateView], prefer: Preference, now: datetime) -> Choice:
    """Chooses among candidates, in the order of the route's list."""
    objections = [(c, _objection(c, prefer, now)) for c in candidates]
    rejected = tuple(o for _, o in objections if o)
    ranking = rank([c for c, o in objections if not o], prefer, now)
    if not ranking:
        waits = [o.until for o in rejected if o.until]
        return Choice(None, _why_none(rejected), (), rejected, min(waits, default=None))
    best = ranking[0]
    others = tuple(Objection(r.candidate.name, *_why_not(r, best, prefer.strategy)) for r in ranking[1:])
    return Choice(best.candidate, _why(best, prefer, rejected), ranking, (*rejected, *others))


def _objection(c: CandidateView, prefer: Preference, now: datetime) -> Objection | None:
    if c.name in prefer.tried:
        return Objection(c.name, "Tried", "refused this request")
    if prefer.stay and prefer.sticky and c.name != prefer.sticky:
        return Objection(c.name, "WaitingForAnother", f"onLimit: Wait keeps the run on {prefer.sticky}")
    return first_objection(c, now) or (is_recovering(c, now) if prefer.patient else None)


def _why_not(other: Ranked, best: Ranked, strategy: Strategy) -> tuple[str, str]:
    first = f"{strategy.value} ranks {best.candidate.name} first"
    return other.held_back or NOT_PREFERRED, f"{first} ({numbers(best, strategy)}), this: {numbers(other, strategy)}"


def _why(best: Ranked, prefer: Preference, rejected: Sequence[Objection]) -> str:
    how = {
        Strategy.PRIORITY: "first by priority",
        Strategy.WEIGHTED: "drawn by weight",
        Strategy.LOWEST_LATENCY: "lowest latency",
        Strategy.LOWEST_COST: "lowest cost",
    }[prefer.strategy]
    if best.drawn and not best.held_back:
        how = f"canary for {best.candidate.canary_percent} % of the new sessions"
    measured = prefer.strategy in (Strategy.LOWEST_LATENCY, Strategy.LOWEST_COST)
    how += f" ({numbers(best, prefer.strategy)})" if measured or best.held_back else ""
    if not rejected:
        return f"{how} of all candidates"
    return f"{how} of what is eligible; not: " + ", ".join(f"{o.candidate} ({o.reason})" for o in rejected)


def _why_none(rejected: Sequence[Objection]) -> str:
    return "no candidate is eligible: " + ", ".join(f"{o.candidate} ({o.reason})" for o in rejected)
