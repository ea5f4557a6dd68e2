"""The only writer of status."""

from droveway.api import names
from droveway.api.v1alpha1.common import Resource
from droveway.cluster.client import Cluster, Manifest
from droveway.cluster.objects import ResourceType
from droveway.controllers.metrics import STATUS_WRITES


async def write_status(cluster: Cluster, what: ResourceType, resource: Resource, status: Manifest) -> Manifest:
    """Applies a status; returns the object as it is now.

    uid and resourceVersion go along, so that a stale writer fails instead of overwriting.

    Raises:
        Conflict: the object has changed since it was read, or is another one of the same name.
    """
    kind, meta = type(resource).__name__, resource.metadata
    manifest = {
        "apiVersion": names.API_VERSION,
        "kind": kind,
        "metadata": {
            "name": meta.name,
            "namespace": meta.namespace,
            "uid": meta.uid,
            "resourceVersion": meta.resource_version,
        },
        "status": status,
    }
    answer = await cluster.apply_status(what, manifest, names.MANAGER_STATUS)
    STATUS_WRITES.labels(kind).inc()
    return answer
