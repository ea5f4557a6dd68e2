"""A canary through real sockets: its share of the requests, and the way back when its errors rise.

The gateway is the real one. What it tells is taken by the operator's own ledger and judged by its own controller; the status
that this writes goes back to the gateway, as its watch would bring it.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from droveway.api import names
from droveway.cluster.client import Cluster
from droveway.cluster.objects import Key
from droveway.controllers.routes import RouteController
from droveway.core.draw import drawn
from droveway.core.events import Batch
from helpers.gateway import MESSAGE, Running, Talk, provider, route, run, scripted, secret, serving
from helpers.operator import Desk

CANARY = {"candidate": "b", "percent": 10, "minSamples": 60, "durationSeconds": 86_400}
ROUTE = Key("default", "main")


async def plain(talk: Talk) -> None:
    await talk.answer(200, MESSAGE)


class Broken:
    """A provider that fails every third request from a moment on: too seldom to open a breaker."""

    def __init__(self) -> None:
        self.bad, self.asked = False, 0

    async def __call__(self, talk: Talk) -> None:
        self.asked += 1
        if self.bad and self.asked % 3 == 0:
            await talk.answer(500, {"type": "error", "error": {"type": "api_error", "message": "no"}})
        else:
            await talk.answer(200, MESSAGE)


class Judge:
    """The operator: takes what the gateway has told since, and writes the status."""

    def __init__(self, manifest: dict[str, Any]) -> None:
        self.desk, self.taken = Desk(now=datetime.now(UTC)), 0
        meta = {"namespace": ROUTE.namespace, "uid": "uid-main", "generation": 1}
        self.desk.add(names.MODEL_ROUTES, manifest | {"metadata": manifest["metadata"] | meta})

    async def status(self, gateway: Running, completions: int, later: float = 0) -> dict[str, Any]:
        records = (await gateway.operator.heard(completions))[self.taken :]
        self.taken += len(records)
        self.desk.now = datetime.now(UTC) + timedelta(seconds=later)
        if records:
            await self.desk.ledgers.submit(Batch("0f" * 16, *ROUTE, tuple(records)))
        cluster = cast("Cluster", self.desk.api)
        self.desk.refresh()
        await RouteController(cluster, self.desk.world, self.desk.ledgers, lambda: self.desk.now).reconcile(ROUTE)
        found: dict[str, Any] = self.desk.api.objects[names.MODEL_ROUTES, *ROUTE]["status"]
        return found


async def test_s2_53_a_tenth_goes_to_the_canary_and_its_errors_roll_it_back(tmp_path: Path) -> None:
    new = Broken()
    # what fails a third of the time must not be kept away by its breaker here
    main = route("a", "b", canary=CANARY, circuitBreaker={"failureThreshold": 50})
    async with (
        scripted(plain) as (a, _),
        scripted(new) as (b, _),
        serving(tmp_path, provider("a", a), provider("b", b), main) as gateway,
    ):
        judge = Judge(main)
        served = await gateway.served(range(1000))
        assert 80 <= served["b"] <= 120, served
        assert served["a"] + served["b"] == 1000
        status = await judge.status(gateway, 1000)
        assert (status["canary"]["phase"], status["canary"]["canary"]["failed"]) == ("Progressing", 0)
        assert "as good as the stable side so far" in status["canary"]["message"]
        assert judge.desk.api.events()[0][0] == "CanaryStarted"

        new.bad = True
        served = await gateway.served(range(1000, 2000))
        assert served["a"] > 900, "what the canary failed was answered by the stable side"
        status = await judge.status(gateway, new.asked + 1000)
        assert (status["canary"]["phase"], status["canary"]["percent"]) == ("RolledBack", 0)
        assert [c["reason"] for c in status["conditions"] if c["type"] == "Canary"] == ["RolledBack"]
        assert "CanaryRolledBack" in [reason for reason, _ in judge.desk.api.events()]

        stated = main | {"status": status}
        await gateway.edit(provider("a", a), provider("b", b), secret("a"), secret("b"), run(), stated)
        asked = new.asked
        assert await gateway.served(range(300)) == {"a": 300}
        assert new.asked == asked
        told = (await gateway.explained())["candidates"][1]
        assert (told["canaryPercent"], told["skipped"]["reason"]) == (0, "CanaryRolledBack")
        assert "of completions failed" in told["skipped"]["message"]


async def test_promoted_it_comes_first(tmp_path: Path) -> None:
    main = route("a", "b", canary=CANARY | {"minSamples": 5, "durationSeconds": 3600})
    async with (
        scripted(plain) as (a, _),
        scripted(plain) as (b, _),
        serving(tmp_path, provider("a", a), provider("b", b), main) as gateway,
    ):
        judge = Judge(main)
        await judge.status(gateway, 0)
        await gateway.served(range(200))
        assert (await judge.status(gateway, 200))["canary"]["phase"] == "Progressing"
        status = await judge.status(gateway, 200, later=3600)
        assert (status["canary"]["phase"], status["canary"]["percent"]) == ("Promoted", 100)
        assert judge.desk.api.events()[-1][0] == "CanaryPromoted"
        stated = main | {"status": status}
        await gateway.edit(provider("a", a), provider("b", b), secret("a"), secret("b"), run(), stated)
        assert await gateway.served(range(50)) == {"b": 50}


async def test_a_run_that_is_placed_stays_on_its_side(tmp_path: Path) -> None:
    there = run(route={"candidate": "a", "provider": "a", "model": "m", "reason": "first by priority"})
    async with (
        scripted(plain) as (a, _),
        scripted(plain) as (b, _),
        serving(
            tmp_path, provider("a", a), provider("b", b), route("a", "b", canary=CANARY | {"percent": 50}), there
        ) as gateway,
    ):
        assert await gateway.served(range(60)) == {"a": 60}


async def test_a_second_answer_is_not_asked_of_a_canary_that_is_another_s(tmp_path: Path) -> None:
    async def slow(talk: Talk) -> None:
        await asyncio.sleep(0.3)
        await talk.answer(200, MESSAGE)

    strangers = range(
        next(n for n in range(1000) if not any(drawn(5, "Canary", "b", f"session-{n + i}") for i in range(5))), 1005
    )[:5]
    main = route("a", "b", canary=CANARY | {"percent": 5}, hedge={"afterMilliseconds": 50, "maxPercent": 100})
    async with (
        scripted(slow) as (a, _),
        scripted(plain) as (b, asked),
        serving(tmp_path, provider("a", a), provider("b", b), main) as gateway,
    ):
        assert await gateway.served(strangers) == {"a": 5}
        assert asked.seen == []
