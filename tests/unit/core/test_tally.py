"""What one run has used, in whole numbers."""

import json
from typing import Any

import pytest

from droveway.api.enums import EndClass
from droveway.api.v1alpha1 import Usage
from droveway.core.completion import TokenBreakdown
from droveway.core.tally import AttemptTally, ModelTally, RunTally, dollars, nano_dollars
from droveway.core.verdict import Scope
from helpers.told import after, completion, direct, outage, report, verdict


def settled(counted_cost: float | None, **final: Any) -> Usage:
    """Usage after one call of 100 tokens and the last record of its attempt."""
    tally = RunTally("fix-login")
    tally.count(direct(1, cost_usd=counted_cost), by_agent=True)
    tally.settle(report(2, final=True, **final))
    return tally.facts().usage


@pytest.mark.parametrize(
    ("counted", "told", "cost", "source"),
    [
        pytest.param(0.25, 1.0, "1", "Reported", id="the rest is added"),
        pytest.param(0.25, 0.25, "0.25", "Reported", id="nothing is missing"),
        pytest.param(0.25, 0.1, "0.25", "Reported", id="less was told than was counted"),
        pytest.param(0.25, None, "0.25", "Reported", id="nothing was told"),
        pytest.param(None, 0.000000001, "0.000000001", "Reported", id="nothing was counted"),
        pytest.param(None, 0.0, None, "Unknown", id="free is no news"),
        pytest.param(None, None, None, "Unknown", id="nobody knows"),
    ],
)
def test_a_last_record_completes_the_cost(
    counted: float | None, told: float | None, cost: str | None, source: str
) -> None:
    usage = settled(counted, cost_usd=told)

    assert (usage.cost_usd, usage.cost_source) == (cost, source)


@pytest.mark.parametrize(
    ("final", "completions", "total"),
    [
        pytest.param({"completions": 3}, 3, 100, id="calls alone"),
        pytest.param({"tokens": TokenBreakdown(total=130)}, 1, 130, id="tokens alone"),
        pytest.param({"cost_usd": 9.0}, 1, 100, id="money alone"),
        pytest.param({"completions": 1, "tokens": TokenBreakdown(total=90)}, 1, 100, id="less than was counted"),
    ],
)
def test_a_last_record_adds_only_what_is_missing(final: dict[str, Any], completions: int, total: int) -> None:
    usage = settled(0.25, **final)

    assert (usage.completions, usage.tokens.total, usage.tokens.input) == (completions, total, 70)
    assert [m.failures for m in usage.by_model] == [0]


@pytest.mark.parametrize(
    ("counted", "told", "unpriced"),
    [
        pytest.param(None, 1.0, 0, id="the whole attempt is paid for"),
        pytest.param(None, 0.0, 1, id="free is no news"),
        pytest.param(None, None, 1, id="nobody knows"),
        pytest.param(0.25, None, 0, id="each call has told"),
    ],
)
def test_a_call_without_a_price_is_counted_until_somebody_tells(
    counted: float | None, told: float | None, unpriced: int
) -> None:
    assert settled(counted, cost_usd=told).unpriced_completions == unpriced


def test_what_never_arrived_and_has_no_price_is_counted_too() -> None:
    usage = settled(0.25, completions=3, tokens=TokenBreakdown(total=300))
    assert (usage.unpriced_completions, usage.completions) == (2, 3)


def test_lost_books_go_on_from_what_the_status_says_of_costs() -> None:
    before, after_loss = RunTally("fix-login"), RunTally("fix-login")
    before.count(completion(1, cost_usd=0.5), by_agent=False)
    before.count(completion(2, cost_usd=None), by_agent=False)
    after_loss.adopt(before.facts().usage)
    assert after_loss.facts().usage == before.facts().usage


def test_a_call_that_used_nothing_lacks_no_price() -> None:
    tally = RunTally("fix-login")
    tally.count(completion(1, cost_usd=None, tokens=TokenBreakdown()), by_agent=False)
    assert tally.facts().usage.unpriced_completions == 0


def test_a_last_record_that_adds_nothing_names_no_model() -> None:
    tally = RunTally("fix-login")
    tally.settle(report(1, final=True))

    assert tally.facts().usage == Usage()


def test_failures_and_unknown_costs_survive_lost_books() -> None:
    tally = RunTally("fix-login")
    tally.count(outage(1), by_agent=False)
    tally.count(completion(2, cost_usd=None), by_agent=False)
    again = RunTally("fix-login")
    again.adopt(tally.facts().usage)

    assert again.facts().usage == tally.facts().usage
    assert [(m.completions, m.failures, m.cost_usd) for m in again.facts().usage.by_model] == [(2, 1, None)]


def test_more_models_than_a_status_holds_are_added_to_the_last() -> None:
    tally = RunTally("fix-login")
    for number in range(18):
        tally.count(completion(number, model=f"m{number:02}"), by_agent=False)
    usage = tally.facts().usage

    assert [m.completions for m in usage.by_model] == [1] * 15 + [3]
    assert (usage.completions, usage.by_model[-1].model) == (18, "m15")


LIMIT = verdict(EndClass.SUBSCRIPTION_LIMIT, after(60), "weekly limit")
OUTAGE = verdict(EndClass.PROVIDER_OUTAGE, reason="529", scope=Scope.PROVIDER)


def test_everything_that_was_told_is_written_and_read() -> None:
    whole = AttemptTally(
        exhausted=LIMIT,
        exhausted_at=after(1),
        reported=OUTAGE,
        limit_told=OUTAGE,
        stalled=True,
        final=True,
        exit_code=0,
        end_class=EndClass.AGENT_FAILED,
        message="gave up",
        counted=ModelTally([6, 1, 2, 3, 4, 5], 7, 8, 9, 2),
        told=10,
        asked_first="a",
        served_by="b",
        served_at=after(2),
    )
    tally = RunTally("fix-login", session_id="s-1", result="done", attempts={1: whole, 2: AttemptTally()})
    tally.count(completion(1), by_agent=False)
    tally.moved(after(3), "a", "b", "529")

    assert RunTally.from_data(json.loads(json.dumps(tally.to_data()))) == tally
    assert AttemptTally().to_data() == {"counted": [[0] * 6, None, 0, 0, 0]}


def test_an_attempt_knows_what_it_used() -> None:
    tally = RunTally("fix-login")
    for record in (completion(1, cost_usd=0.25), outage(2), completion(3, attempt=2)):
        tally.count(record, by_agent=False)
    used = tally.facts().attempts[1].usage

    assert used.model_dump() == {
        "tokens": {"total": 100, "input": 70, "output": 30, "reasoning": 0, "cache_read": 0, "cache_write": 0},
        "cost_usd": "0.25",
        "completions": 2,
        "failures": 1,
    }


def test_who_serves_is_the_latest_attempts_unless_another_is_asked_for() -> None:
    tally = RunTally("fix-login")
    assert tally.facts().served_by == ""
    tally.attempt(0).served_by = "nobody asked"
    tally.attempt(2).served_by, tally.attempt(1).served_by = "b", "a"

    assert (tally.facts().served_by, tally.facts(1).served_by, tally.facts(3).served_by) == ("b", "a", "")


def test_names_are_cut_to_what_a_status_takes() -> None:
    tally = RunTally("fix-login")
    tally.count(completion(1, provider="p" * 300, model="m" * 300), by_agent=False)
    (model,) = tally.facts().usage.by_model

    assert (model.provider, model.model) == ("p" * 253, "m" * 256)


@pytest.mark.parametrize(
    ("cost", "nano", "text"),
    [
        (0.0, 0, "0"),
        (0.1, 100_000_000, "0.1"),
        (10.0, 10_000_000_000, "10"),
        (0.000000001, 1, "0.000000001"),
        (1e11, 2**53 - 1, "9007199.254740991"),
    ],
)
def test_money_is_counted_in_billionths_of_a_dollar(cost: float, nano: int, text: str) -> None:
    assert (nano_dollars(cost), dollars(nano)) == (nano, text)


def test_sums_stay_what_json_can_hold() -> None:
    tally = RunTally("fix-login")
    for number in range(3):
        tally.count(completion(number, tokens=TokenBreakdown(total=2**52), cost_usd=5e6), by_agent=False)
    tally.settle(report(9, final=True, completions=10**30))
    usage = tally.facts().usage

    assert (usage.tokens.total, usage.cost_usd) == (2**53 - 1, "9007199.254740991")
    assert usage.completions == 2**53 - 1
