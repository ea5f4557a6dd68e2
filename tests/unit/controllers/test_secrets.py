"""The Secret of a namespace's run keys: there while there are runs, gone with the last."""

from typing import cast

from droveway.api import names
from droveway.cluster.client import Cluster
from droveway.cluster.objects import SECRETS
from droveway.controllers.secrets import NamespaceKeys
from helpers.objects import FakeCluster

HERE = (SECRETS.plural, "team", names.SECRET_NAMESPACE_KEY)


def a_process(api: FakeCluster) -> NamespaceKeys:
    return NamespaceKeys(cast("Cluster", api), b"master")


async def test_it_comes_with_the_first_run_and_goes_with_the_last() -> None:
    api = FakeCluster()
    keys = a_process(api)
    await keys.ensure("team")
    assert HERE in api.objects
    await keys.release("team")
    assert HERE not in api.objects
    await keys.ensure("team")
    assert HERE in api.objects, "and again for the next run"
    await keys.release("team")
    assert HERE not in api.objects


async def test_one_that_an_earlier_process_made_goes_too() -> None:
    api = FakeCluster()
    await a_process(api).ensure("team")
    await a_process(api).release("team")
    assert HERE not in api.objects


async def test_where_there_is_none_it_is_asked_for_once() -> None:
    api = FakeCluster()
    keys = a_process(api)
    for _ in range(3):
        await keys.release("team")
    assert [call for call in api.calls if call[0] == "delete"] == [
        ("delete", SECRETS.plural, names.SECRET_NAMESPACE_KEY)
    ]
