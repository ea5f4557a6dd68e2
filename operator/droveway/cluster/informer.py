"""Lists, then watches, one kind with a label selector, and keeps a small piece of each object.

A watch that breaks is taken up where it ended; one that is too old starts with a new list, and what vanished meanwhile is
reported as gone (kopf's own indices keep such ghosts).
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from droveway.api.errors import TryLater
from droveway.cluster.client import ApiError, Cluster, Gone, Manifest
from droveway.cluster.objects import Key, ResourceType, Store, key_of

T = TypeVar("T")
log = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 5.0

OnChange = Callable[[Key, T | None, T | None], None]


class Informer(Generic[T]):
    """A local, always nearly current copy of the objects of one kind.

    Args:
        cluster: where they live.
        what: their kind.
        keep: what to remember of an object.
        on_change: called with (key, before, after) for every change; None stands for absent.
        label_selector: which objects.
        namespaces: where; none means everywhere.
    """

    def __init__(
        self,
        cluster: Cluster,
        what: ResourceType,
        keep: Callable[[dict[str, Any]], T],
        on_change: OnChange[T],
        *,
        label_selector: str | None = None,
        namespaces: tuple[str, ...] = (),
    ) -> None:
        self._cluster, self._what, self._on_change = cluster, what, on_change
        self._selector, self._namespaces = label_selector, namespaces or (None,)
        self.store: Store[T] = Store(keep)
        self.synced = asyncio.Event()
        self._versions: dict[str | None, str] = {}
        self._listed: set[str | None] = set()

    def get(self, key: Key) -> T | None:
        """The object as last seen."""
        return self.store.get(key)

    async def run(self) -> None:
        """Follows the objects until cancelled."""
        async with asyncio.TaskGroup() as group:
            for namespace in self._namespaces:
                group.create_task(self._follow(namespace))

    def put(self, manifest: Manifest) -> None:
        """Takes the answer to a write of ours."""
        self._take(manifest)

    async def _follow(self, namespace: str | None) -> None:
        delay = 0.0
        while True:
            began = self._versions.get(namespace)
            try:
                if not began:
                    await self._relist(namespace)
                    if len(self._listed) == len(self._namespaces):
                        self.synced.set()
                await self._watch(namespace)
                delay = 0.0
            except Gone:
                self._versions.pop(namespace, None)
            except (ApiError, TryLater) as error:
                progress = self._versions.get(namespace) != began
                delay = _FIRST_PAUSE if progress or not delay else min(_LONGEST_PAUSE, delay * 2)
                log.warning("watch of %s: %r; again in %.1f s", self._what.plural, error, delay)
                await asyncio.sleep(delay)

    async def _relist(self, namespace: str | None) -> None:
        seen: set[Key] = set()
        version = ""
        async for page, version in self._cluster.pages(self._what, namespace, self._selector):  # noqa: B007 - needed below
            seen |= {key_of(m) for m in page}
            for manifest in page:
                self._take(manifest)
        for key in self.store:
            # What is newer than the list was written by us meanwhile; the watch will tell.
            if key not in seen and namespace in (None, key.namespace) and self.store.version(key) <= int(version):
                before = self.store.get(key)
                self.store.evict(key)
                self._on_change(key, before, None)
        self._versions[namespace] = version
        self._listed.add(namespace)

    async def _watch(self, namespace: str | None) -> None:
        async for event in self._cluster.watch(self._what, self._versions[namespace], namespace, self._selector):
            manifest = event["object"]
            if event["type"] == "DELETED":
                key = key_of(manifest)
                before = self.store.get(key)
                if self.store.remove(manifest):
                    self._on_change(key, before, None)
            elif event["type"] != "BOOKMARK":
                self._take(manifest)
            self._versions[namespace] = manifest["metadata"]["resourceVersion"]

    def _take(self, manifest: Manifest) -> None:
        key = key_of(manifest)
        before = self.store.get(key)
        if self.store.put(manifest):
            self._on_change(key, before, self.store.get(key))
