"""One candidate's turn: slot, key, upstream call, verdict, and the answer to the agent if it is one."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import aiohttp

from droveway.api.enums import EndClass
from droveway.api.names import HEADER_DEADLINE
from droveway.core.ratio import Ratio
from droveway.core.verdict import Retry, Scope, Verdict
from droveway.dialects import Operation, response_headers_to_client
from droveway.gateway.admission import Admission, QueueTimeout, WouldBeLate
from droveway.gateway.cache import Cache
from droveway.gateway.callclock import CallClock
from droveway.gateway.client import AgentStalled, Answering, Asked
from droveway.gateway.config import Candidate, Provider
from droveway.gateway.credentials import Credentials, NoCredentials
from droveway.gateway.ledger import Account, Call, Ledger
from droveway.gateway.metrics import GatewayMetrics
from droveway.gateway.passage import Passage
from droveway.gateway.quotas import Quotas
from droveway.gateway.relay import Relay
from droveway.gateway.shared import Shared
from droveway.gateway.standing import Standing
from droveway.gateway.traces import Leg
from droveway.gateway.upstream import Unreachable, Upstream, read_all
from droveway.gateway.verdicts import CANCELLED, OVERTAKEN, judge, no_slot, outage

_COARSE = 0.002  # seconds: a loop's clock may run that much ahead of the time
_DEADLINE_HEADER = HEADER_DEADLINE.lower()

if TYPE_CHECKING:
    from droveway.gateway.mirror import Mirrors


@dataclass(frozen=True, slots=True)
class Services:
    """What every exchange shares. `ratios`: of retries by provider, and of hedges by route."""

    standing: Standing
    admission: Admission
    credentials: Credentials
    upstream: Upstream
    ledger: Ledger
    quotas: Quotas
    metrics: GatewayMetrics
    queue_seconds: float
    shared: Shared | None = None
    cache: Cache | None = None
    ratios: defaultdict[tuple[str, ...], Ratio] = field(default_factory=lambda: defaultdict(Ratio))
    mirrors: "Mirrors | None" = None


@dataclass(frozen=True, slots=True)
class Turn:
    """Whose turn it is, and how the request gets there."""

    candidate: Candidate
    provider: Provider
    passage: Passage


@dataclass(slots=True, eq=False)
class Lane:
    """Of two candidates that are asked at once, the place of one.

    Attributes:
        won: to be called when its answer becomes the agent's.
        overtaken: the other one's did; this call only costs.
    """

    won: "Callable[[Lane], None]"
    overtaken: bool = False


class Attempt:
    """The turn of one candidate in one exchange.

    Attributes:
        delivers: its answer is the agent's, whole or in part.
    """

    def __init__(
        self,
        services: Services,
        asked: Asked,
        answering: Answering,
        account: Account,
        turn: Turn,
        lane: Lane | None = None,
    ) -> None:
        self._services, self._asked, self._answering, self._account = services, asked, answering, account
        self._candidate, self._provider, self._passage = turn.candidate, turn.provider, turn.passage
        self._counts = asked.request.operation is Operation.GENERATE
        self._leg: Leg | None = None
        self._lane, self._number = lane, 0
        self.delivers = False

    async def run(self, *, again: bool = False) -> Verdict:
        """Tries to have the request answered. The agent has its answer, whatever it is, when `answering.done`.

        Args:
            again: it has been asked before; how it stands may have changed.

        Returns:
            What it came to. If the answer is begun and not done, its provider failed in the middle.
        """
        services, began, provider = self._services, time.monotonic(), self._provider
        if services.ledger.traces:
            self._leg = services.ledger.traces.leg(self._asked, self._account, self._candidate, provider)
        gate, party = services.admission.gate(provider), self._asked.caller.run.uid
        try:
            slot = await gate.enter(party, services.queue_seconds, self._asked.deadline.left(began))
        except WouldBeLate:
            return no_slot(provider, "would become free before the deadline")
        except QueueTimeout:
            return no_slot(provider, f"became free in {services.queue_seconds:g} s")
        finally:
            self._account.phases.queue += time.monotonic() - began
        try:
            objection = services.standing.enter(
                self._asked.route, self._candidate, provider, datetime.now(UTC), waited=slot.waited or again
            )
            return objection or await self._call()
        finally:
            slot.end()

    async def _call(self) -> Verdict:
        """Calls; once more if the provider's key was refused and its Secret holds another by now."""
        credentials, provider = self._services.credentials, self._provider
        try:
            for _ in range(2):
                key = await credentials.of(provider)
                verdict = await self._call_with(key)
                if self.delivers or verdict.kind is not EndClass.AUTH_FAILED:
                    return verdict
                if not await credentials.changed(provider, key):
                    self._services.standing.refuse(provider, verdict, datetime.now(UTC))
                    return verdict
        except NoCredentials as error:
            return Verdict(EndClass.AUTH_FAILED, None, Scope.PROVIDER, str(error))
        return verdict

    async def _call_with(self, key: str) -> Verdict:
        self._account.calls += 1
        self._number = self._account.calls
        self._mark()
        call = Call(self._candidate, self._provider, datetime.now(UTC), time.monotonic(), number=self._number)
        clocks, verdict = self._asked.route.timing.clocks_over(self._services.upstream.clocks), CANCELLED
        try:
            async with asyncio.timeout(None) as timeout:
                clock = CallClock(clocks, timeout, self._asked.deadline)
                try:
                    verdict = await self._send(key, call, clock, clocks.connect)
                finally:
                    clock.stop()
        except TimeoutError:
            if self._answering.sending:
                raise AgentStalled from None
            verdict = clock.verdict
        except Unreachable as error:
            verdict = outage(str(error), error)
        finally:
            verdict = self._close(call, verdict)
        return verdict

    async def _send(self, key: str, call: Call, clock: CallClock, connect: float) -> Verdict:
        spec, request, model = self._passage.spec, self._passage.request, self._candidate.model
        url = self._provider.base_url + spec.upstream_path(request, model)
        body, headers = spec.rewrite(request, model), self._headers(key, call)
        answer = await self._services.upstream.send(url, headers, body, connect)
        clock.head()
        call.headed = time.monotonic()
        call.utilization = self._services.standing.learn(self._provider, answer.headers, datetime.now(UTC))
        try:
            if answer.status >= 300:
                return await self._refused(answer, clock)
            if request.stream and answer.content_type == "text/event-stream":
                return await Relay(self._passage, self._answering, call, answer, clock, self._won).run()
            return await self._plain(answer, call, clock)
        finally:
            answer.close()  # a connection whose answer was read to its end is back in the pool already

    def _headers(self, key: str, call: Call) -> list[tuple[str, str]]:
        headers = self._passage.headers_up(self._asked.headers)
        headers += [*(self._passage.spec.auth_headers(key) if key else ()), ("accept-encoding", "identity")]
        left = self._asked.deadline.left_milliseconds(time.monotonic())
        if left is not None:
            headers.append((_DEADLINE_HEADER, str(left)))
        if (traces := self._services.ledger.traces) and self._leg:
            return traces.headers_up(self._account, self._leg, call, headers)
        return headers

    async def _refused(self, answer: aiohttp.ClientResponse, clock: CallClock) -> Verdict:
        body = await read_all(answer, clock.piece)
        if answer.status < 400:
            return outage(
                f"HTTP {answer.status} points elsewhere; correct spec.baseURL of ModelProvider {self._provider.name}"
            )
        verdict = self._passage.spec.classify(answer.status, answer.headers, body, datetime.now(UTC))
        verdict = judge(self._provider, verdict, body, datetime.now(UTC))
        if verdict.retry is Retry.NEVER and self._passage.conversion is None:
            self._won()
            await self._answering.whole(answer.status, response_headers_to_client(answer.headers.items()), body)
        return verdict

    async def _plain(self, answer: aiohttp.ClientResponse, call: Call, clock: CallClock) -> Verdict:
        body = await read_all(answer, clock.piece)
        call.first_content = time.monotonic()
        verdict = Verdict(EndClass.SUCCEEDED)
        if self._counts:
            read = self._passage.spec.read_answer(body, datetime.now(UTC))
            call.tokens, verdict = read.usage, read.verdict
        if verdict.is_success:
            self._won()
            if self._answering.started:
                await self._answering.end(self._passage.body_down(body))
            else:
                headers = self._passage.headers_down(answer.headers.items())
                await self._answering.whole(answer.status, headers, self._passage.body_down(body))
        return verdict

    def _won(self) -> None:
        """From here on the agent sees this candidate's answer."""
        self.delivers = True
        if self._lane:
            self._lane.won(self._lane)
            self._mark()

    def _mark(self) -> None:
        self._account.candidate = self._candidate.name
        self._answering.mark(self._asked.route.key.name, self._candidate.name, self._number)

    def _close(self, call: Call, verdict: Verdict) -> Verdict:
        """Writes the call down; says what it came to."""
        if verdict is CANCELLED:
            verdict = self._cut_short(call)
        if self.delivers and not verdict.is_success:
            self._account.broken += call.tokens
        self._account.end(call, verdict)
        if self._counts:
            self._services.standing.note(self._asked.route, call, verdict, datetime.now(UTC))
            self._services.ledger.call_ended(self._asked, self._account, call, verdict)
        return verdict

    def _cut_short(self, call: Call) -> Verdict:
        """What ended a call from outside."""
        if call.answered:
            self._account.answered = True
            return Verdict(EndClass.SUCCEEDED)
        if self._lane and self._lane.overtaken:
            return OVERTAKEN
        deadline = self._asked.deadline
        if deadline.left(time.monotonic() + _COARSE):
            return CANCELLED
        return Verdict(EndClass.TIMEOUT, None, Scope.REQUEST, deadline.reason, deadline.clock)
