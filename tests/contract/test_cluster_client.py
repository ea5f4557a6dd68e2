"""The client of the API server: pages, conflicts, preconditions, watches, and what each refusal becomes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from droveway.api.errors import TryLater
from droveway.cluster.access import from_kubeconfig
from droveway.cluster.client import Cluster, Conflict, Gone, Manifest, NotFound, Refused
from droveway.cluster.objects import AGENT_RUNS, CONFIG_MAPS, key_of
from helpers.control_plane import Api, ControlPlane
from helpers.manifests import RUN
from helpers.wire import wire

pytestmark = pytest.mark.contract
MANAGER = "tests"


@pytest.fixture
async def cluster(plane: ControlPlane) -> AsyncIterator[Cluster]:
    async with Cluster(from_kubeconfig(plane.kubeconfig)) as found:
        yield found


def config_map(namespace: str, name: str, value: str = "", **meta: object) -> Manifest:
    metadata = {"name": name, "namespace": namespace, **meta}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"value": value}}


async def test_a_list_of_more_than_a_page_is_whole_and_can_be_watched_from(cluster: Cluster, api: Api) -> None:
    with api.namespace("pages") as where:
        labels = {"team": "pages"}
        await asyncio.gather(
            *(cluster.create(CONFIG_MAPS, config_map(where, f"n-{n}", labels=labels)) for n in range(1001))
        )
        await cluster.create(CONFIG_MAPS, config_map(where, "other"))

        found, version = await cluster.list(CONFIG_MAPS, where, "team=pages")
        assert sorted(key_of(m).name for m in found) == sorted(f"n-{n}" for n in range(1001))

        await cluster.create(CONFIG_MAPS, config_map(where, "late", labels=labels))
        event = await anext(cluster.watch(CONFIG_MAPS, version, where, "team=pages", seconds=5))
        assert (event["type"], key_of(event["object"]).name) == ("ADDED", "late")


async def test_what_is_not_there_is_none_and_what_is_there_cannot_be_created(cluster: Cluster, namespace: str) -> None:
    assert await cluster.get(CONFIG_MAPS, namespace, "nowhere") is None
    await cluster.create(CONFIG_MAPS, config_map(namespace, "twice"))
    with pytest.raises(Conflict):
        await cluster.create(CONFIG_MAPS, config_map(namespace, "twice"))


async def test_an_apply_with_a_stale_version_or_another_uid_is_a_conflict(cluster: Cluster, namespace: str) -> None:
    first = await cluster.apply(CONFIG_MAPS, config_map(namespace, "applied", "1"), MANAGER)
    await cluster.apply(CONFIG_MAPS, config_map(namespace, "applied", "2"), MANAGER)
    stale = {"resourceVersion": first["metadata"]["resourceVersion"]}
    stranger = {"uid": "00000000-0000-4000-8000-000000000000"}
    for meta in (stale, stranger):
        with pytest.raises(Conflict):
            await cluster.apply(CONFIG_MAPS, config_map(namespace, "applied", "3", **meta), MANAGER)
    found = await cluster.get(CONFIG_MAPS, namespace, "applied")
    assert found is not None
    assert found["data"] == {"value": "2"}


async def test_a_status_is_applied_to_the_object_that_was_seen_or_not_at_all(cluster: Cluster, namespace: str) -> None:
    seen = await cluster.create(AGENT_RUNS, RUN | {"metadata": {"name": "seen", "namespace": namespace}})
    meta = {k: seen["metadata"][k] for k in ("name", "namespace", "uid", "resourceVersion")}
    status = {key: seen[key] for key in ("apiVersion", "kind")} | {"metadata": meta, "status": {"attemptCount": 1}}
    after = await cluster.apply_status(AGENT_RUNS, status, MANAGER)
    assert after["status"]["attemptCount"] == 1
    assert after["spec"] == seen["spec"]

    with pytest.raises(Conflict):
        await cluster.apply_status(AGENT_RUNS, status, MANAGER)  # the version has moved on
    await cluster.delete(AGENT_RUNS, namespace, "seen")
    with pytest.raises((Conflict, NotFound)):
        await cluster.apply_status(AGENT_RUNS, status, MANAGER)
    assert await cluster.get(AGENT_RUNS, namespace, "seen") is None, "a status does not bring a run back"
    await cluster.create(AGENT_RUNS, RUN | {"metadata": {"name": "seen", "namespace": namespace}})
    with pytest.raises(Conflict):
        await cluster.apply_status(AGENT_RUNS, status, MANAGER)  # another run of that name


async def test_a_replace_of_a_changed_object_is_a_conflict(cluster: Cluster, namespace: str) -> None:
    seen = await cluster.create(CONFIG_MAPS, config_map(namespace, "replaced", "1"))
    await cluster.replace(CONFIG_MAPS, seen | {"data": {"value": "2"}})
    with pytest.raises(Conflict):
        await cluster.replace(CONFIG_MAPS, seen | {"data": {"value": "3"}})


async def test_a_delete_means_the_object_that_was_seen(cluster: Cluster, namespace: str) -> None:
    seen = await cluster.create(CONFIG_MAPS, config_map(namespace, "doomed"))
    assert await cluster.delete(CONFIG_MAPS, namespace, "doomed", uid="another") is None
    assert await cluster.get(CONFIG_MAPS, namespace, "doomed") is not None
    assert await cluster.delete(CONFIG_MAPS, namespace, "doomed", uid=seen["metadata"]["uid"]) is not None
    assert await cluster.delete(CONFIG_MAPS, namespace, "doomed") is None


async def test_a_watch_tells_every_change_in_order_until_its_time_is_over(cluster: Cluster, namespace: str) -> None:
    _, version = await cluster.list(CONFIG_MAPS, namespace)
    seen = await cluster.create(CONFIG_MAPS, config_map(namespace, "moving", "1"))
    await cluster.replace(CONFIG_MAPS, seen | {"data": {"value": "2"}})
    await cluster.delete(CONFIG_MAPS, namespace, "moving")

    events = [e async for e in cluster.watch(CONFIG_MAPS, version, namespace, seconds=1) if e["type"] != "BOOKMARK"]
    told = [e["type"] for e in events if e["object"]["metadata"]["name"] == "moving"]
    assert told == ["ADDED", "MODIFIED", "DELETED"]


async def test_a_version_that_is_too_old_is_gone(cluster: Cluster, namespace: str) -> None:
    """Of a kind of ours: its watch cache began after the first version there ever was, on a new API server too."""
    async with aclosing(cluster.watch(AGENT_RUNS, "1", namespace, seconds=5)) as changes:
        with pytest.raises(Gone):
            await anext(changes)


Call = Callable[[Cluster, str], Awaitable[object]]


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        pytest.param(
            lambda c, where: c.create(CONFIG_MAPS, config_map(where, "Not A Name")),
            Refused,
            "Invalid value",
            id="invalid",
        ),
        pytest.param(
            lambda c, where: c.create(AGENT_RUNS, {**RUN, "metadata": {"name": "x", "namespace": where}, "spec": {}}),
            Refused,
            "routeRef",
            id="against the schema",
        ),
        pytest.param(
            lambda c, where: c.create(CONFIG_MAPS, config_map("no-such-namespace", "x")),
            NotFound,
            "no-such",
            id="nowhere",
        ),
        pytest.param(
            lambda c, where: c.replace(CONFIG_MAPS, config_map(where, "absent")),
            NotFound,
            "absent",
            id="replaces nothing",
        ),
    ],
)
async def test_a_refusal_says_what_the_api_server_said(
    cluster: Cluster, namespace: str, call: Call, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        await call(cluster, namespace)


async def test_a_server_that_is_away_means_later_and_the_same_client_goes_on(
    plane: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    with wire(plane.kubeconfig, tmp_path) as (line, kubeconfig):
        async with Cluster(from_kubeconfig(kubeconfig)) as cluster:
            _, version = await cluster.list(CONFIG_MAPS, namespace)
            first = asyncio.Event()
            watching = asyncio.create_task(drain(cluster, version, namespace, first))
            await cluster.create(CONFIG_MAPS, config_map(namespace, "before"))
            await first.wait()
            line.cut()
            with pytest.raises(TryLater):
                await watching
            with pytest.raises(TryLater):
                await cluster.get(CONFIG_MAPS, namespace, "before")
            with pytest.raises(TryLater):
                await drain(cluster, version, namespace, first)
            line.mend()
            assert await cluster.get(CONFIG_MAPS, namespace, "before") is not None


async def drain(cluster: Cluster, version: str, namespace: str, first: asyncio.Event) -> None:
    async for _ in cluster.watch(CONFIG_MAPS, version, namespace):
        first.set()
