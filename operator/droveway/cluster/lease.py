"""One active operator: a `coordination.k8s.io` Lease. Losing it ends the process, so that no work is done twice."""

import asyncio
import contextlib
import logging
import time
from datetime import UTC, datetime, timedelta

from droveway.api.errors import DrovewayError, TryLater
from droveway.cluster.client import Cluster, Conflict, Manifest
from droveway.cluster.objects import LEASES

log = logging.getLogger(__name__)

DURATION = timedelta(seconds=15)
RENEW_DEADLINE = timedelta(seconds=10)
RETRY_SECONDS = 2.0


class LeaseLost(DrovewayError):  # noqa: N818 - says what happened
    """Another process may act now: stop at once."""


class Lease:
    """A named lease, held by one identity at a time.

    The same identity takes it over at once, so a restarted container of the same pod does not wait.
    """

    def __init__(self, cluster: Cluster, namespace: str, name: str, identity: str) -> None:
        self._cluster, self._namespace, self._name, self._identity = cluster, namespace, name, identity
        self.held = asyncio.Event()

    async def acquire(self) -> None:
        """Waits until the lease is ours."""
        while True:
            try:
                if await self._try(datetime.now(UTC)):
                    log.info("lease %s/%s acquired by %s", self._namespace, self._name, self._identity)
                    self.held.set()
                    return
            except TryLater as error:
                log.warning("lease: %s", error)
            await asyncio.sleep(RETRY_SECONDS)

    async def keep(self) -> None:
        """Renews the lease for ever.

        Raises:
            LeaseLost: it could not be renewed in time, or somebody else has it.
        """
        renewed = time.monotonic()
        while True:
            await asyncio.sleep(RETRY_SECONDS)
            began, until = time.monotonic(), renewed + RENEW_DEADLINE.total_seconds()
            try:
                # A request that hangs must not outlive the deadline: a successor acts soon after it.
                async with asyncio.timeout(until - began):
                    if not await self._try(datetime.now(UTC)):
                        raise LeaseLost(f"lease {self._namespace}/{self._name} was taken by another process")
                renewed = began
            except (TryLater, TimeoutError) as error:
                if time.monotonic() >= until:
                    raise LeaseLost(f"lease {self._namespace}/{self._name} could not be renewed: {error!r}") from error

    async def release(self) -> None:
        """Gives the lease up, so that a successor need not wait for its end; if that fails, it waits."""
        with contextlib.suppress(DrovewayError):
            found = await self._cluster.get(LEASES, self._namespace, self._name)
            if found and found["spec"].get("holderIdentity") == self._identity:
                found["spec"]["holderIdentity"] = ""
                await self._cluster.replace(LEASES, found)

    async def _try(self, now: datetime) -> bool:
        found = await self._cluster.get(LEASES, self._namespace, self._name)
        try:
            if found is None:
                await self._cluster.create(LEASES, self._manifest({}, now))
                return True
            if not may_take(found["spec"], self._identity, now):
                return False
            await self._cluster.replace(LEASES, self._manifest(found, now))
        except Conflict:
            return False
        return True

    def _manifest(self, found: Manifest, now: datetime) -> Manifest:
        at = now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        was = found.get("spec", {})
        mine = was.get("holderIdentity") == self._identity
        return {
            "apiVersion": LEASES.api_version,
            "kind": "Lease",
            "metadata": found.get("metadata") or {"namespace": self._namespace, "name": self._name},
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": int(DURATION.total_seconds()),
                "acquireTime": was["acquireTime"] if mine else at,
                "renewTime": at,
                "leaseTransitions": was.get("leaseTransitions", 0) + (0 if mine or not was else 1),
            },
        }


def may_take(spec: Manifest, identity: str, now: datetime) -> bool:
    """Whether the lease is ours, free, or has run out."""
    holder, renewed = spec.get("holderIdentity"), spec.get("renewTime")
    if not holder or holder == identity or not renewed:
        return True
    end = datetime.fromisoformat(renewed) + timedelta(seconds=spec.get("leaseDurationSeconds") or 0)
    return end <= now
