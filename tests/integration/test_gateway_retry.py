"""Retries and hedging at the socket: how often, when, and never more than allowed."""

import asyncio
import itertools
import time
from pathlib import Path
from typing import Any

import pytest

from droveway.api.enums import EndClass
from helpers.faulty import healthy
from helpers.gateway import MESSAGE, Script, Talk, provider, route, scripted, serving, until

pytestmark = pytest.mark.integration

SOON = {"sameCandidate": 4, "backoffMilliseconds": 20, "maxBackoffMilliseconds": 3000}
CLOSED = {"failureThreshold": 1000}


def one_after_the_other(*answers: tuple[int, dict[str, str]]) -> tuple[Script, list[float]]:
    """Statuses with headers, the last for ever; and when each call came."""
    times: list[float] = []

    async def script(talk: Talk) -> None:
        status, headers = answers[min(len(times), len(answers) - 1)]
        times.append(time.monotonic())
        await talk.answer(status, MESSAGE if status == 200 else {"error": {"message": "no"}}, **headers)

    return script, times


async def test_500_and_then_200(tmp_path: Path) -> None:
    script, times = one_after_the_other((500, {}), (200, {}))
    async with (
        scripted(script) as (url, _),
        serving(tmp_path, provider("a", url), route("a", retry=SOON)) as gateway,
    ):
        answer = await gateway.ask()
        assert (answer.status, answer.headers["x-droveway-attempts"]) == (200, "2")
        assert 0.01 <= times[1] - times[0] < 0.5
        failed, served = await gateway.operator.heard(2)
        assert (failed.success, served.success) == (False, True)
        assert failed.id != served.id
        assert gateway.metric("retries_total", reason="ProviderOutage") == 1


async def test_five_times_500_is_five_calls_with_growing_waits(tmp_path: Path) -> None:
    script, times = one_after_the_other((500, {}))
    retry = {**SOON, "backoffMilliseconds": 100}
    spec: dict[str, Any] = {"retry": {**retry, "maxPercent": 100, "sameCandidate": 3}, "circuitBreaker": CLOSED}
    async with scripted(script) as (url, _), serving(tmp_path, provider("a", url), route("a", **spec)) as gateway:
        assert (await gateway.ask()).status == 529
        waits = [later - sooner for sooner, later in itertools.pairwise(times)]
        assert len(waits) == 3
        for number, wait in enumerate(waits):
            assert 0.05 * 2**number <= wait < 0.15 * 2**number + 0.2
        assert len(await gateway.operator.heard(5)) == 5  # four calls, and that nobody was left


async def test_a_throttle_is_waited_out_to_the_second(tmp_path: Path) -> None:
    script, times = one_after_the_other((429, {"retry_after": "1"}), (200, {}))
    async with (
        scripted(script) as (url, _),
        serving(tmp_path, provider("a", url), provider("b", url), route("a", "b", retry=SOON)) as gateway,
    ):
        answer = await gateway.ask()
        assert (answer.status, answer.headers["x-droveway-candidate"]) == (200, "a")
        assert 1.0 <= times[1] - times[0] < 1.5


@pytest.mark.parametrize("status", [400, 401, 404])
async def test_what_nobody_does_better_is_one_call(tmp_path: Path, status: int) -> None:
    script, times = one_after_the_other((status, {}))
    async with (
        scripted(script) as (url, _),
        serving(tmp_path, provider("a", url), route("a", retry=SOON)) as gateway,
    ):
        assert (await gateway.ask()).status == status
        assert len(times) == 1


async def test_a_hang_is_not_tried_again(tmp_path: Path) -> None:
    async def hang(talk: Talk) -> None:
        await asyncio.Event().wait()

    async with (
        scripted(hang) as (first, a),
        scripted(healthy("Anthropic")) as (second, _),
        serving(
            tmp_path, provider("a", first), provider("b", second), route("a", "b", retry=SOON), answer_seconds=0.2
        ) as gateway,
    ):
        assert (await gateway.ask()).headers["x-droveway-candidate"] == "b"
        assert len(a.seen) == 1
        record = (await gateway.operator.heard(1))[0]
        assert record.verdict is not None
        assert "no head of an answer within 0.2 s" in record.verdict.reason


async def test_a_route_sets_its_own_clock(tmp_path: Path) -> None:
    async def hang(talk: Talk) -> None:
        await talk.head()
        await asyncio.Event().wait()

    clocks = {"firstContentSeconds": 1}
    async with (
        scripted(hang) as (first, _),
        scripted(healthy("Anthropic")) as (second, _),
        serving(tmp_path, provider("a", first), provider("b", second), route("a", "b", timeouts=clocks)) as gateway,
    ):
        began = time.monotonic()
        assert (await gateway.ask(stream=True)).headers["x-droveway-candidate"] == "b"
        assert 1.0 <= time.monotonic() - began < 1.5
        record = (await gateway.operator.heard(1))[0]
        assert record.verdict is not None
        assert "no content within 1 s" in record.verdict.reason


async def test_the_total_ends_it_all(tmp_path: Path) -> None:
    script, times = one_after_the_other((500, {}))
    spec: dict[str, Any] = {"timeouts": {"totalSeconds": 1}, "circuitBreaker": CLOSED}
    retry = {"sameCandidate": 10, "backoffMilliseconds": 200, "maxBackoffMilliseconds": 200, "maxPercent": 100}

    async def hang(talk: Talk) -> None:
        await asyncio.Event().wait()

    async with (
        scripted(script) as (first, _),
        scripted(hang) as (second, b),
        serving(tmp_path, provider("a", first), provider("b", second), route("a", "b", retry=retry, **spec)) as gateway,
    ):
        began = time.monotonic()
        answer = await gateway.ask()
        assert 1.0 <= time.monotonic() - began < 1.2
        assert answer.status == 504
        assert "timeouts.totalSeconds" in answer.body.decode()
        assert 1 < len(times) <= 4
        assert 0 < int(b.seen[0].headers["x-droveway-deadline-ms"]) < 1000


async def test_retries_are_capped_so_that_an_outage_is_not_amplified(tmp_path: Path) -> None:
    script, times = one_after_the_other((500, {}))
    spec: dict[str, Any] = {"retry": {**SOON, "maxPercent": 10}, "circuitBreaker": CLOSED}
    async with scripted(script) as (url, _), serving(tmp_path, provider("a", url), route("a", **spec)) as gateway:
        for _turn in range(60):
            assert (await gateway.ask()).status == 529
        assert 60 + 3 <= len(times) <= 60 + 6  # at least the few that are always granted, at most a tenth


async def test_nobody_calls_who_asked_to_be_left_alone_and_others_go_on(tmp_path: Path) -> None:
    script, times = one_after_the_other((429, {"retry_after": "1"}), (200, {}))
    async with (
        scripted(script) as (first, _),
        scripted(healthy("Anthropic")) as (second, b),
        serving(tmp_path, provider("a", first), provider("b", second), route("a", "b")) as gateway,
    ):
        answers = [await gateway.ask()]
        while time.monotonic() - times[0] < 0.8:
            answers += await asyncio.gather(*(gateway.ask() for _ in range(4)))
        assert {answer.headers["x-droveway-candidate"] for answer in answers} == {"b"}
        assert {answer.status for answer in answers} == {200}
        assert (len(times), len(b.seen)) == (1, len(answers))
        await asyncio.sleep(max(0.0, times[0] + 1.1 - time.monotonic()))
        assert (await gateway.ask()).headers["x-droveway-candidate"] == "a"


async def test_no_more_candidates_than_the_route_says(tmp_path: Path) -> None:
    script, times = one_after_the_other((500, {}))
    async with (
        scripted(script) as (url, _),
        serving(
            tmp_path,
            *(provider(name, url) for name in "abc"),
            route("a", "b", "c", retry={"maxCandidates": 2}),
        ) as gateway,
    ):
        assert (await gateway.ask()).status == 529
        assert len(times) == 2


# ------------------------------------------------------------------------------------------------------------ hedging


def late(seconds: float) -> Script:
    return healthy("Anthropic", ("late",), gap=seconds)


async def silent(talk: Talk) -> None:
    await talk.head()
    await talk.events("start", "ping")
    await asyncio.Event().wait()


HEDGE = {"afterMilliseconds": 100, "maxPercent": 5}
STREAMED = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "plain"])


@STREAMED
async def test_the_second_answers_when_the_first_is_late(tmp_path: Path, stream: bool) -> None:
    async with (
        scripted(silent) as (first, a),
        scripted(healthy("Anthropic", ("soon",))) as (second, _),
        serving(
            tmp_path, provider("a", first, maxInFlight=1), provider("b", second), route("a", "b", hedge=HEDGE)
        ) as gateway,
    ):
        began = time.monotonic()
        answer = await gateway.ask(stream=stream)
        took = time.monotonic() - began
        assert (answer.status, answer.headers["x-droveway-candidate"]) == (200, "b")
        assert b"soon" in answer.body
        assert 0.1 <= took < 0.4
        await asyncio.wait_for(a.seen[0].gone.wait(), 1)
        assert a.seen[0].gone_at - began < took + 0.1
        records = {record.candidate: record for record in await gateway.operator.heard(2)}
        assert records["b"].success
        assert records["a"].verdict is not None
        assert records["a"].verdict.kind is EndClass.CANCELLED
        assert records["a"].tokens.input == (10 if stream else 0)  # what it has cost is written down
        assert records["a"].id != records["b"].id
        assert gateway.metric("hedges_total", won="second") == 1
        assert gateway.metric("requests_total", outcome="Succeeded") == 1
        await until(lambda: gateway.metric("in_flight") == 0)


@STREAMED
async def test_the_first_may_still_win(tmp_path: Path, stream: bool) -> None:
    async with (
        scripted(late(0.25)) as (first, _),
        scripted(late(2.0)) as (second, b),
        serving(tmp_path, provider("a", first), provider("b", second), route("a", "b", hedge=HEDGE)) as gateway,
    ):
        answer = await gateway.ask(stream=stream)
        assert (answer.status, answer.headers["x-droveway-candidate"]) == (200, "a")
        assert answer.body.count(b"late") == 1
        await asyncio.wait_for(b.seen[0].gone.wait(), 1)
        assert gateway.metric("hedges_total", won="first") == 1


async def test_who_is_in_time_is_not_doubled(tmp_path: Path) -> None:
    async with (
        scripted(healthy("Anthropic", ("in ", "time "), gap=0.06)) as (first, _),
        scripted(healthy("Anthropic")) as (second, b),
        serving(tmp_path, provider("a", first), provider("b", second), route("a", "b", hedge=HEDGE)) as gateway,
    ):
        assert (await gateway.ask(stream=True)).headers["x-droveway-candidate"] == "a"
        assert b.seen == []


async def test_both_fail_and_the_third_answers(tmp_path: Path) -> None:
    async def fails(talk: Talk) -> None:
        await asyncio.sleep(0.2)
        await talk.answer(503, {})

    async with (
        scripted(fails) as (bad, _),
        scripted(healthy("Anthropic")) as (good, _),
        serving(
            tmp_path,
            provider("a", bad),
            provider("b", bad),
            provider("c", good),
            route("a", "b", "c", hedge=HEDGE),
        ) as gateway,
    ):
        answer = await gateway.ask()
        assert (answer.status, answer.headers["x-droveway-candidate"]) == (200, "c")
        assert len(await gateway.operator.heard(3)) == 3
        assert gateway.metric("hedges_total", won="none") == 1


async def test_a_request_that_is_at_fault_ends_the_race(tmp_path: Path) -> None:
    async def refuses_late(talk: Talk) -> None:
        await asyncio.sleep(0.2)
        await talk.answer(400, {"error": {"type": "invalid_request_error", "message": "no such tool"}})

    async with (
        scripted(refuses_late) as (first, _),
        scripted(silent) as (second, b),
        serving(tmp_path, provider("a", first), provider("b", second), route("a", "b", hedge=HEDGE)) as gateway,
    ):
        answer = await gateway.ask(stream=True)
        assert (answer.status, answer.json["error"]["message"]) == (400, "no such tool")
        await asyncio.wait_for(b.seen[0].gone.wait(), 1)
        records = {record.candidate: record for record in await gateway.operator.heard(2)}
        assert records["b"].verdict is not None
        assert "asked beside it" in records["b"].verdict.reason


async def test_a_deadline_ends_a_race(tmp_path: Path) -> None:
    async with (
        scripted(silent) as (first, a),
        scripted(silent) as (second, b),
        serving(
            tmp_path,
            provider("a", first),
            provider("b", second),
            route("a", "b", hedge=HEDGE, timeouts={"totalSeconds": 1}),
        ) as gateway,
    ):
        began = time.monotonic()
        assert (await gateway.ask(stream=True)).status == 504
        assert 1.0 <= time.monotonic() - began < 1.2
        for seen in (a.seen[0], b.seen[0]):
            await asyncio.wait_for(seen.gone.wait(), 1)
        records = await gateway.operator.heard(2)
        assert {record.verdict.kind for record in records if record.verdict} == {EndClass.TIMEOUT}


async def test_hedges_have_a_budget(tmp_path: Path) -> None:
    async with (
        scripted(late(0.12)) as (first, a),
        scripted(late(1.0)) as (second, b),
        serving(
            tmp_path,
            provider("a", first),
            provider("b", second),
            route("a", "b", hedge={"afterMilliseconds": 20, "maxPercent": 10}),
        ) as gateway,
    ):
        for _turn in range(3):
            await asyncio.gather(*(gateway.ask() for _ in range(10)))
        assert len(a.seen) == 30
        assert len(b.seen) == 3


async def test_who_leaves_a_race_ends_both(tmp_path: Path) -> None:
    async with (
        scripted(silent) as (first, a),
        scripted(silent) as (second, b),
        serving(tmp_path, provider("a", first), provider("b", second), route("a", "b", hedge=HEDGE)) as gateway,
    ):
        asking = asyncio.create_task(gateway.ask(stream=True))
        await until(lambda: b.seen)
        await asyncio.sleep(0.1)
        left_at = time.monotonic()
        asking.cancel()
        for seen in (a.seen[0], b.seen[0]):
            await asyncio.wait_for(seen.gone.wait(), 1)
            assert seen.gone_at - left_at < 0.1
        records = await gateway.operator.heard(2)
        assert {record.verdict.kind for record in records if record.verdict} == {EndClass.CANCELLED}
        assert gateway.metric("requests_total", outcome="Cancelled") == 1
        assert gateway.metric("in_flight") == 0


async def test_who_leaves_a_race_that_is_won_ends_the_winner(tmp_path: Path) -> None:
    async def speaks_on(talk: Talk) -> None:
        await talk.head()
        await talk.events("start", "block")
        while True:
            await talk.events("word")
            await asyncio.sleep(0.02)

    async with (
        scripted(speaks_on) as (first, a),
        scripted(silent) as (second, _),
        serving(tmp_path, provider("a", first), provider("b", second), route("a", "b", hedge=HEDGE)) as gateway,
    ):
        asking = asyncio.create_task(gateway.ask(stream=True))
        await until(lambda: a.seen)
        await asyncio.sleep(0.2)
        left_at = time.monotonic()
        asking.cancel()
        await asyncio.wait_for(a.seen[0].gone.wait(), 1)
        assert a.seen[0].gone_at - left_at < 0.1
        await until(lambda: gateway.metric("in_flight") == 0)
        records = await gateway.operator.heard(1)
        assert {record.verdict.kind for record in records if record.verdict} == {EndClass.CANCELLED}
