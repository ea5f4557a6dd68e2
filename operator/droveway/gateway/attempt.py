"""One candidate's turn: slot, key, upstream call, verdict, and the answer to the agent if it is one."""

import asyncio
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import aiohttp

from droveway.api.enums import EndClass
from droveway.api.names import HEADER_DEADLINE
from droveway.core.signatures import SEARCHED, spent_by
from droveway.core.verdict import Retry, Scope, Verdict
from droveway.dialects import Operation, response_headers_to_client
from droveway.gateway.admission import Admission, QueueTimeout, WouldBeLate
from droveway.gateway.cache import Cache
from droveway.gateway.client import AgentStalled, Answering, Asked
from droveway.gateway.config import Candidate, Provider
from droveway.gateway.credentials import Credentials, NoCredentials
from droveway.gateway.exhausted import BUSY
from droveway.gateway.ledger import Account, Call, Ledger
from droveway.gateway.metrics import GatewayMetrics
from droveway.gateway.passage import Passage
from droveway.gateway.relay import Relay
from droveway.gateway.standing import Standing
from droveway.gateway.traces import Leg
from droveway.gateway.upstream import Unreachable, Upstream, read_all

_COARSE = 0.002  # seconds: a loop's clock may run that much ahead of the time
_DEADLINE_HEADER = HEADER_DEADLINE.lower()

if TYPE_CHECKING:
    from droveway.gateway.shared import Shared

CANCELLED = Verdict(EndClass.CANCELLED, None, Scope.REQUEST, "the agent left before the answer was complete")


@dataclass(frozen=True, slots=True)
class Services:
    """What every exchange shares."""

    standing: Standing
    admission: Admission
    credentials: Credentials
    upstream: Upstream
    ledger: Ledger
    metrics: GatewayMetrics
    queue_seconds: float
    shared: "Shared | None" = None
    cache: Cache | None = None


class Attempt:
    """The turn of one candidate in one exchange."""

    def __init__(
        self, services: Services, asked: Asked, answering: Answering, account: Account, passage: Passage
    ) -> None:
        self._services, self._asked, self._answering, self._account = services, asked, answering, account
        self._passage = passage
        self._counts = asked.request.operation is Operation.GENERATE
        self._leg: Leg | None = None

    async def run(self, candidate: Candidate, provider: Provider) -> Verdict | None:
        """Tries to have the request answered.

        Returns:
            None: the agent has its answer, whatever it is. Else why this candidate gave none; nothing was sent then.
        """
        services, began = self._services, time.monotonic()
        if services.ledger.traces:
            self._leg = services.ledger.traces.leg(self._asked, self._account, candidate, provider)
        gate, party = services.admission.gate(provider), self._asked.caller.run.uid
        try:
            turn = await gate.enter(party, services.queue_seconds, self._asked.deadline.left(began))
        except WouldBeLate:
            return _no_slot(provider, "would become free before the deadline")
        except QueueTimeout:
            return _no_slot(provider, f"became free in {services.queue_seconds:g} s")
        finally:
            self._account.phases.queue += time.monotonic() - began
        try:
            objection = services.standing.enter(
                self._asked.route, candidate, provider, datetime.now(UTC), waited=turn.waited
            )
            return objection or await self._call(candidate, provider)
        finally:
            turn.end()

    async def _call(self, candidate: Candidate, provider: Provider) -> Verdict | None:
        """Calls; once more if the provider's key was refused and its Secret holds another by now."""
        try:
            for _ in range(2):
                key = await self._services.credentials.of(provider)
                verdict = await self._call_with(key, candidate, provider)
                if verdict is None or verdict.kind is not EndClass.AUTH_FAILED:
                    return verdict
                if not await self._services.credentials.changed(provider, key):
                    self._services.standing.refuse(provider, verdict, datetime.now(UTC))
                    return verdict
        except NoCredentials as error:
            return Verdict(EndClass.AUTH_FAILED, None, Scope.PROVIDER, str(error))
        return verdict

    async def _call_with(self, key: str, candidate: Candidate, provider: Provider) -> Verdict | None:
        self._account.calls += 1
        self._answering.mark(self._asked.route.key.name, candidate.name, self._account.calls)
        call = Call(candidate, provider, datetime.now(UTC), time.monotonic())
        verdict, clocks = CANCELLED, self._services.upstream.clocks
        try:
            async with asyncio.timeout(clocks.answer) as clock:
                verdict = await self._send(key, call, clock)
        except TimeoutError:
            if self._answering.sending:
                raise AgentStalled from None
            silence = clocks.idle if self._answering.started else clocks.answer
            verdict = _outage(f"silent for {silence:g} s")
        except Unreachable as error:
            verdict = _outage(str(error))
        finally:
            self._close(call, verdict)
        if self._answering.started and not self._answering.done:
            message = f"{provider.name}/{candidate.model} failed after its answer had begun: {verdict.reason}"
            await self._answering.break_off(self._asked.spec.in_band_error(verdict.kind, message))
        return None if self._answering.done else verdict

    async def _send(self, key: str, call: Call, clock: asyncio.Timeout) -> Verdict:
        spec, request, model = self._passage.spec, self._passage.request, call.candidate.model
        url = call.provider.base_url + spec.upstream_path(request, model)
        headers = self._passage.headers_up(self._asked.headers)
        headers += [*(spec.auth_headers(key) if key else ()), ("accept-encoding", "identity")]
        left = self._asked.deadline.left_milliseconds(time.monotonic())
        if left is not None:
            headers.append((_DEADLINE_HEADER, str(left)))
        if (traces := self._services.ledger.traces) and self._leg:
            headers = traces.headers_up(self._account, self._leg, call, headers)
        answer = await self._services.upstream.send(url, headers, spec.rewrite(request, model))
        call.headed = time.monotonic()
        call.utilization = self._services.standing.learn(call.provider, answer.headers, datetime.now(UTC))
        try:
            if answer.status >= 300:
                return await self._refused(answer, call, clock)
            if request.stream and answer.content_type == "text/event-stream":
                return await Relay(
                    self._passage, self._answering, call, answer, clock, self._services.upstream.clocks.idle
                ).run()
            return await self._plain(answer, call, clock)
        finally:
            answer.close()  # a connection whose answer was read to its end is back in the pool already

    async def _refused(self, answer: aiohttp.ClientResponse, call: Call, clock: asyncio.Timeout) -> Verdict:
        body = await read_all(answer, clock, self._services.upstream.clocks.idle)
        if answer.status < 400:
            return _outage(
                f"HTTP {answer.status} points elsewhere; correct spec.baseURL of ModelProvider {call.provider.name}"
            )
        verdict = self._passage.spec.classify(answer.status, answer.headers, body, datetime.now(UTC))
        verdict = judge(call.provider, verdict, body, datetime.now(UTC))
        if verdict.retry is Retry.NEVER and self._passage.conversion is None:
            await self._answering.whole(answer.status, response_headers_to_client(answer.headers.items()), body)
        return verdict

    async def _plain(self, answer: aiohttp.ClientResponse, call: Call, clock: asyncio.Timeout) -> Verdict:
        body = await read_all(answer, clock, self._services.upstream.clocks.idle)
        call.first_content = time.monotonic()
        verdict = Verdict(EndClass.SUCCEEDED)
        if self._counts:
            read = self._passage.spec.read_answer(body, datetime.now(UTC))
            call.tokens, verdict = read.usage, read.verdict
        if verdict.is_success:
            headers = self._passage.headers_down(answer.headers.items())
            await self._answering.whole(answer.status, headers, self._passage.body_down(body))
        return verdict

    def _close(self, call: Call, verdict: Verdict) -> None:
        if call.answered and verdict is CANCELLED:
            verdict, self._account.answered = Verdict(EndClass.SUCCEEDED), True
        if verdict is CANCELLED and not self._asked.deadline.left(time.monotonic() + _COARSE):
            verdict = Verdict(EndClass.TIMEOUT, None, Scope.REQUEST, self._asked.deadline.reason)
        self._account.end(call, verdict)
        if self._counts:
            self._services.standing.note(self._asked.route, call, verdict, datetime.now(UTC))
            self._services.ledger.call_ended(self._asked, self._account, call, verdict)


def _no_slot(provider: Provider, what: str) -> Verdict:
    """Our own bound, not a limit of the provider's: told as an overload, which agents try again."""
    reason = f"no slot of provider {provider.name} {what}; its maxInFlight, or its quota group's, is reached"
    return Verdict(EndClass.PROVIDER_OUTAGE, datetime.now(UTC) + BUSY, Scope.REQUEST, reason)


def _outage(reason: str) -> Verdict:
    return Verdict(EndClass.PROVIDER_OUTAGE, None, Scope.PROVIDER, reason)


def judge(provider: Provider, verdict: Verdict, body: bytes, now: datetime) -> Verdict:
    """What a refusal means by the provider's own rules: its signatures, and how long its limits last."""
    verdict = spent_by(provider.signatures, verdict.kind, body[:SEARCHED].decode("utf-8", "replace")) or verdict
    if verdict.kind is EndClass.SUBSCRIPTION_LIMIT and verdict.until is None:
        return replace(verdict, until=now + provider.default_limit)
    return verdict
