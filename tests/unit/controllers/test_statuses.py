"""Statuses of routes and providers: what changes a choice is written at once, the rest now and then, nothing twice."""

import base64
from dataclasses import replace
from typing import Any, cast

import pytest

from droveway.api import names
from droveway.api.enums import EndClass
from droveway.api.v1alpha1 import ModelProvider, ModelRoute
from droveway.cluster.client import Cluster, Conflict
from droveway.cluster.objects import Key
from droveway.controllers.providers import ProviderController
from droveway.controllers.routes import RouteController
from droveway.controllers.secrets import Sources
from droveway.core.utilization import Reading
from helpers.metrics import total
from helpers.operator import ROUTE, Desk, a_desk
from helpers.told import after, batch, completion, failure, outage, provider_manifest, verdict

ANTHROPIC = Key("team", "anthropic")
TRANSITIONS = "droveway_circuit_transitions_total"
WEEKLY = verdict(EndClass.SUBSCRIPTION_LIMIT, after(3600), "weekly limit reached")


def secret(value: str, key: str = "apiKey") -> dict[str, Any]:
    data = {key: base64.b64encode(value.encode()).decode()}
    return {"metadata": {"name": "key", "namespace": "team"}, "data": data}


class Office:
    """Both controllers at one desk."""

    def __init__(self, desk: Desk | None = None, **settings: Any) -> None:
        self.desk = desk or a_desk()
        cluster = cast("Cluster", self.desk.api)
        if desk is None:
            self.desk.api.put("secrets", secret("good"))
        self.sources = Sources(cluster)
        ledgers, world = self.desk.ledgers, self.desk.world
        self.routes = RouteController(cluster, world, ledgers, now=lambda: self.desk.now)
        self.providers = ProviderController(
            cluster, world, ledgers, self.sources, now=lambda: self.desk.now, **settings
        )

    def route(self) -> ModelRoute:
        found = self.desk.world.routes.get(ROUTE)
        assert found is not None
        return found

    def provider(self, key: Key = ANTHROPIC) -> ModelProvider:
        found = self.desk.world.providers.get(key)
        assert found is not None
        return found

    def reason(self, key: Key = ANTHROPIC) -> str:
        return next(c.reason for c in self.provider(key).status.conditions if c.type == "Ready")

    def eligible(self) -> list[str]:
        return [c.name for c in self.route().status.candidates if c.eligible]


class TestRoute:
    async def test_the_first_pass_writes_a_status_and_the_second_nothing(self) -> None:
        office = Office()
        await office.routes.reconcile(ROUTE)
        await office.routes.reconcile(ROUTE)
        assert office.desk.api.writes("modelroutes") == 1
        assert office.route().status.eligible_summary == "3/3"
        assert office.route().status.observed_generation == 1

    async def test_telemetry_alone_waits_for_the_floor(self) -> None:
        office = Office()
        await office.desk.ledgers.submit(batch(completion(1)))
        await office.routes.reconcile(ROUTE)
        await office.desk.ledgers.submit(batch(completion(2)))
        wake_at = await office.routes.reconcile(ROUTE)
        assert wake_at == after(5), "it was written at noon"
        assert office.route().status.candidates[0].telemetry.samples == 1
        office.desk.pass_time(5)
        await office.routes.reconcile(ROUTE)
        assert office.route().status.candidates[0].telemetry.samples == 2
        assert office.desk.api.writes("modelroutes") == 2

    async def test_a_breaker_is_written_at_once_with_an_event_and_lets_waiting_runs_look(self) -> None:
        office = Office()
        await office.routes.reconcile(ROUTE)
        office.desk.woken.clear()
        await office.desk.ledgers.submit(batch(*(outage(n) for n in range(1, 4))))
        wake_at = await office.routes.reconcile(ROUTE)
        circuit = office.route().status.candidates[0].circuit
        assert (circuit.state, circuit.open_until_time, wake_at) == ("Open", after(30), after(30))
        assert office.desk.api.events() == [("CircuitOpened", "a: from Closed to Open: 3 consecutive failure(s)")]
        assert ("waiting", "team") in office.desk.woken

    async def test_it_turns_half_open_on_time_and_a_probe_closes_it(self) -> None:
        office, before = Office(), total(TRANSITIONS, reason="CooldownOver")
        await office.desk.ledgers.submit(batch(*(outage(n) for n in range(1, 4))))
        await office.routes.reconcile(ROUTE)
        office.desk.pass_time(30)
        for _ in range(2):
            await office.routes.reconcile(ROUTE)
        assert office.route().status.candidates[0].circuit.state == "HalfOpen"
        assert total(TRANSITIONS, reason="CooldownOver") == before + 1, "counted, but no Event"
        await office.desk.ledgers.submit(batch(completion(4, 30, started_at=after(30))))
        await office.routes.reconcile(ROUTE)
        assert office.route().status.candidates[0].circuit.state == "Closed"
        assert [reason for reason, _ in office.desk.api.events()] == ["CircuitOpened", "CircuitClosed"]

    async def test_the_remaining_cooldown_holds_after_a_restart(self) -> None:
        office = Office()
        await office.desk.ledgers.submit(batch(*(outage(n) for n in range(1, 4))))
        await office.routes.reconcile(ROUTE)
        office.desk.pass_time(20)
        desk = office.desk.restart()
        await desk.ledgers.load()
        office = Office(desk)
        assert await office.routes.reconcile(ROUTE) == after(30)
        assert office.eligible() == ["b", "own"]

    async def test_a_reset_by_annotation_closes_it_once(self) -> None:
        office = Office()
        await office.desk.ledgers.submit(batch(*(outage(n) for n in range(1, 4))))
        await office.routes.reconcile(ROUTE)
        asked = office.desk.api.objects["modelroutes", "team", "coding"]
        asked["metadata"]["annotations"] = {names.ANNOTATION_RESET_CIRCUIT: "2026-11-21-by-ann"}
        owned: dict[str, Any] = {"f:metadata": {"f:annotations": {f"f:{names.ANNOTATION_RESET_CIRCUIT}": {}}}}
        asked["metadata"]["managedFields"] = [
            {"manager": "kubectl-annotate", "time": "2026-11-21T12:00:00Z", "fieldsV1": owned}
        ]
        office.desk.add(names.MODEL_ROUTES, asked)
        await office.routes.reconcile(ROUTE)
        assert office.eligible() == ["a", "b", "own"]
        who = "with token 2026-11-21-by-ann, set by kubectl-annotate at 2026-11-21T12:00:00Z"
        assert office.desk.api.events()[-1] == ("CircuitClosed", f"a: from Open to Closed: reset by hand {who}")
        await office.desk.ledgers.submit(batch(*(outage(n) for n in range(4, 7))))
        await office.routes.reconcile(ROUTE)
        assert office.eligible() == ["b", "own"], "the same token again does nothing"

    async def test_a_stale_writer_does_not_overwrite(self) -> None:
        office = Office()
        office.desk.api.put("modelroutes", office.desk.api.objects["modelroutes", "team", "coding"])
        with pytest.raises(Conflict):
            await office.routes.reconcile(ROUTE)
        office.desk.refresh()
        await office.routes.reconcile(ROUTE)
        assert office.route().status.eligible_summary == "3/3"

    async def test_a_route_that_is_gone_is_forgotten(self) -> None:
        office = Office()
        await office.desk.ledgers.submit(batch(completion(1)))
        office.desk.take_away(names.MODEL_ROUTES, ROUTE)
        assert await office.routes.reconcile(ROUTE) is None


class TestProvider:
    async def test_a_good_one_is_ready_and_looked_at_every_minute(self) -> None:
        office = Office()
        assert await office.providers.reconcile(ANTHROPIC) == after(60)
        assert office.reason() == "Valid"
        await office.providers.reconcile(ANTHROPIC)
        assert office.desk.api.writes("modelproviders") == 1

    async def test_use_of_a_quota_waits_for_the_floor_unless_it_drains(self) -> None:
        office = Office()

        async def told(number: int, percent: int) -> None:
            used = Reading("5h", percent, after(9000), office.desk.now)
            await office.desk.ledgers.submit(
                batch(replace(completion(number), at=office.desk.now, utilization=(used,)))
            )

        await office.providers.reconcile(ANTHROPIC)
        await told(1, 40)
        assert await office.providers.reconcile(ANTHROPIC) == after(5)
        assert office.provider().status.used_summary == ""
        office.desk.pass_time(1)
        await told(2, 90)
        await office.providers.reconcile(ANTHROPIC)
        assert office.provider().status.used_summary == "5h:90%"
        office.desk.pass_time(1)
        await told(3, 91)
        assert await office.providers.reconcile(ANTHROPIC) == after(6)
        office.desk.pass_time(4)
        await office.providers.reconcile(ANTHROPIC)
        assert office.provider().status.used_summary == "5h:91%"

    async def test_a_limit_comes_and_goes(self) -> None:
        office = Office()
        await office.providers.reconcile(ANTHROPIC)
        await office.desk.ledgers.submit(batch(failure(1, 0, verdict(EndClass.RATE_LIMITED, after(30), "slow down"))))
        assert await office.providers.reconcile(ANTHROPIC) == after(30)
        (limit,) = office.provider().status.limits
        assert (limit.quota_group, limit.until_time, limit.source) == ("team/anthropic", after(30), "gateway")
        assert ("waiting", "team") in office.desk.woken
        office.desk.pass_time(30)
        await office.providers.reconcile(ANTHROPIC)
        assert office.provider().status.limits == []
        assert [reason for reason, _ in office.desk.api.events()] == ["LimitReached", "LimitCleared"]

    async def test_a_success_clears_it_early(self) -> None:
        office = Office()
        await office.desk.ledgers.submit(batch(failure(1, 0, WEEKLY)))
        await office.providers.reconcile(ANTHROPIC)
        office.desk.pass_time(60)
        await office.desk.ledgers.submit(batch(completion(2, 60, started_at=after(55))))
        await office.providers.reconcile(ANTHROPIC)
        assert office.provider().status.limits == []

    async def test_all_of_a_quota_group_show_the_limit(self) -> None:
        office, twin = Office(), Key("team", "twin")
        office.desk.add(names.MODEL_PROVIDERS, provider_manifest("anthropic", quotaGroup="g"))
        office.desk.add(names.MODEL_PROVIDERS, provider_manifest("twin", quotaGroup="g"))
        await office.desk.ledgers.submit(batch(failure(1, 0, WEEKLY)))
        assert {("provider", "anthropic"), ("provider", "twin")} <= set(office.desk.woken)
        await office.providers.reconcile(twin)
        assert [limit.until_time for limit in office.provider(twin).status.limits] == [after(3600)]

    async def test_a_limit_survives_a_restart(self) -> None:
        office = Office()
        await office.desk.ledgers.submit(batch(failure(1, 0, WEEKLY)))
        await office.providers.reconcile(ANTHROPIC)
        office = Office(office.desk.restart())
        before = office.desk.api.writes("modelproviders")
        await office.providers.reconcile(ANTHROPIC)
        assert office.provider().status.limits[0].until_time == after(3600)
        assert office.desk.api.writes("modelproviders") == before, "nothing new to say"

    async def test_a_missing_secret_is_waited_for_and_noticed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        office = Office()
        office.desk.api.remove("secrets", "team", "key")
        assert await office.providers.reconcile(ANTHROPIC) == after(5)
        assert office.reason() == "SecretNotFound"
        office.desk.api.put("secrets", secret("good"))
        office.sources.forget("team", "key")
        await office.providers.reconcile(ANTHROPIC)
        assert office.reason() == "Valid"

    async def test_a_refused_key_is_good_again_when_the_secret_changes(self) -> None:
        office = Office()
        await office.providers.reconcile(ANTHROPIC)
        await office.desk.ledgers.submit(
            batch(failure(1, 0, verdict(EndClass.AUTH_FAILED, reason="invalid x-api-key")))
        )
        assert await office.providers.reconcile(ANTHROPIC) == after(5), "somebody has to act; we look sooner"
        assert office.reason() == "AuthFailed"
        await office.routes.reconcile(ROUTE)
        assert office.eligible() == ["b", "own"]
        await office.providers.reconcile(ANTHROPIC)
        assert office.reason() == "AuthFailed", "the same key is still refused"
        office.desk.api.put("secrets", secret("another"))
        await office.providers.reconcile(ANTHROPIC)
        assert office.reason() == "Valid"

    async def test_a_key_that_works_after_all_is_good(self) -> None:
        office = Office()
        await office.desk.ledgers.submit(batch(failure(1, 0, verdict(EndClass.AUTH_FAILED))))
        await office.providers.reconcile(ANTHROPIC)
        await office.desk.ledgers.submit(batch(completion(2)))
        await office.providers.reconcile(ANTHROPIC)
        assert office.reason() == "Valid"

    async def test_no_secret_gets_into_a_status(self) -> None:
        office = Office()
        office.desk.api.put("secrets", secret("sk-very-secret"))
        await office.providers.reconcile(ANTHROPIC)
        assert "very-secret" not in str(office.desk.api.objects["modelproviders", "team", "anthropic"])

    async def test_one_that_is_gone_is_forgotten(self) -> None:
        office = Office()
        await office.providers.reconcile(ANTHROPIC)
        office.desk.take_away(names.MODEL_PROVIDERS, ANTHROPIC)
        assert await office.providers.reconcile(ANTHROPIC) is None
