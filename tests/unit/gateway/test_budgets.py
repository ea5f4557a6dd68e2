"""What a run has used of its budget: its status and this gateway's own count, whichever is further."""

from dataclasses import replace

import pytest

from droveway.core.quota import Amount
from droveway.gateway.budgets import RunBudgets
from droveway.gateway.config import Config, Run, Snapshot, Spent, run_of

RUN = Run("uid", "n", "fix", "coding", budget=Spent(100, None, Amount()))


def told(tokens: int, cost: int = 0, run: Run = RUN) -> Run:
    assert run.budget
    return replace(run, budget=run.budget._replace(used=Amount(tokens, cost)))


def serving(run: Run) -> Config:
    config = Config()
    config.swap(Snapshot.of([], [], [run]))
    return config


def test_its_own_calls_count_at_once_on_top_of_what_its_status_said_at_first() -> None:
    config = serving(told(40))
    budgets = RunBudgets(config)
    assert budgets.overrun(told(40)) is None
    budgets.add(told(40), Amount(59))
    assert budgets.overrun(told(40)) is None
    budgets.add(told(40), Amount(1))
    assert budgets.overrun(told(40)) == "run fix has used 100 of 100 tokens (spec.budget.maxTokens)"


def test_what_others_counted_counts_when_its_status_says_so_and_nothing_twice() -> None:
    config = serving(told(0))
    budgets = RunBudgets(config)
    budgets.add(told(0), Amount(60))
    config.put_run("uid", told(60))  # its status has heard of it
    assert budgets.overrun(told(60)) is None
    config.put_run("uid", told(100))
    assert budgets.overrun(told(60)) is not None


def test_money_is_a_budget_too() -> None:
    run = replace(RUN, budget=Spent(None, 2_500_000_000, Amount(10**9)))
    budgets = RunBudgets(serving(run))
    assert budgets.overrun(run) is None
    budgets.add(run, Amount(0, 2_500_000_000))
    assert budgets.overrun(run) == "run fix has cost 2.5 of 2.5 US dollars (spec.budget.maxCostUSD)"


def test_who_has_no_budget_is_not_kept() -> None:
    run = replace(RUN, budget=None)
    budgets = RunBudgets(serving(run))
    budgets.add(run, Amount(10**9))
    assert budgets.overrun(run) is None
    assert not budgets._used


def test_runs_that_are_gone_are_forgotten() -> None:
    config = serving(RUN)
    budgets = RunBudgets(config)
    for number in range(2000):
        budgets.add(replace(RUN, uid=f"gone-{number}"), Amount(1))
    budgets.add(RUN, Amount(60))
    assert len(budgets._used) <= 512
    for number in range(2000):
        budgets.add(replace(RUN, uid=f"later-{number}"), Amount(1))
    budgets.add(RUN, Amount(40))
    assert budgets.overrun(RUN) is not None


@pytest.mark.parametrize(
    ("budget", "usage", "read"),
    [
        (None, {}, None),
        ({}, {"costUSD": "3"}, None),
        ({"maxTokens": 5}, {}, Spent(5, None, Amount())),
        ({"maxTokens": 5}, {"tokens": {"total": 3}}, Spent(5, None, Amount(3))),
        ({"maxCostUSD": "2.50"}, {"costUSD": "0.000000001"}, Spent(None, 2_500_000_000, Amount(0, 1))),
    ],
)
def test_a_manifest_says_what_may_be_used_and_what_was(budget: object, usage: object, read: Spent | None) -> None:
    manifest = {
        "metadata": {"name": "fix", "uid": "uid"},
        "spec": {"routeRef": {"name": "coding"}, "budget": budget},
        "status": {"usage": usage},
    }
    assert run_of(manifest).budget == read
