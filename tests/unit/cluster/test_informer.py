"""A new list takes away what is gone, never what has just come."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from droveway.cluster.client import Cluster, Gone
from droveway.cluster.informer import Informer
from droveway.cluster.objects import PODS, Key


def a_pod(name: str, version: int) -> dict[str, Any]:
    return {"metadata": {"namespace": "team", "name": name, "uid": f"uid-{name}", "resourceVersion": str(version)}}


class Lists:
    """Each watch is too old at once, so that the next list is asked for; the last one hangs."""

    def __init__(self, *lists: tuple[list[dict[str, Any]], str]) -> None:
        self.lists = list(lists)
        self.meanwhile: list[dict[str, Any]] = []
        self.informer: Informer[str]
        self.done = asyncio.Event()

    async def list(self, *_: Any) -> tuple[list[dict[str, Any]], str]:
        found = self.lists.pop(0)
        if not self.lists:
            for manifest in self.meanwhile:
                self.informer.put(manifest)
        return found

    async def watch(self, *_: Any) -> AsyncIterator[dict[str, Any]]:
        if self.lists:
            raise Gone(410, "Expired", "too old")
        self.done.set()
        await asyncio.Event().wait()
        yield {}


@pytest.mark.parametrize(
    ("meanwhile", "left"),
    [
        pytest.param([], {"old"}, id="what a list no longer has is gone"),
        pytest.param([a_pod("new", 31)], {"old", "new"}, id="a pod created while the list was under way stays"),
    ],
)
async def test_a_new_list(meanwhile: list[dict[str, Any]], left: set[str]) -> None:
    api = Lists(([a_pod("old", 5), a_pod("ghost", 6)], "20"), ([a_pod("old", 5)], "30"))
    told: list[str] = []
    informer = api.informer = Informer(
        cast("Cluster", api),
        PODS,
        lambda m: str(m["metadata"]["name"]),
        lambda key, _, after: told.append(key.name) if after is None else None,
    )
    api.meanwhile = meanwhile
    task = asyncio.create_task(informer.run())
    await api.done.wait()
    task.cancel()

    assert {name for name in ("old", "ghost", "new") if informer.get(Key("team", name))} == left
    assert told == ["ghost"]
