"""Secrets are read one by one, seldom; the key Secret of a namespace is there while it has runs."""

import asyncio
import base64
from typing import Any, cast

import pytest

from droveway.api import names
from droveway.cluster.client import Cluster
from droveway.cluster.objects import Key
from droveway.controllers.secrets import NamespaceKeys, Sources
from helpers.objects import FakeCluster

LOGIN = Key("team", "login")
OURS = ("secrets", "team", names.SECRET_NAMESPACE_KEY)


class Shelf:
    """Sources and keys over a cluster in memory, and a clock set by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.api = FakeCluster()
        self.reads = 0
        self.now = 1000.0
        self.api.before = self._count
        monkeypatch.setattr("droveway.controllers.secrets.time.monotonic", lambda: self.now)
        self.sources = Sources(cast("Cluster", self.api))
        self.keys = NamespaceKeys(cast("Cluster", self.api), (b"master-master-master-master-1234",))

    def _count(self, verb: str, plural: str) -> None:
        self.reads += verb == "get"
        assert verb not in ("list", "watch"), "Secrets are only ever read one by one"

    def put(self, plural: str = "secrets", **data: str) -> None:
        self.api.put(plural, {"metadata": {"name": "login", "namespace": "team"}, "data": data})


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Shelf:
    return Shelf(monkeypatch)


class TestSources:
    async def test_a_missing_one_is_asked_for_again_soon_and_a_found_one_after_a_minute(self, shelf: Shelf) -> None:
        assert await shelf.sources.secret_keys(LOGIN) is None
        shelf.put(token="eA==")
        shelf.now += 2.9
        assert await shelf.sources.secret_keys(LOGIN) is None
        shelf.now += 0.2
        assert await shelf.sources.secret_keys(LOGIN) == frozenset({"token"})
        shelf.put(other="eA==")
        shelf.now += 59
        assert await shelf.sources.secret_keys(LOGIN) == frozenset({"token"})
        shelf.now += 1.1
        assert await shelf.sources.secret_keys(LOGIN) == frozenset({"other"})
        assert shelf.reads == 3

    async def test_a_forgotten_one_is_read_at_once(self, shelf: Shelf) -> None:
        shelf.put(token="eA==")
        await shelf.sources.secret_keys(LOGIN)
        shelf.put(other="eA==")
        shelf.sources.forget("team", "login")
        assert await shelf.sources.secret_keys(LOGIN) == frozenset({"other"})

    async def test_the_digest_follows_the_content_and_says_nothing_outside(self, shelf: Shelf) -> None:
        digests = []
        for value in ("eA==", "eQ==", "eA=="):
            shelf.put(token=value)
            shelf.sources.forget("team", "login")
            digests.append((await shelf.sources.secret_state(LOGIN))[1])
        assert digests[0] == digests[2] != digests[1]
        stranger = Sources(cast("Cluster", shelf.api))
        assert (await stranger.secret_state(LOGIN))[1] != digests[2], "it is salted"

    async def test_a_config_map_is_not_a_secret_of_the_same_name(self, shelf: Shelf) -> None:
        shelf.put("configmaps", prompt="hello")
        assert await shelf.sources.secret_keys(LOGIN) is None
        assert await shelf.sources.config_map_keys(LOGIN) == frozenset({"prompt"})

    async def test_one_without_data_has_no_keys(self, shelf: Shelf) -> None:
        shelf.put()
        assert await shelf.sources.secret_keys(LOGIN) == frozenset()


class TestNamespaceKeys:
    def data(self, shelf: Shelf) -> dict[str, Any]:
        found: dict[str, Any] = shelf.api.objects[OURS]["data"]
        return {name: base64.b64decode(value).decode() for name, value in found.items()}

    async def test_each_namespace_has_its_own_key_and_it_is_written_once(self, shelf: Shelf) -> None:
        assert shelf.keys.of("team") != shelf.keys.of("another-team")
        await asyncio.gather(*(shelf.keys.ensure("team") for _ in range(5)))
        assert self.data(shelf) == {"current": shelf.keys.of("team")}
        assert (shelf.api.writes("secrets"), shelf.reads) == (1, 1)

    async def test_one_that_was_deleted_by_hand_is_back_within_a_minute(self, shelf: Shelf) -> None:
        await shelf.keys.ensure("team")
        shelf.api.remove(*OURS)
        await shelf.keys.ensure("team")
        assert OURS not in shelf.api.objects
        shelf.now += 61
        await shelf.keys.ensure("team")
        assert self.data(shelf) == {"current": shelf.keys.of("team")}

    async def test_another_master_key_makes_a_new_generation_and_keeps_the_last(self, shelf: Shelf) -> None:
        await shelf.keys.ensure("team")
        masters = (b"another-master-another-master-12", b"master-master-master-master-1234")
        successor = NamespaceKeys(cast("Cluster", shelf.api), masters)
        assert successor.accepted("team") == (successor.of("team"), shelf.keys.of("team"))
        await successor.ensure("team")
        assert self.data(shelf) == {"current": successor.of("team"), "previous": shelf.keys.of("team")}

    async def test_it_goes_with_the_last_run_and_comes_with_the_next(self, shelf: Shelf) -> None:
        await shelf.keys.ensure("team")
        await shelf.keys.release("team")
        assert OURS not in shelf.api.objects
        await shelf.keys.ensure("team")
        assert OURS in shelf.api.objects

    async def test_one_that_an_earlier_process_made_goes_too_and_is_looked_for_once(self, shelf: Shelf) -> None:
        await shelf.keys.ensure("team")
        successor = NamespaceKeys(cast("Cluster", shelf.api), (b"master-master-master-master-1234",))
        await successor.release("team")
        assert OURS not in shelf.api.objects
        writes = shelf.api.writes("secrets")
        await successor.release("team")
        assert shelf.api.writes("secrets") == writes

    async def test_the_last_run_goes_while_the_next_one_comes(
        self, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await shelf.keys.ensure("team")
        deleting, go = asyncio.Event(), asyncio.Event()
        delete = shelf.api.delete

        async def slowly(*args: Any, **more: Any) -> Any:
            deleting.set()
            await go.wait()
            return await delete(*args, **more)

        monkeypatch.setattr(shelf.api, "delete", slowly)
        going = asyncio.create_task(shelf.keys.release("team"))
        await deleting.wait()
        coming = asyncio.create_task(shelf.keys.ensure("team"))
        await asyncio.sleep(0)
        go.set()
        await asyncio.gather(going, coming)
        assert OURS in shelf.api.objects, "the new run's pod mounts it"
