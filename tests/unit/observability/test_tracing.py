"""Finished spans by way of OpenTelemetry's SDK: what an exporter is handed, and what the sampler is asked."""

import subprocess
import sys

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from droveway.observability.otel import SdkSpans
from droveway.observability.tracing import Kind, Span, new_span_id, start_tracing

TRACE, ROOT, CHILD = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "00f067aa0ba902b8"
LOW, HIGH = f"{'1' * 16}{'0' * 15}1", f"{'1' * 16}{'f' * 16}"
"""Trace ids whose lower halves are at the ends of what samplers compare with their ratio."""


def recorder() -> tuple[SdkSpans, InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    return SdkSpans("droveway-test", SimpleSpanProcessor(exporter)), exporter


def test_ids_parents_kinds_and_errors_arrive_as_they_were_written() -> None:
    spans, exporter = recorder()
    root = Span("root", Kind.SERVER, TRACE, ROOT, "", 1, 9, {"n": 1})
    spans.record([root, Span("child", Kind.CLIENT, TRACE, CHILD, ROOT, 2, 8, error="RateLimited", link=(HIGH, ROOT))])

    first, second = exporter.get_finished_spans()

    assert first.context is not None
    assert second.context is not None
    assert (first.context.trace_id, first.context.span_id) == (int(TRACE, 16), int(ROOT, 16))
    assert first.parent is None
    assert (first.kind, first.status.status_code, dict(first.attributes or {})) == (
        SpanKind.SERVER,
        StatusCode.UNSET,
        {"n": 1},
    )
    assert second.parent is not None
    assert (second.parent.span_id, second.parent.is_remote) == (int(ROOT, 16), False)
    assert (second.start_time, second.end_time) == (2, 8)
    assert (second.status.status_code, second.status.description) == (StatusCode.ERROR, "RateLimited")
    assert dict(second.attributes or {}) == {"error.type": "RateLimited"}
    assert [link.context.trace_id for link in second.links] == [int(HIGH, 16)]
    assert first.resource.attributes["service.name"] == "droveway-test"


def test_who_comes_from_outside_has_a_remote_parent() -> None:
    spans, exporter = recorder()
    spans.record([Span("request", Kind.SERVER, TRACE, CHILD, ROOT, 1, 2)])
    (found,) = exporter.get_finished_spans()
    assert found.parent is not None
    assert found.parent.is_remote


def test_a_name_in_the_environment_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
    spans, exporter = recorder()
    spans.record([Span("root", Kind.INTERNAL, TRACE, ROOT, "", 1, 2)])
    assert exporter.get_finished_spans()[0].resource.attributes["service.name"] == "mine"


@pytest.mark.parametrize(
    ("sampler", "trace", "parent", "sampled"),
    [
        ("", HIGH, None, True),
        ("", HIGH, False, False),
        ("", HIGH, True, True),
        ("always_off", LOW, True, False),
        ("parentbased_traceidratio", LOW, None, True),
        ("parentbased_traceidratio", HIGH, None, False),
        ("parentbased_traceidratio", HIGH, True, True),
        ("parentbased_traceidratio", LOW, False, False),
        ("traceidratio", HIGH, True, False),
    ],
)
def test_the_sampler_of_the_environment_decides(
    monkeypatch: pytest.MonkeyPatch, sampler: str, trace: str, parent: bool | None, sampled: bool
) -> None:
    if sampler:
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
        monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    spans, _ = recorder()
    assert spans.sampled(trace, ROOT, parent) is sampled


def test_off_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    assert start_tracing("x", enabled=False) is None
    monkeypatch.setenv("OTEL_SDK_DISABLED", "TRUE")
    assert start_tracing("x", enabled=True) is None


def test_off_the_sdk_is_not_imported() -> None:
    modules = "droveway.gateway.serve, droveway.controllers.operator"
    code = f"import sys, {modules}; sys.exit(any(name.partition('.')[0] == 'opentelemetry' for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_ids_are_whole() -> None:
    assert all(len(new_span_id()) == 16 and int(new_span_id(), 16) for _ in range(100))
