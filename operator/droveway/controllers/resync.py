"""Every few minutes everything is listed once: it proves that the watch missed nothing, and repairs what it did miss."""

import asyncio
import logging
import time

from droveway.api.errors import DrovewayError, TryLater
from droveway.cluster.client import Cluster, Manifest
from droveway.cluster.objects import (
    AGENT_RUNS,
    AGENTS,
    MODEL_PROVIDERS,
    MODEL_ROUTES,
    TENANT_QUOTAS,
    Key,
    ResourceType,
    key_of,
    version_of,
)
from droveway.controllers.metrics import RESYNC_DRIFT, RESYNC_TIME
from droveway.controllers.world import World

log = logging.getLogger(__name__)

_KINDS = (MODEL_PROVIDERS, MODEL_ROUTES, TENANT_QUOTAS, AGENTS, AGENT_RUNS)
_PAUSE_SECONDS = 2.0
_GRACE_SECONDS = 5.0  # what is newer than the list may just be on its way through the watch


class Resync:
    """The periodic listing.

    Args:
        seconds: period; `/healthz` fails after three without a success.
    """

    def __init__(self, cluster: Cluster, world: World, namespaces: tuple[str, ...], seconds: float) -> None:
        self._cluster, self._world, self._namespaces, self._seconds = cluster, world, namespaces or (None,), seconds
        self._last_success = time.monotonic()

    def overdue(self) -> str | None:
        """Why the process is not healthy, or None."""
        age = time.monotonic() - self._last_success
        return f"the last resync ended {age:.0f} s ago" if age > 3 * self._seconds else None

    async def fill(self) -> None:
        """The first listing; it waits for an API server that is away."""
        while True:
            try:
                for what in _KINDS:
                    for namespace in self._namespaces:
                        async for page, _ in self._cluster.pages(what, namespace):
                            for manifest in page:
                                self._world.take(what.plural, None, manifest)
                break
            except TryLater as error:
                log.warning("first listing: %s; again in %.0f s", error, _PAUSE_SECONDS)
                await asyncio.sleep(_PAUSE_SECONDS)
        self._last_success = time.monotonic()  # a standby may have waited for hours

    async def run(self) -> None:
        """Lists for ever."""
        while True:
            await asyncio.sleep(self._seconds)
            try:
                for what in _KINDS:
                    for namespace in self._namespaces:
                        await self._compare(what, namespace)
            except DrovewayError as error:
                log.warning("resync: %s", error)
            else:
                self._last_success = time.monotonic()
                RESYNC_TIME.set_to_current_time()

    async def _compare(self, what: ResourceType, namespace: str | None) -> None:
        store = self._world.store_of(what.plural)
        known = {key: store.version(key) for key in store if namespace in (None, key.namespace)}
        fresh: set[Key] = set()
        newer: list[Manifest] = []
        async for page, _ in self._cluster.pages(what, namespace):
            fresh |= {key_of(m) for m in page}
            newer += [m for m in page if version_of(m) > store.version(key_of(m))]
        await asyncio.sleep(0)
        late = [m for m in newer if version_of(m) > store.version(key_of(m))]
        ghosts = [key for key, version in known.items() if key not in fresh and store.version(key) == version]
        if late or ghosts:
            await asyncio.sleep(_GRACE_SECONDS)
        for manifest in late:
            if self._world.take(what.plural, None, manifest):
                self._drifted(what, f"{key_of(manifest)} was missed")
        for key in ghosts:
            if store.version(key) == known[key]:
                self._drifted(what, f"{key} is gone")
                store.evict(key)
                self._world.changed(what.plural, key)

    def _drifted(self, what: ResourceType, text: str) -> None:
        RESYNC_DRIFT.labels(what.plural).inc()
        log.warning("resync: %s %s", what.plural, text)
