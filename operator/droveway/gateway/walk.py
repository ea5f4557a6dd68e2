"""The way of one request through the candidates of its route, each of them once."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

from droveway.core.ranking import CandidateView, Preference
from droveway.core.routing import Choice, choose
from droveway.core.verdict import Retry, Scope, Verdict
from droveway.dialects.conversion import Resume
from droveway.gateway.attempt import Services, Turn
from droveway.gateway.client import Asked
from droveway.gateway.exhausted import exhausted
from droveway.gateway.ledger import Account
from droveway.gateway.passage import Passages
from droveway.gateway.standing import Need

_SHORT_LIMIT = timedelta(seconds=5)
"""What passes so soon is waited for, once, when no other candidate is left."""

_LATE = 0.02
"""Seconds added to a wait: the loop's clock is coarse, and waking early would find the limit still there."""


class Walk:
    """Chooses whose turn it is."""

    def __init__(self, services: Services, asked: Asked, account: Account) -> None:
        self._services, self._asked, self._account = services, asked, account
        self._passages = Passages(asked)
        self._refusals: dict[str, Verdict] = {}
        self._last = ""
        self._waited = False

    async def next(self) -> Turn | None:
        """The next candidate; None: none is left. What passes soon is sat out."""
        while True:
            if turn := self.another():
                self._reroute(turn.candidate.name)
                return turn
            if not await self._wait_briefly():
                return None

    def another(self, beside: str = "") -> Turn | None:
        """The best candidate that was not asked, nor is being asked now (`beside`)."""
        tried = {*self._refusals, *([beside] if beside else ())}
        if len(tried) >= self._asked.route.timing.retry.max_candidates:
            return None
        while chosen := (choice := self._choose(tried)).candidate:
            if beside and choice.ranking[0].held_back:
                return None  # a second answer is a luxury: not from who should get no new work
            if passage := self._passages.to(chosen.dialect, chosen.model):
                candidate = next(c for c in self._asked.route.candidates if c.name == chosen.name)
                return Turn(candidate, self._services.standing.provider(candidate), passage)
        return None  # who has no passage counts as unfit from now on

    def leave(self, turn: Turn, verdict: Verdict) -> None:
        """A candidate has failed this request."""
        self._last = turn.candidate.name
        self._refusals[self._last] = verdict

    def resume(self, resume: Resume) -> None:
        """The answer has begun: whoever comes next has to go on with it."""
        self._passages = Passages(self._asked, resume)

    def verdict(self, now: datetime) -> Verdict:
        """What it means that none is left.

        What is told of a candidate must hold when its limit is over, too: then it would be asked.
        """
        for view in self._views(now):
            self._passages.to(view.dialect, view.model)
        return exhausted(self._views(now), self._refusals, now)

    def _reroute(self, name: str) -> None:
        if self._last and self._last != name:
            self._services.ledger.rerouted(self._asked, self._last, name, self._refusals[self._last])
        self._account.candidate = name

    def _choose(self, tried: set[str]) -> Choice:
        now, run = datetime.now(UTC), self._asked.caller.run
        prefer = Preference(
            strategy=self._asked.route.strategy,
            key=run.uid,
            session=self._asked.drawn_by,
            sticky=run.candidate or None,
            tried=frozenset(tried),
        )
        return choose(self._views(now), prefer, now)

    def _views(self, now: datetime) -> tuple[CandidateView, ...]:
        """The candidates that may serve this request: at a limit, a run that does not leave it has its own alone."""
        asked, run = self._asked, self._asked.caller.run
        need = Need(asked.spec.dialect, run.agent_on(asked.route), self._passages.cannot)
        views = self._services.standing.views(asked.route, need, now)
        own = run.candidate or next(iter(self._refusals), "")
        refusal = self._refusals.get(own)
        limited = (refusal is not None and refusal.is_limit) or any(
            v.name == own and v.limited_until is not None and v.limited_until > now for v in views
        )
        return tuple(v for v in views if v.name == own) if limited and not run.leaves_limits else views

    async def _wait_briefly(self) -> bool:
        """Sits out what passes soon, if that is all that is in the way. At most once, and not after a wait for a slot."""
        now = datetime.now(UTC)
        verdict = self.verdict(now)
        queued = any(refusal.scope is Scope.REQUEST for refusal in self._refusals.values())
        if self._waited or queued or verdict.retry is not Retry.SAME_CANDIDATE:
            return False
        if not verdict.until or verdict.until - now > _SHORT_LIMIT:
            return False
        self._waited = True
        seconds = max(0.0, (verdict.until - now).total_seconds()) + _LATE
        if seconds >= self._asked.deadline.left(time.monotonic()):
            return False
        self._account.phases.pause += seconds
        await asyncio.sleep(seconds)
        self._refusals = {name: v for name, v in self._refusals.items() if v.retry is not Retry.SAME_CANDIDATE}
        return True
