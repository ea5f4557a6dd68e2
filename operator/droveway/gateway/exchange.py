"""One request of an agent: candidate after candidate, until one answers or none is left."""

import asyncio
from datetime import UTC, datetime, timedelta

from droveway.api.enums import EndClass
from droveway.core.ranking import CandidateView, Preference
from droveway.core.routing import Choice, choose
from droveway.core.verdict import Retry, Scope, Verdict
from droveway.dialects import Operation, Reply
from droveway.gateway.attempt import Attempt, Services
from droveway.gateway.client import Answering, Asked
from droveway.gateway.config import Candidate, Provider
from droveway.gateway.exhausted import exhausted
from droveway.gateway.ledger import Account
from droveway.gateway.passage import Passages
from droveway.gateway.standing import Need

_SHORT_LIMIT = timedelta(seconds=5)
"""What passes so soon is waited for, once, when no other candidate is left."""

_LATE = 0.02
"""Seconds added to a wait: the loop's clock is coarse, and waking early would find the limit still there."""


class Exchange:
    """The walk of one request through the candidates of its route, each of them once."""

    def __init__(self, services: Services, asked: Asked, answering: Answering, account: Account) -> None:
        self._services, self._asked, self._answering, self._account = services, asked, answering, account
        self._passages = Passages(asked)
        self._need = Need(asked.spec.dialect, asked.caller.run.agent_on(asked.route), self._passages.cannot)
        self._refusals: dict[str, Verdict] = {}
        self._waited = False

    async def serve(self) -> EndClass:
        """Answers the agent; says with what."""
        last: str | None = None
        while True:
            choice = self._choose()
            if choice.candidate is None:
                if await self._wait_briefly():
                    continue
                return await self._give_up()
            name = choice.candidate.name
            passage = self._passages.to(choice.candidate.dialect, choice.candidate.model)
            if passage is None:
                continue  # from now on the candidate counts as unfit
            if last is not None and last != name:
                self._services.ledger.rerouted(self._asked, last, name, self._refusals[last])
            candidate, provider = self._find(name)
            self._account.candidate = name
            attempt = Attempt(self._services, self._asked, self._answering, self._account, passage)
            verdict = await attempt.run(candidate, provider)
            if verdict is None:
                return self._account.outcome
            if verdict.retry is Retry.NEVER:
                await self._answering.reply(self._asked.spec.error_response(verdict.kind, verdict.reason))
                return verdict.kind
            self._refusals[name] = verdict
            last = name

    def first(self) -> str | None:
        """The candidate that would be asked now; None: there is none."""
        while (choice := self._choose()).candidate is not None:
            if self._passages.to(choice.candidate.dialect, choice.candidate.model) is not None:
                return choice.candidate.name
        return None

    def _choose(self) -> Choice:
        now = datetime.now(UTC)
        prefer = Preference(
            strategy=self._asked.route.strategy,
            key=self._asked.caller.run.uid,
            session=self._asked.drawn_by,
            sticky=self._asked.caller.run.candidate or None,
            tried=frozenset(self._refusals),
        )
        return choose(self._views(now), prefer, now)

    def _views(self, now: datetime) -> tuple[CandidateView, ...]:
        """The candidates that may serve this request: at a limit, a run that does not leave it has its own alone."""
        asked, run = self._asked, self._asked.caller.run
        views = self._services.standing.views(asked.route, self._need, now)
        own = run.candidate or next(iter(self._refusals), "")
        refusal = self._refusals.get(own)
        limited = (refusal is not None and refusal.is_limit) or any(
            v.name == own and v.limited_until is not None and v.limited_until > now for v in views
        )
        return tuple(v for v in views if v.name == own) if limited and not run.leaves_limits else views

    def _find(self, name: str) -> tuple[Candidate, Provider]:
        candidate = next(c for c in self._asked.route.candidates if c.name == name)
        return candidate, self._services.standing.provider(candidate)

    async def _wait_briefly(self) -> bool:
        """Sits out what passes soon, if that is all that is in the way. At most once, and not after a wait for a slot."""
        now = datetime.now(UTC)
        verdict = self._verdict(now)
        queued = any(refusal.scope is Scope.REQUEST for refusal in self._refusals.values())
        if self._waited or queued or verdict.retry is not Retry.SAME_CANDIDATE:
            return False
        if not verdict.until or verdict.until - now > _SHORT_LIMIT:
            return False
        self._waited = True
        seconds = max(0.0, (verdict.until - now).total_seconds()) + _LATE
        self._account.phases.pause += seconds
        await asyncio.sleep(seconds)
        self._refusals = {name: v for name, v in self._refusals.items() if v.retry is not Retry.SAME_CANDIDATE}
        return True

    async def _give_up(self) -> EndClass:
        now = datetime.now(UTC)
        verdict = self._verdict(now)
        self._services.ledger.exhausted(self._asked, verdict)
        self._answering.mark(self._asked.route.key.name, "", self._account.calls)
        await self._answering.reply(self._exhausted_reply(verdict, now))
        return verdict.kind

    def _exhausted_reply(self, verdict: Verdict, now: datetime) -> Reply:
        """Clients do without a count of tokens that is not found, and estimate; any other refusal would end their run."""
        if verdict.kind is not EndClass.REQUEST_REJECTED:
            return self._asked.spec.exhausted_response(verdict, now)
        reply = self._asked.spec.error_response(verdict.kind, verdict.reason)
        counting = self._asked.request.operation is Operation.COUNT_TOKENS
        return reply._replace(status=404) if counting else reply

    def _verdict(self, now: datetime) -> Verdict:
        """What is told of a candidate must hold when its limit is over, too: then it would be asked."""
        for view in self._views(now):
            self._passages.to(view.dialect, view.model)
        return exhausted(self._views(now), self._refusals, now)
