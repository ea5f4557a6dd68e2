"""A tenant whose account is shared: what Valkey is told, also when things cross on the way."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from types import SimpleNamespace
from typing import Any, cast

from droveway.core.quota import Amount, Rules, View
from droveway.gateway.metrics import GatewayMetrics
from droveway.gateway.sharedquota import Floor, Seen, SharedQuota
from droveway.gateway.tenants import Tenant, Wish


class Leases(SharedQuota):
    """The leases that Valkey would hold. `on_the_way`: happens while a beat is under way."""

    def __init__(self) -> None:
        super().__init__(cast("Any", SimpleNamespace(up=True)))
        self.held: dict[str, Amount] = {}
        self.on_the_way: Callable[[], Awaitable[None]]

    async def reserve(
        self,
        tenant: str,
        request: str,
        estimate: Amount,
        rules: Sequence[Rules],
        floors: Sequence[Floor],
        now: datetime,
    ) -> Seen:
        self.held[request] = estimate
        return Seen(True, View())

    async def settle(self, tenant: str, request: str, spent: Amount, now: datetime) -> None:
        self.held.pop(request, None)

    async def beat(self, tenant: str, open_: Mapping[str, Amount], now: datetime) -> None:
        await self.on_the_way()
        self.held.update(open_)


async def test_a_request_that_ends_while_leases_are_renewed_leaves_none_behind() -> None:
    leases = Leases()
    tenant = Tenant("team", GatewayMetrics(), leases)
    for request in ("r-1", "r-2"):
        assert await tenant.enter(Wish(request, "run", Amount(10), 1.0)) is None

    async def overtaken() -> None:
        tenant.settle("r-1", Amount(5))
        while "r-1" in leases.held:
            await asyncio.sleep(0)

    leases.on_the_way = overtaken
    await tenant.beat()
    await tenant.close()
    assert set(leases.held) == {"r-2"}
