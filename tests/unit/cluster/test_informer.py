"""What the informer makes of lists and watches that come in an unlucky order. On a real API server: tests/contract."""

import asyncio
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from typing import Any, cast

from droveway.api.errors import TryLater
from droveway.cluster.client import Cluster, Gone
from droveway.cluster.informer import Informer
from droveway.cluster.objects import PODS, Key
from helpers.clock import virtual

Json = dict[str, Any]


def pod(name: str, version: int) -> Json:
    return {"metadata": {"namespace": "team", "name": name, "uid": f"uid-{name}", "resourceVersion": str(version)}}


def added(name: str, version: int) -> Json:
    return {"type": "ADDED", "object": pod(name, version)}


class Script:
    """An API server that answers as written: lists, and watches that end in an error or for ever."""

    def __init__(self, lists: list[tuple[list[Json], str]], watches: list[list[Json | Exception]]) -> None:
        self.lists, self.watches = lists, watches
        self.watched_from: list[tuple[str, float]] = []
        self.on_list: Callable[[], object] = lambda: None

    async def pages(self, *_: object) -> AsyncIterator[tuple[list[Json], str]]:
        found, version = self.lists.pop(0)
        self.on_list()
        yield found[:1], version
        if found[1:]:
            yield found[1:], version

    async def watch(self, what: object, version: str, *_: object) -> AsyncIterator[Json]:
        self.watched_from.append((version, asyncio.get_running_loop().time()))
        for event in self.watches.pop(0) if self.watches else [asyncio.CancelledError()]:
            if isinstance(event, asyncio.CancelledError):
                await asyncio.Event().wait()
            if isinstance(event, BaseException):
                raise event
            yield event


async def follow(script: Script, seconds: float = 100) -> tuple[Informer[str], list[tuple[str, bool]]]:
    """The informer after so long, and (name, is it there now) of everything that it told."""
    told: list[tuple[str, bool]] = []
    informer = Informer(
        cast("Cluster", script),
        PODS,
        lambda m: str(m["metadata"]["name"]),
        lambda key, before, after: told.append((key.name, after is not None)),
    )
    script.on_list = lambda: None if script.lists else informer.put(pod("ours", 50))
    task = asyncio.create_task(informer.run())
    await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return informer, told


@virtual
async def test_what_we_created_while_it_listed_is_not_gone() -> None:
    script = Script(
        [([pod("old", 1), pod("stays", 2)], "10"), ([pod("stays", 2)], "20")], [[Gone(410, "Expired", "too old")]]
    )
    informer, told = await follow(script)
    assert told == [("old", True), ("stays", True), ("ours", True), ("old", False)]
    assert [name for name in ("old", "stays", "ours") if informer.get(Key("team", name))] == ["stays", "ours"]


@virtual
async def test_a_watch_that_breaks_is_taken_up_where_it_ended() -> None:
    away = TryLater("away")
    script = Script([([], "10")], [[added("a", 11), added("b", 12), away], [away], [away], [added("c", 13), away]])
    _, told = await follow(script)
    assert [version for version, _ in script.watched_from] == ["10", "12", "12", "12", "13"]
    assert [name for name, _ in told if name != "ours"] == ["a", "b", "c"]


@virtual
async def test_the_pauses_grow_while_nothing_comes_and_not_beyond_five_seconds() -> None:
    away = TryLater("away")
    broken: list[list[Json | Exception]] = [[away] for _ in range(7)]
    script = Script([([], "10")], [*broken, [added("a", 11), away]])
    await follow(script)
    times = [at for _, at in script.watched_from]
    assert [later - at for at, later in pairwise(times)] == [0.5, 1, 2, 4, 5, 5, 5, 0.5]
