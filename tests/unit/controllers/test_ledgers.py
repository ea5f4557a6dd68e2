"""What is acknowledged is written, what is not written is sent again, and both count once."""

import asyncio
import copy
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from droveway.api import names
from droveway.api.enums import EndClass
from droveway.api.errors import TryLater
from droveway.cluster.client import Cluster, Conflict
from droveway.cluster.objects import Key
from droveway.controllers.metrics import CIRCUIT_TRANSITIONS
from droveway.controllers.providers import ProviderController
from droveway.controllers.routes import RouteController
from droveway.controllers.secrets import Sources
from droveway.core.ranking import CandidateView
from droveway.core.utilization import Reading
from droveway.core.verdict import Scope, Verdict
from helpers.metrics import total
from helpers.operator import MAP, ROUTE, RUN, Desk, a_desk, attempt, over, run_manifest
from helpers.told import (
    GATEWAY,
    SIDECAR,
    UID,
    USED,
    after,
    batch,
    completion,
    direct,
    failure,
    outage,
    report,
    route_manifest,
    verdict,
)

REJECTED = "droveway_values_rejected_total"
DIRECT_TOKENS, DIRECT_COST = "droveway_direct_tokens_total", "droveway_direct_cost_usd_total"
WEEKLY = verdict(EndClass.SUBSCRIPTION_LIMIT, after(3600), "weekly limit reached")


ENDS = {
    "a success": completion(1),
    "an outage": outage(1),
    "a spent subscription": failure(1, 0, verdict(EndClass.SUBSCRIPTION_LIMIT, after(60), "weekly limit reached")),
    "a throttle": failure(1, 0, verdict(EndClass.RATE_LIMITED)),
    "a throttle of one model": failure(1, 0, Verdict(EndClass.RATE_LIMITED, after(20), Scope.MODEL)),
    "no money": failure(1, 0, verdict(EndClass.BALANCE_EXHAUSTED)),
    "use of a subscription": replace(completion(1), utilization=(Reading("5h", 93, after(50), after(0)),)),
}
COMING_BACK = ["a success", "a success", "a spent subscription", "an outage", "an outage", "an outage"]
FATES = ["lives", "killed", "killed unheard"]


def view(desk: Desk) -> CandidateView:
    """How candidate a stands."""
    route = desk.world.routes.get(ROUTE)
    assert route is not None
    return desk.ledgers.candidates("team", route, desk.now)[0]


def completions(desk: Desk) -> int:
    return desk.ledgers.facts(ROUTE, UID).usage.completions


def transitions(source: str, target: str, reason: str) -> float:
    """How often the breaker of candidate a has gone from one state to the other, in this process."""
    (metric,) = CIRCUIT_TRANSITIONS.collect()
    where = {"tenant": "team", "route": "coding", "provider": "anthropic", "from": source, "to": target}
    said = where | {"reason": reason}
    return sum(s.value for s in metric.samples if s.name.endswith("_total") and said.items() <= s.labels.items())


class TestAcknowledged:
    async def test_what_is_acknowledged_is_in_the_config_map(self) -> None:
        desk = a_desk()
        assert await desk.ledgers.submit(batch(completion(1), completion(2))) == 2
        kept = desk.api.objects[MAP]
        assert json.loads(kept["data"]["sources.json"])[GATEWAY][0] == 2
        assert json.loads(kept["data"]["telemetry_summary.json"])["schema_version"] == 1
        assert kept["metadata"]["labels"] == {names.LABEL_MANAGED_BY: names.MANAGED_BY}
        (owner,) = kept["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["uid"]) == ("ModelRoute", "coding", "uid-coding")

    async def test_a_batch_that_is_known_and_written_costs_no_write(self) -> None:
        desk = a_desk()
        await desk.ledgers.submit(batch(completion(1)))
        assert await desk.ledgers.submit(batch(completion(1))) == 1
        assert desk.api.writes("configmaps") == 1

    async def test_what_could_not_be_written_is_not_acknowledged_and_counts_once_in_the_end(self) -> None:
        desk = a_desk()

        def down(verb: str, plural: str) -> None:
            raise TryLater("the API server is away")

        desk.api.before = down
        for _ in range(3):
            with pytest.raises(TryLater):
                await desk.ledgers.submit(batch(completion(1)))
        desk.api.before = lambda verb, plural: None
        assert await desk.ledgers.submit(batch(completion(1))) == 1
        assert completions(desk) == 1
        assert completions(await started(desk.restart())) == 1

    async def test_records_of_no_route_are_taken_and_dropped(self) -> None:
        desk = a_desk()
        assert await desk.ledgers.submit(batch(completion(7), route="nowhere")) == 7
        assert desk.api.writes("configmaps") == 0

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(st.sampled_from(["taken", "no write", "killed before the answer", "killed after it"]), max_size=8))
    def test_crashes_between_write_and_acknowledgement(self, fates: list[str]) -> None:
        asyncio.run(_survive(fates))

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(st.tuples(st.sampled_from(list(ENDS)), st.sampled_from(FATES), st.booleans()), max_size=10))
    @example([(end, "lives", False) for end in COMING_BACK] + [("a success", "killed", False)])
    def test_whoever_is_killed_stands_where_one_stands_who_was_not(self, steps: list[tuple[str, str, bool]]) -> None:
        asyncio.run(_stand_alike(steps))


async def _stand_alike(steps: list[tuple[str, str, bool]]) -> None:
    """The same calls, told to an operator that is killed now and then, and to one that is not."""
    killed, steady = a_desk(), a_desk()
    for desk in (killed, steady):
        desk.api.put("secrets", {"metadata": {"name": "key", "namespace": "team"}, "data": {"apiKey": "eA=="}})
    for number, (end, fate, statuses_too) in enumerate(steps, 1):
        sent = batch(replace(ENDS[end], number=number, id=f"call-{number}", at=killed.now, started_at=killed.now))
        for desk in (killed, steady):
            await desk.ledgers.submit(sent)
        if statuses_too:
            await write_statuses(killed)
        if fate != "lives":
            killed = await started(killed.restart())
        if fate == "killed unheard":
            await killed.ledgers.submit(sent)
        assert stands(killed) == stands(steady)
        for desk in (killed, steady):
            desk.pass_time(11)
        assert stands(killed) == stands(steady)


async def write_statuses(desk: Desk) -> None:
    cluster = cast("Cluster", desk.api)
    await RouteController(cluster, desk.world, desk.ledgers, now=lambda: desk.now).reconcile(ROUTE)
    providers = ProviderController(cluster, desk.world, desk.ledgers, Sources(cluster), now=lambda: desk.now)
    for name in ("anthropic", "openai", "login"):
        await providers.reconcile(Key("team", name))


def stands(desk: Desk) -> object:
    """How all candidates stand, what their breakers have counted, and what is known of their accounts."""
    route = desk.world.routes.get(ROUTE)
    assert route is not None
    pages = desk.ledgers.accounts("team").pages(["anthropic", "openai", "login"], desk.now)
    return desk.ledgers.candidates("team", route, desk.now), desk.ledgers.ledger(route).breakers.snapshot(), pages


async def _survive(fates: list[str]) -> None:
    desk, acknowledged = a_desk(), 0
    for step, fate in enumerate([*fates, "taken"], 1):
        sent = batch(*(completion(n, n) for n in range(acknowledged + 1, 2 * step + 1)))
        if fate == "no write":
            desk.api.before = _refuse
            with pytest.raises(TryLater):
                await desk.ledgers.submit(sent)
            desk.api.before = lambda verb, plural: None
        else:
            answer = await desk.ledgers.submit(sent)
            acknowledged = acknowledged if fate == "killed before the answer" else answer
        if fate.startswith("killed"):
            desk = await started(desk.restart())
        desk.pass_time(5)
    assert acknowledged == 2 * (len(fates) + 1)
    assert completions(desk) == acknowledged
    assert desk.ledgers.facts(ROUTE, UID).usage.tokens.total == 100 * acknowledged


def _refuse(verb: str, plural: str) -> None:
    if verb in ("create", "replace"):
        raise TryLater("etcd is full")


async def started(desk: Desk) -> Desk:
    await desk.ledgers.load()
    return desk


class TestFewWrites:
    async def test_the_first_batch_is_written_at_once_and_those_that_follow_share_a_write(self) -> None:
        desk = a_desk()
        await desk.ledgers.submit(batch(completion(1)))
        assert desk.slept == []
        answers = await asyncio.gather(
            *(desk.ledgers.submit(batch(completion(1, run_uid=UID), source=f"{n:032x}")) for n in range(10))
        )
        assert answers == [1] * 10
        assert desk.api.writes("configmaps") == 2
        assert desk.slept == [1.0]

    async def test_what_arrives_during_a_write_waits_for_the_next_one(self) -> None:
        desk = a_desk()
        late: list[asyncio.Task[int]] = []

        def during(verb: str, plural: str) -> None:
            if plural == "configmaps" and not late:
                late.append(asyncio.ensure_future(desk.ledgers.submit(batch(completion(2)))))

        desk.api.before = during
        assert await desk.ledgers.submit(batch(completion(1))) == 1
        assert await late[0] == 2
        assert desk.api.writes("configmaps") == 2


class TestOthersWrite:
    async def test_a_conflict_goes_on_from_what_is_there(self) -> None:
        desk = a_desk()
        await desk.ledgers.submit(batch(completion(1)))
        other = await started(desk.restart())
        await other.ledgers.submit(batch(completion(1), source="ab" * 16))
        assert await desk.ledgers.submit(batch(completion(2))) == 2
        assert completions(desk) == 3
        assert completions(await started(desk.restart())) == 3

    async def test_a_conflict_counts_no_outage_twice(self) -> None:
        desk = a_desk()
        await desk.ledgers.submit(batch(outage(1, 1)))
        desk.api.put("configmaps", desk.api.objects[MAP])
        await desk.ledgers.submit(batch(outage(2, 2)))
        route = desk.world.routes.get(ROUTE)
        assert route is not None
        assert desk.ledgers.ledger(route).breakers.status("a", desk.now).failures == 2

    async def test_a_config_map_that_was_deleted_is_written_again(self) -> None:
        desk = a_desk()
        await desk.ledgers.submit(batch(completion(1)))
        desk.api.remove(*MAP)
        assert await desk.ledgers.submit(batch(completion(2))) == 2
        assert completions(await started(desk.restart())) == 2

    async def test_a_new_route_of_an_old_name_starts_anew(self) -> None:
        desk = a_desk()
        await desk.ledgers.submit(batch(completion(1)))
        fresh = route_manifest()
        fresh["metadata"]["uid"] = "another"
        desk.take_away(names.MODEL_ROUTES, ROUTE)
        desk.add(names.MODEL_ROUTES, fresh)
        with pytest.raises(TryLater, match="garbage collector"):
            await desk.ledgers.submit(batch(completion(2)))
        desk.api.remove(*MAP)
        assert await desk.ledgers.submit(batch(completion(2))) == 2
        assert completions(desk) == 1
        assert desk.api.objects[MAP]["metadata"]["ownerReferences"][0]["uid"] == "another"

    async def test_what_is_known_of_accounts_is_newer_than_what_somebody_wrote(self) -> None:
        desk = a_desk()
        await desk.ledgers.submit(batch(failure(1, 0, WEEKLY)))
        desk.api.put("configmaps", desk.api.objects[MAP])
        desk.now = after(9)
        await desk.ledgers.submit(batch(replace(completion(2), at=after(8), started_at=after(7))))
        assert view(desk).limited_until is None

    async def test_somebody_who_never_stops_writing_makes_us_try_later(self) -> None:
        desk = a_desk()
        await desk.ledgers.submit(batch(completion(1)))

        def meddle(verb: str, plural: str) -> None:
            if verb == "replace":
                desk.api.put("configmaps", desk.api.objects[MAP])

        desk.api.before = meddle
        with pytest.raises(TryLater, match="under our hands"):
            await desk.ledgers.submit(batch(completion(2)))


class TestBroken:
    async def test_what_cannot_be_read_is_kept_and_told_and_runs_go_on_from_their_statuses(self) -> None:
        desk = a_desk()
        await desk.ledgers.submit(batch(completion(1, cost_usd=0.5)))
        status: dict[str, Any] = {"usage": desk.ledgers.facts(ROUTE, UID).usage.to_wire(), "sessionID": "s-1"}
        desk.add(names.AGENT_RUNS, run_manifest(**status))
        torn = desk.api.objects[MAP]
        torn["data"]["runs.json"] = "{torn"
        torn = copy.deepcopy(torn)
        desk = await started(desk.restart())
        ((reason, text),) = desk.api.events()
        assert reason == "TelemetryDiscarded"
        assert "broken-" in text
        assert await desk.ledgers.submit(batch(completion(2, cost_usd=0.5))) == 2
        facts = desk.ledgers.facts(ROUTE, UID)
        assert (facts.usage.completions, facts.usage.cost_usd, facts.session_id) == (2, "1", "s-1")
        (kept,) = (o for (kind, _, name), o in desk.api.objects.items() if kind == "configmaps" and "-broken-" in name)
        assert kept["data"] == torn["data"]
        assert kept["metadata"]["ownerReferences"] == torn["metadata"]["ownerReferences"]
        assert kept["metadata"]["name"] in text
        again = await started(desk.restart())
        assert completions(again) == 2
        assert len(again.api.events()) == 1, "told once"

    @pytest.mark.parametrize("broken", ["{", '{"team/anthropic": 7}', '{"team/anthropic": {"as_of": "noon"}}'])
    async def test_broken_pages_of_accounts_are_kept_aside_like_the_rest(self, broken: str) -> None:
        desk = a_desk()
        await desk.ledgers.submit(batch(failure(1, 0, WEEKLY)))
        desk.api.objects[MAP]["data"]["accounts.json"] = broken
        desk = await started(desk.restart())
        assert [reason for reason, _ in desk.api.events()] == ["TelemetryDiscarded"]
        assert await desk.ledgers.submit(batch(completion(2))) == 2

    async def test_nothing_is_written_over_what_could_not_be_copied(self) -> None:
        desk = a_desk()
        await desk.ledgers.submit(batch(completion(1)))
        desk.api.objects[MAP]["data"]["runs.json"] = "{torn"
        desk = desk.restart()

        def full(verb: str, plural: str) -> None:
            if verb == "create":
                raise TryLater("no room")

        desk.api.before = full
        with pytest.raises(TryLater):
            await desk.ledgers.load()
        assert desk.api.objects[MAP]["data"]["runs.json"] == "{torn"

    async def test_an_empty_one_is_nothing_to_talk_about(self) -> None:
        desk = a_desk()
        await desk.ledgers.submit(batch(completion(1)))
        desk.api.objects[MAP]["data"] = {}
        desk = await started(desk.restart())
        assert desk.api.events() == []


class TestTold:
    async def test_whoever_is_concerned_is_woken(self) -> None:
        desk = a_desk()
        await desk.ledgers.submit(batch(failure(1, 1, WEEKLY)))
        assert set(desk.woken) == {("run", "fix-login"), ("route", "coding"), ("provider", "anthropic")}

    async def test_r_t12_what_can_be_no_value_is_counted(self) -> None:
        before = [total(REJECTED, field=field) for field in ("cost", "latency")]
        await a_desk().ledgers.submit(
            batch(completion(1, cost_usd=-1.0), completion(2, cost_usd=-1.0, latency_ms=-1.0))
        )
        assert [total(REJECTED, field=field) for field in ("cost", "latency")] == [before[0] + 2, before[1] + 1]

    async def test_s0_02_tokens_and_cost_of_a_direct_provider_are_counted_by_kind(self) -> None:
        where = {"tenant": "team", "route": "coding", "provider": "login", "model": "opus"}
        before = [total(DIRECT_TOKENS, **where, type=kind) for kind in ("input", "output", "total")]
        cost = total(DIRECT_COST, **where)
        desk = a_desk()
        for _ in range(2):
            await desk.ledgers.submit(batch(direct(1, cost_usd=0.25), source=SIDECAR))
        await desk.ledgers.submit(batch(completion(1)))
        after_them = [total(DIRECT_TOKENS, **where, type=kind) for kind in ("input", "output", "total")]
        assert after_them == [before[0] + 70, before[1] + 30, 0], "once, and no total beside its parts"
        assert total(DIRECT_COST, **where) == cost + 0.25

    async def test_a_limit_is_known_before_it_is_written(self) -> None:
        desk = a_desk()
        desk.api.before = _refuse
        with pytest.raises(TryLater):
            await desk.ledgers.submit(batch(failure(1, 1, WEEKLY)))
        route = desk.world.routes.get(ROUTE)
        assert route is not None
        view = desk.ledgers.candidates("team", route, desk.now)[0]
        assert (view.limited_until, view.limit_kind) == (after(3600), "SubscriptionLimit")

    async def test_limits_and_breakers_come_back_from_the_statuses(self) -> None:
        desk = a_desk()
        route = route_manifest(status={"candidates": [{
            "name": "b", "eligible": False, "reason": "CircuitOpen",
            "circuit": {"state": "Open", "failures": 3, "openedTime": "2026-11-21T11:59:50Z"}}]})  # fmt: skip
        desk.add(names.MODEL_ROUTES, route)
        provider = desk.api.objects["modelproviders", "team", "anthropic"]
        provider["status"] = {"limits": [{
            "quotaGroup": "team/anthropic", "kind": "BalanceExhausted", "setTime": "2026-11-21T11:00:00Z",
            "untilTime": "2026-11-21T17:00:00Z"}]}  # fmt: skip
        desk = await started(desk.restart())
        seen = desk.world.routes.get(ROUTE)
        assert seen is not None
        a, b, _ = desk.ledgers.candidates("team", seen, desk.now)
        assert a.limit_kind == "BalanceExhausted"
        assert (b.circuit_allows, b.circuit_until) == (False, after(20))

    async def test_r_b9_a_transition_is_counted_with_from_and_to(self) -> None:
        desk, opening = a_desk(), ("closed", "open", "Failures")
        before = transitions(*opening)
        await desk.ledgers.submit(batch(*(outage(n) for n in range(1, 4))))
        assert transitions(*opening) == before + 1
        await desk.ledgers.submit(batch(*(outage(n) for n in range(1, 4))))
        assert transitions(*opening) == before + 1, "sent again"

    async def half_open(self) -> tuple[Desk, Callable[[], bool]]:
        desk = a_desk()
        await desk.ledgers.submit(batch(*(outage(n) for n in range(1, 4))))
        desk.pass_time(40)
        route = desk.world.routes.get(ROUTE)
        assert route is not None
        return desk, lambda: desk.ledgers.candidates("team", route, desk.now)[0].circuit_allows

    async def test_an_attempt_that_is_being_made_is_the_only_probe(self) -> None:
        desk, allows = await self.half_open()
        assert allows()
        with desk.ledgers.starting(ROUTE, "a") as probes, desk.ledgers.starting(ROUTE, "b") as others:
            assert (probes, others) == (True, False)
            assert not allows()
            with pytest.raises(Conflict, match="lets nobody through any more"), desk.ledgers.starting(ROUTE, "a"):
                pytest.fail("a second probe was let through")
        assert not allows()

    async def test_an_attempt_that_could_not_be_made_was_no_probe(self) -> None:
        desk, allows = await self.half_open()
        with pytest.raises(TryLater), desk.ledgers.starting(ROUTE, "a"):
            raise TryLater("away")
        assert allows()


class TestAKillBeforeTheStatuses:
    """What was acknowledged is as it was, though no status of a route or provider was written."""

    async def test_a_breaker_that_opened_stays_open(self) -> None:
        desk = a_desk()
        await desk.ledgers.submit(batch(*(outage(n) for n in range(1, 4))))
        assert not view(await started(desk.restart())).circuit_allows

    async def test_failures_that_were_counted_go_on_counting(self) -> None:
        desk = a_desk()
        await desk.ledgers.submit(batch(*(outage(n) for n in range(1, 3))))
        desk = await started(desk.restart())
        assert view(desk).circuit_allows
        await desk.ledgers.submit(batch(outage(3)))
        assert not view(desk).circuit_allows

    async def test_a_limit_holds(self) -> None:
        desk = a_desk()
        await desk.ledgers.submit(batch(failure(1, 0, WEEKLY)))
        assert view(await started(desk.restart())).limited_until == after(3600)

    async def test_throttles_in_a_row_go_on_counting(self) -> None:
        desk = a_desk()
        throttled = verdict(EndClass.RATE_LIMITED)
        await desk.ledgers.submit(batch(failure(1, 0, throttled)))
        desk = await started(desk.restart())
        await desk.ledgers.submit(batch(failure(2, 0, throttled)))
        assert view(desk).limited_until == after(120)

    async def test_how_much_is_used_is_known(self) -> None:
        desk = a_desk()
        used = Reading("5h", 93, after(9000), after(0))
        await desk.ledgers.submit(batch(replace(completion(1), utilization=(used,))))
        assert view(desk).used_percent == 93
        assert view(await started(desk.restart())).used_percent == 93

    async def test_breakers_reset_by_hand_stay_closed(self) -> None:
        desk = a_desk()
        await desk.ledgers.submit(batch(*(outage(n) for n in range(1, 4))))
        await desk.ledgers.reset(ROUTE, "please")
        desk = await started(desk.restart())
        assert view(desk).circuit_allows

    async def test_a_quota_is_back_for_all_that_was_seen_to_be_back(self) -> None:
        desk = a_desk()
        await desk.ledgers.submit(batch(failure(1, 0, WEEKLY)))
        late = replace(completion(2), at=after(5), started_at=after(4))
        desk.now = after(6)
        await desk.ledgers.submit(batch(late))
        assert view(await started(desk.restart())).limited_until is None


class TestTrial:
    """A quota that is said to be back is tried by one."""

    async def back(self) -> Desk:
        desk = a_desk()
        await desk.ledgers.submit(batch(failure(1, 0, verdict(EndClass.SUBSCRIPTION_LIMIT, after(60)))))
        desk.now = after(61)
        return desk

    async def test_nobody_follows_the_first_until_it_went_well(self) -> None:
        desk = await self.back()
        with desk.ledgers.starting(ROUTE, "a") as probes:
            assert probes
        with pytest.raises(Conflict, match="being tried"), desk.ledgers.starting(ROUTE, "a"):
            pytest.fail("a second one was let through")
        assert view(desk).recovering_until == after(121)
        desk.now = after(70)
        desk.woken.clear()
        await desk.ledgers.submit(batch(replace(completion(2), at=after(69), started_at=after(62))))
        assert view(desk).recovering_until is None
        assert ("waiting", "team") in desk.woken
        with desk.ledgers.starting(ROUTE, "a") as first, desk.ledgers.starting(ROUTE, "a") as second:
            assert (first, second) == (False, False)

    async def test_an_attempt_that_could_not_be_made_was_no_trial(self) -> None:
        desk = await self.back()
        with pytest.raises(TryLater), desk.ledgers.starting(ROUTE, "a"):
            raise TryLater("away")
        with desk.ledgers.starting(ROUTE, "a"):
            pass


class TestFinal:
    async def test_a_final_record_from_the_pod_counts_like_one_that_was_sent(self) -> None:
        desk = a_desk()
        await desk.ledgers.submit(batch(direct(1), source=SIDECAR))
        end = report(
            3, final=True, completions=3, tokens=USED, cost_usd=0.03, exit_code=0, end_class=EndClass.SUCCEEDED
        )
        for _ in range(3):
            desk.ledgers.note_final(ROUTE, end)
        facts = desk.ledgers.facts(ROUTE, UID)
        assert (facts.usage.completions, facts.attempts[1].final) == (3, True)
        assert await desk.ledgers.submit(batch(direct(2), end, source=SIDECAR)) == 3
        assert completions(await started(desk.restart())) == 3

    async def test_a_limit_in_it_binds_the_provider(self) -> None:
        desk = a_desk()
        desk.ledgers.note_final(ROUTE, report(1, final=True, verdict=WEEKLY, end_class=EndClass.SUBSCRIPTION_LIMIT))
        assert ("provider", "login") in desk.woken


class TestOver:
    async def test_the_account_of_a_finished_run_is_closed_at_the_next_write(self) -> None:
        desk = a_desk()
        await desk.ledgers.submit(batch(completion(1)))
        desk.add(names.AGENT_RUNS, run_manifest(**over()))
        await desk.ledgers.submit(batch(completion(2)))
        assert json.loads(desk.api.objects[MAP]["data"]["runs.json"]) == {}
        route = desk.world.routes.get(ROUTE)
        assert route is not None
        assert desk.ledgers.candidates("team", route, desk.now)[0].samples == 2, "the route still learns from it"

    async def test_the_new_attempt_has_not_been_served_yet(self) -> None:
        desk = a_desk()
        await desk.ledgers.submit(batch(completion(1)))
        assert desk.ledgers.facts(ROUTE, UID).served_by == "a"
        desk.add(names.AGENT_RUNS, run_manifest(attemptCount=2, attempts=[attempt(2, "b", "openai")]))
        assert desk.ledgers.facts(ROUTE, UID).served_by == ""

    async def test_a_route_that_is_gone_is_not_probed(self) -> None:
        with a_desk().ledgers.starting(Key("team", "nowhere"), "a") as probes:
            assert not probes

    async def test_facts_of_strangers_are_empty(self) -> None:
        desk = a_desk()
        assert desk.ledgers.facts(Key("team", "nowhere"), UID).usage.completions == 0
        assert desk.ledgers.facts(ROUTE, "nobody").usage.completions == 0


class TestReset:
    async def test_a_token_resets_once_even_across_restarts(self) -> None:
        desk = a_desk()
        await desk.ledgers.submit(batch(*(outage(n) for n in range(1, 4))))
        await desk.ledgers.reset(ROUTE, "please")
        desk = await started(desk.restart())
        route = desk.world.routes.get(ROUTE)
        assert route is not None
        await desk.ledgers.submit(batch(*(outage(n) for n in range(4, 7))))
        writes = desk.api.writes("configmaps")
        await desk.ledgers.reset(ROUTE, "please")
        assert not desk.ledgers.candidates("team", route, desk.now)[0].circuit_allows
        assert desk.api.writes("configmaps") == writes

    async def test_r_b9_what_it_closes_is_counted_once(self) -> None:
        desk, closing = a_desk(), ("open", "closed", "Reset")
        await desk.ledgers.submit(batch(*(outage(n) for n in range(1, 4))))
        before = transitions(*closing)
        for _ in range(2):
            await desk.ledgers.reset(ROUTE, "please")
        assert transitions(*closing) == before + 1

    async def test_it_is_not_lost_when_somebody_else_writes_meanwhile(self) -> None:
        desk, closing = a_desk(), ("open", "closed", "Reset")
        await desk.ledgers.submit(batch(*(outage(n) for n in range(1, 4))))
        desk.api.put("configmaps", desk.api.objects[MAP])
        before = transitions(*closing)
        await desk.ledgers.reset(ROUTE, "please")
        again = await started(desk.restart())
        for seen in (desk, again):
            route = seen.world.routes.get(ROUTE)
            assert route is not None
            assert seen.ledgers.candidates("team", route, desk.now)[0].circuit_allows
        assert transitions(*closing) == before + 1

    async def test_without_a_token_nobody_is_asked(self) -> None:
        desk = a_desk()
        asked: list[str] = []
        desk.api.before = lambda verb, plural: asked.append(plural)
        await desk.ledgers.reset(ROUTE, "")
        assert asked == []


async def test_a_route_that_is_made_anew_goes_on_counting_where_its_runs_are() -> None:
    desk = a_desk()
    await desk.ledgers.submit(batch(completion(1), completion(2)))
    usage = desk.ledgers.facts(ROUTE, UID).usage
    desk.take_away(names.AGENT_RUNS, RUN)
    later = run_manifest(uid="uid-2", startTime="2026-11-21T12:00:00Z", usage=usage.to_wire(), attemptCount=1)
    desk.add(names.AGENT_RUNS, later)

    desk.take_away(names.MODEL_ROUTES, ROUTE)
    desk.ledgers.drop(ROUTE)
    desk.api.remove(*MAP)  # the garbage collector
    anew = route_manifest()
    anew["metadata"] |= {"uid": "uid-anew", "creationTimestamp": "2026-11-21T12:03:00Z"}
    desk.add(names.MODEL_ROUTES, anew)
    await desk.ledgers.submit(batch(completion(3, run_uid="uid-2")))

    assert desk.ledgers.facts(ROUTE, "uid-2").usage.completions == 3


async def test_what_was_told_but_not_written_before_a_crash_counts_once() -> None:
    """The status may be ahead of the ledger; the source tells again."""
    desk = a_desk()
    told = {"completions": 1, "byModel": [{"provider": "anthropic", "model": "sonnet", "completions": 1}]}
    status = run_manifest(uid="uid-2", startTime="2026-11-21T12:05:00Z", attemptCount=1, usage=told)
    desk.take_away(names.AGENT_RUNS, RUN)
    desk.add(names.AGENT_RUNS, status)
    desk.api.objects["modelroutes", "team", "coding"]["metadata"]["creationTimestamp"] = "2026-11-21T12:00:00Z"
    again = desk.restart()
    await again.ledgers.load()
    await again.ledgers.submit(batch(completion(1, run_uid="uid-2")))

    assert again.ledgers.facts(ROUTE, "uid-2").usage.completions == 1
