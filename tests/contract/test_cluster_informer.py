"""The informer against a real API server, over a wire that breaks: nothing missed, no ghosts."""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from droveway.cluster.access import from_kubeconfig
from droveway.cluster.client import Cluster, Manifest
from droveway.cluster.informer import Informer
from droveway.cluster.objects import CONFIG_MAPS, Key
from helpers.control_plane import ROOT, Api, ControlPlane, control_plane
from helpers.wire import Wire, wire

pytestmark = pytest.mark.contract
LABELS = {"team": "informer"}
Change = tuple[str, str | None, str | None]


class Watcher:
    """An informer of ConfigMaps that keeps one value of each, and what it told."""

    def __init__(self, cluster: Cluster, *namespaces: str) -> None:
        self.told: list[Change] = []
        self.informer: Informer[str] = Informer(
            cluster,
            CONFIG_MAPS,
            lambda m: str(m["data"]["value"]),
            lambda key, before, after: self.told.append((key.name, before, after)),
            label_selector="team=informer",
            namespaces=namespaces,
        )

    async def tells(self, *changes: Change) -> None:
        """Waits for exactly these changes since the last call, in any order."""
        await until(lambda: len(self.told) >= len(changes))
        assert sorted(self.told) == sorted(changes)
        self.told.clear()


async def until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def watching(cluster: Cluster, *namespaces: str) -> AsyncIterator[Watcher]:
    watcher = Watcher(cluster, *namespaces)
    task = asyncio.create_task(watcher.informer.run())
    try:
        await asyncio.wait_for(watcher.informer.synced.wait(), 20)
        yield watcher
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def cluster(plane: ControlPlane) -> AsyncIterator[Cluster]:
    async with Cluster(from_kubeconfig(plane.kubeconfig)) as found:
        yield found


@pytest.fixture
def home(api: Api) -> Iterator[str]:
    with api.namespace("informer") as name:
        yield name


def config_map(namespace: str, name: str, value: str = "1", *, labelled: bool = True) -> Manifest:
    meta = {"name": name, "namespace": namespace} | ({"labels": LABELS} if labelled else {})
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"value": value}}


async def test_it_lists_what_is_there_and_tells_what_changes(cluster: Cluster, home: str) -> None:
    await cluster.create(CONFIG_MAPS, config_map(home, "old"))
    await cluster.create(CONFIG_MAPS, config_map(home, "foreign", labelled=False))
    async with watching(cluster, home) as watcher:
        await watcher.tells(("old", None, "1"))
        seen = await cluster.create(CONFIG_MAPS, config_map(home, "new"))
        await watcher.tells(("new", None, "1"))
        await cluster.replace(CONFIG_MAPS, seen | {"data": {"value": "2"}})
        await watcher.tells(("new", "1", "2"))
        await cluster.delete(CONFIG_MAPS, home, "old")
        await watcher.tells(("old", "1", None))
        assert dict(watcher.informer.store.items()) == {Key(home, "new"): "2"}


async def test_the_answer_to_our_own_write_is_told_once(cluster: Cluster, home: str) -> None:
    async with watching(cluster, home) as watcher:
        watcher.informer.put(await cluster.create(CONFIG_MAPS, config_map(home, "ours")))
        await cluster.create(CONFIG_MAPS, config_map(home, "theirs"))
        await watcher.tells(("ours", None, "1"), ("theirs", None, "1"))


async def test_it_follows_the_namespaces_that_it_was_given_and_is_synced_after_the_last(
    cluster: Cluster, home: str, api: Api
) -> None:
    with api.namespace("informer") as second, api.namespace("informer") as foreign:
        for where in (home, second, foreign):
            await cluster.create(CONFIG_MAPS, config_map(where, f"in-{where}"))
        async with watching(cluster, home, second) as watcher:
            assert {key.namespace for key, _ in watcher.informer.store.items()} == {home, second}
            await cluster.delete(CONFIG_MAPS, foreign, f"in-{foreign}")
            await cluster.delete(CONFIG_MAPS, second, f"in-{second}")
            await until(lambda: (f"in-{second}", "1", None) in watcher.told)
            assert {key.namespace for key, _ in watcher.informer.store.items()} == {home}


async def test_what_happens_while_the_watch_is_broken_is_told_when_it_is_back(
    plane: ControlPlane, cluster: Cluster, home: str, tmp_path: Path
) -> None:
    with wire(plane.kubeconfig, tmp_path) as (line, kubeconfig):
        async with Cluster(from_kubeconfig(kubeconfig)) as wired:
            await cluster.create(CONFIG_MAPS, config_map(home, "stays"))
            await cluster.create(CONFIG_MAPS, config_map(home, "goes"))
            async with watching(wired, home) as watcher:
                await watcher.tells(("stays", None, "1"), ("goes", None, "1"))
                await change_unseen(cluster, home, line)
                await watcher.tells(("goes", "1", None), ("comes", None, "1"))


async def change_unseen(cluster: Cluster, home: str, line: Wire) -> None:
    """Deletes one object and creates another while the wire is cut."""
    line.cut()
    await cluster.delete(CONFIG_MAPS, home, "goes")
    await cluster.create(CONFIG_MAPS, config_map(home, "comes"))
    line.mend()


async def test_a_version_that_the_server_forgot_makes_it_list_anew_and_report_what_is_gone(tmp_path: Path) -> None:
    with control_plane(own=True) as plane, wire(plane.kubeconfig, tmp_path) as (line, kubeconfig):
        access = from_kubeconfig(plane.kubeconfig)
        async with Cluster(access) as cluster, Cluster(from_kubeconfig(kubeconfig)) as wired:
            for name in ("stays", "goes"):
                await cluster.create(CONFIG_MAPS, config_map("default", name))
            async with watching(wired, "default") as watcher:
                await watcher.tells(("stays", None, "1"), ("goes", None, "1"))
                line.cut()
                await cluster.delete(CONFIG_MAPS, "default", "goes")
                await cluster.create(CONFIG_MAPS, config_map("default", "comes"))
                await asyncio.to_thread(restart_api_server, plane)  # its memory of old versions goes with it
                line.mend()
                await watcher.tells(("goes", "1", None), ("comes", None, "1"))
                await cluster.delete(CONFIG_MAPS, "default", "stays")
                await watcher.tells(("stays", "1", None))


def restart_api_server(plane: ControlPlane) -> None:
    state = plane.kubeconfig.parent
    pid = int((state / "kube-apiserver.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    server = next(line for line in plane.kubeconfig.read_text().splitlines() if "server:" in line)
    port = server.split("127.0.0.1:")[1].split('"')[0]
    knobs = {"CONTROL_PLANE_STATE": str(state), "CONTROL_PLANE_PORT": port, "CONTROL_PLANE_NODES": "3"}
    subprocess.run([ROOT / "hack" / "control-plane" / "up"], env=os.environ | knobs, check=True, capture_output=True)
