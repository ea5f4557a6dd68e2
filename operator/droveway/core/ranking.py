"""How a route's strategy orders what is eligible. Lower numbers come first, everywhere.

An order is a function of the candidates and the session's key alone: a session finds its candidate again (prompt caches live
there), and many sessions share the candidates by weight.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import inf, log
from statistics import fmean

from droveway.api.enums import Access, Dialect, Strategy
from droveway.core.draw import drawn

DRAINING = "Draining"
RECOVERING = "Recovering"
RAMPING = "Ramping"
CANARY = "Canary"
JUST_FAILED = "JustFailed"

_ALL = 100
_TIE = 1.1  # a tenth better is not better: measured values wander, and a session that moves pays for its prompt again


@dataclass(frozen=True, slots=True)
class CandidateView:
    """One candidate as it stands now.

    Attributes:
        limited_until: its quota is spent until then.
        recovering_until: its limit is over, somebody tries it first, and nobody else should follow before that time.
        circuit_allows: whether its breaker lets a request or run through now.
        circuit_until: when an open breaker turns half-open.
        not_ready: why its provider cannot be used at all (missing, no key, refused login), or empty.
        unfit: why it cannot serve *this* run or request (dialect, agent, no free slot), or empty.
        samples, succeeded: completions in the window, for the success rate (R-T13).
        latency_ms: mean, None when nobody timed it or the telemetry is stale.
        price: US dollars per million tokens of a typical mix, None when unknown.
        used_percent: how much of its fullest quota window is used, None when nobody told.
        drain_percent: from there on it takes no new session.
        share_percent: of the sessions, while it comes back after an outage or a limit.
        share_since: since when it comes back; None: all of it is there.
        share_until: when its share grows by itself.
        canary_percent: of the sessions, which it gets before any other; None: it is no canary.
        withheld: why its route gives it no work at all (a mirror, a canary that was rolled back), or empty.
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
    recovering_until: datetime | None = None
    circuit_allows: bool = True
    circuit_until: datetime | None = None
    not_ready: tuple[str, str] | None = None
    unfit: tuple[str, str] | None = None
    samples: int = 0
    succeeded: int = 0
    latency_ms: float | None = None
    price: float | None = None
    used_percent: int | None = None
    drain_percent: int = 90
    share_percent: int = 100
    share_since: datetime | None = None
    share_until: datetime | None = None
    canary_percent: int | None = None
    withheld: tuple[str, str] | None = None

    @property
    def expected_success(self) -> float:
        """(ok + 1) / (n + 2): no data is 0.5 (R-T13)."""
        return (self.succeeded + 1) / (self.samples + 2)


@dataclass(frozen=True, slots=True)
class Ranked:
    """An eligible candidate's place, and the numbers behind it.

    Attributes:
        candidate: whose place it is.
        score: what the strategy compares: the priority, the session's draw by weight, expected milliseconds per success, or
            expected dollars per million tokens that succeed.
        held_back: why it comes after all others whatever its score (`Draining`, `Recovering`, `Ramping`, `Canary`,
            `JustFailed`), else "".
        drawn: the session is one of the canary's, so it comes before all others whatever its score.
    """

    candidate: CandidateView
    score: float
    held_back: str = ""
    drawn: bool = False


@dataclass(frozen=True, slots=True)
class Preference:
    """Who asks, and what the ranking may take into account.

    Attributes:
        strategy: the route's.
        key: of the session: the same key draws the same order.
        session: what shares are drawn by, where that is not the key; nobody in particular is within no share.
        sticky: the candidate that the session is on already; it wins ties, and is not left because it drains.
        failed: the candidate whose outage ended the session's last attempt; any other is better.
        tried: candidates that this request has already been refused by.
        stay: nothing but the sticky candidate will do (`onLimit: Wait`).
        patient: it can wait, and does rather than follow others onto a candidate that has just come back from a limit.
    """

    strategy: Strategy = Strategy.PRIORITY
    key: str = ""
    session: str = ""
    sticky: str | None = None
    failed: str | None = None
    tried: frozenset[str] = field(default_factory=frozenset)
    stay: bool = False
    patient: bool = False


def rank(eligible: Sequence[CandidateView], prefer: Preference, now: datetime) -> tuple[Ranked, ...]:
    """The eligible candidates, given in the order of the route's list, best first."""
    neutral = _neutral(eligible, prefer.strategy)
    ranked = [
        Ranked(c, _score(c, prefer, neutral), held_back(c, prefer, now), _is_canary_s(c, prefer)) for c in eligible
    ]
    free = [r for r in ranked if not r.held_back] or ranked
    best = min((r.score for r in free), default=inf)
    return tuple(sorted(ranked, key=lambda r: _place(r, prefer, best)))


def numbers(ranked: Ranked, strategy: Strategy) -> str:
    """What placed a candidate, for people."""
    c, success = ranked.candidate, f"{ranked.candidate.expected_success:.0%} expected success"
    held = f"; {in_words(c, ranked.held_back)}" if ranked.held_back else ""
    match strategy:
        case Strategy.PRIORITY:
            return f"priority {c.priority}{held}"
        case Strategy.WEIGHTED:
            return f"weight {c.weight}{held}"
        case Strategy.LOWEST_LATENCY:
            return f"{_known(c.latency_ms, '{:.0f} ms')}, {success}{held}"
        case Strategy.LOWEST_COST:
            return f"{_known(c.price, '${:.2f} per million tokens')}, {success}{held}"


_WORDS = {
    DRAINING: "takes no new session, {0.used_percent} % of its quota is used",
    RECOVERING: "has just come back from a limit, one tries it first",
    RAMPING: "is coming back, takes {0.share_percent} % of the sessions",
    CANARY: "is a canary, takes {0.canary_percent} % of the new sessions",
    JUST_FAILED: "its outage ended the last attempt",
}


def in_words(c: CandidateView, reason: str) -> str:
    """Why a candidate is held back, for people."""
    return _WORDS[reason].format(c)


def _known(value: float | None, form: str) -> str:
    return "no data" if value is None else form.format(value)


def _neutral(eligible: Sequence[CandidateView], strategy: Strategy) -> float:
    """What stands in for a number that nobody knows: the mean of the known ones, so that it neither attracts nor repels."""
    known = [value for c in eligible if (value := _measured(c, strategy)) is not None]
    return fmean(known) if known else 1.0


def _measured(c: CandidateView, strategy: Strategy) -> float | None:
    return c.latency_ms if strategy is Strategy.LOWEST_LATENCY else c.price


def _score(c: CandidateView, prefer: Preference, neutral: float) -> float:
    match prefer.strategy:
        case Strategy.PRIORITY:
            return c.priority
        case Strategy.WEIGHTED:
            return _draw(c, prefer.key)
        case Strategy.LOWEST_LATENCY | Strategy.LOWEST_COST:
            value = _measured(c, prefer.strategy)
            return (neutral if value is None else value) / c.expected_success


def _draw(c: CandidateView, key: str) -> float:
    """The session's draw: over many keys a candidate's is the smallest in proportion to its weight (rendezvous hashing).

    Who leaves or joins the candidates moves only the sessions that it wins or loses.
    """
    if not c.weight:
        return inf
    digest = hashlib.sha256(f"{key}\0{c.name}".encode()).digest()
    return -log((int.from_bytes(digest[:8], "big") + 1) / 2**64) / c.weight


def held_back(c: CandidateView, prefer: Preference, now: datetime) -> str:
    """Why a candidate should get no new work while another one can do it; "" when it may."""
    if c.name == prefer.failed:
        return JUST_FAILED
    if c.recovering_until and c.recovering_until > now:
        return RECOVERING
    if c.share_percent < _ALL and not _within(c.share_percent, RAMPING, c, prefer):
        return RAMPING
    if c.canary_percent is not None and c.canary_percent < _ALL and not _is_canary_s(c, prefer):
        return CANARY
    full = c.used_percent is not None and c.used_percent >= c.drain_percent
    return DRAINING if full and c.drain_percent < 100 and c.name != prefer.sticky else ""


def _is_canary_s(c: CandidateView, prefer: Preference) -> bool:
    """Whether a session is one of the canary's. It stays on the side on which it is."""
    if c.canary_percent is None:
        return False
    if prefer.sticky:
        return prefer.sticky == c.name
    return _within(c.canary_percent, CANARY, c, prefer)


def _within(percent: int, kind: str, c: CandidateView, prefer: Preference) -> bool:
    session = prefer.session or prefer.key
    return bool(session) and drawn(percent, kind, c.name, session)


def _place(ranked: Ranked, prefer: Preference, best: float) -> tuple[object, ...]:
    """Held back or not, the canary's or not, then the strategy's score, then ties: where the session is, then priority and draw.

    Candidates of equal priority keep the list's order under `Priority`, which sorting leaves as it is.
    """
    c, held, moves = (
        ranked.candidate,
        (bool(ranked.held_back), not ranked.drawn),
        ranked.candidate.name != prefer.sticky,
    )
    match prefer.strategy:
        case Strategy.PRIORITY:
            return held, ranked.score, moves
        case Strategy.WEIGHTED:
            return held, moves, ranked.score
        case Strategy.LOWEST_LATENCY | Strategy.LOWEST_COST:
            behind = ranked.score if ranked.score > best * _TIE else 0.0
            return held, behind, moves, c.priority, _draw(c, prefer.key)
