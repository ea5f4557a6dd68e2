"""What a gateway's process tells those who look from outside: log lines by their schema, ids, and counters that are right."""

import json
import re
from pathlib import Path
from typing import Any

import aiohttp
import jsonschema
import pytest

from droveway.core.trace import attempt_trace
from helpers.gateway import MESSAGE, Talk, mock_provider, provider, route, scripted
from helpers.gateway_process import gateway_process

pytestmark = pytest.mark.integration
SCHEMA = json.loads((Path(__file__).parents[2] / "docs/schemas/log.schema.json").read_text())
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
OURS = re.compile("[0-9a-f]{8}-[1-9][0-9]*")


async def answered(talk: Talk) -> None:
    await talk.answer(200, MESSAGE)


async def calls_of(agent: aiohttp.ClientSession, mock: str) -> list[dict[str, Any]]:
    async with agent.get(f"{mock}/_mock/calls") as answer:
        found: list[dict[str, Any]] = await answer.json()
        return found


async def test_every_line_of_a_day_is_by_the_schema_and_counters_are_the_providers_own(tmp_path: Path) -> None:
    """A good answer, a stream, a limit that moves the request, a bad request, a count, a refused key, a lost route."""
    async with mock_provider() as mock:
        team = (
            provider("a", f"{mock}/s/rate_limit,run=a,skip=2,fail=3,retry_after=600"),
            provider("b", mock),
            route("a", "b"),
        )
        async with gateway_process(tmp_path, *team) as gateway:
            assert (await gateway.ask())[0] == 200
            assert (await gateway.ask(stream=True))[0] == 200
            status, headers, _ = await gateway.ask(secret="of the prompt")
            assert (status, headers["x-droveway-candidate"], headers["x-droveway-attempts"]) == (200, "b", "2")
            assert (await gateway.ask("OpenAIChat", messages=[{"role": "user", "content": "hi"}]))[0] == 200
            assert (await gateway.ask(headers={"x-api-key": "dwk-uid-1-1-0ddba11"}))[0] == 401
            assert (await gateway.ask(model=1))[0] == 400
            async with gateway.agent.post(f"{gateway.url}/v1/messages/count_tokens", data=b'{"model":"m"}',
                                          headers={"x-api-key": gateway.key}) as answer:  # fmt: skip
                await answer.read()
            lines = await gateway.logged(5)
            calls = await calls_of(gateway.agent, mock)
            generated = [call for call in calls if not call["path"].endswith("count_tokens")]
            failed = [call for call in generated if call["status"] != 200]
            assert (len(generated), len(failed)) == (5, 1)
            assert await gateway.metric("droveway_gateway_completions_total") == 5
            assert await gateway.metric("droveway_gateway_completions_total", outcome="Succeeded") == 4
            assert await gateway.metric("droveway_gateway_completions_total", outcome="RateLimited") == 1
            assert await gateway.metric("gen_ai_client_operation_duration_seconds_count") == 5
            assert await gateway.metric("gen_ai_client_operation_duration_seconds_count", error_type="RateLimited") == 1
            assert await gateway.metric("droveway_gateway_request_duration_seconds_count") == 5
            assert await gateway.metric("droveway_gateway_requests_total") == 5
            assert await gateway.metric("droveway_gateway_reroutes_total", to="b", reason="RateLimited") == 1
            assert await gateway.metric("droveway_gateway_refusals_total", outcome="AuthFailed") == 1
            assert await gateway.metric("droveway_gateway_refusals_total", outcome="RequestRejected") == 1
            told = {"input": 1200, "cache_read": 800, "cache_write": 100, "output": 42}
            for bucket, tokens in told.items():
                assert await gateway.metric("droveway_gateway_tokens_total", type=bucket) == 4 * tokens
            assert await gateway.metric("gen_ai_client_token_usage_sum", gen_ai_token_type="input") == 4 * 2100
            assert await gateway.metric("gen_ai_client_token_usage_sum", gen_ai_token_type="output") == 4 * 42
            assert await gateway.metric("droveway_gateway_candidate_usable", candidate="a") == 0
            assert await gateway.metric("droveway_gateway_candidate_usable", candidate="b") == 1
            assert await gateway.metric("droveway_gateway_candidate_limited_until_timestamp_seconds") > 1.7e9
            assert await gateway.end() == 0
        everything = gateway.lines()
        check = jsonschema.Draft202012Validator(SCHEMA)
        for line in everything:
            check.validate(line)
        assert sum(line["message"] == "refused" for line in everything) == 2
    assert [line["verdict"] for line in lines[:4]] == ["Succeeded"] * 4
    moved = lines[2]
    assert [(a["candidate"], a["verdict"]) for a in moved["attempts"]] == [("a", "RateLimited"), ("b", "Succeeded")]
    assert (moved["tenant"], moved["run"], moved["run_uid"], moved["route"]) == ("default", "run", "uid-1", "main")
    assert (moved["candidate"], moved["provider"], moved["model"]) == ("b", "b", "model-b")
    assert moved["tokens"] == {**told, "reasoning": 0}
    for line in lines:
        parts = sum(line["phases"].values())
        assert parts == pytest.approx(line["milliseconds"], abs=0.2), "the phases are all of the time"
    text = gateway.log.read_text()
    for hidden in (gateway.key, "key-of-a", "of the prompt", "0ddba11"):
        assert hidden not in text


HARMLESS = {
    "build-7/step:3": True,
    "a" * 128: True,
    "a" * 129: False,
    "with space": False,
    'a"b': False,
    "-rf": False,
    "": False,
}


async def test_a_callers_id_is_told_on_when_it_is_harmless(tmp_path: Path) -> None:
    async with (
        scripted(answered) as (url, provided),
        gateway_process(tmp_path, provider("a", url), route("a")) as gateway,
    ):
        told = [(await gateway.ask(headers={"x-request-id": given}))[1]["x-droveway-request-id"] for given in HARMLESS]
        lines = await gateway.logged(len(HARMLESS))
    assert [line["request_id"] for line in lines] == told
    assert [seen.headers["x-request-id"] for seen in provided.seen] == told
    for (given, kept), found, line in zip(HARMLESS.items(), told, lines, strict=True):
        assert found == given if kept else OURS.fullmatch(found), given
        assert OURS.fullmatch(line["id"])


async def test_requests_that_share_an_id_count_each(tmp_path: Path) -> None:
    async with mock_provider() as mock, gateway_process(tmp_path, provider("a", mock), route("a")) as gateway:
        for _ in range(2):
            await gateway.ask(
                "OpenAIChat", headers={"x-request-id": "again"}, messages=[{"role": "user", "content": "x"}]
            )
        first, second = await gateway.logged(2)
        assert await gateway.metric("droveway_gateway_completions_total") == 2
    assert first["request_id"] == second["request_id"] == "again"
    assert first["id"] != second["id"]


async def test_a_request_is_part_of_its_callers_trace_or_else_of_its_runs(tmp_path: Path) -> None:
    async with mock_provider() as mock, gateway_process(tmp_path, provider("a", mock), route("a")) as gateway:
        await gateway.ask()
        await gateway.ask(headers={"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "vendor=1"})
        await gateway.ask(headers={"traceparent": "00-bad"})
        lines = await gateway.logged(3)
        calls = await calls_of(gateway.agent, mock)
    own = attempt_trace("uid-1", 1).trace_id
    assert [line["trace_id"] for line in lines] == [own, TRACE, own]
    told = calls[1]["headers"]
    assert (told["traceparent"], told["tracestate"]) == (f"00-{TRACE}-{SPAN}-01", "vendor=1")
