"""What a batch of records changes, and what it says of accounts."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from droveway.api.enums import Access, EndClass
from droveway.core.accounts import Signal
from droveway.core.changes import Changes
from droveway.core.events import Record, RecordKind
from droveway.core.health import CircuitState
from droveway.core.ledger import MOST_BYTES, RouteLedger
from droveway.core.utilization import Reading
from helpers.told import (
    GATEWAY,
    NOON,
    SIDECAR,
    UID,
    a_route,
    after,
    batch,
    completion,
    direct,
    failure,
    outage,
    report,
    verdict,
)

ACCESS = {"anthropic": Access.GATEWAY, "openai": Access.GATEWAY, "login": Access.DIRECT}
B: dict[str, Any] = {"candidate": "b", "provider": "openai", "model": "gpt"}
LIMIT = verdict(EndClass.SUBSCRIPTION_LIMIT, after(6360), "weekly limit reached")
WINDOWS = (Reading("5h", 50, None, NOON),)


def a_ledger() -> RouteLedger:
    return RouteLedger(a_route().spec, ACCESS, NOON)


def tell(ledger: RouteLedger, *records: Record, source: str = GATEWAY, at: float = 10) -> Changes:
    return ledger.apply(batch(*records, source=source), after(at), lambda name, uid: (name, uid) == ("fix-login", UID))


def exhausted(number: int, at: float, **changes: Any) -> Record:
    record = Record(number, RecordKind.EXHAUSTED, after(at), "fix-login", UID, 1, success=False, verdict=LIMIT)
    return replace(record, **changes)


def served_by(ledger: RouteLedger) -> str:
    return ledger.facts(UID).served_by


class TestCounters:
    def test_each_adds_up_over_the_batch(self) -> None:
        changes = tell(
            a_ledger(),
            completion(1, 11),
            completion(3, 12),
            completion(6, 10),
            completion(6, 10),
            completion(7, 1, run="over"),
            completion(8, 1, run_uid="another"),
        )

        assert (changes.accepted, changes.gaps, changes.clamped) == (5, 3, 2)
        assert (changes.duplicates, changes.strays, changes.runs) == (1, 2, {"fix-login"})

    def test_an_id_that_is_known_counts_as_a_duplicate_each_time(self) -> None:
        changes = tell(a_ledger(), *(completion(n, id="msg-1") for n in (1, 1, 2, 3)))

        assert (changes.accepted, changes.duplicates) == (3, 3)

    def test_a_provider_that_nobody_knows_is_taken_for_the_gateways(self) -> None:
        ledger = a_ledger()
        tell(ledger, completion(1, provider="gone"))

        assert ledger.facts(UID).usage.completions == 1

    def test_sessions_can_be_told_apart(self) -> None:
        ledger = a_ledger()
        tell(ledger, completion(1, session_id="s-1"), completion(2, session_id="s-2"))

        assert ledger.store.session_usage("s-1", after(10)).totals.message_count == 1


class TestUtilization:
    @pytest.mark.parametrize(
        ("record", "source", "told"),
        [
            pytest.param(completion(1, utilization=WINDOWS), GATEWAY, [("anthropic", WINDOWS)], id="by the gateway"),
            pytest.param(
                direct(1, utilization=WINDOWS), SIDECAR, [("login", WINDOWS)], id="of a Direct one, its sidecar"
            ),
            pytest.param(completion(1, utilization=WINDOWS), SIDECAR, [], id="a sidecar has no say elsewhere"),
            pytest.param(direct(1, utilization=WINDOWS), GATEWAY, [], id="nor has a gateway there"),
            pytest.param(completion(1), GATEWAY, [], id="nothing is told"),
        ],
    )
    def test_who_may_say_how_full_a_quota_is(self, record: Record, source: str, told: list[Any]) -> None:
        assert tell(a_ledger(), record, source=source).utilization == told


class TestSignals:
    @pytest.mark.parametrize(
        ("record", "source", "signals"),
        [
            pytest.param(
                completion(1, 5),
                GATEWAY,
                [Signal("anthropic", "sonnet", None, after(5), after(4), "gateway")],
                id="well",
            ),
            pytest.param(
                completion(1, 5, verdict=LIMIT),
                GATEWAY,
                [Signal("anthropic", "sonnet", None, after(5), after(4), "gateway")],
                id="a success is no limit, whatever it says",
            ),
            pytest.param(
                failure(1, 5, LIMIT),
                GATEWAY,
                [Signal("anthropic", "sonnet", LIMIT, after(5), after(4), "gateway")],
                id="badly",
            ),
            pytest.param(
                direct(1, 5), SIDECAR, [Signal("login", "opus", None, after(5), after(4), "sidecar")], id="direct"
            ),
            pytest.param(failure(1, 5, LIMIT, verdict=None), GATEWAY, [], id="badly, and nobody knows why"),
        ],
    )
    def test_what_a_call_says_of_its_account(self, record: Record, source: str, signals: list[Signal]) -> None:
        assert tell(a_ledger(), record, source=source).signals == signals

    @pytest.mark.parametrize(
        ("latency", "began"), [(1500.0, after(3.5)), (0.0, after(5)), (None, after(5)), (-1000.0, after(5))]
    )
    def test_a_call_that_does_not_say_when_it_began_took_its_latency(
        self, latency: float | None, began: datetime
    ) -> None:
        changes = tell(a_ledger(), completion(1, 5, started_at=None, latency_ms=latency))

        assert [s.started_at for s in changes.signals] == [began]

    def test_a_gateway_that_meets_a_limit_twice_has_met_it_twice(self) -> None:
        assert len(tell(a_ledger(), failure(1, 1, LIMIT), failure(2, 2, LIMIT)).signals) == 2

    def test_a_sidecar_says_a_limit_once_until_it_says_another(self) -> None:
        other = replace(LIMIT, until=None)
        own = {"candidate": "own", "provider": "login", "model": "opus"}
        told = [failure(n, n, what, **own) for n, what in enumerate((LIMIT, LIMIT, other, LIMIT), 1)]

        assert [s.verdict for s in tell(a_ledger(), *told, source=SIDECAR).signals] == [LIMIT, other, LIMIT]

    def test_a_limit_of_a_run_that_is_over_is_the_accounts_all_the_same(self) -> None:
        own = {"candidate": "own", "provider": "login", "model": "opus", "run": "over"}

        assert len(tell(a_ledger(), failure(1, 1, LIMIT, **own), source=SIDECAR).signals) == 1


class TestWhoMaySayWhat:
    def test_a_gateway_does_not_speak_for_the_agent(self) -> None:
        ledger = a_ledger()
        tell(ledger, report(1, verdict=LIMIT, stalled=True, final=True))

        assert ledger.facts(UID).attempts == {}

    def test_a_sidecar_does_not_speak_for_the_gateway(self) -> None:
        ledger = a_ledger()
        tell(ledger, report(1), exhausted(2, 2), source=SIDECAR)

        assert ledger.facts(UID).attempts[1].exhausted is None

    def test_nobody_speaks_for_a_run_that_is_over(self) -> None:
        ledger = a_ledger()
        tell(ledger, exhausted(1, 1, run="over"))

        assert ledger.runs() == {}

    def test_a_session_is_known_until_another_one_is_told(self) -> None:
        ledger = a_ledger()
        tell(ledger, direct(1, session_id="s-1"), direct(2, session_id=""), source=SIDECAR)
        assert ledger.facts(UID).session_id == "s-1"
        tell(ledger, direct(3, session_id="s-2"), source=SIDECAR)
        assert ledger.facts(UID).session_id == "s-2"


class TestRequests:
    @pytest.mark.parametrize(("at", "forgiven"), [(5, False), (5.5, True)])
    def test_only_a_later_answer_forgives_that_nobody_was_left(self, at: float, forgiven: bool) -> None:
        ledger = a_ledger()
        tell(ledger, exhausted(1, 5), completion(2, at))

        assert (ledger.facts(UID).attempts[1].exhausted is None) is forgiven

    @pytest.mark.parametrize(("at", "by"), [(4, "a"), (5, "b"), (6, "b")])
    def test_the_latest_answer_says_who_serves(self, at: float, by: str) -> None:
        ledger = a_ledger()
        tell(ledger, completion(1, 5), completion(2, at, **B))

        assert served_by(ledger) == by

    def test_a_refusal_that_an_answer_has_made_good_is_no_reason_for_a_move(self) -> None:
        ledger = a_ledger()
        tell(ledger, completion(1, 1), outage(2, 2, **B), completion(3, 3, **B), completion(4, 4))

        assert ledger.facts(UID).reroutes == ()

    @pytest.mark.parametrize(
        ("why", "reason"),
        [
            pytest.param(LIMIT, "a SubscriptionLimit until 13:46Z", id="with an end"),
            pytest.param(verdict(EndClass.PROVIDER_OUTAGE), "a ProviderOutage", id="without an end"),
            pytest.param(None, "a failed", id="without a reason"),
        ],
    )
    def test_a_move_says_why(self, why: Any, reason: str) -> None:
        ledger = a_ledger()
        tell(ledger, failure(1, 1, LIMIT, verdict=why), completion(2, 2, **B))

        assert [m.reason for m in ledger.facts(UID).reroutes] == [reason]


class TestWritten:
    def test_breakers_are_written_and_read(self) -> None:
        ledger, again = a_ledger(), a_ledger()
        tell(ledger, outage(1, 1), outage(2, 2), outage(3, 3))
        again.load(ledger.to_data(after(10)), after(10))

        assert again.breakers.snapshot() == ledger.breakers.snapshot()
        assert not again.breakers.allows("a", after(10))

    def test_a_ledger_without_breakers_is_one_of_an_older_version(self) -> None:
        ledger, older = a_ledger(), a_ledger().to_data(NOON)
        ledger.load(older | {"route.json": '{"reset_token": "", "refusals": {}}'}, after(10))

        assert {b["state"] for b in ledger.breakers.snapshot().values()} == {CircuitState.CLOSED.value}

    def test_results_go_first_when_there_is_no_room(self) -> None:
        ledger = a_ledger()
        for n in range(MOST_BYTES // 4000 + 1):
            if n == 2:
                ledger.to_data(after(10))
                assert ledger.facts("run-0").result == "x" * 4000, "there is room"
            said = report(1, run_uid=f"run-{n}", final=True, result="x" * 4000)
            ledger.apply(batch(said, source=f"run-{n}-1"), after(10), lambda name, uid: True)
        ledger.to_data(after(10))
        assert ledger.facts("run-0").result == ""
