"""What each LLM API speaks: requests, streams, usage, and what its errors mean."""

from collections.abc import Mapping
from datetime import datetime

from droveway.api.enums import Dialect
from droveway.core.verdict import Verdict
from droveway.dialects.base import Answer, BadRequest, DialectSpec, Operation, Reply, Request
from droveway.dialects.headers import client_key, request_headers_to_upstream, response_headers_to_client
from droveway.dialects.stream import StreamReader

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
    "request_headers_to_upstream",
    "response_headers_to_client",
]

SPECS: Mapping[Dialect, DialectSpec] = {}
"""Every dialect we speak."""


def by_path(method: str, path: str) -> tuple[DialectSpec, Operation] | None:
    """The dialect and operation of a request line; `path` without its query. None: not ours."""
    raise NotImplementedError


def classify_response(dialect: str, status: int, headers: Mapping[str, str], body: bytes, now: datetime) -> Verdict:
    """What an answer of a provider means (R-C3, R-C4, R-C38 to R-C42). Never raises.

    Args:
        dialect: a `Dialect` by name; an unknown one is judged by what all have in common.
        status: HTTP status.
        headers: in any letter case.
        body: as it came; may be anything.
        now: when it came; relative times count from here.
    """
    raise NotImplementedError
