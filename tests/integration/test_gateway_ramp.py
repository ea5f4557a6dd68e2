"""What was out comes back in steps: after its breaker has closed, a tenth of the sessions go there first."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from helpers.gateway import MESSAGE, Running, Script, Talk, provider, route, run, scripted, secret, serving

QUICK = {"failureThreshold": 1, "cooldownSeconds": 1}


async def plain(talk: Talk) -> None:
    await talk.answer(200, MESSAGE)


def down_once() -> Script:
    left = [1]

    async def script(talk: Talk) -> None:
        if left:
            left.pop()
            await talk.answer(503, {"type": "error"})
        else:
            await talk.answer(200, MESSAGE)

    return script


async def recovered(gateway: Running) -> None:
    """The breaker of `a` was open, and one probe has closed it."""
    assert (await gateway.ask()).headers["x-droveway-candidate"] == "b"
    await asyncio.sleep(1.1)
    assert (await gateway.ask()).headers["x-droveway-candidate"] == "a", "the probe"


async def test_a_tenth_of_a_thousand_sessions_goes_to_what_has_just_come_back(tmp_path: Path) -> None:
    async with (
        scripted(down_once()) as (a, _),
        scripted(plain) as (b, _),
        serving(tmp_path, provider("a", a), provider("b", b), route("a", "b", circuitBreaker=QUICK)) as gateway,
    ):
        await recovered(gateway)
        served = await gateway.served(range(1000))
        assert 80 <= served["a"] <= 120, served
        assert served["a"] + served["b"] == 1000
        told = await gateway.explained()
        first = told["candidates"][0]
        assert (first["candidate"], first["sharePercent"], first["skipped"]) == ("a", 10, None)
        assert first["ramp"]["growsAt"] > first["ramp"]["since"]
        assert first["circuit"] == {"state": "Closed", "failures": 0, "openUntil": None}


async def test_alone_it_takes_them_all(tmp_path: Path) -> None:
    async with (
        scripted(down_once()) as (a, _),
        serving(tmp_path, provider("a", a), route("a", circuitBreaker=QUICK)) as gateway,
    ):
        assert (await gateway.ask()).status != 200
        await asyncio.sleep(1.1)
        assert (await gateway.ask()).status == 200, "the probe"
        assert await gateway.served(range(50)) == {"a": 50}


async def test_a_placed_run_stays_on_its_side(tmp_path: Path) -> None:
    there = run(route={"candidate": "a", "provider": "a", "model": "m", "reason": "first by priority"})
    async with (
        scripted(down_once()) as (a, _),
        scripted(plain) as (b, _),
        serving(
            tmp_path, provider("a", a), provider("b", b), route("a", "b", circuitBreaker=QUICK), there, secret("a")
        ) as gateway,
    ):
        await recovered(gateway)
        assert len(await gateway.served(range(50))) == 1


async def test_what_the_operator_saw_coming_back_does_so_here(tmp_path: Path) -> None:
    back = {"name": "a", "eligible": True, "reason": "Eligible", "sharePercent": 10,
            "recoveredTime": datetime.now(UTC).isoformat()}  # fmt: skip
    known = route("a", "b") | {"status": {"candidates": [back]}}
    async with (
        scripted(plain) as (a, _),
        scripted(plain) as (b, _),
        serving(tmp_path, provider("a", a), provider("b", b), known) as gateway,
    ):
        served = await gateway.served(range(300))
        assert 0 < served["a"] < 60, served
