"""One pass over one TenantQuota: what its namespace has used, into its status."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from droveway.api.v1alpha1 import TenantQuota, TenantQuotaStatus
from droveway.cluster import events
from droveway.cluster.client import Cluster
from droveway.cluster.objects import TENANT_QUOTAS, Key
from droveway.controllers.gauges import show_shares
from droveway.controllers.ledger import Ledgers
from droveway.controllers.status import write_status
from droveway.controllers.world import World
from droveway.core.tenant import notes, quota_status, shares_of, urgent

FLOOR = timedelta(seconds=1)
"""What is used is written at most this often: gateways go by it. What changes a choice at once."""


@dataclass(slots=True)
class QuotaController:
    """Writes what `core.tenant` judges."""

    cluster: Cluster
    world: World
    ledgers: Ledgers
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    written_at: dict[Key, datetime] = field(default_factory=dict)

    async def reconcile(self, key: Key) -> datetime | None:
        """One pass; returns when to look again."""
        quota = self.world.quotas.get(key)
        if quota is None:
            self.written_at.pop(key, None)
            show_shares(key, [])
            return None
        now = self.now()
        spent = self.ledgers.spent(key.namespace, now)
        status = quota_status(quota, spent, now)
        show_shares(key, shares_of(quota.spec, spent))
        ends = min(use.reset_time for use in status.used)
        if status == quota.status:
            return ends
        due = self.written_at.get(key, now - FLOOR) + FLOOR
        if now < due and not urgent(quota.status, status):
            return min(due, ends)
        await self._write(key, quota, status)
        self.written_at[key] = now
        meta = {"name": key.name, "namespace": key.namespace, "uid": quota.metadata.uid}
        for note in notes(quota.status, status):
            await events.record(self.cluster, "TenantQuota", meta, note, now)
        return ends

    async def _write(self, key: Key, quota: TenantQuota, status: TenantQuotaStatus) -> None:
        answer = await write_status(self.cluster, TENANT_QUOTAS, quota, status.to_wire())
        if self.world.quotas.put(answer) and urgent(quota.status, status):
            self.world.wake_waiting(key.namespace)
