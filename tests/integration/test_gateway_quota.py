"""Before the wall: what answers tell of a subscription steers requests, and a quota that is back is tried by one."""

import asyncio
import json
import time
from pathlib import Path

from helpers.gateway import MESSAGE, Script, Talk, provider, route, run, scripted, secret, serving


def windows(used: str, status: str = "allowed", resets_in: float = 9000) -> dict[str, str]:
    """The headers of a Claude subscription."""
    told = {"status": status, "5h-status": status, "5h-utilization": used, "5h-reset": str(time.time() + resets_in)}
    return {f"anthropic-ratelimit-unified-{name}": value for name, value in told.items()}


def using(used: str) -> Script:
    async def script(talk: Talk) -> None:
        await talk.answer(200, MESSAGE, **windows(used))

    return script


async def plain(talk: Talk) -> None:
    await talk.answer(200, MESSAGE)


async def test_successes_tell_the_operator_how_much_is_used_and_only_once(tmp_path: Path) -> None:
    async with scripted(using("0.42")) as (url, _), serving(tmp_path, provider("a", url), route("a")) as gateway:
        for _ in range(3):
            await gateway.ask()
        first, *others = await gateway.operator.heard(3)
        assert [(r.window, r.used_percent) for r in first.utilization] == [("5h", 42)]
        assert [other.utilization for other in others] == [(), ()]


async def test_a_nearly_spent_subscription_takes_no_new_session_and_keeps_its_own(tmp_path: Path) -> None:
    async with (
        scripted(using("0.95")) as (a, _),
        scripted(plain) as (b, _),
        serving(tmp_path, provider("a", a), provider("b", b), route("a", "b")) as gateway,
    ):
        served = [(await gateway.ask()).headers["x-droveway-candidate"] for _ in range(3)]
        assert served == ["a", "b", "b"], "the first answer told"
        there = run(route={"candidate": "a", "provider": "a", "model": "m", "reason": "first by priority"})
        await gateway.edit(provider("a", a), provider("b", b), route("a", "b"), secret("a"), secret("b"), there)
        assert (await gateway.ask()).headers["x-droveway-candidate"] == "a", "a session that is there stays"


async def test_a_run_can_ask_what_its_route_would_do_now_and_why(tmp_path: Path) -> None:
    async def refused(talk: Talk) -> None:
        body = {"type": "error", "error": {"type": "rate_limit_error", "message": "spent"}}
        await talk.answer(429, body, **windows("1.0", "rejected"))

    async with (
        scripted(refused) as (a, _),
        scripted(using("0.95")) as (b, _),
        scripted(plain) as (c, _),
        serving(
            tmp_path, provider("a", a), provider("b", b), provider("c", c, "OpenAIChat"), route("a", "b", "c")
        ) as gateway,
    ):
        await gateway.ask()
        told = await gateway.explained()
        spent, full, free = told["candidates"]
        assert (spent["limit"]["kind"], spent["skipped"]["reason"]) == ("SubscriptionLimit", "SubscriptionLimit")
        assert spent["limit"]["until"] == spent["skipped"]["until"]
        assert (full["draining"], full["skipped"], full["limit"]) == (True, None, None)
        assert [(w["window"], w["usedPercent"]) for w in full["quota"]] == [("5h", 95)]
        assert full["quota"][0]["spentAt"] < full["quota"][0]["resetsAt"]
        assert (free["draining"], free["quota"], free["ramp"], free["sharePercent"]) == (False, [], None, 100)
        assert free["slots"] == {"inFlight": 0, "waiting": 0, "limit": 32}
        assert told["mirror"] is None
        assert list(told["dialects"]) == ["Anthropic", "OpenAIChat"]
        mine = told["dialects"]["Anthropic"]
        assert (mine["chosen"], [r["candidate"] for r in mine["ranking"]]) == ("c", ["c", "b"])
        assert (mine["ranking"][1]["heldBack"], mine["ranking"][1]["usedPercent"]) == ("Draining", 95)
        skipped = {found["candidate"]: found for found in mine["skipped"]}
        assert {name: found["reason"] for name, found in skipped.items()} == {
            "a": "SubscriptionLimit",
        }
        assert skipped["a"]["until"]
        assert told["dialects"]["OpenAIChat"]["chosen"] == "c"
        for path, headers, status in (("main", {}, 401), ("other", gateway.headers(), 403)):
            async with gateway.agent.get(f"{gateway.url}/v1/routes/{path}:explain", headers=headers) as answer:
                assert answer.status == status


async def test_a_quota_that_is_used_up_on_purpose_is_not_drained(tmp_path: Path) -> None:
    async with (
        scripted(using("0.99")) as (a, _),
        scripted(plain) as (b, _),
        serving(tmp_path, provider("a", a, limits={"drainPercent": 100}), provider("b", b), route("a", "b")) as gateway,
    ):
        assert [(await gateway.ask()).headers["x-droveway-candidate"] for _ in range(3)] == ["a"] * 3


async def test_one_request_finds_out_whether_a_quota_is_back_while_the_others_go_elsewhere(tmp_path: Path) -> None:
    go = asyncio.Event()
    asked = 0

    async def limited_then_slow(talk: Talk) -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            body = {"type": "error", "error": {"type": "rate_limit_error", "message": "spent"}}
            await talk.answer(429, body, **windows("1.0", "rejected", resets_in=1))
            return
        await go.wait()
        await talk.answer(200, MESSAGE)

    async with (
        scripted(limited_then_slow) as (a, seen),
        scripted(plain) as (b, _),
        serving(tmp_path, provider("a", a), provider("b", b), route("a", "b")) as gateway,
    ):
        assert (await gateway.ask()).headers["x-droveway-candidate"] == "b"
        await asyncio.sleep(1.6)  # a limit lasts a second at least
        trial = asyncio.create_task(gateway.ask())
        while len(seen.seen) < 2:
            await asyncio.sleep(0.01)
        assert [(await gateway.ask()).headers["x-droveway-candidate"] for _ in range(4)] == ["b"] * 4
        go.set()
        assert (await trial).headers["x-droveway-candidate"] == "a"
        assert [(await gateway.ask()).headers["x-droveway-candidate"] for _ in range(3)] == ["a"] * 3
        assert json.loads((await gateway.ask()).body)["type"] == "message"
