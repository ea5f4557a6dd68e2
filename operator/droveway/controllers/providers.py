"""One pass over one ModelProvider: its key, its limits, into its status."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from droveway.api import names
from droveway.api.v1alpha1 import ModelProvider, ModelProviderStatus
from droveway.cluster import events
from droveway.cluster.client import Cluster
from droveway.cluster.objects import MODEL_PROVIDERS, Key
from droveway.controllers.gauges import show_quota
from droveway.controllers.ledger import Ledgers
from droveway.controllers.secrets import Sources
from droveway.controllers.status import write_status
from droveway.controllers.world import World
from droveway.core.accounts import Accounts
from droveway.core.provider import SecretState, next_change, notes, provider_status, urgent

UTILIZATION_FLOOR = timedelta(seconds=5)
"""How much of a quota is used is written at most this often; what changes a choice at once."""

_LOOK_AGAIN = timedelta(seconds=60)
_LOOK_SOON = timedelta(seconds=5)  # somebody has to act, and waits for us to notice


@dataclass(slots=True)
class ProviderController:
    """Writes what `core.provider` judges."""

    cluster: Cluster
    world: World
    ledgers: Ledgers
    sources: Sources
    allow_direct_base_url: bool = False
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    digests: dict[Key, str] = field(default_factory=dict)
    written_at: dict[Key, datetime] = field(default_factory=dict)

    async def reconcile(self, key: Key) -> datetime | None:
        """One pass; returns when to look again."""
        provider, accounts = self.world.providers.get(key), self.ledgers.accounts(key.namespace)
        if provider is None:
            accounts.forget(key.name)
            self.digests.pop(key, None)
            self.written_at.pop(key, None)
            show_quota(key, "", ModelProviderStatus())
            return None
        accounts.know(provider)
        secret = await self._secret(key, provider, accounts)
        now = self.now()
        status = provider_status(provider, secret, accounts, now, allow_direct_base_url=self.allow_direct_base_url)
        show_quota(key, provider.spec.quota_group or key.name, status)
        due = self.written_at.get(key, now - UTILIZATION_FLOOR) + UTILIZATION_FLOOR
        held_up = now < due and not urgent(provider.status, status, provider.spec.limits.drain_percent)
        if status != provider.status and not held_up:
            await self._write(key, provider, status)
            self.written_at[key] = now
            meta = {"name": key.name, "namespace": key.namespace, "uid": provider.metadata.uid}
            for note in notes(provider.status, status):
                await events.record(self.cluster, "ModelProvider", meta, note, now)
        moments = [
            due if held_up else None,
            next_change(status),
            self._look_at(secret, accounts.refused(key.name, self.now()) is not None, now),
        ]
        return min((moment for moment in moments if moment), default=None)

    async def _secret(self, key: Key, provider: ModelProvider, accounts: Accounts) -> SecretState | None:
        """The Secret that the provider names. When its content has changed, a refused key may be good again."""
        ref = provider.spec.credentials_ref
        if ref is None:
            return None
        if accounts.refused(key.name, self.now()):
            self.sources.forget(key.namespace, ref.name)
        keys, digest = await self.sources.secret_state(Key(key.namespace, ref.name))
        if self.digests.get(key, digest) != digest:
            accounts.pardon(key.name)
        self.digests[key] = digest
        return SecretState(keys, digest)

    @staticmethod
    def _look_at(secret: SecretState | None, refused: bool, now: datetime) -> datetime | None:
        if secret is None:
            return None
        return now + (_LOOK_SOON if refused or secret.keys is None else _LOOK_AGAIN)

    async def _write(self, key: Key, provider: ModelProvider, status: ModelProviderStatus) -> None:
        answer = await write_status(self.cluster, MODEL_PROVIDERS, provider, status.to_wire())
        if self.world.providers.put(answer):
            self.world.changed(names.MODEL_PROVIDERS, key)
