"""Traces, as finished spans: plain data that whoever did the work writes down when it is over.

Their ids are known beforehand, so that they can be told on. Off, OpenTelemetry's SDK is not even imported.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

Attribute = str | bool | int | float


class Kind(StrEnum):
    """Which side of a call a span is."""

    INTERNAL = "INTERNAL"
    SERVER = "SERVER"
    CLIENT = "CLIENT"


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of work that is over.

    Attributes:
        trace_id: 32 hexadecimal digits; `span_id` and `parent_id` have 16. No parent: it is the root.
        start: nanoseconds since 1970; so is `end`.
        error: what went wrong, in a word; "" when it went well.
        link: trace and span that it also belongs to.
    """

    name: str
    kind: Kind
    trace_id: str
    span_id: str
    parent_id: str
    start: int
    end: int
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    error: str = ""
    link: tuple[str, str] | None = None


class Spans(Protocol):
    """Where spans go."""

    def sampled(self, trace_id: str, parent_id: str = "", parent_sampled: bool | None = None) -> bool:
        """Whether what begins here is recorded; `parent_sampled`: what the caller has decided, if it has."""

    def record(self, spans: Iterable[Span]) -> None:
        """Takes spans of a trace that is recorded. Never waits, never raises for want of a collector."""

    async def close(self) -> None:
        """Sends what is left, for a few seconds at most."""


def new_span_id() -> str:
    """Sixteen hexadecimal digits, not all zero."""
    return f"{random.getrandbits(64) or 1:016x}"


def start_tracing(service: str, *, enabled: bool) -> Spans | None:
    """The way to a collector, by OpenTelemetry's own variables (`OTEL_EXPORTER_OTLP_ENDPOINT` …); None when it is off.

    Args:
        service: `service.name`, unless the variables name another.
        enabled: `OTEL_ENABLED`. `OTEL_SDK_DISABLED` and `OTEL_TRACES_EXPORTER=none` switch it off again.
    """
    off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or os.environ.get("OTEL_TRACES_EXPORTER") == "none"
    if not enabled or off:
        return None
    from droveway.observability.otel import over_http  # noqa: PLC0415 - 20 MiB and 300 ms that only who wants them pays

    return over_http(service)
