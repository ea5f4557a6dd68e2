"""The connection that replicas share: found, lost with kill -9, found again; and nobody waits for a server that is away."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from droveway.api.errors import UserMustAct
from droveway.gateway.metrics import GatewayMetrics
from droveway.gateway.shared import Away, Shared
from helpers.gateway import mock_provider, provider, route, serving, until
from helpers.redis_server import RedisServer, redis_server

pytestmark = pytest.mark.integration


@asynccontextmanager
async def connected(server: RedisServer) -> AsyncIterator[Shared]:
    shared = Shared(server.url, GatewayMetrics())
    task = asyncio.create_task(shared.run())
    try:
        await until(lambda: shared.up)
        yield shared
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await shared.close()


async def test_what_is_asked_is_answered() -> None:
    async with redis_server() as server, connected(server) as shared:
        assert await shared.call(lambda r: r.set("a", "1"))
        assert await shared.call(lambda r: r.get("a")) == b"1"


async def test_a_killed_server_is_told_once_asked_never_and_found_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "droveway.gateway.shared")
    async with redis_server() as server, connected(server) as shared:
        back: list[bool] = []
        shared.on_return.append(lambda: back.append(True))
        await server.kill()
        for _ in range(3):
            with pytest.raises(Away):
                await shared.call(lambda r: r.get("a"))
        asked: list[bool] = []
        with pytest.raises(Away):
            await shared.call(lambda r: asked.append(True) or r.get("a"))  # type: ignore[func-returns-value]
        assert not asked
        await asyncio.sleep(1)  # some probes later
        assert [r.levelname for r in caplog.records].count("WARNING") == 1
        await server.start()
        await until(lambda: shared.up)
        assert back == [True]
        assert await shared.call(lambda r: r.get("a")) is None


async def test_a_crowd_waits_for_a_connection_and_the_server_is_not_taken_for_lost() -> None:
    async with redis_server() as server, connected(server) as shared:
        answers = await asyncio.gather(*(shared.call(lambda r, n=n: r.echo(str(n))) for n in range(300)))  # type: ignore[misc]
        assert answers == [str(n).encode() for n in range(300)]
        assert shared.up


async def test_who_is_cancelled_in_the_middle_leaves_the_connection_whole() -> None:
    async with redis_server() as server, connected(server) as shared:
        for number in range(50):
            await shared.call(lambda r, n=number: r.set("key", n))  # type: ignore[misc]
            task = asyncio.create_task(shared.call(lambda r: r.get("key")))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            assert await shared.call(lambda r: r.echo("mine")) == b"mine"


def test_an_address_that_is_none_is_refused_without_its_password() -> None:
    with pytest.raises(UserMustAct, match="redis://host:6379/0") as refused:
        Shared("http://user:hunter2@host", GatewayMetrics())
    assert "hunter2" not in str(refused.value)


async def test_a_gateway_serves_with_and_without_its_server_and_readyz_says_which(tmp_path: object) -> None:
    async with (
        redis_server() as server,
        mock_provider() as url,
        serving(tmp_path, provider("a", url), route("a"), valkey_url=server.url) as running,  # type: ignore[arg-type]
    ):

        async def readyz() -> dict[str, str]:
            async with running.agent.get(running.url + "/readyz") as answer:
                assert answer.status == 200
                return dict(await answer.json())

        await until(lambda: running.metric("shared_up") == 1)
        assert (await readyz())["valkey"] == "up"
        assert (await running.ask()).status == 200
        await server.kill()
        await until(lambda: running.metric("shared_up") == 0)
        assert (await readyz())["valkey"].startswith("away")
        assert (await running.ask()).status == 200
        await server.start()
        await until(lambda: running.metric("shared_up") == 1)
