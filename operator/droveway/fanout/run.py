"""A fan-out under way: starts its calls, ends those that nobody needs, has answers judged or fused, and tells what happens.

What happens next is decided in core/fanout.py, each time something has ended.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from droveway.api.enums import EndClass
from droveway.api.fanout import CallStatus, FanoutRequest, Mode, Synthesis, Target
from droveway.api.fanoutanswer import (
    Answer,
    DeltaEvent,
    ErrorEvent,
    FanoutEvent,
    FanoutResponse,
    FinalEvent,
    ResultEvent,
    StartEvent,
    SynthesisEvent,
    SynthesisResult,
)
from droveway.core.fanout import Inputs, Progress, Rule, next_step, status_of
from droveway.core.synthesis import FUSE, JUDGE, read_judgement, synthesis_messages
from droveway.core.verdict import Verdict
from droveway.fanout.leg import Heard, Leg, Question

Ask = Callable[[Question, Leg], Awaitable[None]]
"""Has a question answered until its deadline, and writes down in the leg what happens; raises nothing but bugs."""

Tell = Callable[[FanoutEvent], Awaitable[None]]

_GRACE_SECONDS = 0.25
"""Whoever answers keeps the deadline, and says so in its own books; what is still there then is ended by force."""

_NOT_NEEDED = Verdict(EndClass.CANCELLED, reason="its answer is not needed any more")


@dataclass(slots=True)
class _Revision:
    """One synthesis. `task`: None for a judge with nothing to compare."""

    number: int
    inputs: Inputs
    leg: Leg
    task: asyncio.Task[None] | None = None
    best: int | None = None
    reason: str = ""

    @property
    def under_way(self) -> bool:
        """It is not over."""
        return self.task is not None and not self.task.done()


class Fanout:
    """One fan-out.

    Args:
        given: its id.
        request: what is asked.
        ask: has one question answered.
        deadline: monotonic seconds at which all of it ends at the latest, whatever the request allows itself.
        tell: takes the events of a stream; None: nobody listens, and no partial synthesis is made.

    Attributes:
        id: given.
        deadline: monotonic seconds; all calls are over then.
    """

    def __init__(self, given: str, request: FanoutRequest, ask: Ask, deadline: float, tell: Tell | None) -> None:
        self.id, self._request, self._ask, self._listener = given, request, ask, tell
        self._began = time.monotonic()
        self.deadline = min(deadline, self._began + request.timeout_milliseconds / 1000)
        partial = request.synthesis.partial_after if request.synthesis and tell else None
        self._rule = Rule(request.mode, request.quorum or 1, partial)
        self._legs = [Leg(name, self._began) for name in request.names]
        self._tasks: list[asyncio.Task[None]] = []
        self._revisions: list[_Revision] = []
        self._telling, self._told = asyncio.Lock(), 0

    async def run(self) -> FanoutResponse:
        """Runs it to its end. Cancelled, it ends all its calls."""
        try:
            self._tasks = [asyncio.create_task(self._call(place)) for place in range(len(self._legs))]
            while not (step := next_step(self._rule, self._progress())).over:
                if step.synthesize:
                    await self._synthesize(step.synthesize)
                else:
                    await self._something_ends()
        finally:
            await _end([*self._tasks, *(r.task for r in self._revisions if r.task)])
        for leg in self._legs:
            if leg.status is None:  # ended before it began
                leg.end(_NOT_NEEDED)
                leg.ended = leg.started
            if leg.status is CallStatus.CANCELLED:
                await self._tell(ErrorEvent, call=leg.id, candidate=leg.candidate or None, result=leg.result())
        response = self._response()
        await self._tell(FinalEvent, response=response)
        return response

    def _progress(self) -> Progress:
        calls = zip(self._legs, self._tasks, strict=True)
        statuses = tuple(leg.status if task.done() else None for leg, task in calls)
        last = self._revisions[-1] if self._revisions else None
        if last is None:
            return Progress(statuses)
        return Progress(statuses, last.inputs if last.under_way else (), () if last.under_way else last.inputs)

    async def _something_ends(self) -> None:
        tasks = [*self._tasks, *(r.task for r in self._revisions if r.task)]
        ended, _ = await asyncio.wait([t for t in tasks if not t.done()], return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            task.result()  # a bug, or a listener who is gone

    async def _call(self, place: int) -> None:
        call, leg = self._request.calls[place], self._legs[place]
        await self._tell(StartEvent, call=leg.id, candidate=call.candidate)

        async def heard(words: str) -> None:
            await self._tell(DeltaEvent, call=leg.id, candidate=leg.candidate or None, text=words)

        messages = call.messages or self._request.messages or ()
        parameters = {**self._request.parameters, **call.parameters}
        question = self._question(call, [message.to_wire() for message in messages], parameters, heard)
        await self._answered(question, leg)
        kind = ResultEvent if leg.status is CallStatus.OK else ErrorEvent
        await self._tell(kind, call=leg.id, candidate=leg.candidate or None, result=leg.result())

    def _question(
        self, target: Target, messages: list[dict[str, Any]], parameters: dict[str, Any], heard: Heard
    ) -> Question:
        own = target.timeout_milliseconds
        deadline = min(self.deadline, time.monotonic() + own / 1000) if own else self.deadline
        return Question(target, messages, parameters, deadline, heard if self._listener else None)

    async def _answered(self, question: Question, leg: Leg) -> None:
        """Has it answered; the leg then says how that ended."""
        leg.started = time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, question.deadline - leg.started) + _GRACE_SECONDS):
                await self._ask(question, leg)
        except TimeoutError:
            leg.status = CallStatus.TIMEOUT
        except asyncio.CancelledError:
            leg.end(_NOT_NEEDED)
            raise
        finally:
            leg.ended = time.monotonic()
        if leg.status is CallStatus.TIMEOUT:
            seconds = question.deadline - leg.started
            leg.end(Verdict(EndClass.TIMEOUT, reason=f"no complete answer within {seconds:.3g} s"))

    async def _synthesize(self, inputs: Inputs) -> None:
        """Makes one of these answers; one that is under way had fewer, and is dropped."""
        if self._revisions and (before := self._revisions[-1].task):
            await _end([before])
        leg = Leg("synthesis", time.monotonic())
        revision = _Revision(len(self._revisions) + 1, inputs, leg)
        self._revisions.append(revision)
        if self._request.mode is Mode.JUDGE and len(inputs) == 1:
            only = self._legs[inputs[0]]
            leg.status, leg.answer, leg.ended = CallStatus.OK, only.answer, time.monotonic()
            revision.best, revision.reason = inputs[0], "the only answer"
            await self._tell_synthesis(revision, result=self._synthesis_result(revision))
        else:
            revision.task = asyncio.create_task(self._make(revision))

    async def _make(self, revision: _Revision) -> None:
        request, leg, judging = self._request, revision.leg, self._request.mode is Mode.JUDGE
        target = request.synthesis or Synthesis()

        async def heard(words: str) -> None:
            if not judging:
                await self._tell_synthesis(revision, delta=words)

        instruction = target.instruction or (JUDGE if judging else FUSE)
        asked = [message.to_wire() for message in request.messages or request.calls[0].messages or ()]
        texts = [self._legs[place].text for place in revision.inputs]
        messages = synthesis_messages(instruction, asked, texts)
        await self._answered(self._question(target, messages, dict(target.parameters), heard), leg)
        if judging and leg.status is CallStatus.OK:
            self._judged(revision)
        await self._tell_synthesis(revision, result=self._synthesis_result(revision))

    def _judged(self, revision: _Revision) -> None:
        said = read_judgement(revision.leg.text, len(revision.inputs))
        if said is None:
            why = 'the judge named none of the answers; it must reply with {"best": <number>}'
            revision.leg.end(Verdict(EndClass.PROVIDER_OUTAGE, reason=why))
        else:
            revision.best, revision.reason = revision.inputs[said.best], said.reason

    def _synthesis_result(self, revision: _Revision) -> SynthesisResult:
        best = None if revision.best is None else self._legs[revision.best].id
        calls = tuple(self._legs[place].id for place in revision.inputs)
        return SynthesisResult(**revision.leg.fields(), calls=calls, best=best, reason=revision.reason or None)

    async def _tell_synthesis(self, revision: _Revision, **fields: Any) -> None:
        calls = tuple(self._legs[place].id for place in revision.inputs)
        candidate = revision.leg.candidate or None
        await self._tell(SynthesisEvent, revision=revision.number, calls=calls, candidate=candidate, **fields)

    async def _tell(self, kind: type[Any], **fields: Any) -> None:
        """One event after the other; a listener who is slow slows the calls down."""
        if self._listener is None:
            return
        async with self._telling:
            self._told += 1
            at = round((time.monotonic() - self._began) * 1000)
            await self._listener(kind(sequence=self._told, at_milliseconds=at, **fields))

    def _response(self) -> FanoutResponse:
        last = self._revisions[-1] if self._revisions else None
        made = last is not None and last.leg.status is CallStatus.OK
        spans = [leg.span(self._began) for leg in self._legs]
        return FanoutResponse(
            id=self.id,
            mode=self._request.mode,
            status=status_of(self._rule, [leg.status for leg in self._legs], synthesized=made),
            results=tuple(leg.result() for leg in self._legs),
            synthesis=self._synthesis_result(last) if last else None,
            answer=self._answer(last),
            latency_milliseconds=round((time.monotonic() - self._began) * 1000),
            trace=(*spans, *(r.leg.span(self._began, r.number) for r in self._revisions)),
        )

    def _answer(self, last: _Revision | None) -> Answer | None:
        answered = [leg for leg in self._legs if leg.status is CallStatus.OK]
        if self._request.mode is Mode.FIRST and answered:
            return _answer_of(min(answered, key=lambda leg: leg.ended))
        if last is None or last.leg.status is not CallStatus.OK:
            return None
        if last.best is not None:
            return _answer_of(self._legs[last.best])
        return Answer(text=last.leg.text)


def _answer_of(leg: Leg) -> Answer:
    return Answer(text=leg.text, tool_calls=leg.tool_calls, call=leg.id)


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    """Ends tasks and waits until they have: what they hold is given back then."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
