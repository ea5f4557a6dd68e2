"""The shape of a dialect: what the gateway asks of every LLM API it speaks."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from math import ceil
from typing import Any, ClassVar, NamedTuple

from droveway.api.enums import Dialect, EndClass
from droveway.core.completion import TokenBreakdown
from droveway.core.limitbook import DEFAULT_LIMIT_TTL
from droveway.core.verdict import Verdict
from droveway.dialects.bodies import BadRequest, dump_object, parse_any, parse_object
from droveway.dialects.judge import SUCCEEDED, Fault, judge, read_fault, said
from droveway.dialects.stream import StreamReader

DEFAULT_PAUSES = {
    EndClass.SUBSCRIPTION_LIMIT: DEFAULT_LIMIT_TTL,
    EndClass.RATE_LIMITED: timedelta(seconds=60),
    EndClass.BALANCE_EXHAUSTED: timedelta(hours=6),
    EndClass.PROVIDER_OUTAGE: timedelta(seconds=30),
}
"""How long a limit lasts that states no end (R-L3), and when a client may come again after an outage."""


_MOST_OUTPUT = 10_000_000  # a larger number of tokens is none


class Operation(StrEnum):
    """What a path asks for."""

    GENERATE = "generate"
    COUNT_TOKENS = "count_tokens"


class Reply(NamedTuple):
    """An answer the gateway gives by itself."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a client.

    Attributes:
        operation: what its path asks for.
        model: the model it names; "" when it names none. Any name is accepted: the route decides.
        stream: whether it wants server-sent events back.
        path: as it came, without the query.
        query: as it came, without the question mark and without a key in it.
        raw: the body as it came.
        body: the same, parsed; not to be changed.
        wants_usage: whether the client asked for the usage event of a stream; OpenAIChat hides it from one who did not.
    """

    operation: Operation
    model: str
    stream: bool
    path: str
    query: str
    raw: bytes
    body: dict[str, Any] = field(repr=False)
    wants_usage: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """What one answer that was not streamed says.

    Attributes:
        verdict: `Succeeded`, or why a 200 is none (not JSON, or an error inside).
        usage: tokens in disjoint buckets (R-C32); zeros when the answer has none.
        model: the model the provider names, else "".
        finish_reason: in the dialect's own words, else "".
    """

    verdict: Verdict
    usage: TokenBreakdown = field(default_factory=TokenBreakdown)
    model: str = ""
    finish_reason: str = ""


class DialectSpec(ABC):
    """One LLM API. Stateless; one instance for the process."""

    dialect: ClassVar[Dialect]
    paths: ClassVar[Mapping[str, Operation]]
    ping: ClassVar[bytes] = b": ping\n\n"
    """A sign of life that may stand between two events of a stream; empty: clients trip over any."""
    output_bounds: ClassVar[tuple[str, ...]]
    """The fields in which a request states how many tokens it wants at most."""

    def operation(self, path: str) -> Operation | None:
        """What a POST to this path asks for; None: not a path of this dialect."""
        return self.paths.get(path)

    def read_request(self, body: bytes, path: str, query: str = "") -> Request:
        """Read a client's request.

        Raises:
            BadRequest: the body is not a JSON object, or its model is no string.
        """
        parsed = parse_object(body)
        model = parsed.get("model", "")
        if not isinstance(model, str):
            raise BadRequest(f'"model" must be a string, not {type(model).__name__}')
        operation = self.paths[path]
        stream = operation is Operation.GENERATE and parsed.get("stream") is True
        return Request(operation, model, stream, path, query, body, parsed, self._wants_usage(parsed, stream=stream))

    def _wants_usage(self, body: dict[str, Any], *, stream: bool) -> bool:
        """Whether the client asked for the usage event of a stream."""
        del body, stream
        return True

    def most_output_tokens(self, request: Request) -> int | None:
        """How many tokens of output a request allows; None: it does not say."""
        return self._bound(request.body)

    def _bound(self, stated: Mapping[str, Any]) -> int | None:
        found = (stated.get(name) for name in self.output_bounds)
        return next((min(n, _MOST_OUTPUT) for n in found if isinstance(n, int) and n > 0), None)

    def rewrite(self, request: Request, model: str) -> bytes:
        """The body for upstream: the model replaced, usage asked for, the rest as it came (byte for byte if nothing changes)."""
        return request.raw if model == request.model else dump_object({**request.body, "model": model})

    def upstream_path(self, request: Request, model: str) -> str:
        """Path and query for upstream, to be put behind the provider's base URL."""
        return f"{request.path}?{request.query}" if request.query else request.path

    @abstractmethod
    def auth_headers(self, key: str) -> list[tuple[str, str]]:
        """The provider's key as headers."""

    @abstractmethod
    def reader(self, request: Request) -> StreamReader:
        """A reader for the streamed answer to this request."""

    def read_answer(self, body: bytes, now: datetime) -> Answer:
        """Read an answer with status 200 that was not streamed. Never raises."""
        parsed = parse_any(body)
        if not isinstance(parsed, dict | list):
            return Answer(Verdict(EndClass.PROVIDER_OUTAGE, reason="the answer's body is not JSON"))
        return self._read_answer(parsed, now)

    @abstractmethod
    def _read_answer(self, parsed: dict[str, Any] | list[Any], now: datetime) -> Answer: ...

    def classify(self, status: int, headers: Mapping[str, str], body: bytes, now: datetime) -> Verdict:
        """What an answer means (R-C38 to R-C42); `until` is None for a limit that states no end. Never raises."""
        return SUCCEEDED if status < 400 else judge(read_fault(status, headers, body, now), self._own)

    def judge_in_band(self, error: dict[str, Any], now: datetime) -> Verdict:
        """What an error inside a 200 means: judged as the status it would have had; by its words when nobody knows that."""
        status = self._status_of(error)
        fault = read_fault(status or 429, {}, dump_object({"error": error}), now)
        if status is None and said(fault) is None:
            fault = replace(fault, status=500)
        return judge(fault, self._own)

    @abstractmethod
    def _own(self, fault: Fault) -> Verdict | None:
        """What only this dialect knows about an error; None: nothing special."""

    @abstractmethod
    def _status_of(self, error: dict[str, Any]) -> int | None:
        """The status that an error has when it does not come inside a 200; None when nobody knows."""

    @abstractmethod
    def error_response(self, kind: EndClass, message: str, retry_after_seconds: int | None = None) -> Reply:
        """An error in this dialect which `classify` reads back as the same kind."""

    @abstractmethod
    def in_band_error(self, kind: EndClass, message: str) -> bytes:
        """Events that end a broken stream so that official clients fail and do not take it for complete."""

    @abstractmethod
    def exhausted_response(self, verdict: Verdict, now: datetime) -> Reply:
        """The answer when no candidate is left, in a form that this dialect's CLI does not hammer."""


def out_seconds(verdict: Verdict, now: datetime) -> int:
    """When a client may come again, in whole seconds, rounded up so that it does not come too early."""
    until = verdict.until or now + DEFAULT_PAUSES.get(verdict.kind, timedelta(minutes=1))
    return max(1, ceil((until - now).total_seconds()))


def out_message(verdict: Verdict) -> str:
    """What the client is told when no candidate is left."""
    back = f" Back at {verdict.until.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}." if verdict.until else ""
    return f"{verdict.reason or 'no candidate is left'}.{back}"
