"""After an uninstall: removes what the operator made and nothing else deletes. Runs, and the claims they own, stay."""

from droveway.api import names
from droveway.cluster.client import Cluster
from droveway.cluster.objects import CONFIG_MAPS, LEASES, NAMESPACES, PODS, SECRETS, key_of
from droveway.controllers.operator import LEASE

_OURS = f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY}"


async def clean_up(namespace: str) -> None:
    """Deletes agent pods, telemetry, the Secrets of run keys and the Lease."""
    async with Cluster.connect("droveway-cleanup") as cluster:
        for what in (PODS, CONFIG_MAPS):
            for manifest in (await cluster.list(what, label_selector=_OURS))[0]:
                await cluster.delete(what, *key_of(manifest))
        # Secrets are never listed, not even here; where there is none, nothing is deleted.
        for where in (await cluster.list(NAMESPACES))[0]:
            await cluster.delete(SECRETS, where["metadata"]["name"], names.SECRET_NAMESPACE_KEY)
        await cluster.delete(LEASES, namespace, LEASE)
