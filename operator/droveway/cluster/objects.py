"""What the API server calls things, and the cache that both watchers feed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from droveway.api import names

T = TypeVar("T")


class Key(NamedTuple):
    """An object of one kind."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class ResourceType:
    """Where objects of one kind live on the API server."""

    plural: str
    group: str = ""
    version: str = "v1"

    @property
    def api_version(self) -> str:
        """As manifests spell it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """URL path of the collection or of one object; namespace None or "" spans all namespaces."""
        path = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        if namespace:
            path += f"/namespaces/{namespace}"
        path += f"/{self.plural}"
        if name:
            path += f"/{name}"
        return f"{path}/{subresource}" if subresource else path


def _ours(plural: str) -> ResourceType:
    return ResourceType(plural, names.GROUP, names.VERSION)


AGENTS = _ours(names.AGENTS)
AGENT_RUNS = _ours(names.AGENT_RUNS)
MODEL_PROVIDERS = _ours(names.MODEL_PROVIDERS)
MODEL_ROUTES = _ours(names.MODEL_ROUTES)
TENANT_QUOTAS = _ours(names.TENANT_QUOTAS)
NAMESPACES = ResourceType("namespaces")
PODS = ResourceType("pods")
SECRETS = ResourceType("secrets")
CONFIG_MAPS = ResourceType("configmaps")
CLAIMS = ResourceType("persistentvolumeclaims")
EVENTS = ResourceType("events", "events.k8s.io")
LEASES = ResourceType("leases", "coordination.k8s.io")
TOKEN_REVIEWS = ResourceType("tokenreviews", "authentication.k8s.io")


def key_of(manifest: dict[str, Any]) -> Key:
    """Which object a manifest is."""
    meta = manifest["metadata"]
    return Key(meta.get("namespace", ""), meta["name"])


def version_of(manifest: dict[str, Any]) -> int:
    """Its resourceVersion as a number; versions of one kind are ordered."""
    return int(manifest["metadata"].get("resourceVersion") or 0)


@dataclass(slots=True)
class _Entry(Generic[T]):
    version: int
    uid: str
    value: T


class Store(Generic[T]):
    """The latest known state of the objects of one kind.

    Fed by a watch and by the answers to our own writes, so that a pass never decides on a state older than what it wrote
    itself. An older version never replaces a newer one of the same object.
    """

    def __init__(self, keep: Callable[[dict[str, Any]], T]) -> None:
        self._keep = keep
        self._entries: dict[Key, _Entry[T]] = {}
        self._gone: dict[Key, str] = {}

    def put(self, manifest: dict[str, Any]) -> bool:
        """Takes a newer state; says whether it was one."""
        key, version, uid = key_of(manifest), version_of(manifest), manifest["metadata"]["uid"]
        was = self._entries.get(key)
        if self._gone.get(key) == uid or (was and was.uid == uid and version <= was.version):
            return False
        self._entries[key] = _Entry(version, uid, self._keep(manifest))
        return True

    def remove(self, manifest: dict[str, Any]) -> bool:
        """Forgets an object that is gone for good. A late answer to our own write does not bring it back."""
        key, uid = key_of(manifest), manifest["metadata"]["uid"]
        was = self._entries.get(key)
        self._gone[key] = uid
        while len(self._gone) > 4096:
            del self._gone[next(iter(self._gone))]
        if was is None or was.uid != uid:
            return False
        del self._entries[key]
        return True

    def evict(self, key: Key) -> None:
        """Drops what a full listing no longer contains."""
        self._entries.pop(key, None)

    def get(self, key: Key) -> T | None:
        """The object as last seen."""
        found = self._entries.get(key)
        return found.value if found else None

    def version(self, key: Key) -> int:
        """Version (`resourceVersion`) of the object as last seen; 0 if unknown."""
        found = self._entries.get(key)
        return found.version if found else 0

    def __iter__(self) -> Iterator[Key]:
        """All known objects."""
        return iter(list(self._entries))

    def items(self) -> Iterator[tuple[Key, T]]:
        """All known objects with their state."""
        return ((key, entry.value) for key, entry in list(self._entries.items()))

    def __len__(self) -> int:
        return len(self._entries)
