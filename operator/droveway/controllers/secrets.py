"""Secrets and ConfigMaps, read one by one: never listed, never watched, their contents never kept longer than a minute."""

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import time
from dataclasses import dataclass

from droveway.api import names
from droveway.cluster.client import Cluster, Conflict
from droveway.cluster.objects import CONFIG_MAPS, SECRETS, Key, ResourceType
from droveway.core.keys import namespace_key

_FOUND_SECONDS = 60.0
_MISSING_SECONDS = 3.0  # something waits for it


@dataclass(frozen=True, slots=True)
class _Read:
    keys: frozenset[str] | None
    digest: str
    at: float


class Sources:
    """Which keys Secrets and ConfigMaps have."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._salt = os.urandom(16)
        self._reads: dict[tuple[str, Key], _Read] = {}

    async def secret_state(self, key: Key) -> tuple[frozenset[str] | None, str]:
        """Names of the Secret's keys, and a digest that changes with its content and is worth nothing outside this process."""
        read = await self._read(SECRETS, key)
        return read.keys, read.digest

    async def secret_keys(self, key: Key) -> frozenset[str] | None:
        """Names of the Secret's keys; None when it does not exist."""
        return (await self._read(SECRETS, key)).keys

    async def config_map_keys(self, key: Key) -> frozenset[str] | None:
        """Names of the ConfigMap's keys; None when it does not exist."""
        return (await self._read(CONFIG_MAPS, key)).keys

    async def _read(self, what: ResourceType, key: Key) -> _Read:
        known = self._reads.get((what.plural, key))
        if known and time.monotonic() - known.at < (_MISSING_SECONDS if known.keys is None else _FOUND_SECONDS):
            return known
        found = await self._cluster.get(what, *key)
        data = None if found is None else found.get("data") or {}
        keys = None if data is None else frozenset(data)
        read = self._reads[what.plural, key] = _Read(keys, self._digest(data), time.monotonic())
        return read

    def _digest(self, data: dict[str, str] | None) -> str:
        text = json.dumps(data, sort_keys=True).encode()
        return hashlib.blake2b(text, key=self._salt, digest_size=16).hexdigest()

    def forget(self, namespace: str, name: str) -> None:
        """Reads a Secret anew the next time."""
        self._reads.pop((SECRETS.plural, Key(namespace, name)), None)


class NamespaceKeys:
    """The Secret of each namespace from which the keys of its runs are derived.

    Args:
        masters: the current master key, then those that pods may still have been started with.
    """

    def __init__(self, cluster: Cluster, masters: tuple[bytes, ...]) -> None:
        self._cluster, self._masters = cluster, masters
        self._ensured: dict[str, float] = {}
        self._released: set[str] = set()
        self._lock = asyncio.Lock()  # a namespace's last run may go while its next one comes

    def of(self, namespace: str) -> str:
        """The namespace's key, hex."""
        return namespace_key(self._masters[0], namespace)

    def accepted(self, namespace: str) -> tuple[str, ...]:
        """The namespace's key, and those that it had before, hex."""
        return tuple(namespace_key(master, namespace) for master in self._masters)

    async def ensure(self, namespace: str) -> None:
        """Makes the Secret be there and right; looks again every minute."""
        if self._is_fresh(namespace):
            return
        async with self._lock:
            if not self._is_fresh(namespace):
                self._released.discard(namespace)
                await self._put(namespace)
                self._ensured[namespace] = time.monotonic()

    async def release(self, namespace: str) -> None:
        """Removes the Secret of a namespace that has no runs any more, also one that an earlier process made."""
        if namespace in self._released:
            return
        self._ensured.pop(namespace, None)
        async with self._lock:
            if namespace not in self._ensured:
                await self._cluster.delete(SECRETS, namespace, names.SECRET_NAMESPACE_KEY)
                self._released.add(namespace)

    def _is_fresh(self, namespace: str) -> bool:
        return time.monotonic() - self._ensured.get(namespace, -_FOUND_SECONDS) < _FOUND_SECONDS

    async def _put(self, namespace: str) -> None:
        wanted = base64.b64encode(self.of(namespace).encode()).decode()
        found = await self._cluster.get(SECRETS, namespace, names.SECRET_NAMESPACE_KEY)
        if found is None:
            await self._create(namespace, wanted)
        elif (data := found.get("data") or {}).get(names.KEY_CURRENT) != wanted:
            found["data"] = {names.KEY_CURRENT: wanted} | (
                {names.KEY_PREVIOUS: data[names.KEY_CURRENT]} if names.KEY_CURRENT in data else {}
            )
            await self._cluster.replace(SECRETS, found)

    async def _create(self, namespace: str, wanted: str) -> None:
        manifest = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": names.SECRET_NAMESPACE_KEY,
                "namespace": namespace,
                "labels": {names.LABEL_MANAGED_BY: names.MANAGED_BY},
            },
            "type": "Opaque",
            "data": {names.KEY_CURRENT: wanted},
        }
        with contextlib.suppress(Conflict):  # another pass of the same namespace was faster; it wrote the same
            await self._cluster.create(SECRETS, manifest)
