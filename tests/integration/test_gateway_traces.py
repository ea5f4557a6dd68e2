"""Traces of a gateway: one id from the caller to the provider, parents that are right, and nothing at all when they are off."""

import json
from pathlib import Path

import pytest

from droveway.core.trace import attempt_trace, read_traceparent
from helpers.collector import Collector, Received, collecting
from helpers.gateway import MESSAGE, Talk, mock_provider, provider, route, scripted, until
from helpers.gateway_process import GatewayProcess, gateway_process

pytestmark = pytest.mark.integration
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CALLER = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
OWN = attempt_trace("uid-1", 1)


async def answered(talk: Talk) -> None:
    await talk.answer(200, MESSAGE)


async def refused(talk: Talk) -> None:
    await talk.answer(529, {"type": "error", "error": {"type": "overloaded_error", "message": "of the provider"}})


async def arrived(collector: Collector, count: int) -> dict[str, Received]:
    """The spans by name, once there are so many."""
    await until(lambda: len(collector.spans) >= count)
    assert len(collector.spans) == count
    return {span.name: span for span in collector.spans}


async def test_a_request_is_a_span_and_so_are_its_attempts_and_their_calls(tmp_path: Path) -> None:
    """One fails, one answers: caller → gateway → attempt → provider, all in the caller's trace."""
    with collecting() as collector:
        async with scripted(refused) as (bad, _), scripted(answered) as (good, seen):
            team = (provider("a", bad), provider("b", good), route("a", "b"))
            async with gateway_process(tmp_path, *team, **collector.env()) as gateway:
                await gateway.ask(headers=CALLER | {"x-session-id": "s-1"}, secret="of the prompt")
                assert speaks_protobuf(gateway)
                spans = await arrived(collector, 5)
    assert collector.paths[0] == "/v1/traces"
    assert {(span.trace_id, span.service) for span in spans.values()} == {(TRACE, "droveway-gateway")}
    request, a, b = spans["POST /v1/messages"], spans["attempt a"], spans["attempt b"]
    call_a, call_b = spans["chat model-a"], spans["chat model-b"]
    assert request.parent_id == SPAN
    assert {a.parent_id, b.parent_id} == {request.span_id}
    assert (call_a.parent_id, call_b.parent_id) == (a.span_id, b.span_id)
    assert [span.kind for span in (request, a, call_a)] == ["SERVER", "INTERNAL", "CLIENT"]
    assert [span.failed for span in (request, a, call_a, b, call_b)] == [False, True, True, False, False]
    assert call_a.attributes["error.type"] == "ProviderOutage"
    assert (
        request.start <= a.start <= call_a.start <= call_a.end <= a.end <= b.start <= call_b.end <= b.end <= request.end
    )
    told = read_traceparent(seen.seen[0].headers["traceparent"])
    assert told == (TRACE, call_b.span_id, True), "the provider's work is part of our call to it"
    assert call_b.attributes | {"server.port": 0, "gen_ai.response.time_to_first_chunk": 0} == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "model-b",
        "gen_ai.request.stream": False,
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cache_read.input_tokens": 0,
        "gen_ai.usage.cache_creation.input_tokens": 0,
        "gen_ai.usage.reasoning.output_tokens": 0,
        "gen_ai.response.time_to_first_chunk": 0,
        "server.address": "127.0.0.1",
        "server.port": 0,
    }
    assert request.attributes["droveway.run.name"] == "run"
    assert request.attributes["gen_ai.conversation.id"] == "s-1"
    assert request.links == (OWN.trace_id,), "the run's trace is a click away"
    for hidden in (b"of the prompt", b"of the provider", b"key-of-a", gateway.key.encode(), b"hello"):
        assert hidden not in collector.raw


async def test_a_request_without_a_caller_is_part_of_its_attempt_and_one_id_leads_everywhere(tmp_path: Path) -> None:
    """From the run's id: lines of the log, a trace, counters that moved, and the header at the provider."""
    with collecting() as collector:
        async with mock_provider() as mock:
            team = (provider("a", mock), route("a"))
            async with gateway_process(tmp_path, *team, **collector.env()) as gateway:
                await gateway.ask("OpenAIChat", messages=[{"role": "user", "content": "hi"}])
                spans = await arrived(collector, 3)
                (line,) = await gateway.logged(1)
                moved = await gateway.metric("droveway_gateway_requests_total", tenant="default", route="main")
                async with gateway.agent.get(f"{mock}/_mock/calls") as answer:
                    (call,) = await answer.json()
    assert (line["run"], line["run_uid"], line["trace_id"]) == ("run", "uid-1", OWN.trace_id)
    assert {span.trace_id for span in spans.values()} == {OWN.trace_id}
    request = spans["POST /v1/chat/completions"]
    assert (request.parent_id, request.links) == (OWN.span_id, ())
    assert request.attributes["droveway.run.uid"] == "uid-1"
    assert moved == 1
    assert read_traceparent(call["headers"]["traceparent"]) == (OWN.trace_id, spans["chat model-a"].span_id, True)


async def test_a_caller_that_does_not_sample_is_heeded(tmp_path: Path) -> None:
    with collecting() as collector:
        async with (
            scripted(answered) as (url, seen),
            gateway_process(tmp_path, provider("a", url), route("a"), **collector.env()) as gateway,
        ):
            await gateway.ask(headers={"traceparent": f"00-{TRACE}-{SPAN}-00"})
            assert await gateway.end() == 0
    assert collector.paths == []
    told = read_traceparent(seen.seen[0].headers["traceparent"])
    assert told is not None
    assert (told.trace_id, told.sampled) == (TRACE, False)


@pytest.mark.parametrize(
    "off", [{"OTEL_ENABLED": "0"}, {"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}], ids=str
)
async def test_off_nothing_is_sent_and_the_sdk_is_not_even_loaded(tmp_path: Path, off: dict[str, str]) -> None:
    with collecting() as collector:
        async with (
            scripted(answered) as (url, seen),
            gateway_process(tmp_path, provider("a", url), route("a"), **(collector.env() | off)) as gateway,
        ):
            await gateway.ask(headers=CALLER)
            assert not speaks_protobuf(gateway)
            assert await gateway.end() == 0
    assert collector.paths == []
    assert seen.seen[0].headers["traceparent"] == CALLER["traceparent"], "it passes as it came"


def speaks_protobuf(gateway: GatewayProcess) -> bool:
    """Whether the library that the SDK's exporter brings is loaded, as the kernel sees it."""
    return "/google/_upb/" in Path(f"/proc/{gateway.process.pid}/maps").read_text()


@pytest.mark.parametrize("trouble", ["refuses", "is away"])
async def test_a_collector_in_trouble_harms_no_request(tmp_path: Path, trouble: str) -> None:
    with collecting() as collector:
        collector.refuse = 500
        env = collector.env() | ({} if trouble == "refuses" else {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"})
        async with (
            scripted(answered) as (url, _),
            gateway_process(tmp_path, provider("a", url), route("a"), **env) as gateway,
        ):
            answers = [await gateway.ask() for _ in range(5)]
            assert await gateway.end() == 0
    assert [status for status, _, _ in answers] == [200] * 5
    assert [line["verdict"] for line in gateway.requests()] == ["Succeeded"] * 5
    assert all(json.dumps(line) for line in gateway.lines())


async def test_a_request_that_nobody_may_serve_is_a_failed_span(tmp_path: Path) -> None:
    async def gone(talk: Talk) -> None:
        talk.cut()

    with collecting() as collector:
        async with (
            scripted(gone) as (url, _),
            gateway_process(tmp_path, provider("a", url), route("a"), **collector.env()) as gateway,
        ):
            status, _, _ = await gateway.ask(stream=True)
            await until(lambda: collector.named("POST /v1/messages"))
    assert status >= 500
    (request,) = collector.named("POST /v1/messages")
    assert request.failed
    assert request.attributes["error.type"] == "ProviderOutage"
    assert all(span.failed for span in collector.spans)
