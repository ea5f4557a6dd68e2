"""An API server in memory, as far as versions, uids, conflicts and server-side apply of a status are concerned."""

import copy
import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any

from droveway.cluster.client import Conflict, Manifest, NotFound, Page
from droveway.cluster.objects import EVENTS, ResourceType

_Id = tuple[str, str, str]


class FakeCluster:
    """Stands in for `cluster.client.Cluster`.

    Attributes:
        calls: (verb, plural, name) of every write.
        before: called with (verb, plural) before each request; may raise, or change something behind the caller's back.
        reviews: user names by token.
    """

    def __init__(self) -> None:
        self.objects: dict[_Id, Manifest] = {}
        self.calls: list[tuple[str, str, str]] = []
        self.before: Callable[[str, str], None] = lambda verb, plural: None
        self.reviews: dict[str, str] = {}
        self._versions = itertools.count(100)

    def put(self, plural: str, manifest: Manifest) -> Manifest:
        """Stores what somebody else wrote."""
        meta = manifest["metadata"]
        stored = copy.deepcopy(manifest)
        stored["metadata"].setdefault("uid", f"uid-{next(self._versions)}")
        stored["metadata"]["resourceVersion"] = str(next(self._versions))
        self.objects[plural, meta.get("namespace", ""), meta["name"]] = stored
        return copy.deepcopy(stored)

    def remove(self, plural: str, namespace: str, name: str) -> None:
        del self.objects[plural, namespace, name]

    def writes(self, plural: str) -> int:
        return sum(1 for _, what, _ in self.calls if what == plural)

    def events(self) -> list[tuple[str, str]]:
        """(reason, note) of every Event."""
        return [(o["reason"], o["note"]) for (plural, *_), o in self.objects.items() if plural == EVENTS.plural]

    async def get(self, what: ResourceType, namespace: str, name: str) -> Manifest | None:
        self.before("get", what.plural)
        return copy.deepcopy(self.objects.get((what.plural, namespace, name)))

    async def list(
        self, what: ResourceType, namespace: str | None = None, label_selector: str | None = None
    ) -> tuple[list[Manifest], str]:
        self.before("list", what.plural)
        key, _, value = (label_selector or "").partition("=")
        found = [
            copy.deepcopy(o)
            for (plural, where, _), o in self.objects.items()
            if plural == what.plural and namespace in (None, where)
            and (not key or (o["metadata"].get("labels") or {}).get(key) == value)
        ]  # fmt: skip
        return found, str(next(self._versions))

    async def pages(self, *which: Any) -> AsyncIterator[Page]:
        """One object a page."""
        found, version = await self.list(*which)
        for manifest in found:
            yield [manifest], version
        if not found:
            yield [], version

    async def create(self, what: ResourceType, manifest: Manifest) -> Manifest:
        if what.plural == "tokenreviews":
            user = self.reviews.get(manifest["spec"]["token"])
            self.calls.append(("create", what.plural, ""))
            return {"status": {"authenticated": True, "user": {"username": user}} if user else {"authenticated": False}}
        meta = manifest["metadata"]
        self._start("create", what, meta["name"])
        if (what.plural, meta.get("namespace", ""), meta["name"]) in self.objects:
            raise Conflict(409, "AlreadyExists", meta["name"])
        return self.put(what.plural, manifest)

    async def replace(self, what: ResourceType, manifest: Manifest) -> Manifest:
        found = self._find("replace", what, manifest)
        manifest["metadata"].setdefault("uid", found["metadata"]["uid"])
        return self.put(what.plural, manifest)

    async def apply_status(self, what: ResourceType, manifest: Manifest, manager: str) -> Manifest:
        found = self._find("apply_status", what, manifest)
        return self.put(what.plural, found | {"status": manifest["status"]})

    async def delete(
        self, what: ResourceType, namespace: str, name: str, *, uid: str | None = None, grace_seconds: int | None = None
    ) -> Manifest | None:
        self._start("delete", what, name)
        found = self.objects.get((what.plural, namespace, name))
        if found is None or (uid and found["metadata"]["uid"] != uid):
            return None
        return self.objects.pop((what.plural, namespace, name))

    def _start(self, verb: str, what: ResourceType, name: str) -> None:
        self.before(verb, what.plural)
        self.calls.append((verb, what.plural, name))

    def _find(self, verb: str, what: ResourceType, manifest: Manifest) -> dict[str, Any]:
        meta = manifest["metadata"]
        self._start(verb, what, meta["name"])
        found = self.objects.get((what.plural, meta.get("namespace", ""), meta["name"]))
        if found is None:
            raise NotFound(404, "NotFound", meta["name"])
        for field in ("resourceVersion", "uid"):
            if meta.get(field, found["metadata"][field]) != found["metadata"][field]:
                raise Conflict(409, "Conflict", f"{meta['name']} has another {field}")
        return found
