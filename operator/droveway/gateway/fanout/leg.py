"""One call of a fan-out: a chat request like any other, on a route narrowed to what it names, whose answer is heard and not sent.

It goes through the same intake, quotas, slots, breakers and books as a request of an agent.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NoReturn

from droveway.api.enums import Dialect, EndClass
from droveway.api.fanout import Target
from droveway.api.fanoutanswer import TracedAttempt
from droveway.api.names import HEADER_DEADLINE
from droveway.core.deadline import Deadline
from droveway.core.verdict import Verdict
from droveway.dialects import SPECS, BadRequest
from droveway.dialects.bodies import dump_object
from droveway.dialects.conversion.listener import Listener
from droveway.dialects.conversion.model import Answered, Frame
from droveway.fanout import Heard, Leg, Question, chat_body, usage_of
from droveway.gateway.attempt import Services
from droveway.gateway.client import Answering, Asked, Headers
from droveway.gateway.config import Route
from droveway.gateway.identity import NotAllowed
from droveway.gateway.intake import Intake, NotServed
from droveway.gateway.ledger import Account, Call
from droveway.gateway.serving import Serving, UnderWay

_CHAT = SPECS[Dialect.OPENAI_CHAT]
_PATH = next(iter(_CHAT.paths))
_DEADLINE_HEADER = HEADER_DEADLINE.lower().encode()
_NOT_A_CALLS = frozenset(
    {_DEADLINE_HEADER, b"idempotency-key", b"content-type", b"content-length", b"accept", b"upgrade", b"connection"}
)
_NOTHING_SAID = (EndClass.SUCCEEDED, EndClass.CANCELLED, EndClass.UNKNOWN)


class Legs:
    """Has the calls of one fan-out answered.

    Args:
        headers: of the fan-out's own request: its key, session, trace and request id are those of every call.
        route_of: the route of a call, narrowed to what it names.
    """

    def __init__(
        self,
        intake: Intake,
        services: Services,
        under_way: UnderWay,
        headers: Headers,
        route_of: Callable[[Target], Route],
    ) -> None:
        self._intake, self._services, self._under_way, self._route_of = intake, services, under_way, route_of
        own = [pair for pair in headers if pair[0] not in _NOT_A_CALLS and not pair[0].startswith(b"sec-websocket-")]
        self._headers: Headers = [*own, (b"content-type", b"application/json")]

    async def __call__(self, question: Question, leg: Leg) -> None:
        """One call."""
        route = self._route_of(question.target)
        try:
            asked = self._asked(question, route)
        except NotAllowed as error:
            return leg.end(Verdict(EndClass.AUTH_FAILED, reason=str(error)))
        except NotServed as error:
            return leg.end(Verdict(EndClass.PROVIDER_OUTAGE, reason=str(error)))
        except BadRequest as error:
            return leg.end(Verdict(EndClass.REQUEST_REJECTED, reason=str(error)))
        account = Account(time.monotonic())
        captured = _Captured(asked, account, leg, question.heard)
        try:
            with self._under_way.take(Serving(self._services, asked, Answering(captured), account)) as serving:
                outcome = await serving.run(_for_ever)
        finally:
            captured.name_candidate()
            leg.attempts = [_traced(call) for call in account.ended]
        return leg.end(*captured.heard_out(outcome))

    def _asked(self, question: Question, route: Route) -> Asked:
        body = dump_object(chat_body(question, route.candidates[0].model))
        scope = {"path": _PATH, "query_string": b"", "headers": self._headers}
        now = time.monotonic()
        asked = self._intake.asked(_CHAT, scope, body, self._intake.origin(self._headers, now), route)
        deadline = Deadline.after(question.deadline - now, now)
        return replace(asked, deadline=asked.deadline.or_sooner(deadline), aside=True)


class _Captured:
    """Takes what an agent would have been sent."""

    def __init__(self, asked: Asked, account: Account, leg: Leg, heard: Heard | None) -> None:
        self._route, self._account, self._leg, self._heard = asked.route, account, leg, heard
        frame = Frame(asked.id, asked.request.model, int(time.time()))
        self._listener = Listener(_CHAT, asked.request, frame)
        self._status, self._headers, self._pieces = 0, dict[str, str](), list[bytes]()
        self._streamed = False

    async def __call__(self, message: dict[str, Any]) -> None:
        """ASGI's `send`."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in message["headers"]}
            self._streamed = self._headers.get("content-type", "").startswith("text/event-stream")
            self.name_candidate()
        elif not self._streamed:
            self._pieces.append(message["body"])
        elif (words := self._listener.feed(message["body"])) and self._heard:
            await self._heard(words)

    def name_candidate(self) -> None:
        """Whose turn it is, or was."""
        if name := self._account.candidate:
            candidate = next(c for c in self._route.candidates if c.name == name)
            self._leg.candidate, self._leg.provider, self._leg.model = name, candidate.provider.name, candidate.model

    def heard_out(self, outcome: EndClass) -> tuple[Verdict, Answered | None]:
        """What the answer comes to; `outcome` is what the gateway's own books say."""
        now, body, answer = datetime.now(UTC), b"".join(self._pieces), None
        if not self._status:
            return Verdict(outcome, reason="it ended without an answer"), None
        if self._status != 200:
            verdict = self._listener.refused(self._status, self._headers, body, now)
        elif self._streamed:
            verdict, answer = self._listener.end(now)
        else:
            verdict, answer = self._listener.whole(body, now)
        if verdict.is_success or outcome in _NOTHING_SAID:
            return verdict, answer
        return replace(verdict, kind=outcome), None


def _traced(call: Call) -> TracedAttempt:
    return TracedAttempt(
        candidate=call.candidate.name,
        provider=call.provider.name,
        model=call.candidate.model,
        outcome=call.verdict.kind.value if call.verdict else "",
        usage=usage_of(call.tokens),
        cost_usd=None if call.cost_usd is None else f"{call.cost_usd:.9f}",
    )


async def _for_ever() -> NoReturn:
    """An agent that neither speaks nor leaves; the fan-out ends the call when its own client does."""
    await asyncio.get_running_loop().create_future()
    raise AssertionError
