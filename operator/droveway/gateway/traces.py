"""The spans of a request: the request itself, each candidate's turn, and each upstream call. Only when traces are on.

No span holds anything of a prompt or an answer, a key, or a message of a provider.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from droveway.api.enums import EndClass
from droveway.core.trace import Trace, attempt_trace, traceparent
from droveway.gateway.client import Asked
from droveway.gateway.config import Candidate, Provider
from droveway.gateway.semantics import operation_name, provider_name, server
from droveway.observability import genai
from droveway.observability.tracing import Attribute, Kind, Span, Spans, new_span_id

if TYPE_CHECKING:
    from droveway.gateway.ledger import Account, Call


@dataclass(slots=True)
class Leg:
    """One candidate's turn in a request; monotonic seconds."""

    candidate: Candidate
    provider: Provider
    began: float
    span_id: str = field(default_factory=new_span_id)
    calls: list[tuple[str, Call]] = field(default_factory=list)


@dataclass(slots=True)
class RequestTrace:
    """One request while it is under way.

    Attributes:
        place: its own span.
    """

    place: Trace
    legs: list[Leg] = field(default_factory=list)


class RequestTraces:
    """Writes the spans of requests down."""

    def __init__(self, spans: Spans) -> None:
        self._spans = spans

    def leg(self, asked: Asked, account: Account, candidate: Candidate, provider: Provider) -> Leg:
        """A candidate's turn begins."""
        found = Leg(candidate, provider, time.monotonic())
        self._trace(asked, account).legs.append(found)
        return found

    def headers_up(
        self, account: Account, leg: Leg, call: Call, headers: list[tuple[str, str]]
    ) -> list[tuple[str, str]]:
        """The headers of an upstream call, which is the parent of what the provider does."""
        trace = account.trace
        if trace is None:
            raise ValueError("a call belongs to a turn, and its turn has begun the trace")
        span_id = new_span_id()
        leg.calls.append((span_id, call))
        kept = [pair for pair in headers if pair[0] != "traceparent"]
        return [*kept, ("traceparent", traceparent(trace.place._replace(span_id=span_id)))]

    def ended(self, asked: Asked, account: Account, outcome: EndClass) -> None:
        """The request is over."""
        trace = self._trace(asked, account)
        if not trace.place.sampled:
            return
        now = time.monotonic()
        clock = _Clock(time.time_ns() - int(now * 1e9))
        ends = [*(leg.began for leg in trace.legs[1:]), now]
        spans = [self._request(asked, account, trace.place, outcome, clock, now)]
        for leg, next_began in zip(trace.legs, ends, strict=True):
            spans += _leg(asked, trace.place, leg, next_began, clock)
        self._spans.record(spans)

    def _trace(self, asked: Asked, account: Account) -> RequestTrace:
        if account.trace is None:
            parent = asked.trace
            sampled = self._spans.sampled(parent.trace_id, parent.span_id, parent.sampled)
            account.trace = RequestTrace(Trace(parent.trace_id, new_span_id(), sampled))
        return account.trace

    def _request(
        self, asked: Asked, account: Account, place: Trace, outcome: EndClass, clock: _Clock, now: float
    ) -> Span:
        run, path = asked.caller.run, _template(asked.request.path)
        own = attempt_trace(run.uid, asked.caller.attempt)
        attributes: dict[str, Attribute] = {
            "http.request.method": "POST",
            "http.route": path,
            "droveway.request.id": asked.request_id,
            "droveway.tenant": run.namespace,
            "droveway.run.name": run.name,
            "droveway.run.uid": run.uid,
            "droveway.run.attempt": asked.caller.attempt,
            "droveway.route": asked.route.key.name,
            "droveway.candidate": account.candidate,
            "droveway.calls": account.calls,
            "droveway.verdict": outcome.value,
        }
        if account.cache:
            attributes["droveway.cache"] = account.cache
        if asked.session_id:
            attributes[genai.CONVERSATION_ID] = asked.session_id
        return Span(
            f"POST {path}",
            Kind.SERVER,
            place.trace_id,
            place.span_id,
            asked.trace.span_id,
            clock.at(account.began),
            clock.at(now),
            attributes,
            error="" if outcome is EndClass.SUCCEEDED else outcome.value,
            link=None if own.trace_id == place.trace_id else (own.trace_id, own.span_id),
        )


def _leg(asked: Asked, place: Trace, leg: Leg, next_began: float, clock: _Clock) -> list[Span]:
    over = [call for _, call in leg.calls if call.ended is not None]
    last = over[-1] if over else None
    verdict = last.verdict.kind.value if last and last.verdict else ""
    ended = max((call.ended or call.started for call in over), default=next_began)
    attributes: dict[str, Attribute] = {
        "droveway.candidate": leg.candidate.name,
        "droveway.provider": leg.provider.name,
        "droveway.verdict": verdict or "NotCalled",
    }
    error = "" if verdict == EndClass.SUCCEEDED.value else verdict or "NotCalled"
    span = Span(
        f"attempt {leg.candidate.name}",
        Kind.INTERNAL,
        place.trace_id,
        leg.span_id,
        place.span_id,
        clock.at(leg.began),
        clock.at(ended),
        attributes,
        error=error,
    )
    return [span, *(_call(asked, place.trace_id, leg.span_id, span_id, call, clock) for span_id, call in leg.calls)]


def _call(asked: Asked, trace_id: str, parent_id: str, span_id: str, call: Call, clock: _Clock) -> Span:
    provider, tokens = call.provider, call.tokens
    operation, (host, port) = operation_name(provider.dialect), server(provider.base_url)
    attributes: dict[str, Attribute] = {
        genai.OPERATION_NAME: operation,
        genai.PROVIDER_NAME: provider_name(provider.dialect, provider.base_url),
        genai.REQUEST_MODEL: call.candidate.model,
        genai.REQUEST_STREAM: asked.request.stream,
        genai.SERVER_ADDRESS: host,
        genai.SERVER_PORT: port,
    }
    if tokens.total:
        attributes |= {
            genai.INPUT_TOKENS: tokens.input + tokens.cache_read + tokens.cache_write,
            genai.OUTPUT_TOKENS: tokens.output + tokens.reasoning,
            genai.CACHE_READ_TOKENS: tokens.cache_read,
            genai.CACHE_WRITE_TOKENS: tokens.cache_write,
            genai.REASONING_TOKENS: tokens.reasoning,
        }
    if call.first_content is not None:
        attributes[genai.TIME_TO_FIRST_CHUNK] = round(call.first_content - call.started, 6)
    verdict = call.verdict.kind if call.verdict else EndClass.CANCELLED
    return Span(
        f"{operation} {call.candidate.model}",
        Kind.CLIENT,
        trace_id,
        span_id,
        parent_id,
        clock.at(call.started),
        clock.at(call.started if call.ended is None else call.ended),
        attributes,
        error="" if verdict is EndClass.SUCCEEDED else verdict.value,
    )


@dataclass(frozen=True, slots=True)
class _Clock:
    """Turns monotonic seconds into nanoseconds since 1970."""

    offset: int

    def at(self, monotonic: float) -> int:
        return self.offset + int(monotonic * 1e9)


def _template(path: str) -> str:
    """A path without the model that some name in it."""
    head, colon, verb = path.rpartition(":")
    return f"{head.rpartition('/')[0]}/{{model}}:{verb}" if colon else path
