"""After an uninstall: removes what the operator made and nothing else deletes. Runs, and the claims they own, stay."""

from droveway.api import names
from droveway.cluster.client import Cluster
from droveway.cluster.objects import AGENT_RUNS, CONFIG_MAPS, LEASES, MODEL_ROUTES, PODS, SECRETS, key_of
from droveway.controllers.operator import LEASE

_OURS = f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY}"


async def clean_up(namespace: str) -> None:
    """Deletes agent pods, telemetry, the Secrets of run keys and the Lease."""
    async with Cluster.connect("droveway-cleanup") as cluster:
        for what in (PODS, CONFIG_MAPS):
            for manifest in (await cluster.list(what, label_selector=_OURS))[0]:
                await cluster.delete(what, *key_of(manifest))
        used = {key_of(m).namespace for what in (AGENT_RUNS, MODEL_ROUTES) for m in (await cluster.list(what))[0]}
        for where in sorted(used):
            await cluster.delete(SECRETS, where, names.SECRET_NAMESPACE_KEY)
        await cluster.delete(LEASES, namespace, LEASE)
