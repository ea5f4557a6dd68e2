"""One pass over one ModelRoute: how its candidates stand, into its status."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from droveway.api import names
from droveway.api.v1alpha1 import ModelRoute, ModelRouteStatus
from droveway.cluster import events
from droveway.cluster.client import Cluster
from droveway.cluster.objects import MODEL_ROUTES, Key
from droveway.controllers.counts import count_half_open
from droveway.controllers.gauges import forget_circuits, show_circuits
from droveway.controllers.ledger import Ledgers
from droveway.controllers.status import write_status
from droveway.controllers.world import World
from droveway.core.route import next_change, notes, route_status, urgent

TELEMETRY_FLOOR = timedelta(seconds=5)
"""Telemetry alone is written at most this often; limits and breakers at once."""


@dataclass(slots=True)
class RouteController:
    """Writes what `core.route` judges."""

    cluster: Cluster
    world: World
    ledgers: Ledgers
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    written_at: dict[Key, datetime] = field(default_factory=dict)

    async def reconcile(self, key: Key) -> datetime | None:
        """One pass; returns when to look again."""
        route = self.world.routes.get(key)
        if route is None:
            self.ledgers.drop(key)
            self.written_at.pop(key, None)
            forget_circuits(key)
            return None
        if token := route.metadata.annotations.get(names.ANNOTATION_RESET_CIRCUIT):
            await self.ledgers.reset(key, token)
            if self.world.routes.version(key) != int(route.metadata.resource_version):
                return self.now()  # it changed meanwhile
        now = self.now()
        views = self.ledgers.candidates(key.namespace, route, now)
        ledger = self.ledgers.ledger(route)
        status = route_status(route, views, ledger, now)
        show_circuits(key, route, status)
        wake_at = next_change(route, views, status, now)
        if status == route.status:
            return wake_at
        due = self.written_at.get(key, now - TELEMETRY_FLOOR) + TELEMETRY_FLOOR
        if now < due and not urgent(route.status, status):
            return min(due, wake_at or due)
        await self._write(key, route, status)
        self.written_at[key] = now
        count_half_open(key, ledger.breakers, route.status, status)
        for note in notes(route.status, status, ledger):
            meta = {"name": key.name, "namespace": key.namespace, "uid": route.metadata.uid}
            await events.record(self.cluster, "ModelRoute", meta, note, now)
        return wake_at

    async def _write(self, key: Key, route: ModelRoute, status: ModelRouteStatus) -> None:
        answer = await write_status(self.cluster, MODEL_ROUTES, route, status.to_wire())
        if self.world.routes.put(answer) and urgent(route.status, status):
            self.world.wake_waiting(key.namespace)
