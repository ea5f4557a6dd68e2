"""The breakers of a route's candidates: opened by outages, tried by probes, kept over restarts."""

from typing import Any

import pytest

from droveway.api.enums import EndClass, TransitionReason
from droveway.api.v1alpha1.modelroute import CircuitStatus
from droveway.core.breakers import Breakers
from droveway.core.events import Record
from droveway.core.health import CircuitState
from droveway.core.ramp import Comeback
from helpers.told import NOON, a_route, after, completion, failure, outage, verdict

OPENED = CircuitStatus.model_validate({"state": "Open", "failures": 3, "openedTime": "2026-11-21T12:00:00Z"})


def breakers(**circuit: Any) -> Breakers:
    found = Breakers()
    found.configure(a_route(circuitBreaker=circuit).spec)
    return found


def opened(**circuit: Any) -> Breakers:
    """Candidate a failed three times, the last time at noon."""
    found = breakers(**circuit)
    for seconds in (-2, -1, 0):
        tell(found, outage(1, seconds), seconds)
    return found


def tell(found: Breakers, record: Record, at: float, started: float | None = None) -> CircuitState | None:
    change = found.judge(record, after(at if started is None else started), after(at))
    return change.target if change else None


def test_it_opens_is_tried_and_closes() -> None:
    found = breakers()
    changes = [tell(found, outage(n, n), n) for n in (1, 2, 3)]

    assert changes == [None, None, CircuitState.OPEN]
    assert (found.until("a", after(4)), found.start("a", after(4))) == (after(33), False)
    assert found.start("a", after(33))
    assert tell(found, completion(4, 35), 35, started=33) is CircuitState.CLOSED
    change = found.transition("a")
    assert change
    assert (change.reason, change.at) == (TransitionReason.PROBE_SUCCEEDED, after(35))
    assert found.transition("b") is found.transition("nobody") is None


@pytest.mark.parametrize(
    ("record", "started", "target"),
    [
        pytest.param(completion(4, 40), 39, CircuitState.CLOSED, id="a success that began since"),
        pytest.param(completion(4, 40), -1, None, id="a success that began before it opened"),
        pytest.param(outage(4, 40), 39, CircuitState.OPEN, id="an outage that began since"),
        pytest.param(outage(4, 40), -1, None, id="an outage that began before"),
        pytest.param(failure(4, 40, verdict(EndClass.RATE_LIMITED)), 39, None, id="a limit is no outage"),
        pytest.param(failure(4, 40, verdict(EndClass.RATE_LIMITED), verdict=None), 39, None, id="nobody knows what"),
        pytest.param(completion(4, 40, model="older"), 39, None, id="a model that the candidate had before"),
        pytest.param(completion(4, 40, candidate="nobody"), 39, None, id="a stranger"),
    ],
)
def test_what_a_half_open_breaker_learns_from_a_call(
    record: Record, started: float, target: CircuitState | None
) -> None:
    assert tell(opened(), record, 40, started) is target


def test_a_probe_holds_its_place_until_it_ends_or_is_given_back() -> None:
    found = opened()

    assert [found.awaits_probe("a", after(at)) for at in (29, 30)] == [False, True]
    assert [found.start("a", after(at)) for at in (30, 31)] == [True, False]
    assert found.until("a", after(31)) == after(60)
    found.not_started("a", after(99))
    assert not found.allows("a", after(32)), "another probe was given back"
    found.not_started("a", after(30))
    assert (found.allows("a", after(32)), found.until("a", after(32))) == (True, None)


def test_a_stranger_is_let_through_and_leaves_no_trace() -> None:
    found = breakers()
    found.not_started("nobody", NOON)

    assert (found.start("nobody", NOON), found.awaits_probe("nobody", NOON)) == (True, False)
    assert (found.target("nobody"), found.target("a")) == (("", ""), ("anthropic", "sonnet"))


def test_a_status_says_all_of_it() -> None:
    found = opened(halfOpenMaxProbes=2, successThreshold=2)

    assert found.status("a", after(1)) == OPENED.model_copy(update={"open_until_time": after(30)})
    found.start("a", after(30))
    found.start("a", after(31))
    tell(found, completion(4, 32), 32, started=31)
    assert found.status("a", after(33)).model_dump() == {
        "state": "HalfOpen",
        "failures": 0,
        "successes": 1,
        "opened_time": NOON,
        "open_until_time": None,
        "probe_times": [after(30)],
    }


def test_a_status_is_gone_on_from() -> None:
    found, again = (opened(successThreshold=2, cooldownSeconds=40), breakers(successThreshold=2, cooldownSeconds=40))
    found.start("a", after(40))
    tell(found, completion(4, 41), 41, started=40)
    found.start("a", after(42))
    again.restore("a", found.status("a", after(43)))
    again.restore("nobody", OPENED)

    assert again.status("a", after(43)) == found.status("a", after(43))
    assert tell(again, completion(5, 44), 44, started=42) is CircuitState.CLOSED
    fresh = breakers(cooldownSeconds=40)
    fresh.restore("a", OPENED)
    assert fresh.until("a", after(1)) == after(40), "the manifest's cooldown"


class TestSnapshots:
    def test_they_are_gone_on_from(self) -> None:
        found, again = opened(cooldownSeconds=40), breakers(cooldownSeconds=40)
        found.start("a", after(40))
        again.put_back(found.snapshot())

        assert again.snapshot() == found.snapshot()
        assert again.until("a", after(41)) == after(80)
        assert again.allows("b", after(41))

    @pytest.mark.parametrize(
        "kept",
        [
            pytest.param({}, id="nothing was kept of it"),
            pytest.param({"target": ["anthropic", "opus"], "state": "open"}, id="another model"),
            pytest.param({"target": None, "state": "open"}, id="nobody knows whose"),
            pytest.param({"state": "open"}, id="it does not say whose"),
        ],
    )
    def test_what_is_another_candidates_is_left_alone(self, kept: dict[str, Any]) -> None:
        found = breakers()
        found.put_back({"a": kept, "nobody": {"target": ["", ""], "state": "open"}})

        assert found.allows("a", NOON)
        assert set(found.snapshot()) == {"a", "b", "own"}

    def test_a_broken_one_changes_nothing(self) -> None:
        found = breakers()
        good = opened().snapshot()
        with pytest.raises(ValueError, match="not the status of a breaker"):
            found.put_back(good | {"b": good["b"] | {"failures": "many"}})

        assert found.allows("a", NOON)

    def test_probes_of_the_same_opening_keep_their_places(self) -> None:
        found = opened(halfOpenMaxProbes=3)
        found.start("a", after(30))
        kept = found.snapshot()
        found.start("a", after(31))
        found.put_back(kept)

        assert found.snapshot()["a"]["leases"] == [after(at).isoformat() for at in (30, 31)]

    def test_probes_of_an_earlier_opening_do_not(self) -> None:
        found = opened(halfOpenMaxProbes=3)
        found.start("a", after(30))
        later = opened(halfOpenMaxProbes=3).snapshot()
        later["a"] |= {"opened_at": after(5).isoformat(), "leases": None}
        found.put_back(later)

        assert found.snapshot()["a"]["leases"] == []


class TestTheManifest:
    def test_a_new_number_counts_at_once_and_the_state_stays(self) -> None:
        found = opened()
        found.configure(a_route(circuitBreaker={"cooldownSeconds": 60}).spec)

        assert found.until("a", after(1)) == after(60)

    def test_another_model_starts_afresh_and_a_candidate_that_left_is_forgotten(self) -> None:
        found = opened()
        lines = [{"name": "a", "providerRef": {"name": "anthropic"}, "model": "opus"}]
        found.configure(a_route(candidates=lines).spec)

        assert found.allows("a", after(1))
        assert set(found.snapshot()) == {"a"}


def test_all_are_closed_by_hand_and_only_what_was_open_has_changed() -> None:
    found = opened()
    ((name, change),) = found.reset(after(1), "reset by hand")

    assert (name, change.reason, change.message, change.at) == ("a", TransitionReason.RESET, "reset by hand", after(1))
    assert found.transition("a") == change
    assert found.allows("a", after(1))


class TestComingBack:
    def closed(self) -> Breakers:
        found = opened()
        found.start("a", after(33))
        tell(found, completion(4, 35), 35, started=33)
        return found

    def test_a_probe_that_closes_it_brings_it_back_in_steps(self) -> None:
        assert opened().comeback("a") is breakers().comeback("nobody") is None
        found = self.closed()
        assert found.comeback("a") == Comeback(after(35))
        tell(found, completion(5, 36), 36, started=34)
        tell(found, completion(6, 37), 37, started=35)
        assert found.comeback("a") == Comeback(after(35), 1)

    def test_what_opens_again_begins_again(self) -> None:
        found = self.closed()
        for seconds in (40, 41, 42):
            tell(found, outage(1, seconds), seconds)
        assert found.comeback("a") is None

    def test_who_resets_it_by_hand_wants_all_of_it(self) -> None:
        found = self.closed()
        found.reset(after(40), "reset by hand")
        assert found.comeback("a") is None

    def test_a_restart_goes_on_where_it_was(self) -> None:
        found, restarted = self.closed(), breakers()
        tell(found, completion(6, 37), 37, started=36)
        restarted.put_back(found.snapshot())
        assert restarted.comeback("a") == Comeback(after(35), 1)
        older = {name: {k: v for k, v in kept.items() if k != "comeback"} for name, kept in found.snapshot().items()}
        restarted.put_back(older)
        assert restarted.comeback("a") is None, "what an earlier release wrote"

    @pytest.mark.parametrize(
        "broken", [1, ["x", 0], ["2026-11-21T12:00:00Z", "1"], ["2026-11-21T12:00:00Z"], [None, 0]]
    )
    def test_what_is_none_is_refused(self, broken: object) -> None:
        found = self.closed()
        snapshot = found.snapshot()
        with pytest.raises((ValueError, TypeError)):
            found.put_back({**snapshot, "a": {**snapshot["a"], "comeback": broken}})
        assert found.comeback("a") == Comeback(after(35)), "nothing was taken over"
