"""How things stand, as metrics: shown whenever it is judged, gone with the object, one sample for one thing."""

from dataclasses import replace
from typing import cast

import pytest

from droveway.api import names
from droveway.api.enums import CircuitName, EndClass
from droveway.api.v1alpha1 import ModelRouteStatus
from droveway.api.v1alpha1.modelroute import CandidateStatus, CircuitStatus
from droveway.cluster.client import Cluster
from droveway.cluster.objects import Key
from droveway.controllers import gauges
from droveway.controllers.providers import ProviderController
from droveway.controllers.routes import RouteController
from droveway.controllers.secrets import Sources
from droveway.core.utilization import Reading
from droveway.core.verdict import Scope
from helpers.metrics import samples
from helpers.operator import ROUTE, Desk, a_desk
from helpers.told import a_route, after, batch, completion, failure, outage, route_manifest, verdict

ANTHROPIC = Key("team", "anthropic")
WEEKLY = verdict(EndClass.SUBSCRIPTION_LIMIT, after(3600))
OUTAGES = [outage(n) for n in range(1, 4)]
CLOSED, OPEN, HALF_OPEN = 0, 1, 2


async def judge(desk: Desk) -> None:
    """One pass over the provider of the first candidate, and one over the route."""
    cluster = cast("Cluster", desk.api)
    providers = ProviderController(cluster, desk.world, desk.ledgers, Sources(cluster), now=lambda: desk.now)
    await providers.reconcile(ANTHROPIC)
    await RouteController(cluster, desk.world, desk.ledgers, lambda: desk.now).reconcile(ROUTE)


def circuits() -> dict[tuple[str, ...], float]:
    """States by provider and model."""
    return samples("droveway_circuit_state", tenant="team", route="coding")


def used() -> dict[tuple[str, ...], float]:
    """Used shares by window."""
    return samples("droveway_quota_used_ratio", tenant="team", provider="anthropic", quota_group="anthropic")


def forecast() -> dict[tuple[str, ...], float]:
    """When windows will be spent, in Unix time."""
    name = "droveway_quota_forecast_spent_timestamp_seconds"
    return samples(name, tenant="team", provider="anthropic", quota_group="anthropic")


def limited() -> dict[tuple[str, ...], float]:
    """Resets, in Unix time, by kind of limit."""
    return samples("droveway_limited_until_timestamp_seconds", tenant="team", provider="anthropic")


class TestCircuits:
    async def test_s1_02_a_breaker_is_0_1_or_2(self) -> None:
        desk, others = a_desk(), {("openai", "gpt"): CLOSED, ("login", "opus"): CLOSED}
        await judge(desk)
        assert circuits() == others | {("anthropic", "sonnet"): CLOSED}
        await desk.ledgers.submit(batch(*OUTAGES))
        await judge(desk)
        assert circuits() == others | {("anthropic", "sonnet"): OPEN}
        desk.pass_time(30)
        await judge(desk)
        assert circuits() == others | {("anthropic", "sonnet"): HALF_OPEN}

    async def test_it_is_there_right_after_a_restart_though_nothing_has_to_be_written(self) -> None:
        desk = a_desk()
        await desk.ledgers.submit(batch(*OUTAGES))
        await judge(desk)
        gauges.forget_circuits(ROUTE)  # the process has ended
        desk, writes = desk.restart(), desk.api.writes("modelroutes")
        await desk.ledgers.load()
        await judge(desk)
        assert circuits()["anthropic", "sonnet"] == OPEN
        assert desk.api.writes("modelroutes") == writes

    async def test_a_candidate_leaves_with_its_line_and_all_with_the_route(self) -> None:
        desk = a_desk()
        await judge(desk)
        desk.add(names.MODEL_ROUTES, route_manifest(candidates=[desk_line("b", "openai", "gpt")]))
        await judge(desk)
        assert circuits() == {("openai", "gpt"): CLOSED}
        desk.take_away(names.MODEL_ROUTES, ROUTE)
        await judge(desk)
        assert circuits() == {}

    @pytest.mark.parametrize(
        ("first", "second", "shown"),
        [
            (CircuitName.CLOSED, CircuitName.OPEN, OPEN),
            (CircuitName.OPEN, CircuitName.CLOSED, OPEN),
            (CircuitName.HALF_OPEN, CircuitName.OPEN, OPEN),
            (CircuitName.HALF_OPEN, CircuitName.CLOSED, HALF_OPEN),
        ],
    )
    def test_of_two_candidates_for_one_model_the_worse_is_shown(
        self, first: CircuitName, second: CircuitName, shown: int
    ) -> None:
        lines = [desk_line(name, "openai", "gpt") for name in ("x", "y")]
        told = [
            CandidateStatus(name=name, eligible=True, reason="", circuit=CircuitStatus(state=state))
            for name, state in (("x", first), ("y", second))
        ]
        gauges.show_circuits(ROUTE, a_route(candidates=lines), ModelRouteStatus(candidates=told))
        assert circuits() == {("openai", "gpt"): shown}


def desk_line(name: str, provider: str, model: str) -> dict[str, object]:
    return {"name": name, "providerRef": {"name": provider}, "model": model}


class TestQuota:
    async def test_how_much_is_used_by_window_until_it_begins_anew(self) -> None:
        desk = a_desk()
        told = (Reading("5h", 93, after(600), desk.now), Reading("7d", 120, after(9000), desk.now))
        await desk.ledgers.submit(batch(replace(completion(1), utilization=told)))
        await judge(desk)
        assert used() == {("5h",): 0.93, ("7d",): 1.2}
        desk.pass_time(600)
        await judge(desk)
        assert used() == {("7d",): 1.2}

    async def test_when_it_will_be_spent_at_its_pace_and_nothing_while_it_lasts(self) -> None:
        desk = a_desk()
        half_way = after(2.5 * 3600)
        await desk.ledgers.submit(batch(replace(completion(1), utilization=(Reading("5h", 40, half_way, desk.now),))))
        await judge(desk)
        assert forecast() == {}, "it begins anew before that"
        await desk.ledgers.submit(batch(replace(completion(2), utilization=(Reading("5h", 80, half_way, desk.now),))))
        await judge(desk)
        assert forecast() == {("5h",): pytest.approx(after(2.5 * 3600 / 4).timestamp(), abs=60)}
        desk.pass_time(2.5 * 3600)
        await judge(desk)
        assert forecast() == {}

    async def test_until_when_it_is_spent_and_nothing_while_it_is_not(self) -> None:
        desk = a_desk()
        await judge(desk)
        assert limited() == {}
        of_a_model = verdict(EndClass.SUBSCRIPTION_LIMIT, after(7200), scope=Scope.MODEL)
        await desk.ledgers.submit(batch(failure(1, 0, WEEKLY), failure(2, 0, of_a_model)))
        await judge(desk)
        assert limited() == {("SubscriptionLimit",): after(7200).timestamp()}, "the later one"
        desk.pass_time(7200)
        await judge(desk)
        assert limited() == {}

    async def test_both_leave_with_the_provider(self) -> None:
        desk = a_desk()
        reading = (Reading("5h", 93, after(600), desk.now),)
        await desk.ledgers.submit(batch(replace(failure(1, 0, WEEKLY), utilization=reading)))
        await judge(desk)
        assert (len(used()), len(limited())) == (1, 1)
        desk.take_away(names.MODEL_PROVIDERS, ANTHROPIC)
        await judge(desk)
        assert (used(), limited()) == ({}, {})
