"""What a namespace has used: summed over its routes, once each, kept over restarts, and told in the status of its quotas."""

from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest

from droveway.api import names
from droveway.api.enums import QuotaWindow
from droveway.api.v1alpha1 import TenantQuota
from droveway.cluster.client import Cluster
from droveway.cluster.objects import Key
from droveway.controllers.quotas import QuotaController
from droveway.core.completion import TokenBreakdown
from helpers.operator import ROUTE, Desk, a_desk
from helpers.told import NOON, SIDECAR, batch, completion, direct, route_manifest

QUOTA = Key("team", "team")
HOUR, DAY, MONTH = (QuotaWindow.HOUR, QuotaWindow.DAY, QuotaWindow.MONTH)


def manifest(name: str = "team", **spec: Any) -> dict[str, Any]:
    meta = {"name": name, "namespace": "team", "uid": f"uid-{name}", "generation": 1}
    return {"metadata": meta, "spec": spec or {"perDay": {"maxTokens": 1000}}, "status": {}}


class Office:
    """A desk with the controller of quotas."""

    def __init__(self, desk: Desk | None = None, **spec: Any) -> None:
        self.desk = desk or a_desk()
        if desk is None:
            self.desk.add(names.TENANT_QUOTAS, manifest(**spec))
        self.quotas = QuotaController(
            cast("Cluster", self.desk.api), self.desk.world, self.desk.ledgers, lambda: self.desk.now
        )
        self.number = 0

    async def use(self, tokens: int, cost: float | None = 0.25, route: str = "coding", **changes: Any) -> None:
        self.number += 1
        at = (self.desk.now - NOON).total_seconds()
        record = completion(
            self.number, at, tokens=TokenBreakdown(total=tokens, input=tokens), cost_usd=cost,
            id=f"{route}-{self.number}-{at}", **changes,
        )  # fmt: skip
        await self.desk.ledgers.submit(batch(record, route=route))

    def tokens(self, window: QuotaWindow = DAY) -> int:
        return self.desk.ledgers.spent("team", self.desk.now)[window].tokens

    async def passes(self) -> Any:
        return await self.quotas.reconcile(QUOTA)

    def quota(self) -> TenantQuota:
        found = self.desk.world.quotas.get(QUOTA)
        assert found is not None
        return found

    def conditions(self) -> dict[str, str]:
        return {c.type: c.status for c in self.quota().status.conditions}

    def restart(self) -> "Office":
        office = Office(self.desk.restart())
        office.number = self.number
        return office


async def test_what_is_used_is_told_with_the_moments_in_which_it_begins_anew() -> None:
    office = Office()
    await office.use(700, 0.5)
    await office.use(50, None)
    assert ("quota", "team") in office.desk.woken
    ends = await office.passes()
    status = office.quota().status
    assert [(u.window, u.tokens, u.cost_usd, u.unpriced) for u in status.used] == [
        (window, 750, "0.5", 1) for window in (HOUR, DAY, MONTH)
    ]
    assert ends == status.used[0].reset_time == NOON + timedelta(hours=1)
    assert status.used_summary == "day:tokens:75%"
    assert office.conditions() == {"Exceeded": "False", "Ready": "True", "Warning": "False"}


async def test_near_a_limit_it_warns_and_at_it_says_until_when_at_once() -> None:
    office = Office()
    await office.use(800)
    await office.passes()
    assert office.conditions()["Warning"] == "True"
    await office.use(200)
    await office.passes()  # within the second that other news wait
    status = office.quota().status
    assert office.conditions()["Exceeded"] == "True"
    assert status.reset_time == NOON + timedelta(hours=12)
    said = next(c.message for c in status.conditions if c.type == "Exceeded")
    assert said == "1000 of 1000 tokens of this day are used"
    assert ("waiting", "team") in office.desk.woken
    office.desk.pass_time(12 * 3600)
    await office.passes()
    assert office.conditions()["Exceeded"] == "False"
    told = [e["reason"] for (plural, *_), e in office.desk.api.objects.items() if plural == "events"]
    assert sorted(told) == ["NearQuota", "QuotaExceeded", "QuotaReset"]


async def test_use_alone_is_written_once_a_second() -> None:
    office = Office(perDay={"maxTokens": 10**9})
    await office.use(10)
    await office.passes()
    await office.use(10)
    office.desk.now = office.quotas.written_at[QUOTA] + timedelta(seconds=0.4)
    due = await office.passes()
    assert office.quota().status.used[0].tokens == 10
    assert due == office.quotas.written_at[QUOTA] + timedelta(seconds=1)
    office.desk.now = due
    await office.passes()
    assert office.quota().status.used[0].tokens == 20
    version = office.desk.world.quotas.version(QUOTA)
    await office.passes()
    assert office.desk.world.quotas.version(QUOTA) == version


@pytest.mark.parametrize(("mode", "says"), [("Enforce", False), ("Shadow", True)])
async def test_shadow_says_that_it_refuses_nothing(mode: str, *, says: bool) -> None:
    office = Office(mode=mode, perDay={"maxCostUSD": "0.25"})
    await office.use(1)
    await office.passes()
    said = next(c.message for c in office.quota().status.conditions if c.type == "Exceeded")
    assert said.startswith("0.25 of 0.25 US dollars of this day are used")
    assert ("nothing is refused" in said) is says


async def test_each_event_counts_once_also_over_restarts() -> None:
    office = Office()
    await office.use(100)
    await office.passes()
    office = office.restart()
    await office.desk.ledgers.load()
    assert office.tokens() == 100
    again = replace(completion(1), tokens=TokenBreakdown(total=100, input=100), id="coding-1-0.0")
    await office.desk.ledgers.submit(batch(again))
    assert office.tokens() == 100
    await office.use(50)
    assert office.tokens() == 150


async def test_windows_begin_anew_and_late_news_of_the_last_one_count_for_none() -> None:
    office = Office()
    await office.use(100)
    office.desk.pass_time(3600)
    await office.use(10)
    assert (office.tokens(HOUR), office.tokens(DAY)) == (10, 110)
    late = completion(9, 0, tokens=TokenBreakdown(total=7, input=7), id="late")
    await office.desk.ledgers.submit(batch(late))
    assert (office.tokens(HOUR), office.tokens(DAY)) == (10, 117)
    office.desk.pass_time(24 * 3600)
    assert (office.tokens(HOUR), office.tokens(DAY), office.tokens(MONTH)) == (0, 0, 117)


async def test_a_route_that_goes_takes_nothing_along_not_even_over_a_restart() -> None:
    office = Office()
    other = route_manifest() | {"metadata": {"name": "second", "namespace": "team", "uid": "second", "generation": 1}}
    office.desk.add(names.MODEL_ROUTES, other)
    await office.use(100)
    await office.use(30, route="second")
    await office.passes()
    office.desk.take_away(names.MODEL_ROUTES, ROUTE)
    office.desk.ledgers.drop(ROUTE)
    assert office.tokens() == 130
    office.desk.api.remove("configmaps", "team", "droveway-telemetry-coding")
    office = office.restart()
    await office.desk.ledgers.load()
    assert office.tokens() == 130
    await office.use(1, route="second")
    assert office.tokens() == 131


async def test_what_direct_agents_use_counts_too() -> None:
    office = Office()
    await office.desk.ledgers.submit(batch(direct(1), source=SIDECAR))
    assert office.tokens() > 0


async def test_a_quota_that_is_gone_is_forgotten() -> None:
    office = Office()
    await office.passes()
    office.desk.take_away(names.TENANT_QUOTAS, QUOTA)
    assert await office.passes() is None
    assert not office.quotas.written_at
