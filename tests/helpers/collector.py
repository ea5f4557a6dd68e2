"""A stand-in for an OpenTelemetry collector: takes OTLP over HTTP, and decodes it by OpenTelemetry's own protobuf classes."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status


@dataclass(frozen=True)
class Received:
    """One span as the collector got it."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    failed: bool
    start: int
    end: int
    attributes: dict[str, Any]
    links: tuple[str, ...]

    @classmethod
    def of(cls, service: str, span: WireSpan) -> Received:
        return cls(
            service,
            span.name,
            WireSpan.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
            span.trace_id.hex(),
            span.span_id.hex(),
            span.parent_span_id.hex(),
            span.status.code == Status.STATUS_CODE_ERROR,
            span.start_time_unix_nano,
            span.end_time_unix_nano,
            {pair.key: getattr(pair.value, str(pair.value.WhichOneof("value"))) for pair in span.attributes},
            tuple(link.trace_id.hex() for link in span.links),
        )


@dataclass
class Collector:
    """What has arrived.

    Attributes:
        refuse: answers all that comes with this status.
    """

    url: str = ""
    spans: list[Received] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    raw: bytes = b""
    refuse: int = 0

    def take(self, path: str, body: bytes) -> int:
        self.paths.append(path)
        if self.refuse:
            return self.refuse
        self.raw += body
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            told = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [Received.of(told["service.name"], span) for span in scope.spans]
        return 200

    def named(self, name: str) -> list[Received]:
        return [span for span in self.spans if span.name == name]

    def env(self) -> dict[str, str]:
        """What sends a process's spans here, soon after they end."""
        return {"OTEL_ENABLED": "1", "OTEL_EXPORTER_OTLP_ENDPOINT": self.url, "OTEL_BSP_SCHEDULE_DELAY": "50"}


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector that listens, in threads of its own."""
    found = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            self.send_response(found.take(self.path, body))
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
            """Prints nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
