"""A canary gets its share, is judged against the stable side once both have samples enough, and what was decided stands."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from droveway.api.enums import CanaryPhase, ConditionType, EndClass, Strategy
from droveway.api.v1alpha1 import ModelRouteSpec
from droveway.api.v1alpha1.rollout import CanaryStatus
from droveway.core.canary import canary_of, judge, mirror_of, next_look, part_of
from droveway.core.conditions import find
from droveway.core.ledger import RouteLedger
from droveway.core.ranking import Preference
from droveway.core.route import notes, urgent
from droveway.core.routing import choose
from droveway.core.trial import Side, Trial
from helpers.build import candidate
from helpers.seen import Seen, condition
from helpers.told import NOON, UID, a_route, after, batch, completion, failure, outage, verdict

RULES: dict[str, Any] = {"candidate": "b", "percent": 10, "minSamples": 20, "durationSeconds": 600}


def spec(**canary: Any) -> ModelRouteSpec:
    return a_route(canary=RULES | canary).spec


def side(samples: int, failed: int = 0, ms: int | None = None, usd: float | None = None) -> Side:
    """Every success of it took so long and cost so much."""
    good = samples - failed
    timed, priced = (good if ms is not None else 0), (good if usd is not None else 0)
    return Side(samples, failed, timed * (ms or 0) * 1000, timed, round(priced * (usd or 0) * 10**9), priced)


def judged(canary: Side, stable: Side, at: float = 0, was: CanaryStatus | None = None, **rules: Any) -> CanaryStatus:
    found = judge(spec(**rules), was or begun(**rules), Trial(canary_of(spec(**rules)), canary, stable), after(at))
    assert found
    return found


def begun(**rules: Any) -> CanaryStatus:
    found = judge(spec(**rules), None, Trial(), NOON)
    assert found
    return found


LATENCY, COST = {"maxLatencyIncreasePercent": 50}, {"maxCostIncreasePercent": 20}
STRICT = {"maxErrorRateIncreasePercent": 0}


@pytest.mark.parametrize(
    ("canary", "stable", "at", "rules", "phase", "why"),
    [
        pytest.param(side(0), side(0), 9999, {}, "Progressing", "0 completions of the canary", id="nothing is known"),
        pytest.param(side(19, 19), side(500), 9999, {}, "Progressing", "judged from 20 each", id="too few, all bad"),
        pytest.param(side(500), side(19), 9999, {}, "Progressing", "19 of the stable side", id="too few to compare"),
        pytest.param(side(20), side(20), 599, {}, "Progressing", "promoted at 2026-11-21T12:10:00Z", id="too soon"),
        pytest.param(side(20), side(20), 600, {}, "Promoted", "over 20 completions", id="as good, long enough"),
        pytest.param(side(20, 2), side(20, 0), 1, {}, "RolledBack", "10.0% against 0.0%", id="more errors, at once"),
        pytest.param(side(20, 1), side(20, 0), 600, {}, "Promoted", "as good", id="exactly what is allowed"),
        pytest.param(side(20, 1), side(20, 0), 0, STRICT, "RolledBack", "0 points more", id="none is allowed"),
        pytest.param(side(20, 18), side(20, 17), 600, {}, "Promoted", "as good", id="an outage of both is not its fault"),
        pytest.param(side(20, 0), side(20, 20), 600, {}, "Promoted", "as good", id="better"),
        pytest.param(side(20, ms=151), side(20, ms=100), 0, LATENCY, "RolledBack", "151 ms against 100 ms", id="slower"),
        pytest.param(side(20, ms=150), side(20, ms=100), 600, LATENCY, "Promoted", "as good", id="as slow as allowed"),
        pytest.param(side(20, ms=999), side(20, ms=100), 600, {}, "Promoted", "as good", id="nobody asked for speed"),
        pytest.param(side(20), side(20, ms=100), 600, LATENCY, "Progressing", "no latency is known", id="unknown speed"),
        pytest.param(side(20, usd=0.013), side(20, usd=0.01), 0, COST, "RolledBack", "$0.013 against $0.01", id="dearer"),
        pytest.param(side(20, usd=0.012), side(20, usd=0.01), 600, COST, "Promoted", "as good", id="as dear as allowed"),
        pytest.param(side(20), side(20, usd=0.01), 600, COST, "Progressing", "no cost is known", id="unknown is not free"),
        pytest.param(side(20, usd=0.01), side(20, usd=0.0), 0, COST, "RolledBack", "$0.01 against $0", id="dearer than free"),
    ],
)  # fmt: skip
def test_the_verdict(canary: Side, stable: Side, at: float, rules: dict[str, Any], phase: str, why: str) -> None:
    found = judged(canary, stable, at, **rules)
    assert found.phase == phase
    assert why in found.message
    assert found.percent == {"Progressing": 10, "Promoted": 100, "RolledBack": 0}[phase]
    assert found.end_time == (None if phase == "Progressing" else after(at))
    assert (found.start_time, found.canary.samples, found.stable.samples) == (NOON, canary.samples, stable.samples)


SIDES = st.builds(lambda n, share: side(n, round(n * share)), st.integers(0, 300), st.floats(0, 1))


@given(SIDES, SIDES, st.integers(1, 200), st.integers(0, 2000))
def test_nothing_is_decided_below_the_minimum(canary: Side, stable: Side, least: int, at: int) -> None:
    found = judged(canary, stable, at, minSamples=least)
    if min(canary.samples, stable.samples) < least:
        assert found.phase is CanaryPhase.PROGRESSING
    if found.phase is CanaryPhase.PROMOTED:
        assert at >= 600


@given(st.lists(st.tuples(SIDES, SIDES, st.integers(0, 900)), max_size=8))
def test_what_was_decided_stands(tale: list[tuple[Side, Side, int]]) -> None:
    now, was = 0, begun()
    for canary, stable, later in tale:
        now += later
        found = judged(canary, stable, now, was)
        if was.phase is not CanaryPhase.PROGRESSING:
            assert found == was
        was = found


@pytest.mark.parametrize(
    ("changes", "anew"),
    [
        pytest.param({}, False, id="nothing"),
        pytest.param({"strategy": "Weighted"}, False, id="something else"),
        pytest.param({"canary": RULES | {"percent": 20}}, True, id="its rules"),
        pytest.param({"canary": RULES | {"candidate": "own"}}, True, id="another candidate"),
        pytest.param({"canary": RULES | {"maxErrorRateIncreasePercent": 5}}, False, id="a default, written out"),
        pytest.param({"mirror": {"candidate": "own"}}, False, id="a mirror beside it"),
    ],
)
def test_a_rollback_is_final_until_something_else_is_tried(changes: dict[str, Any], anew: bool) -> None:
    rolled_back = judged(side(20, 20), side(20))
    changed = a_route(**{"canary": RULES} | changes).spec
    found = judge(changed, rolled_back, Trial(canary_of(changed)), after(60))
    assert found
    assert (found.phase is CanaryPhase.PROGRESSING) is anew
    assert (found.start_time == after(60)) is anew


def test_another_model_behind_its_name_is_another_trial() -> None:
    other = spec().model_copy(update={"candidates": [c.model_copy(update={"model": "new"}) for c in spec().candidates]})
    assert canary_of(other) != canary_of(spec())
    assert (canary_of(a_route().spec), mirror_of(a_route().spec)) == ("", "")
    mirrors = [a_route(mirror={"candidate": "b", "percent": percent}).spec for percent in (1, 50)]
    assert mirror_of(mirrors[0]) == mirror_of(mirrors[1]) != ""


def test_what_was_counted_for_another_trial_does_not_count() -> None:
    found = judge(spec(), begun(), Trial("other", side(500, 500), side(500)), after(1))
    assert found
    assert found.canary.samples == 0


class TestWhatCounts:
    @pytest.mark.parametrize(
        ("record", "samples", "failed"),
        [
            pytest.param(completion(1), 1, 0, id="a success"),
            pytest.param(outage(1), 1, 1, id="an outage"),
            pytest.param(failure(1, 0, verdict(EndClass.REQUEST_REJECTED)), 1, 1, id="a refusal"),
            pytest.param(failure(1, 0, verdict(EndClass.RATE_LIMITED)), 0, 0, id="a limit is no failure"),
            pytest.param(failure(1, 0, verdict(EndClass.CANCELLED)), 0, 0, id="an agent that left"),
        ],
    )
    def test_a_sample(self, record: Any, samples: int, failed: int) -> None:
        found = Side()
        found.add(record)
        assert (found.samples, found.failed) == (samples, failed)

    def test_means_are_of_what_is_known(self) -> None:
        found = Side()
        for record in (
            completion(1, latency_ms=100.0, cost_usd=0.01),
            completion(2, latency_ms=300.0, cost_usd=None),
            completion(3, latency_ms=None, cost_usd=0.02),
            completion(4, latency_ms=-1.0, cost_usd=float("nan")),
            outage(5, latency_ms=9999.0, cost_usd=5.0),
        ):
            found.add(record)
        told = found.status()
        assert (told.average_latency_milliseconds, told.average_cost_usd) == (200, "0.015")
        assert Side.from_data(found.to_data()) == found

    @pytest.mark.parametrize("broken", [None, [1], [1, 2, 3, 4, 5, "6"], [1, 2, 3, 4, 5, -1], [True] * 6])
    def test_what_is_none_is_refused(self, broken: Any) -> None:
        with pytest.raises(ValueError, match="not one side"):
            Side.from_data(broken)

    def test_each_side_s_calls_are_counted_once_and_survive_a_restart(self) -> None:
        seen = Seen(
            *(completion(n, n) for n in range(1, 4)),
            *(outage(n, n, candidate="b", provider="openai", model="gpt") for n in range(4, 6)),
            completion(6, 6, candidate="b", provider="openai", model="older"),
            completion(7, 7, candidate="nobody"),
            canary=RULES,
        )
        trial = seen.ledger.canary
        assert (trial.stable.samples, trial.tried.samples, trial.tried.failed) == (3, 2, 2)
        after_restart = RouteLedger(seen.route.spec, {}, NOON)
        after_restart.load(seen.ledger.to_data(seen.now), seen.now)
        assert after_restart.canary == trial
        elsewhere = RouteLedger(a_route(canary=RULES | {"percent": 20}).spec, {}, NOON)
        elsewhere.load(seen.ledger.to_data(seen.now), seen.now)
        assert elsewhere.canary == Trial(canary_of(a_route(canary=RULES | {"percent": 20}).spec))
        again = seen.ledger.apply(batch(outage(4, 4, candidate="b")), seen.now, lambda name, uid: uid == UID)
        assert (again.duplicates, trial.tried.samples) == (1, 2)

    def test_a_route_that_tries_nothing_counts_nothing(self) -> None:
        assert Seen(completion(1, 1)).ledger.canary == Trial()


class TestWhoGetsIt:
    CANARY = candidate("b", canary_percent=10)

    @pytest.mark.parametrize("strategy", list(Strategy))
    def test_s2_53_a_tenth_of_a_thousand(self, strategy: Strategy) -> None:
        stable = candidate("a", latency_ms=1.0, price=1.0, weight=1000)
        canary = replace(self.CANARY, latency_ms=900.0, price=9.0, priority=9, weight=0)
        firsts = Counter(self.chosen((stable, canary), key=f"run-{n}", strategy=strategy) for n in range(1000))
        assert 80 <= firsts["b"] <= 120, firsts

    @pytest.mark.parametrize(
        ("percent", "sticky", "share"),
        [
            pytest.param(10, "a", 0, id="who is on the stable side stays"),
            pytest.param(10, "b", 100, id="who is on the canary stays"),
            pytest.param(100, None, 100, id="promoted, it comes first"),
            pytest.param(100, "a", 0, id="a session is not moved for that"),
        ],
    )
    def test_a_session_stays_on_its_side(self, percent: int, sticky: str | None, share: int) -> None:
        views = (candidate("a"), candidate("b", canary_percent=percent))
        firsts = Counter(self.chosen(views, key=f"run-{n}", sticky=sticky) for n in range(100))
        assert firsts["b"] == share

    def test_a_larger_share_keeps_whom_it_had(self) -> None:
        shares = [
            {
                n
                for n in range(500)
                if self.chosen((candidate("a"), candidate("b", canary_percent=p)), key=str(n)) == "b"
            }
            for p in (5, 10, 50)
        ]
        assert shares[0] < shares[1] < shares[2]

    def test_it_serves_others_when_nothing_else_can(self) -> None:
        out = candidate("a", circuit_allows=False)
        assert {self.chosen((out, self.CANARY), key=f"run-{n}") for n in range(50)} == {"b"}

    def test_rolled_back_it_serves_nobody(self) -> None:
        gone = replace(self.CANARY, canary_percent=0, withheld=("CanaryRolledBack", "change spec.canary"))
        assert {self.chosen((candidate("a"), gone), key=f"run-{n}", sticky="b") for n in range(50)} == {"a"}
        none = choose((candidate("a", circuit_allows=False), gone), Preference(key="run"), NOON)
        assert none.candidate is None
        assert ("b", "CanaryRolledBack") in [(o.candidate, o.reason) for o in none.rejected]

    def test_the_reason_is_told(self) -> None:
        mine = next(n for n in range(100) if self.chosen((candidate("a"), self.CANARY), key=f"run-{n}") == "b")
        choice = choose((candidate("a"), self.CANARY), Preference(key=f"run-{mine}"), NOON)
        assert choice.reason.startswith("canary for 10 % of the new sessions")

    @staticmethod
    def chosen(views: Any, **preference: Any) -> str:
        found = choose(views, Preference(**preference), NOON).candidate
        assert found
        return found.name


class TestTheStatus:
    GPT = {"candidate": "b", "provider": "openai", "model": "gpt"}

    def seen(self, *records: Any) -> Seen:
        return Seen(*records, canary=RULES | {"minSamples": 2}, circuitBreaker={"failureThreshold": 100})

    def test_it_says_how_it_does_and_wakes_when_it_may_be_promoted(self) -> None:
        seen = self.seen(completion(1, 1), completion(2, 2))
        status = seen.status()
        assert condition(status, ConditionType.CANARY) == ("Unknown", "Progressing")
        assert status.candidate_summary.split(", ")[1] == "b Closed - - canary Progressing 10%"
        assert (status.candidates[1].eligible, status.candidates[1].reason) == (True, "Canary")
        assert [n.reason for n in notes(seen.route.status, status, seen.ledger)] == ["CanaryStarted"]
        assert next_look(seen.route.spec, status.canary) == seen.now + timedelta(seconds=600)
        assert seen.wakes() <= seen.now + timedelta(seconds=600)
        assert urgent(seen.route.status, status)

    def test_errors_roll_it_back_and_views_follow_before_the_status_is_written(self) -> None:
        seen = self.seen(*(completion(n, n) for n in (1, 2)), *(outage(n, n, **self.GPT) for n in (3, 4)))
        status = seen.status()
        assert condition(status, ConditionType.CANARY) == ("False", "RolledBack")
        assert seen.views()["b"].withheld
        assert (status.candidates[1].eligible, status.candidates[1].reason) == (False, "CanaryRolledBack")
        assert status.eligible_summary == "2/3"
        told = notes(seen.route.status, status, seen.ledger)
        assert [(n.reason, n.warning) for n in told] == [("CanaryRolledBack", True)]
        assert "100.0% against 0.0% of completions failed" in told[0].message
        seen.route = seen.route.model_copy(update={"status": status})
        seen.ledger.canary = Trial()  # telemetry was lost: what was decided stands
        assert seen.at(9999).status().canary == status.canary
        assert notes(status, seen.status(), seen.ledger) == []

    @pytest.mark.parametrize(
        ("also", "phase"),
        [
            pytest.param([], "RolledBack", id="its breaker alone"),
            pytest.param([outage(n, n) for n in (4, 5, 6)], "Progressing", id="an outage of both sides"),
        ],
    )
    def test_an_open_breaker_lets_no_more_samples_come_so_it_decides(self, also: list[Any], phase: str) -> None:
        seen = Seen(*(outage(n, n, **self.GPT) for n in (1, 2, 3)), *also, canary=RULES)
        assert seen.status().canary == seen.status().canary
        assert condition(seen.status(), ConditionType.CANARY)[1] == phase
        if phase == "RolledBack":
            assert "its circuit breaker is open" in (seen.status().canary or begun()).message

    def test_without_a_canary_nothing_is_left_of_it(self) -> None:
        status = self.seen(completion(1, 1)).status()
        plain = Seen(completion(1, 1))
        plain.route = plain.route.model_copy(update={"status": status})
        assert plain.status().canary is None
        assert find(plain.status().conditions, ConditionType.CANARY) is None
        assert notes(status, plain.status(), plain.ledger) == []


def test_the_part_of_a_canary() -> None:
    told = judged(side(20, 20), side(20))
    assert part_of(spec(percent=25), None, "b") == (25, None), "nobody has judged it yet"
    assert part_of(spec(), begun(), "b") == (10, None)
    assert part_of(spec(), told, "b") == (
        0,
        ("CanaryRolledBack", f"{told.message}; change spec.canary or its candidate to try again"),
    )
    assert part_of(spec(), told, "a") == (None, None)


def test_the_numbers_of_a_verdict_are_milliseconds() -> None:
    slow = judged(side(20, ms=40_000), side(20, ms=20_000), maxLatencyIncreasePercent=50)
    assert slow.message == "40000 ms against 20000 ms on average; allowed are 50 % more"


def test_another_model_elsewhere_on_the_route_is_the_same_trial() -> None:
    others = [c.model_copy(update={"model": "new"}) if c.name != "b" else c for c in spec().candidates]
    assert canary_of(spec().model_copy(update={"candidates": others})) == canary_of(spec())


def test_only_what_is_under_way_is_looked_at_again() -> None:
    assert next_look(spec(), None) is None
    assert next_look(a_route().spec, begun()) is None
    assert next_look(spec(), judged(side(20, 20), side(20))) is None
    assert next_look(spec(), begun()) == after(600)


def test_a_mirror_gets_no_work() -> None:
    route = a_route(mirror={"candidate": "b"}).spec
    assert part_of(route, None, "b").withheld
    assert part_of(route, None, "a") == (None, None)
    assert Seen(mirror={"candidate": "b"}).views()["b"].withheld
