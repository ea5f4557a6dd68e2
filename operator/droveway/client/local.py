"""Fan-out in the caller's own process: straight to the providers, without a gateway and what it knows of limits."""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from math import inf
from typing import NamedTuple, Self

from droveway.api.enums import EndClass
from droveway.api.errors import UserMustAct
from droveway.api.fanout import FanoutRequest, Target
from droveway.api.fanoutanswer import FanoutEvent, FanoutResponse, TracedAttempt
from droveway.client.provider import ProviderClient, ProviderError
from droveway.core.verdict import Verdict
from droveway.dialects.conversion.model import Answered
from droveway.fanout import Fanout, Leg, Question, usage_of


class _Way(NamedTuple):
    candidate: str
    provider: str
    model: str


class LocalFanout:
    """Asks providers directly.

    Args:
        providers: by the vendor prefix of their models.
        candidates: names that calls may use instead of a model, and the `<vendor>/<model>` of each.
    """

    def __init__(self, providers: Mapping[str, ProviderClient], candidates: Mapping[str, str] | None = None) -> None:
        self._providers, self._candidates = providers, candidates or {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for provider in self._providers.values():
            await provider.close()

    async def fanout(self, request: FanoutRequest) -> FanoutResponse:
        """The whole answer.

        Raises:
            UserMustAct: a call names what is not here.
        """
        self._check(request)
        return await Fanout(uuid.uuid4().hex, request, self._ask, inf, None).run()

    async def stream(self, request: FanoutRequest) -> AsyncGenerator[FanoutEvent]:
        """The events as they happen; whoever stops listening ends all calls.

        Raises:
            UserMustAct: a call names what is not here.
        """
        self._check(request)
        events: asyncio.Queue[FanoutEvent] = asyncio.Queue(maxsize=1)
        running = asyncio.create_task(Fanout(uuid.uuid4().hex, request, self._ask, inf, events.put).run())
        try:
            while True:
                next_event = asyncio.ensure_future(events.get())
                await asyncio.wait([running, next_event], return_when=asyncio.FIRST_COMPLETED)
                if not next_event.done() and events.empty():
                    next_event.cancel()
                    running.result()
                    return
                yield await next_event
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    def _check(self, request: FanoutRequest) -> None:
        for target in (*request.calls, *([request.synthesis] if request.synthesis else ())):
            self._way(target)

    def _way(self, target: Target) -> _Way:
        """Whom a call names."""
        if target.route:
            raise UserMustAct(f"route {target.route} is known to the gateway alone; set DROVEWAY_FANOUT=gateway")
        if target.candidate and target.candidate not in self._candidates:
            known = ", ".join(self._candidates) or "none"
            raise UserMustAct(f"there is no candidate {target.candidate} here, only: {known}; name it, or a model")
        full = target.model or self._candidates.get(target.candidate or "", "")
        prefix, _, model = full.partition("/")
        if not model or prefix not in self._providers:
            known = ", ".join(self._providers) or "none"
            raise UserMustAct(f"{full or 'a call without model'} is of no provider that is set up here ({known})")
        return _Way(target.candidate or self._named(full), prefix, model)

    def _named(self, full: str) -> str:
        return next((name for name, model in self._candidates.items() if model == full), "")

    async def _ask(self, question: Question, leg: Leg) -> None:
        leg.candidate, leg.provider, leg.model = way = self._way(question.target)
        outcome, usage = EndClass.CANCELLED, None
        try:
            answer = await self._answer(self._providers[way.provider], way.model, question)
        except ProviderError as error:
            outcome = error.verdict.kind
            leg.end(error.verdict)
        else:
            outcome, usage = EndClass.SUCCEEDED, usage_of(answer.usage)
            leg.end(Verdict(EndClass.SUCCEEDED), answer)
        finally:
            leg.attempts.append(TracedAttempt(**way._asdict(), outcome=outcome.value, usage=usage))

    async def _answer(self, provider: ProviderClient, model: str, question: Question) -> Answered:
        left = max(0.0, question.deadline - time.monotonic())
        if question.heard is None:
            return await provider.complete(question.messages, model, left, question.parameters)
        async with aclosing(provider.stream(question.messages, model, left, question.parameters)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Answered):
                    return piece
                await question.heard(piece)
        raise ProviderError(Verdict(EndClass.PROVIDER_OUTAGE, reason="the provider's stream had no end"))
