"""What each LLM API speaks: requests, streams, usage, and what its errors mean."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from droveway.api.enums import Dialect
from droveway.core.verdict import Verdict
from droveway.dialects.anthropic import Anthropic
from droveway.dialects.base import (
    DEFAULT_PAUSES,
    Answer,
    DialectSpec,
    Operation,
    Reply,
    Request,
    out_message,
    out_seconds,
)
from droveway.dialects.bodies import BadRequest
from droveway.dialects.gemini import Gemini
from droveway.dialects.headers import client_key, request_headers_to_upstream, response_headers_to_client
from droveway.dialects.openai_chat import OpenAIChat
from droveway.dialects.openai_responses import OpenAIResponses
from droveway.dialects.stream import StreamReader
from droveway.dialects.utilization import utilization

__all__ = [
    "SPECS",
    "Answer",
    "BadRequest",
    "DialectSpec",
    "Operation",
    "Reply",
    "Request",
    "StreamReader",
    "by_path",
    "classify_response",
    "client_key",
    "out_message",
    "out_seconds",
    "request_headers_to_upstream",
    "response_headers_to_client",
    "utilization",
]

SPECS: Mapping[str, DialectSpec] = {
    spec.dialect: spec for spec in (Anthropic(), OpenAIChat(), OpenAIResponses(), Gemini())
}
"""Every dialect we speak, by the name it has in a ModelProvider."""


def by_path(method: str, path: str) -> tuple[DialectSpec, Operation] | None:
    """The dialect and operation of a request line; `path` without its query. None: not ours."""
    if method != "POST":
        return None
    for spec in SPECS.values():
        if operation := spec.operation(path):
            return spec, operation
    return None


def classify_response(dialect: str, status: int, headers: Mapping[str, str], body: bytes, now: datetime) -> Verdict:
    """What an answer of a provider means (R-C3, R-C4, R-C38 to R-C42). Never raises.

    A limit that states no end gets the default of R-L3. Who keeps a `LimitBook` asks the spec: the book knows better.

    Args:
        dialect: a `Dialect` by name; an unknown one is judged as OpenAIChat, which most providers imitate.
        status: HTTP status.
        headers: in any letter case.
        body: as it came; may be anything.
        now: when it came; relative times count from here.
    """
    verdict = SPECS.get(dialect, SPECS[Dialect.OPENAI_CHAT]).classify(status, headers, body, now)
    return (
        replace(verdict, until=now + DEFAULT_PAUSES[verdict.kind])
        if verdict.is_limit and not verdict.until
        else verdict
    )
