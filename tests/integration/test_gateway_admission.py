"""Calls at once, counted where they arrive: never more than the manifests allow, and a slow provider slows nobody else."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from droveway.gateway.files import print_key
from helpers.gateway import MASTER, Running, asgi, provider, respond, route, run, serving, until

pytestmark = pytest.mark.integration


class Counting:
    """A provider that answers when it is told to, and counts who is inside."""

    def __init__(self) -> None:
        self.inside = self.most = self.served = 0
        self.open = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        more = True
        while more:
            more = (await receive())["more_body"]
        self.inside += 1
        self.most = max(self.most, self.inside)
        await self.open.wait()
        await asyncio.sleep(0.002)
        self.inside -= 1
        self.served += 1
        await respond(send, 200, json.dumps({"content": [], "usage": {}}).encode())


def named(manifest: dict[str, Any], name: str, **spec: Any) -> dict[str, Any]:
    return {**manifest, "metadata": {"name": name, "uid": f"uid-{name}"}, "spec": {**manifest["spec"], **spec}}


def key_of(running: Running, name: str) -> str:
    return print_key(running.folder, MASTER, f"default/{name}")


async def ask(running: Running, name: str, **headers: str) -> int:
    own = running.headers() | {"x-api-key": key_of(running, name)} | headers
    body = json.dumps({"model": "asked", "messages": []})
    async with running.agent.post(running.url + "/v1/messages", data=body, headers=own) as answer:
        await answer.read()
        return answer.status


async def test_the_most_at_once_is_each_providers_limit_and_a_slow_one_slows_nobody(tmp_path: Path) -> None:
    a, b = Counting(), Counting()
    async with (
        asgi(a) as url_a,
        asgi(b) as url_b,
        serving(
            tmp_path,
            provider("a", url_a, maxInFlight=2),
            provider("b", url_b, maxInFlight=5),
            named(route("a"), "to-a"),
            named(route("b"), "to-b"),
            named(run(), "run-a", routeRef={"name": "to-a"}),
            named(run(), "run-b", routeRef={"name": "to-b"}),
            named(run(), "run", routeRef={"name": "to-a"}),
        ) as running,
    ):
        slow = [asyncio.create_task(ask(running, "run-a")) for _ in range(50)]
        await until(lambda: a.inside == 2)
        b.open.set()
        assert await asyncio.gather(*(ask(running, "run-b") for _ in range(50))) == [200] * 50
        assert (a.served, running.metric("queue_length", provider="a")) == (0, 48)
        a.open.set()
        assert await asyncio.gather(*slow) == [200] * 50
        assert (a.most, b.most) == (2, 5)
        assert running.metric("slots", provider="b") == 5
        assert running.metric("in_flight") == running.metric("queue_length") == 0


async def test_a_bound_of_the_quota_group_holds_for_its_providers_together(tmp_path: Path) -> None:
    upstream = Counting()
    async with (
        asgi(upstream) as url,
        serving(
            tmp_path,
            provider("a", url, quotaGroup="team", quotaGroupMaxInFlight=3),
            provider("b", url, quotaGroup="team"),
            named(route("a"), "to-a"),
            named(route("b"), "to-b"),
            named(run(), "run", routeRef={"name": "to-a"}),
            named(run(), "run-b", routeRef={"name": "to-b"}),
        ) as running,
    ):
        upstream.open.set()
        asked = [ask(running, name) for name in ("run", "run-b") for _ in range(20)]
        assert await asyncio.gather(*asked) == [200] * 40
        assert upstream.most == 3


async def test_a_run_with_one_request_does_not_wait_for_all_of_a_greedy_one(tmp_path: Path) -> None:
    upstream = Counting()
    async with (
        asgi(upstream) as url,
        serving(tmp_path, provider("a", url, maxInFlight=1), route("a"), run(), named(run(), "greedy")) as running,
    ):
        greedy = [asyncio.create_task(ask(running, "greedy")) for _ in range(30)]
        await until(lambda: running.metric("queue_length") == 29)
        modest = asyncio.create_task(ask(running, "run"))
        await until(lambda: running.metric("queue_length") == 30)
        upstream.open.set()
        assert await modest == 200
        assert upstream.served <= 5
        assert await asyncio.gather(*greedy) == [200] * 30


async def test_a_request_that_would_get_its_slot_too_late_is_refused_at_once(tmp_path: Path) -> None:
    upstream = Counting()
    async with (
        asgi(upstream) as url,
        serving(tmp_path, provider("a", url, maxInFlight=1), route("a")) as running,
    ):
        first = asyncio.create_task(ask(running, "run"))
        await until(lambda: upstream.inside == 1)
        await asyncio.sleep(0.5)
        upstream.open.set()
        await first  # a call takes half a second, as far as anybody has seen
        upstream.open.clear()
        second = asyncio.create_task(ask(running, "run"))
        await until(lambda: upstream.inside == 1)
        refused = await ask(running, "run", **{"x-droveway-deadline-ms": "200"})
        assert refused == 529
        assert running.metric("queue_refused_total", reason="deadline") == 1
        upstream.open.set()
        assert await second == 200
