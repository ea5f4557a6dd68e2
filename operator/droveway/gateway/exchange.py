"""One request of an agent: candidate after candidate, until one answers or none is left."""

import asyncio
import random
import time
from datetime import UTC, datetime

from droveway.api.enums import EndClass, MidStream
from droveway.core.retrying import Then, next_step
from droveway.core.verdict import Retry, Verdict
from droveway.dialects import Operation, Reply
from droveway.dialects.conversion import CannotResume, Resume, delivered
from droveway.gateway.attempt import Attempt, Lane, Services, Turn
from droveway.gateway.client import Answering, Asked
from droveway.gateway.ledger import Account
from droveway.gateway.race import Race
from droveway.gateway.walk import Walk

_dice = random.Random()  # noqa: S311 - for jitter


class Exchange:
    """One request and its answer: the walk, the retries of one candidate, and what a broken stream becomes."""

    def __init__(self, services: Services, asked: Asked, answering: Answering, account: Account) -> None:
        self._services, self._asked, self._answering, self._account = services, asked, answering, account
        self._timing = asked.route.timing
        self._walk = Walk(services, asked, account)
        if asked.request.stream and self._timing.mid_stream is not MidStream.ERROR:
            answering.kept = bytearray()

    async def serve(self) -> EndClass:
        """Answers the agent; says with what."""
        while turn := await self._walk.next():
            if rule := self._timing.hedge:
                turn, verdict = await Race(self._services, self._asked, self._walk, self._persist).run(turn, rule)
            else:
                verdict = await self._persist(turn)
            if self._answering.done:
                return verdict.kind
            if verdict.retry is Retry.NEVER or (self._answering.started and not self._resumes(turn, verdict)):
                return await self._fail(turn, verdict)
            self._walk.leave(turn, verdict)
        return await self._give_up()

    def first(self) -> str | None:
        """The candidate that would be asked now; None: there is none."""
        turn = self._walk.another()
        return turn.candidate.name if turn else None

    async def _persist(self, turn: Turn, lane: Lane | None = None) -> Verdict:
        """Asks one candidate, and again while that may help and the budgets allow it."""
        attempt = Attempt(self._services, self._asked, self._answering, self._account, turn, lane)
        ratio = self._services.ratios["provider", *turn.provider.key]
        ratio.count(time.monotonic())
        repeats = 0
        verdict = await attempt.run()
        while not (attempt.delivers or verdict.is_success):
            left, now = self._asked.deadline.left(time.monotonic()), datetime.now(UTC)
            step = next_step(verdict, repeats, self._timing.retry, left, _dice.random(), now)
            if step.then is not Then.AGAIN or not ratio.take(self._timing.retry.percent, time.monotonic()):
                break
            self._services.metrics.retries(turn.provider.key.namespace, turn.provider.name, verdict.kind.value).inc()
            self._account.phases.pause += step.seconds
            await asyncio.sleep(step.seconds)
            repeats += 1
            verdict = await attempt.run(again=True)
        return verdict

    def _resumes(self, turn: Turn, verdict: Verdict) -> bool:
        """Whether another candidate can go on with what the agent has of the answer."""
        stream, used = self._answering.kept, self._account.broken
        if stream is None:
            return False
        try:
            state = delivered(self._asked.spec.dialect, bytes(stream))
        except CannotResume:
            return False
        restarts, route = self._timing.mid_stream is MidStream.RESTART, self._asked.route.key
        self._services.metrics.resumes(route.namespace, route.name, self._timing.mid_stream.value).inc()
        self._walk.resume(Resume(state, restarts, turn.candidate.name, verdict.kind.value, used))
        return True

    async def _fail(self, turn: Turn, verdict: Verdict) -> EndClass:
        """Nobody can do better than this failure."""
        name, spec = f"{turn.provider.name}/{turn.candidate.model}", self._asked.spec
        if self._answering.started:
            message = f"{name} failed after its answer had begun: {verdict.reason}"
            await self._answering.break_off(spec.in_band_error(verdict.kind, message))
        else:
            await self._answering.reply(spec.error_response(verdict.kind, verdict.reason))
        return verdict.kind

    async def _give_up(self) -> EndClass:
        now = datetime.now(UTC)
        verdict = self._walk.verdict(now)
        self._services.ledger.exhausted(self._asked, verdict)
        if self._answering.started:
            message = f"the answer broke off, and nobody could go on with it: {verdict.reason}"
            await self._answering.break_off(self._asked.spec.in_band_error(verdict.kind, message))
        else:
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
