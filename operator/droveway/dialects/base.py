"""The shape of a dialect: what the gateway asks of every LLM API it speaks."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from droveway.api.enums import Dialect, EndClass
from droveway.api.errors import UserMustAct
from droveway.core.completion import TokenBreakdown
from droveway.core.verdict import Verdict
from droveway.dialects.stream import StreamReader


class Operation(StrEnum):
    """What a path asks for."""

    GENERATE = "generate"
    COUNT_TOKENS = "count_tokens"


class BadRequest(UserMustAct):
    """The client's body is not one of this dialect; nothing goes upstream. Answer `error_response(RequestRejected)`."""


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
        wants_usage: OpenAIChat: whether the client asked for the usage chunk of a stream.
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


class DialectSpec(Protocol):
    """One LLM API. Stateless; one instance for the process."""

    @property
    def dialect(self) -> Dialect:
        """Its name."""

    def operation(self, path: str) -> Operation | None:
        """What a POST to this path asks for; None: not a path of this dialect."""

    def read_request(self, body: bytes, path: str, query: str = "") -> Request:
        """Read a client's request.

        Raises:
            BadRequest: the body is not a JSON object, or names no model where it must.
        """

    def rewrite(self, request: Request, model: str) -> bytes:
        """The body for upstream: the model replaced, usage asked for, every other byte as it came."""

    def upstream_path(self, request: Request, model: str) -> str:
        """Path and query for upstream, to be put behind the provider's base URL."""

    def auth_headers(self, key: str) -> list[tuple[str, str]]:
        """The provider's key as headers."""

    def reader(self, request: Request) -> StreamReader:
        """A reader for the streamed answer to this request."""

    def read_answer(self, body: bytes, now: datetime) -> Answer:
        """Read an answer with status 200 that was not streamed. Never raises."""

    def classify(self, status: int, headers: Iterable[tuple[str, str]], body: bytes, now: datetime) -> Verdict:
        """What an answer means (R-C38 to R-C42). Never raises."""

    def error_response(self, kind: EndClass, message: str, retry_after_seconds: int | None = None) -> Reply:
        """An error in this dialect which `classify` reads back as the same kind."""

    def in_band_error(self, kind: EndClass, message: str) -> bytes:
        """Events that end a broken stream so that official clients fail and do not take it for complete."""

    def exhausted_response(self, verdict: Verdict, now: datetime) -> Reply:
        """The answer when no candidate is left, in a form that this dialect's CLI does not hammer."""
