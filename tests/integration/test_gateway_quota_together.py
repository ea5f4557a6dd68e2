"""Replicas that count together in a real Valkey or Redis: exact while it answers, each for itself while it is away."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from droveway.api.enums import QuotaUnit, QuotaWindow
from droveway.core.quota import NOTHING, Amount, Bound, Rules, violations
from droveway.core.quotabook import TenantBook
from droveway.core.windows import CALENDAR
from droveway.gateway.metrics import GatewayMetrics
from droveway.gateway.shared import Shared
from droveway.gateway.sharedquota import Floor, SharedQuota
from helpers.gateway import Running, asgi, provider, respond, route, serving, until
from helpers.redis_server import RedisServer, redis_server

pytestmark = pytest.mark.integration

MINUTE, HOUR, DAY, MONTH = QuotaWindow
FLOORS = [Floor(window, NOTHING) for window in CALENDAR]


class Costly:
    """A provider whose every answer uses 100 tokens; it counts who is inside."""

    def __init__(self) -> None:
        self.calls = self.inside = self.most = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        more = True
        while more:
            more = (await receive())["more_body"]
        self.calls += 1
        self.inside += 1
        self.most = max(self.most, self.inside)
        await asyncio.sleep(0.01)
        self.inside -= 1
        await respond(send, 200, json.dumps({"usage": {"input_tokens": 60, "output_tokens": 40}}).encode())


@asynccontextmanager
async def replicas(folder: Path, valkey: str, upstream: str, **spec: Any) -> AsyncIterator[list[Running]]:
    """Two gateways with the same TenantQuota."""
    quota = {"kind": "TenantQuota", "metadata": {"name": "team"}, "spec": spec}
    async with AsyncExitStack() as stack:
        found = []
        for name in ("one", "two"):
            (folder / name).mkdir()
            running = serving(
                folder / name, provider("a", upstream), route("a"), quota, valkey_url=valkey, queue_seconds=20
            )
            found.append(await stack.enter_async_context(running))
        await until(lambda: all(running.metric("shared_up") == 1 for running in found))
        yield found


async def ask(both: list[Running], times: int, **body: Any) -> list[int]:
    """So many requests at once, half of them to each."""
    answers = await asyncio.gather(*(both[n % 2].ask(**body) for n in range(times)))
    return sorted(answer.status for answer in answers)


async def test_two_replicas_let_through_what_one_would(tmp_path: Path) -> None:
    upstream = Costly()
    async with (
        redis_server() as server,
        asgi(upstream) as url,
        replicas(tmp_path, server.url, url, perMinute={"maxRequests": 15}) as both,
    ):
        assert await ask(both, 40) == [200] * 15 + [429] * 25
        assert upstream.calls == 15


async def test_a_budget_of_tokens_is_overshot_by_no_more_than_one_request(tmp_path: Path) -> None:
    upstream = Costly()
    async with (
        redis_server() as server,
        asgi(upstream) as url,
        replicas(tmp_path, server.url, url, perDay={"maxTokens": 1000}) as both,
    ):
        statuses = await ask(both, 30, max_tokens=90)
        assert statuses.count(200) == 10
        assert upstream.calls == 10


async def test_concurrency_is_that_of_both_together(tmp_path: Path) -> None:
    upstream = Costly()
    async with (
        redis_server() as server,
        asgi(upstream) as url,
        replicas(tmp_path, server.url, url, maxInFlight=3) as both,
    ):
        assert await ask(both, 24) == [200] * 24
        assert upstream.most == 3


async def test_a_server_killed_in_the_middle_leaves_local_limits_and_comes_back_to_shared_ones(tmp_path: Path) -> None:
    upstream = Costly()
    async with (
        redis_server() as server,
        asgi(upstream) as url,
        replicas(tmp_path, server.url, url, perDay={"maxTokens": 2000}, maxInFlight=50) as both,
    ):
        assert await ask(both, 4, max_tokens=40) == [200] * 4
        await until(lambda: upstream.inside == 0)
        under_way = asyncio.create_task(ask(both, 8, max_tokens=40))
        await until(lambda: upstream.inside)
        await server.kill()
        assert await under_way == [200] * 8  # 1200 of 2000 by now, 600 of them by each
        await until(lambda: all(running.metric("shared_up") == 0 for running in both))
        assert await ask(both[:1] * 2, 20, max_tokens=90) == [200] * 14 + [429] * 6  # this one's own 2000
        await server.start()
        await until(lambda: all(running.metric("shared_up") == 1 for running in both))
        assert (await both[0].ask(max_tokens=40)).status == 429
        assert (await both[1].ask(max_tokens=40)).status == 429  # it has heard of it from the first
        assert all(running.metric("shared_failures_total") >= 1 for running in both)


@asynccontextmanager
async def counting(server: RedisServer) -> AsyncIterator[SharedQuota]:
    shared = Shared(server.url, GatewayMetrics())
    task = asyncio.create_task(shared.run())
    await until(lambda: shared.up)
    try:
        yield SharedQuota(shared)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await shared.close()


def rules(*bounds: Bound) -> list[Rules]:
    return [Rules("q", True, bounds)]


async def test_what_a_dead_replica_held_is_free_when_its_leases_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("droveway.gateway.sharedquota.LEASE_SECONDS", 0.3)
    one, now = rules(Bound(QuotaUnit.IN_FLIGHT, None, 1)), datetime.now(UTC)
    async with redis_server() as server, counting(server) as quota:
        assert (await quota.reserve("t", "dead", Amount(5), one, FLOORS, now)).admitted
        refused = await quota.reserve("t", "next", Amount(5), one, FLOORS, now)
        assert (refused.admitted, refused.view.open, refused.view.reserved) == (False, 1, Amount(5))
        await quota.beat("t", {"dead": Amount(5)}, now)
        await asyncio.sleep(0.4)
        found = await quota.reserve("t", "next", Amount(5), one, FLOORS, now)
        assert (found.admitted, found.view.open, found.view.reserved) == (True, 0, NOTHING)


async def test_a_floor_tells_a_server_that_has_lost_everything_what_was_used() -> None:
    now, day = datetime.now(UTC), rules(Bound(QuotaUnit.TOKENS, DAY, 100))
    floors = [Floor(HOUR, NOTHING), Floor(DAY, Amount(95, 10**15)), Floor(MONTH, NOTHING)]
    async with redis_server() as server, counting(server) as quota:
        assert (await quota.reserve("t", "a", Amount(5), day, floors, now)).admitted
        await quota.settle("t", "a", Amount(5, 1), now)
        refused = await quota.reserve("t", "b", Amount(1), day, floors, now)
        assert not refused.admitted
        assert refused.view.used[DAY] == Amount(100, 10**15 + 1)


AMOUNTS = st.builds(Amount, st.integers(0, 60), st.integers(0, 60))
STEPS = st.lists(st.tuples(st.sampled_from(["come", "come", "end"]), AMOUNTS, st.integers(0, 5)), max_size=30)
ALL = rules(
    *(Bound(unit, window, 150) for unit in (QuotaUnit.TOKENS, QuotaUnit.COST) for window in CALENDAR),
    Bound(QuotaUnit.TOKENS, MINUTE, 120),
    Bound(QuotaUnit.REQUESTS, MINUTE, 8),
    Bound(QuotaUnit.IN_FLIGHT, None, 3),
)


async def test_the_script_decides_as_the_gateway_does_by_itself() -> None:
    loop = asyncio.get_running_loop()
    names = iter(range(10**6))
    async with redis_server() as server, counting(server) as quota:

        async def both(steps: list[tuple[str, Amount, int]]) -> None:
            tenant, book, open_, now = f"t{next(names)}", TenantBook(), list[str](), datetime.now(UTC)
            for number, (what, amount, pick) in enumerate(steps):
                if what == "come":
                    against = violations(book.view(now), amount, ALL, now)
                    seen = await quota.reserve(tenant, str(number), amount, ALL, FLOORS, now)
                    assert seen.admitted is not bool(against)
                    assert [v.reason for v in violations(seen.view, amount, ALL, now)] == [v.reason for v in against]
                    if seen.admitted:
                        book.reserve(str(number), amount, now)
                        open_.append(str(number))
                elif open_:
                    request = open_.pop(pick % len(open_))
                    book.settle(request, amount, now)
                    await quota.settle(tenant, request, amount, now)

        @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
        @given(STEPS)
        def alike(steps: list[tuple[str, Amount, int]]) -> None:
            asyncio.run_coroutine_threadsafe(both(steps), loop).result(60)

        await asyncio.to_thread(alike)
