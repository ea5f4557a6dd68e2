"""Two candidates at once: the second starts when the first is late, and whose content comes first answers."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from droveway.core.verdict import Retry, Verdict
from droveway.gateway.attempt import Lane, Services, Turn
from droveway.gateway.client import Asked
from droveway.gateway.timing import HedgeRule
from droveway.gateway.walk import Walk

Persist = Callable[[Turn, Lane], Awaitable[Verdict]]
"""Asks one candidate until it has answered or failed for good."""


@dataclass(slots=True, eq=False)
class _Runner:
    turn: Turn
    lane: Lane
    task: asyncio.Task[Verdict]


class Race:
    """The hedged turn of one request."""

    def __init__(self, services: Services, asked: Asked, walk: Walk, persist: Persist) -> None:
        self._services, self._asked, self._walk, self._persist = services, asked, walk, persist
        self._runners: list[_Runner] = []
        self._winner: Lane | None = None

    async def run(self, first: Turn, rule: HedgeRule) -> tuple[Turn, Verdict]:
        """Asks a candidate, and the next one if it is late; says who has the last word, and what it is.

        Whoever failed beside that one is noted as left.
        """
        ratio = self._services.ratios["route", *self._asked.route.key]
        ratio.count(time.monotonic())
        self._start(first)
        try:
            await asyncio.wait([self._runners[0].task], timeout=rule.after)
            late = self._winner is None and not self._runners[0].task.done()
            turn = self._walk.another(first.candidate.name) if late else None
            if turn and ratio.take(rule.percent, time.monotonic()):
                self._start(turn)
            return await self._decided()
        finally:
            self._end_all()
            await asyncio.gather(*(runner.task for runner in self._runners), return_exceptions=True)

    def _start(self, turn: Turn) -> None:
        lane = Lane(self._won)
        self._runners.append(_Runner(turn, lane, asyncio.create_task(self._run(turn, lane))))

    async def _run(self, turn: Turn, lane: Lane) -> Verdict:
        return await self._persist(turn, lane)

    def _won(self, lane: Lane) -> None:
        """A lane has content: the other one is let go at once."""
        self._winner = lane
        self._overtake(lane)

    def _overtake(self, winner: Lane) -> None:
        """Ends everybody else."""
        for runner in self._runners:
            if runner.lane is not winner and not runner.task.done():
                runner.lane.overtaken = True
                runner.task.cancel()

    def _end_all(self) -> None:
        """Nobody waits any more, not even for the winner; who was overtaken is ending already."""
        for runner in self._runners:
            if not (runner.task.done() or runner.task.cancelling()):
                runner.task.cancel()

    async def _decided(self) -> tuple[Turn, Verdict]:
        """Waits for the winner; if there is none, for the last who fails."""
        left = list(self._runners)
        while True:
            await asyncio.wait([runner.task for runner in left], return_when=asyncio.FIRST_COMPLETED)
            for runner in [runner for runner in left if runner.task.done()]:
                left.remove(runner)
                if runner.lane.overtaken:
                    continue
                verdict = runner.task.result()
                if not left or runner.lane is self._winner or verdict.retry is Retry.NEVER:
                    self._count(runner)
                    self._overtake(runner.lane)
                    return runner.turn, verdict
                self._walk.leave(runner.turn, verdict)

    def _count(self, last: _Runner) -> None:
        if len(self._runners) > 1:
            won = "none" if last.lane is not self._winner else "first" if last is self._runners[0] else "second"
            self._services.metrics.hedges(self._asked.route.key.namespace, self._asked.route.key.name, won).inc()
