"""The cluster as configuration: what the API server tells is served, and what cannot be read is left out."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from droveway.api.errors import TryLater
from droveway.cluster.client import Cluster, Refused
from droveway.cluster.objects import Key, ResourceType
from droveway.gateway.config import Config, SecretKey
from droveway.gateway.watch import Watch

Manifest = dict[str, Any]


class ApiServer:
    """Lists, watches and Secrets of a cluster, from memory."""

    def __init__(self, *manifests: Manifest) -> None:
        self.manifests = list(manifests)
        self.secrets: dict[str, Manifest] = {}
        self.forbidden = False
        self._version = 100
        self._streams: dict[str, asyncio.Queue[Manifest]] = {}

    async def pages(self, what: ResourceType, *_: object) -> AsyncIterator[tuple[list[Manifest], str]]:
        yield [m for m in self.manifests if m["kind"].lower() + "s" == what.plural], "100"

    async def watch(self, what: ResourceType, *_: object) -> AsyncIterator[Manifest]:
        stream = self._streams.setdefault(what.plural, asyncio.Queue())
        while True:
            yield await stream.get()

    async def get(self, what: ResourceType, namespace: str, name: str) -> Manifest | None:
        assert (what.plural, namespace) == ("secrets", "ns")
        if self.forbidden:
            raise Refused(403, "Forbidden", "no")
        return self.secrets.get(name)

    async def tell(self, kind: str, manifest: Manifest) -> None:
        self._version += 1
        manifest = {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": str(self._version)}}
        stream = self._streams.setdefault(manifest["kind"].lower() + "s", asyncio.Queue())
        stream.put_nowait({"type": kind, "object": manifest})
        for _ in range(10):
            await asyncio.sleep(0)


def made(kind: str, name: str, spec: Manifest, status: Manifest | None = None, uid: str = "") -> Manifest:
    meta = {"namespace": "ns", "name": name, "uid": uid or f"uid-{name}", "resourceVersion": "1"}
    return {"kind": kind, "metadata": meta, "spec": spec, "status": status or {}}


PROVIDER = made("ModelProvider", "a", {"dialect": "Anthropic", "baseURL": "http://x"})
ROUTE = made("ModelRoute", "main", {"candidates": [{"name": "a", "providerRef": {"name": "a"}, "model": "m"}]})
RUN = made("AgentRun", "run", {"routeRef": {"name": "main"}, "prompt": "x"})


class Seen:
    """What a watch serves."""

    def __init__(self, server: ApiServer) -> None:
        self.config, self.errors = Config(), 0
        self.watch = Watch(cast("Cluster", server), self.config, (), self._error)

    def _error(self) -> None:
        self.errors += 1

    async def until(self, true: Callable[[], object]) -> None:
        async with asyncio.timeout(5):
            while not true():
                await asyncio.sleep(0)


@asynccontextmanager
async def watching(server: ApiServer) -> AsyncIterator[Seen]:
    seen = Seen(server)
    task = asyncio.create_task(seen.watch.run())
    try:
        await seen.until(lambda: seen.config.synced)
        yield seen
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_limit_in_status_is_served_and_gone_with_it() -> None:
    server = ApiServer(PROVIDER, ROUTE, RUN)
    async with watching(server) as seen:
        assert set(seen.config.snapshot.routes) == {Key("ns", "main")}
        limit = {
            "quotaGroup": "ns/a",
            "kind": "RateLimited",
            "setTime": "2026-01-01T00:00:00Z",
            "untilTime": "2026-01-01T01:00:00Z",
        }
        await server.tell("MODIFIED", {**PROVIDER, "status": {"limits": [limit]}})
        assert [x.kind for x in seen.config.snapshot.limits["ns/a"]] == ["RateLimited"]
        await server.tell("MODIFIED", PROVIDER)
        assert seen.config.snapshot.limits == {}


async def test_a_run_lives_until_it_is_finished_deleted_or_replaced() -> None:
    server = ApiServer(PROVIDER, ROUTE, RUN)
    async with watching(server) as seen:
        find = seen.config.find_run
        run = find("uid-run")
        assert run is not None
        assert run.live
        await server.tell("MODIFIED", {**RUN, "status": {"attemptCount": 2, "completionTime": "2026-01-01T00:00:00Z"}})
        run = find("uid-run")
        assert run is not None
        assert (run.live, run.attempt) == (False, 2)
        again = made("AgentRun", "run", RUN["spec"], uid="uid-second")
        await server.tell("MODIFIED", again)
        assert (find("uid-run"), find("uid-second") is not None) == (None, True)
        await server.tell("DELETED", again)
        assert find("uid-second") is None


ODD = {**PROVIDER["spec"], "limits": {"signatures": [r"(?=spent)"]}}


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(made("ModelRoute", "odd", {"candidates": [{"name": "no provider"}]}), id="against the schema"),
        pytest.param(made("ModelProvider", "odd", ODD), id="a pattern that admission would have refused"),
    ],
)
async def test_what_cannot_be_read_is_not_served_and_counted(odd: Manifest) -> None:
    server = ApiServer(PROVIDER, ROUTE, RUN)
    async with watching(server) as seen:
        await server.tell("ADDED", odd)
        served = set(seen.config.snapshot.routes), set(seen.config.snapshot.providers)
        assert (*served, seen.errors) == ({Key("ns", "main")}, {Key("ns", "a")}, 1)


@pytest.mark.parametrize(
    ("secret", "value"),
    [
        pytest.param({"data": {"k": "c2stb25l"}}, "sk-one", id="there"),
        pytest.param({"data": {"k": "c2stb25lCg=="}}, "sk-one", id="with the line end of an editor"),
        pytest.param({"data": {"other": "eA=="}}, None, id="another key"),
        pytest.param({}, None, id="empty"),
        pytest.param(None, None, id="absent"),
    ],
)
async def test_secrets_are_got_one_by_one(secret: Manifest | None, value: str | None) -> None:
    server = ApiServer()
    if secret is not None:
        server.secrets["keys"] = secret
    assert await Seen(server).watch.read_secret(SecretKey("ns", "keys", "k")) == value


async def test_a_secret_that_may_not_be_read_is_tried_again_later() -> None:
    server = ApiServer()
    server.forbidden = True
    with pytest.raises(TryLater, match="Secret ns/keys"):
        await Seen(server).watch.read_secret(SecretKey("ns", "keys", "k"))


@pytest.mark.parametrize(
    ("condition", "not_ready"),
    [
        ({"status": "False", "reason": "SecretNotFound"}, ("SecretNotFound", "do this")),
        ({"status": "False", "reason": "AuthFailed"}, None),
        ({"status": "True", "reason": "Valid"}, None),
        ({"status": "False", "reason": "SecretNotFound", "observedGeneration": 1}, None),
    ],
    ids=["not ready", "a refused login is found out by ourselves", "ready", "of an older manifest"],
)
async def test_the_operators_word_on_a_provider(condition: Manifest, not_ready: tuple[str, str] | None) -> None:
    told = {
        "type": "Ready",
        "message": "do this",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
        "observedGeneration": 2,
    } | condition
    manifest = {**PROVIDER, "metadata": {**PROVIDER["metadata"], "generation": 2}, "status": {"conditions": [told]}}
    async with watching(ApiServer(manifest)) as seen:
        assert seen.config.snapshot.providers[Key("ns", "a")].not_ready == not_ready


async def test_a_quota_that_cannot_be_read_any_more_is_not_lifted() -> None:
    quota = made("TenantQuota", "team", {"maxInFlight": 3})
    server = ApiServer(quota)
    async with watching(server) as seen:
        await seen.until(lambda: seen.config.snapshot.quotas)
        before = seen.config.snapshot.quotas
        await server.tell("MODIFIED", made("TenantQuota", "team", {"maxInFlight": "of a later version"}))
        assert seen.errors == 1
        assert seen.config.snapshot.quotas == before
        await server.tell("MODIFIED", made("TenantQuota", "team", {"maxInFlight": 5}))
        assert seen.config.snapshot.quotas != before
        await server.tell("DELETED", made("TenantQuota", "team", {"maxInFlight": 5}))
        assert not seen.config.snapshot.quotas


async def test_a_quota_whose_status_cannot_be_read_holds() -> None:
    status = {"used": [{"window": "OfALaterVersion"}]}
    async with watching(ApiServer(made("TenantQuota", "team", {"maxInFlight": 3}, status))) as seen:
        await seen.until(lambda: seen.config.snapshot.quotas)
        ((quota,),) = seen.config.snapshot.quotas.values()
        assert [bound.most for bound in quota.rules.bounds] == [3]
        assert seen.errors == 1
