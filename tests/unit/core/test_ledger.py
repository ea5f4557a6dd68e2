"""Each thing that happened counts once, whatever is repeated, lost or restarted in between."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from droveway.api.enums import Access, EndClass
from droveway.api.v1alpha1 import Usage
from droveway.core.accounts import Signal
from droveway.core.changes import Changes
from droveway.core.completion import CompletionEvent, TokenBreakdown
from droveway.core.events import Record, RecordKind
from droveway.core.facts import RunFacts
from droveway.core.health import CircuitState
from droveway.core.ledger import MOST_BYTES, MOST_COMPLETIONS, RouteLedger
from droveway.core.tally import ModelTally, RunTally
from helpers.told import (
    GATEWAY,
    NOON,
    SIDECAR,
    UID,
    USED,
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


def a_ledger(**route: Any) -> RouteLedger:
    return RouteLedger(a_route(**route).spec, ACCESS, NOON)


def everybody_lives(name: str, uid: str) -> bool:
    return True


def tell(ledger: RouteLedger, *records: Record, source: str = GATEWAY, at: float = 10) -> Changes:
    return ledger.apply(batch(*records, source=source), after(at), everybody_lives)


def samples(ledger: RouteLedger, model: str = "anthropic/sonnet", at: float = 10) -> tuple[int, int]:
    seen = ledger.store.model_performance(model, after(at))
    return seen.successful_completions, seen.failed_completions


class TestOnce:
    def test_a_batch_that_is_sent_again_changes_nothing(self) -> None:
        ledger = a_ledger()
        assert tell(ledger, completion(1), completion(2)).accepted == 2
        again = tell(ledger, completion(1), completion(2), completion(3))
        assert (again.accepted, again.duplicates) == (1, 2)
        assert samples(ledger) == (3, 0)
        assert ledger.facts(UID).usage.completions == 3

    def test_a_gap_is_accepted_and_counted(self) -> None:
        ledger = a_ledger()
        assert tell(ledger, completion(1), completion(4)).gaps == 2
        assert ledger.sources.highest(GATEWAY) == 4

    def test_a_batch_out_of_order_is_put_in_order(self) -> None:
        changes = tell(a_ledger(), completion(2), completion(1))
        assert (changes.accepted, changes.gaps) == (2, 0)

    def test_sources_number_for_themselves(self) -> None:
        ledger = a_ledger()
        tell(ledger, completion(1))
        assert tell(ledger, completion(1), source="ab" * 16).accepted == 1

    def test_an_id_catches_what_a_forgotten_number_lets_through(self) -> None:
        ledger = a_ledger()
        tell(ledger, completion(1, id="x"))
        tell(ledger, completion(1, id="x"), source="ab" * 16)
        assert ledger.facts(UID).usage.completions == 1

    @settings(deadline=None)
    @given(st.data())
    def test_resends_stale_batches_and_crashes_never_count_twice_nor_lose_an_acknowledged_record(
        self, data: st.DataObject
    ) -> None:
        """A source resends from the last acknowledgement; the operator may die after applying, before or after writing."""
        stories = data.draw(st.lists(_records(), min_size=1, max_size=12))
        records = [make(number) for number, make in enumerate(stories, 1)]
        ledger, written = a_ledger(), a_ledger().to_data(NOON)
        acknowledged = 0
        while acknowledged < len(records):
            start = data.draw(st.integers(0, acknowledged), label="resend from")
            stop = data.draw(st.integers(acknowledged + 1, len(records)), label="up to")
            tell(ledger, *records[start:stop])
            match data.draw(st.sampled_from(["written", "lost", "written, then killed"]), label="then"):
                case "written":
                    written, acknowledged = ledger.to_data(after(10)), stop
                case "lost":
                    ledger = _restarted(written)
                case "written, then killed":
                    written, acknowledged = ledger.to_data(after(10)), stop
                    ledger = _restarted(written)
        plain = a_ledger()
        tell(plain, *records)
        assert ledger.facts(UID) == plain.facts(UID)
        for model in ("anthropic/sonnet", "openai/gpt"):
            assert samples(ledger, model) == samples(plain, model)


def _restarted(written: dict[str, str]) -> RouteLedger:
    ledger = a_ledger()
    ledger.load(written, after(10))
    return ledger


def _records() -> st.SearchStrategy[Callable[[int], Record]]:
    where = st.sampled_from([{}, B])
    cost = st.sampled_from([None, 0.1, 0.2, 0.7])
    ends = st.sampled_from([None, LIMIT, verdict(EndClass.PROVIDER_OUTAGE, reason="529")])

    def make(line: dict[str, Any], cost_usd: float | None, end: Any) -> Callable[[int], Record]:
        if end is None:
            return lambda n: completion(n, n / 10, cost_usd=cost_usd, **line)
        return lambda n: failure(n, n / 10, end, **line)

    return st.builds(make, where, cost, ends)


class TestOneCountingSource:
    @pytest.mark.parametrize(
        ("record", "source", "counts"),
        [
            pytest.param(completion(1), GATEWAY, True, id="the gateway counts for a Gateway candidate"),
            pytest.param(completion(1), SIDECAR, False, id="its sidecar does not"),
            pytest.param(direct(1), SIDECAR, True, id="the sidecar counts for a Direct candidate"),
            pytest.param(direct(1), GATEWAY, False, id="a gateway has no say there"),
        ],
    )
    def test_who_counts(self, record: Record, source: str, counts: bool) -> None:
        ledger = a_ledger()
        changes = tell(ledger, record, source=source)
        assert ledger.facts(UID).usage.completions == counts
        assert samples(ledger, f"{record.provider}/{record.model}") == (int(counts), 0)
        assert bool(changes.signals) is counts

    def test_a_drift_between_the_two_is_known_at_the_end(self) -> None:
        ledger = a_ledger()
        tell(ledger, completion(1), completion(2))
        said = report(
            1, final=True, completions=2, tokens=TokenBreakdown(total=150), provider="anthropic", candidate="a"
        )
        tell(ledger, said, source=SIDECAR)
        assert ledger.facts(UID).usage.tokens.total == 200
        assert (ledger.runs(), ledger.name_of(UID)) == ({UID: "fix-login"}, "fix-login")
        assert ledger.forget(UID) == 50
        assert ledger.facts(UID) == RunFacts()
        assert (ledger.forget(UID), ledger.name_of(UID)) == (0, "")

    def test_the_final_record_makes_up_for_what_never_arrived(self) -> None:
        ledger = a_ledger()
        tell(ledger, direct(1, cost_usd=0.25), source=SIDECAR)
        totals = TokenBreakdown(total=450, input=300, output=150)
        tell(ledger, report(7, final=True, completions=4, tokens=totals, cost_usd=1.0), source=SIDECAR)
        usage = ledger.facts(UID).usage
        assert (usage.completions, usage.tokens.total, usage.tokens.input, usage.cost_usd) == (4, 450, 300, "1")
        assert usage.cost_source == "Reported"

    def test_s0_02_what_a_direct_provider_was_used_is_told_as_a_run_s_usage_is(self) -> None:
        ledger, totals = a_ledger(), TokenBreakdown(total=450, input=300, output=150)
        said = [
            tell(ledger, direct(1, cost_usd=0.25), source=SIDECAR),
            tell(ledger, direct(1, cost_usd=0.25), source=SIDECAR),
            tell(ledger, report(7, final=True, completions=4, tokens=totals, cost_usd=1.0), source=SIDECAR),
            tell(ledger, direct(8, tokens=USED, model="claimed"), source=SIDECAR),
        ]
        of_the_provider = [changes.direct.get(("login", "opus"), ModelTally()) for changes in said]
        assert [(use.tokens[:3], use.cost, use.completions) for use in of_the_provider] == [
            ([100, 70, 30], 250_000_000, 1),
            ([0, 0, 0], None, 0),
            ([350, 230, 120], 750_000_000, 3),
            ([0, 0, 0], None, 0),
        ]
        assert said[-1].direct["", ""].tokens[0] == 100, "no candidate of the route has that model"

    def test_what_gateways_count_they_tell_themselves(self) -> None:
        assert tell(a_ledger(), completion(1)).direct == {}

    def test_a_final_record_that_says_nothing_new_adds_nothing(self) -> None:
        ledger = a_ledger()
        tell(ledger, direct(1), source=SIDECAR)
        before = ledger.facts(UID).usage
        tell(ledger, report(2, final=True, completions=1, tokens=USED, cost_usd=0.01), source=SIDECAR)
        assert ledger.facts(UID).usage == before


class TestUsage:
    def test_costs_add_up_exactly_and_unknown_ones_stay_unknown(self) -> None:
        ledger = a_ledger()
        tell(ledger, *(completion(n, cost_usd=0.1) for n in range(1, 11)), completion(11, cost_usd=None, **B))
        usage = ledger.facts(UID).usage
        assert (usage.cost_usd, usage.cost_source, usage.unpriced_completions) == ("1", "Priced", 1)
        by_model = {m.model: m for m in usage.by_model}
        assert (by_model["gpt"].cost_usd, by_model["gpt"].tokens.total) == (None, 100)
        assert by_model["sonnet"].cost_usd == "1"

    @pytest.mark.parametrize("cost", [None, float("nan"), float("inf"), -1.0])
    def test_what_is_no_cost_is_unknown(self, cost: float | None) -> None:
        ledger = a_ledger()
        tell(ledger, completion(1, cost_usd=cost))
        assert (ledger.facts(UID).usage.cost_usd, ledger.facts(UID).usage.cost_source) == (None, "Unknown")

    @pytest.mark.parametrize(
        ("values", "rejected"),
        [
            pytest.param({"cost_usd": -0.5}, (1, 0), id="a negative cost"),
            pytest.param({"cost_usd": float("nan")}, (1, 0), id="no number"),
            pytest.param({"cost_usd": 1e12}, (1, 0), id="more than anything costs"),
            pytest.param({"cost_usd": None, "latency_ms": -1.0}, (0, 1), id="a negative latency"),
            pytest.param({"cost_usd": float("inf"), "latency_ms": float("inf")}, (1, 1), id="both without end"),
            pytest.param({"cost_usd": 0.0, "latency_ms": 0.0}, (0, 0), id="free, and of unknown duration"),
            pytest.param({"cost_usd": None, "latency_ms": None}, (0, 0), id="nothing known"),
        ],
    )
    def test_r_t12_what_can_be_no_value_is_counted_once_and_unknown(
        self, values: dict[str, Any], rejected: tuple[int, int]
    ) -> None:
        ledger = a_ledger()
        changes = tell(ledger, completion(1, **values), completion(2, 2, cost_usd=0.25))
        again = tell(ledger, completion(1, **values))
        assert (changes.costs_rejected, changes.latencies_rejected) == rejected
        assert (again.costs_rejected, again.latencies_rejected, again.duplicates) == (0, 0, 1)
        assert ledger.facts(UID).usage.cost_usd == "0.25"

    def test_a_sum_of_both_kinds_is_not_called_reported(self) -> None:
        ledger = a_ledger()
        tell(ledger, completion(1, cost_usd=0.5))
        tell(ledger, direct(1, cost_usd=0.25), source=SIDECAR)
        usage = ledger.facts(UID).usage
        assert (usage.cost_usd, usage.cost_source) == ("0.75", "Priced")

    def test_failures_are_among_the_completions(self) -> None:
        ledger = a_ledger()
        tell(ledger, outage(1, 1), completion(2, 2))
        (model,) = ledger.facts(UID).usage.by_model
        assert (model.completions, model.failures) == (2, 1)

    def test_a_status_can_be_gone_on_from_when_the_books_are_lost(self) -> None:
        ledger = a_ledger()
        tell(ledger, completion(1, cost_usd=0.5), direct(1, cost_usd=0.25))
        status = Usage.model_validate(ledger.facts(UID).usage.to_wire())
        lost = a_ledger()
        tally = RunTally("fix-login")
        tally.adopt(status)
        lost.adopt(UID, tally)
        assert lost.facts(UID).usage == status
        tell(lost, completion(2, cost_usd=0.5))
        assert Decimal(lost.facts(UID).usage.cost_usd or 0) == Decimal(status.cost_usd or 0) + Decimal("0.5")

    def test_a_run_that_is_over_takes_nothing_more_but_its_route_does(self) -> None:
        ledger = a_ledger()
        changes = ledger.apply(batch(completion(1)), after(10), lambda name, uid: False)
        assert (changes.strays, changes.runs) == (1, set())
        assert ledger.runs() == {}
        assert samples(ledger) == (1, 0)


class TestRequests:
    def test_a_request_that_moves_to_another_candidate_says_why(self) -> None:
        ledger = a_ledger()
        tell(ledger, completion(1, 1), failure(2, 2, LIMIT), completion(3, 3, **B))
        (move,) = ledger.facts(UID).reroutes
        assert (move.at, move.source, move.target) == (after(3), "a", "b")
        assert move.reason == "a SubscriptionLimit until 13:46Z"
        assert ledger.facts(UID).served_by == "b"

    def test_the_first_request_may_move_too(self) -> None:
        ledger = a_ledger()
        tell(ledger, failure(1, 1, LIMIT), completion(2, 2, **B))
        assert [(m.source, m.target) for m in ledger.facts(UID).reroutes] == [("a", "b")]

    def test_a_limit_that_another_run_met_is_reason_enough(self) -> None:
        ledger = a_ledger()
        tell(ledger, completion(1, 1), failure(2, 2, LIMIT, run="other", run_uid="other-uid"), completion(3, 3, **B))
        assert [m.reason for m in ledger.facts(UID).reroutes] == ["a SubscriptionLimit until 13:46Z"]

    def test_going_back_is_no_reroute(self) -> None:
        ledger = a_ledger()
        tell(ledger, completion(1, 1), failure(2, 2, LIMIT), completion(3, 3, **B), completion(4, 4))
        assert len(ledger.facts(UID).reroutes) == 1
        assert ledger.facts(UID).served_by == "a"

    def test_a_call_aside_counts_and_moves_nothing(self) -> None:
        ledger = a_ledger()
        tell(ledger, completion(1, 1), failure(2, 2, LIMIT, aside=True), completion(3, 3, aside=True, **B))
        assert ledger.facts(UID).served_by == "a"
        assert ledger.facts(UID).reroutes == ()
        assert ledger.facts(UID).usage.completions == 3

    def test_a_new_attempt_on_another_candidate_is_no_reroute_of_requests(self) -> None:
        ledger = a_ledger()
        tell(ledger, completion(1, 1), failure(2, 2, LIMIT), completion(3, 3, attempt=2, **B))
        assert ledger.facts(UID).reroutes == ()
        assert ledger.facts(UID).served_by == "b"
        assert ledger.facts(UID, attempt=3).served_by == "", "the third attempt has not asked anything yet"

    def test_an_exhausted_attempt_is_forgiven_once_it_is_served_again(self) -> None:
        ledger = a_ledger()
        tell(ledger, Record(1, RecordKind.EXHAUSTED, after(1), "fix-login", UID, 1, success=False, verdict=LIMIT))
        assert ledger.facts(UID).attempts[1].exhausted == LIMIT
        tell(ledger, completion(2, 5))
        assert ledger.facts(UID).attempts[1].exhausted is None


class TestSidecar:
    def test_a_stall_passes(self) -> None:
        ledger = a_ledger()
        tell(ledger, report(1, stalled=True), source=SIDECAR)
        assert ledger.facts(UID).attempts[1].stalled
        tell(ledger, report(2, stalled=False), source=SIDECAR)
        assert not ledger.facts(UID).attempts[1].stalled

    def test_the_final_record_is_the_cli_s_account(self) -> None:
        ledger = a_ledger()
        end = report(
            1, final=True, exit_code=1, end_class=EndClass.AGENT_FAILED, error="no", result="half of it", verdict=LIMIT
        )
        tell(ledger, end, source=SIDECAR)
        facts = ledger.facts(UID)
        seen = facts.attempts[1]
        assert (facts.session_id, facts.result) == ("s-1", "half of it")
        tell(ledger, report(2, final=True), source=SIDECAR)
        assert ledger.facts(UID).attempts[1].message == ""
        assert (seen.final, seen.exit_code, seen.end_class, seen.message, seen.reported) == (
            True,
            1,
            EndClass.AGENT_FAILED,
            "no",
            LIMIT,
        )

    def test_a_verdict_that_every_report_repeats_is_one_observation(self) -> None:
        ledger = a_ledger()
        limited = verdict(EndClass.RATE_LIMITED)
        changes = tell(
            ledger,
            failure(1, 1, limited, candidate="own", provider="login", model="opus"),
            report(2, 2, verdict=limited),
            report(3, 3, verdict=limited, final=True),
            source=SIDECAR,
        )
        assert [s.verdict for s in changes.signals] == [limited]

    def test_a_limit_that_the_cli_only_reports_is_the_accounts_as_well(self) -> None:
        changes = tell(a_ledger(), report(1, 3, verdict=LIMIT), source=SIDECAR)
        assert changes.signals == [Signal("login", "opus", LIMIT, after(3), after(3), "sidecar")]

    def test_a_limit_that_a_sidecar_claims_for_a_gateway_candidate_binds_nobody(self) -> None:
        ledger = a_ledger()
        changes = tell(ledger, report(1, verdict=LIMIT, provider="anthropic", candidate="a"), source=SIDECAR)
        assert changes.signals == []
        assert ledger.facts(UID).attempts[1].reported == LIMIT


class TestBreakers:
    def test_outages_open_it_and_a_probe_closes_it(self) -> None:
        ledger = a_ledger()
        changes = tell(ledger, outage(1, 1), outage(2, 2), outage(3, 3), at=3)
        ((name, change),) = changes.transitions
        assert (name, change.source, change.target) == ("a", CircuitState.CLOSED, CircuitState.OPEN)
        assert not ledger.breakers.allows("a", after(3))
        assert ledger.breakers.until("a", after(3)) == after(33)
        ledger.breakers.start("a", after(34))
        assert not ledger.breakers.allows("a", after(35)), "the one probe is under way"
        assert ledger.breakers.until("a", after(35)) == after(64), "its lease ends"
        changes = tell(ledger, completion(4, 36, started_at=after(34)), at=36)
        assert [c.target for _, c in changes.transitions] == [CircuitState.CLOSED]
        assert ledger.breakers.allows("a", after(36))

    @pytest.mark.parametrize("kind", [k for k in EndClass if k not in (EndClass.PROVIDER_OUTAGE, EndClass.SUCCEEDED)])
    def test_nothing_but_an_outage_is_a_failure(self, kind: EndClass) -> None:
        ledger = a_ledger()
        tell(ledger, *(failure(n, n, verdict(kind, after(999))) for n in range(1, 6)))
        assert ledger.breakers.status("a", after(10)).failures == 0

    def test_a_call_that_began_before_it_opened_proves_nothing(self) -> None:
        ledger = a_ledger()
        tell(ledger, outage(1, 1), outage(2, 2), outage(3, 3), at=3)
        tell(ledger, completion(4, 40, started_at=after(2)), at=40)
        assert ledger.breakers.status("a", after(40)).state == "HalfOpen"

    def test_each_candidate_has_its_own(self) -> None:
        ledger = a_ledger()
        tell(ledger, *(outage(n, n) for n in range(1, 4)))
        assert ledger.breakers.allows("b", after(10))

    def test_a_record_of_a_model_that_the_candidate_no_longer_has_is_no_judgement(self) -> None:
        ledger = a_ledger()
        tell(ledger, *(outage(n, n, model="older") for n in range(1, 4)))
        assert ledger.breakers.allows("a", after(10))

    def test_a_reset_by_hand_happens_once_per_token(self) -> None:
        ledger = a_ledger()
        tell(ledger, *(outage(n, n) for n in range(1, 4)))
        assert ledger.reset_breakers("now", "", after(10))
        assert ledger.breakers.allows("a", after(10))
        tell(ledger, *(outage(n, n + 10) for n in range(4, 7)), at=20)
        again = a_ledger()
        again.load(ledger.to_data(after(20)), after(20))
        assert ledger.reset_breakers("now", "", after(21)) is None
        assert again.reset_breakers("now", "", after(21)) is None, "a restart does not repeat it"
        assert not ledger.breakers.allows("a", after(21))
        assert ledger.reset_breakers("again", "", after(22))

    @pytest.mark.parametrize(
        ("token", "by", "says"),
        [
            pytest.param("on-call", "", "reset by hand with token on-call", id="nobody knows who"),
            pytest.param(
                "1",
                "kubectl-annotate at 12:00",
                "reset by hand with token 1, set by kubectl-annotate at 12:00",
                id="who",
            ),
            pytest.param("x" * 80, "", f"reset by hand with token {'x' * 63}…", id="a long one is cut"),
            pytest.param("sk-ant-1234", "", "reset by hand with token ***", id="a key by mistake is masked"),
        ],
    )
    def test_r_b8_a_reset_says_who_and_with_which_token(self, token: str, by: str, says: str) -> None:
        ledger = a_ledger()
        tell(ledger, *(outage(n, n) for n in range(1, 4)))
        changes = ledger.reset_breakers(token, by, after(10))
        assert changes
        ((candidate, change),) = changes.transitions
        assert (candidate, change.reason, change.message) == ("a", "Reset", says)
        assert ledger.breakers.transition("a") == change

    def test_another_model_under_the_same_name_has_no_past(self) -> None:
        ledger = a_ledger()
        tell(ledger, *(outage(n, n) for n in range(1, 4)))
        assert ledger.breakers.target("a") == ("anthropic", "sonnet")
        lines = [{"name": "a", "providerRef": {"name": "anthropic"}, "model": "opus"}]
        ledger.configure(a_route(candidates=lines).spec, ACCESS, after(11))
        assert (ledger.breakers.target("a"), ledger.breakers.transition("a")) == (("anthropic", "opus"), None)
        assert (ledger.breakers.target("b"), ledger.breakers.transition("b")) == (("", ""), None), "b is gone"

    def test_the_manifest_may_change_under_it(self) -> None:
        ledger = a_ledger()
        tell(ledger, outage(1, 1), outage(2, 2))
        ledger.configure(a_route(circuitBreaker={"failureThreshold": 5}).spec, ACCESS, after(3))
        tell(ledger, outage(3, 3), outage(4, 4))
        assert ledger.breakers.allows("a", after(4)), "the count goes on, the threshold is the new one"
        tell(ledger, outage(5, 5))
        assert not ledger.breakers.allows("a", after(10))

    def test_s1_03_each_number_of_the_manifest_counts(self) -> None:
        rules = {"failureThreshold": 1, "cooldownSeconds": 7, "successThreshold": 2, "halfOpenMaxProbes": 3}
        ledger = a_ledger(circuitBreaker=rules)
        tell(ledger, outage(1, 1), at=1)
        assert ledger.breakers.until("a", after(2)) == after(8)
        assert [ledger.breakers.start("a", after(8)) for _ in range(4)] == [True, True, True, False]
        tell(ledger, completion(2, 9, started_at=after(8)), at=9)
        assert ledger.breakers.status("a", after(9)).state == "HalfOpen"
        tell(ledger, completion(3, 10, started_at=after(8)), at=10)
        assert ledger.breakers.status("a", after(10)).state == "Closed"

    def test_another_model_under_the_same_name_starts_closed(self) -> None:
        ledger = a_ledger()
        tell(ledger, *(outage(n, n) for n in range(1, 4)))
        other = [{"name": "a", "providerRef": {"name": "anthropic"}, "model": "haiku"}]
        ledger.configure(a_route(candidates=other).spec, ACCESS, after(4))
        assert ledger.breakers.allows("a", after(4))


class TestWritten:
    def test_a_restart_in_the_middle_changes_no_fact(self) -> None:
        told: Sequence[tuple[Record, str]] = [
            (completion(1, 1), GATEWAY),
            (failure(2, 2, LIMIT), GATEWAY),
            (report(1, 2, stalled=True), SIDECAR),
            (direct(2, 3), SIDECAR),
            (completion(3, 4, **B), GATEWAY),
            (completion(4, 5, attempt=2), GATEWAY),
            (Record(5, RecordKind.EXHAUSTED, after(6), "fix-login", UID, 2, verdict=LIMIT), GATEWAY),
            (report(3, 6, final=True, exit_code=0, end_class=EndClass.SUCCEEDED, result="done"), SIDECAR),
        ]
        through, broken = a_ledger(), a_ledger()
        for record, source in told:
            tell(through, record, source=source)
            tell(broken, record, source=source)
            written, broken = broken.to_data(after(10)), a_ledger()
            broken.load(written, after(10))
        assert broken.facts(UID) == through.facts(UID)
        assert broken.sources.numbers() == through.sources.numbers() == {GATEWAY: 5, SIDECAR: 3}
        for model in ("anthropic/sonnet", "openai/gpt", "login/opus"):
            assert broken.store.model_performance(model, after(10)) == through.store.model_performance(model, after(10))

    @pytest.mark.parametrize("key", ["telemetry_summary.json", "runs.json", "sources.json", "route.json"])
    @pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"x": {"y": 1}}', '{"schema_version": 99}'])
    def test_what_is_broken_is_refused_whole(self, key: str, text: str) -> None:
        good = a_ledger()
        tell(good, completion(1))
        data = good.to_data(after(10)) | {key: text}
        ledger = a_ledger()
        with pytest.raises(ValueError, match=r"."):
            ledger.load(data, after(10))
        assert ledger.runs() == {}
        assert samples(ledger) == (0, 0)

    def test_sources_that_will_not_speak_again_are_forgotten(self) -> None:
        ledger = a_ledger()
        tell(ledger, completion(1), at=0)
        tell(ledger, report(1), source=SIDECAR, at=0)
        tell(ledger, report(1, run_uid="old"), source="old-1", at=0)
        ledger.forget("old")
        day = timedelta(days=1, seconds=1).total_seconds()
        assert set(_sources_after(ledger, 600)) == {GATEWAY, SIDECAR, "old-1"}
        assert set(_sources_after(ledger, 901)) == {GATEWAY, SIDECAR}
        assert set(_sources_after(ledger, day)) == {SIDECAR}, "its run lives"

    def test_it_stays_within_what_a_config_map_holds(self) -> None:
        ledger = a_ledger()
        for n in range(400):
            uid = f"5a1c0de0-0000-4000-8000-{n:012}"
            tell(ledger, report(1, run=f"run-{n}", run_uid=uid, final=True, result="x" * 4000), source=f"{uid}-1")
        data = ledger.to_data(after(10))
        assert sum(len(k) + len(v) for k, v in data.items()) <= MOST_BYTES
        assert len(ledger.runs()) == 400

    def test_r_t16_a_busy_route_is_kept_by_the_minute(self) -> None:
        fresh, widened, loaded = a_ledger(), a_ledger(), a_ledger()
        widened.configure(a_route(telemetry={"windowSeconds": 7200}).spec, ACCESS, NOON)
        loaded.load(fresh.to_data(NOON), NOON)
        for ledger in (fresh, widened, loaded):
            for _ in range(MOST_COMPLETIONS + 1):
                ledger.store.record(CompletionEvent("anthropic/sonnet", "s", NOON), NOON)
            assert samples(ledger, at=0) == (MOST_COMPLETIONS + 1, 0)
            assert ledger.store.session_usage("s", NOON).totals.message_count == 0

    def test_the_window_may_change(self) -> None:
        ledger = a_ledger()
        tell(ledger, completion(1, 0), at=0)
        ledger.configure(a_route(telemetry={"windowSeconds": 7200}).spec, ACCESS, after(1))
        assert samples(ledger, at=5000) == (1, 0)


def _sources_after(ledger: RouteLedger, seconds: float) -> dict[str, int]:
    ledger.to_data(after(seconds))
    return ledger.sources.numbers()


def test_records_from_the_future_are_counted_and_taken_as_of_now() -> None:
    ledger = a_ledger()
    assert tell(ledger, completion(1, 500), at=10).clamped == 1
    assert ledger.store.model_performance("anthropic/sonnet", after(10)).last_event_at == after(10)
