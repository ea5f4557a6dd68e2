"""Copies of requests to a candidate that is only watched: nobody waits for them, and nobody sees their answers.

A copy is made when the request itself is answered, so that it cannot take its slot, its turn or its time. There are few at once;
what comes when all are busy is left out. What a copy came to is told apart from what agents asked for.
"""

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from droveway.core.deadline import NEVER
from droveway.core.draw import drawn
from droveway.core.routing import first_objection
from droveway.dialects import Operation
from droveway.gateway.attempt import Attempt, Services, Turn
from droveway.gateway.client import Answering, Asked
from droveway.gateway.config import Candidate
from droveway.gateway.ledger import Account, MirrorLedger
from droveway.gateway.passage import Passages
from droveway.gateway.standing import Need

log = logging.getLogger(__name__)

_MOST = 32  # copies under way, of all routes
_LONGEST_SECONDS = 600.0
_KIND = "Mirror"
DROPPED, SKIPPED = "Dropped", "Skipped"


class Mirrors:
    """Makes copies, and ends them."""

    def __init__(self, services: Services, ledger: MirrorLedger) -> None:
        self._services = replace(services, ledger=ledger, queue_seconds=0.0)
        self._under_way: set[asyncio.Task[None]] = set()
        self._closed = False

    def copy(self, asked: Asked) -> None:
        """Begins a copy of a request that is answered, if it is drawn for one. Never waits, never fails."""
        mirror = asked.route.mirror
        if mirror is None or self._closed or asked.request.operation is not Operation.GENERATE:
            return
        if not drawn(mirror.percent, _KIND, asked.id):
            return
        candidate = next((c for c in asked.route.candidates if c.name == mirror.candidate), None)
        if candidate is None:
            return
        if len(self._under_way) >= _MOST:
            self._left_out(asked, candidate, DROPPED)
            return
        task = asyncio.create_task(self._run(replace(asked, id=f"{asked.id}-mirror", deadline=NEVER), candidate))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def close(self) -> None:
        """Ends all copies, and makes no more."""
        self._closed = True
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _run(self, asked: Asked, candidate: Candidate) -> None:
        try:
            turn = self._turn(asked, candidate)
            if turn is None:
                self._left_out(asked, candidate, SKIPPED)
                return
            account = Account(time.monotonic())
            attempt = Attempt(self._services, asked, Answering(_to_nobody), account, turn)
            with suppress(TimeoutError):
                async with asyncio.timeout(_LONGEST_SECONDS):
                    await attempt.run()
        except Exception:
            log.exception("the copy %s broke", asked.id)

    def _turn(self, asked: Asked, candidate: Candidate) -> Turn | None:
        """How the copy gets there; None: it cannot, or all slots are wanted by those who wait for answers."""
        passages = Passages(asked)
        need = Need(asked.spec.dialect, asked.caller.run.agent_on(asked.route), passages.cannot)
        now = datetime.now(UTC)
        view = next(v for v in self._services.standing.views(asked.route, need, now) if v.name == candidate.name)
        if first_objection(replace(view, withheld=None), now):
            return None
        passage = passages.to(view.dialect, view.model)
        provider = self._services.standing.provider(candidate)
        slots = self._services.admission.gate(provider).own
        return Turn(candidate, provider, passage) if passage and slots.in_flight < slots.limit else None

    def _left_out(self, asked: Asked, candidate: Candidate, why: str) -> None:
        route = asked.route.key
        target = (route.namespace, route.name, candidate.provider.name, candidate.model)
        self._services.metrics.mirrored(*target, why).inc()


async def _to_nobody(message: dict[str, Any]) -> None:
    """Where answers to copies go."""
