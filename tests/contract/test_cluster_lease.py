"""The Lease: one holder at a time, and nobody acts after losing it."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from droveway.cluster import lease as room
from droveway.cluster.access import from_kubeconfig
from droveway.cluster.client import Cluster, Manifest
from droveway.cluster.lease import Lease, LeaseLost
from droveway.cluster.objects import LEASES
from helpers.control_plane import ControlPlane
from helpers.wire import wire

pytestmark = pytest.mark.contract


@pytest.fixture
async def cluster(plane: ControlPlane) -> AsyncIterator[Cluster]:
    async with Cluster(from_kubeconfig(plane.kubeconfig)) as found:
        yield found


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "RETRY_SECONDS", 0.1)


async def spec(cluster: Cluster, namespace: str, name: str) -> Manifest:
    found = await cluster.get(LEASES, namespace, name)
    assert found is not None
    answer: Manifest = found["spec"]
    return answer


async def taken_by_a_dead_one(cluster: Cluster, namespace: str, name: str, seconds_left: float) -> None:
    """A lease whose holder has not renewed it for a while."""
    at = datetime.now(UTC) - room.DURATION + timedelta(seconds=seconds_left)
    text = at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    held = {"holderIdentity": "dead", "leaseDurationSeconds": 15, "acquireTime": text, "renewTime": text}
    manifest = {"apiVersion": LEASES.api_version, "kind": "Lease", "metadata": {"name": name, "namespace": namespace}}
    await cluster.create(LEASES, manifest | {"spec": held})


async def test_a_second_identity_waits_until_the_first_gives_up(cluster: Cluster, namespace: str) -> None:
    first, second = (Lease(cluster, namespace, "handed", name) for name in ("first", "second"))
    await first.acquire()
    waiting = asyncio.create_task(second.acquire())
    done, _ = await asyncio.wait([waiting], timeout=0.5)
    assert not done
    await first.release()
    await asyncio.wait_for(waiting, 5)
    held = await spec(cluster, namespace, "handed")
    assert (held["holderIdentity"], held["leaseTransitions"]) == ("second", 1)


async def test_it_is_taken_over_when_its_time_is_over_and_not_before(cluster: Cluster, namespace: str) -> None:
    await taken_by_a_dead_one(cluster, namespace, "expired", seconds_left=1)
    end = (await spec(cluster, namespace, "expired"))["renewTime"]
    await asyncio.wait_for(Lease(cluster, namespace, "expired", "heir").acquire(), 5)
    held = await spec(cluster, namespace, "expired")
    assert held["holderIdentity"] == "heir"
    assert datetime.fromisoformat(held["acquireTime"]) >= datetime.fromisoformat(end) + room.DURATION


async def test_of_many_that_want_it_one_gets_it(cluster: Cluster, namespace: str) -> None:
    await taken_by_a_dead_one(cluster, namespace, "wanted", seconds_left=0)
    tries = {asyncio.create_task(Lease(cluster, namespace, "wanted", f"heir-{n}").acquire()) for n in range(8)}
    done, pending = await asyncio.wait(tries, timeout=1)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    assert len(done) == 1


async def test_the_same_identity_is_back_at_once(cluster: Cluster, namespace: str) -> None:
    await Lease(cluster, namespace, "own", "pod-1").acquire()
    before = await spec(cluster, namespace, "own")
    began = time.monotonic()
    await Lease(cluster, namespace, "own", "pod-1").acquire()
    assert time.monotonic() - began < 2
    after = await spec(cluster, namespace, "own")
    assert after["acquireTime"] == before["acquireTime"]
    assert after["renewTime"] > before["renewTime"]


async def test_a_holder_renews_and_notices_a_usurper(cluster: Cluster, namespace: str) -> None:
    mine = Lease(cluster, namespace, "usurped", "mine")
    await mine.acquire()
    before = (await spec(cluster, namespace, "usurped"))["renewTime"]
    keeping = asyncio.create_task(mine.keep())
    async with asyncio.timeout(5):
        while (await spec(cluster, namespace, "usurped"))["renewTime"] == before:
            await asyncio.sleep(0.05)
    usurped = {"metadata": {"name": "usurped", "namespace": namespace}, "spec": {"holderIdentity": "usurper"}}
    await cluster.apply(LEASES, {"apiVersion": LEASES.api_version, "kind": "Lease"} | usurped, "tests")
    with pytest.raises(LeaseLost, match="taken by another"):
        await asyncio.wait_for(keeping, 5)
    await mine.release()
    assert (await spec(cluster, namespace, "usurped"))["holderIdentity"] == "usurper", "not ours to give up"


@pytest.mark.parametrize("how", ["cut", "held"])
async def test_who_cannot_renew_stops_before_a_successor_may_start(
    plane: ControlPlane, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(room, "RENEW_DEADLINE", timedelta(seconds=1))
    with wire(plane.kubeconfig, tmp_path) as (line, kubeconfig):
        async with Cluster(from_kubeconfig(kubeconfig)) as cluster:
            lease = Lease(cluster, namespace, f"unreachable-{how}", "mine")
            await lease.acquire()
            keeping = asyncio.create_task(lease.keep())
            await asyncio.sleep(0.3)
            if how == "cut":
                line.cut()
            else:
                line.held = True
            began = time.monotonic()
            with pytest.raises(LeaseLost, match="could not be renewed"):
                await asyncio.wait_for(keeping, 5)
            assert time.monotonic() - began < 2
            line.cut()
            await lease.release()  # cannot, and says nothing
