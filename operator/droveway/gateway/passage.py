"""How a request gets to a provider and its answer back: as it is, or converted when the provider speaks another dialect."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from droveway.api.enums import Dialect
from droveway.dialects import (
    SPECS,
    DialectSpec,
    Request,
    request_headers_to_upstream,
    response_headers_to_client,
)
from droveway.dialects.conversion import CannotCarry, Conversion, Resume, Translator, convert
from droveway.gateway.client import Asked, Headers

_UP = {"user-agent", "traceparent", "tracestate", "x-request-id"}
_DOWN = {b"request-id", b"x-request-id"}
"""What means the same in every dialect."""


@dataclass(frozen=True, slots=True)
class Passage:
    """One request on its way to a provider.

    Attributes:
        spec: the provider's dialect.
        request: in that dialect.
        conversion: None: the client speaks it as well, and every byte passes as it came.
    """

    spec: DialectSpec
    request: Request
    conversion: Conversion | None = None

    def headers_up(self, headers: Headers) -> list[tuple[str, str]]:
        """The client's headers for the provider."""
        found = request_headers_to_upstream(headers)
        if self.conversion is None:
            return found
        return [*self.conversion.headers, *(pair for pair in found if pair[0] in _UP)]

    def headers_down(self, headers: Iterable[tuple[str, str]]) -> Headers:
        """The provider's headers for the client."""
        found = response_headers_to_client(headers)
        if self.conversion is None:
            return found
        kind = b"text/event-stream" if self.request.stream else b"application/json"
        return [(b"content-type", kind), *(pair for pair in found if pair[0] in _DOWN)]

    def body_down(self, body: bytes) -> bytes:
        """An answer in one piece for the client."""
        return self.conversion.answer(body) if self.conversion else body

    def translator(self) -> Translator | None:
        """For the events of a stream; None: they pass as they are."""
        return self.conversion.translator() if self.conversion else None


class Passages:
    """The ways of one request to the providers of its route, each found when it is needed.

    Args:
        resume: the answer has begun; the rest of it is converted whatever the provider speaks.

    Attributes:
        cannot: why there is no way to the providers of a dialect.
    """

    def __init__(self, asked: Asked, resume: Resume | None = None) -> None:
        self._asked, self._resume = asked, resume
        self._straight = Passage(asked.spec, asked.request)
        self._found: dict[tuple[Dialect, str], Passage] = {}
        self.cannot: dict[Dialect, str] = {}

    def to(self, dialect: Dialect, model: str) -> Passage | None:
        """The way to a model; None: there is none, and `cannot` tells why."""
        if dialect is self._asked.spec.dialect and self._resume is None:
            return self._straight
        if dialect in self.cannot:
            return None
        if (dialect, model) not in self._found:
            try:
                self._found[dialect, model] = self._convert(dialect, model)
            except CannotCarry as reason:
                self.cannot[dialect] = self._message(dialect, reason.what)
                return None
        return self._found[dialect, model]

    def _convert(self, dialect: Dialect, model: str) -> Passage:
        asked, now = self._asked, int(datetime.now(UTC).timestamp())
        found = convert(
            asked.request, asked.spec.dialect, dialect, model, asked.id, now, self._resume, asked.route.drops_thoughts
        )
        return Passage(SPECS[dialect], found.request, found)

    def _message(self, dialect: Dialect, what: str) -> str:
        spoken = self._asked.spec.dialect
        return (
            f"the request holds what cannot be carried from {spoken} to {dialect}: {what}; "
            f"leave it out, or add a candidate whose provider speaks {spoken}"
        )
