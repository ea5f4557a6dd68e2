"""OpenTelemetry's SDK as the way to a collector. Imported only when traces are on."""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Iterable

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from droveway import __version__
from droveway.observability.genai import ERROR_TYPE
from droveway.observability.tracing import Span

log = logging.getLogger(__name__)

_LAST_SECONDS = 3.0
_SCOPE = InstrumentationScope("droveway", __version__)


class SdkSpans:
    """Spans by way of the SDK: its sampler and resource, as the environment sets them, and a processor.

    Args:
        service: `service.name`, unless the environment names another.
        processor: takes finished spans.
    """

    def __init__(self, service: str, processor: SpanProcessor) -> None:
        resource = Resource.create({SERVICE_VERSION: __version__})
        if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: service}))
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._resource, self._sampler, self._processor = provider.resource, provider.sampler, processor

    def sampled(self, trace_id: str, parent_id: str = "", parent_sampled: bool | None = None) -> bool:
        """Asks the sampler."""
        parent = Context()
        if parent_sampled is not None:
            place = _place(trace_id, parent_id, remote=True, sampled=parent_sampled)
            parent = set_span_in_context(NonRecordingSpan(place), parent)
        return self._sampler.should_sample(parent, int(trace_id, 16), "").decision is Decision.RECORD_AND_SAMPLE

    def record(self, spans: Iterable[Span]) -> None:
        """Hands spans to the processor, which sends them from a thread of its own."""
        for span in spans:
            self._processor.on_end(self._readable(span))

    async def close(self) -> None:
        """Sends what is left."""
        last = threading.Thread(target=self._processor.shutdown, name="last spans", daemon=True)
        last.start()
        until = time.monotonic() + _LAST_SECONDS
        while last.is_alive() and time.monotonic() < until:  # noqa: ASYNC110 - a thread sets no asyncio.Event
            await asyncio.sleep(0.01)

    def _readable(self, span: Span) -> ReadableSpan:
        parent = _place(span.trace_id, span.parent_id, remote=span.kind == "SERVER") if span.parent_id else None
        attributes = dict(span.attributes) | ({ERROR_TYPE: span.error} if span.error else {})
        return ReadableSpan(
            name=span.name,
            context=_place(span.trace_id, span.span_id),
            parent=parent,
            resource=self._resource,
            attributes=attributes,
            links=[Link(_place(*span.link, remote=True))] if span.link else [],
            kind=SpanKind[span.kind.value],
            status=Status(StatusCode.ERROR, span.error) if span.error else Status(),
            start_time=span.start,
            end_time=span.end,
            instrumentation_scope=_SCOPE,
        )


def over_http(service: str) -> SdkSpans:
    """To an OTLP collector over HTTP, in batches; where and how is up to OpenTelemetry's variables."""
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    if protocol not in (None, "", "http/protobuf"):
        log.warning(
            "OTLP protocol %s is not built in: spans go by http/protobuf; give the collector's HTTP port", protocol
        )
    return SdkSpans(service, BatchSpanProcessor(OTLPSpanExporter()))


def _place(trace_id: str, span_id: str, *, remote: bool = False, sampled: bool = True) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=remote, trace_flags=flags)
