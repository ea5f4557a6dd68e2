"""The ConfigMap that holds the ledger of a route, and belongs to it."""

from collections.abc import Mapping
from typing import Any

from droveway.api import names

SELECTOR = f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY}"


def map_name(route: str) -> str:
    """Name of the ConfigMap of a route."""
    return f"{names.CONFIGMAP_TELEMETRY_PREFIX}{route}"


def route_of(manifest: Mapping[str, Any]) -> str | None:
    """Name of the route that a ConfigMap of ours is about; None if it is about none."""
    name: str = manifest["metadata"]["name"]
    prefix = names.CONFIGMAP_TELEMETRY_PREFIX
    return name.removeprefix(prefix) if name.startswith(prefix) else None


def belongs_to(manifest: Mapping[str, Any], route_uid: str) -> bool:
    """Whether it is this route's, and not one's that had the same name before."""
    return any(owner["uid"] == route_uid for owner in manifest["metadata"].get("ownerReferences") or [])


def telemetry_map(namespace: str, route: str, route_uid: str, version: str, data: Mapping[str, str]) -> dict[str, Any]:
    """The manifest; with a version it replaces exactly that one."""
    owner = {"apiVersion": names.API_VERSION, "kind": "ModelRoute", "name": route, "uid": route_uid, "controller": True}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": map_name(route),
            "namespace": namespace,
            "labels": {names.LABEL_MANAGED_BY: names.MANAGED_BY},
            "ownerReferences": [owner],
            **({"resourceVersion": version} if version else {}),
        },
        "data": dict(data),
    }
