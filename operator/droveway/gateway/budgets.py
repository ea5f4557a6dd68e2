"""What runs have used of their budgets, counted where it is used: the operator hears of it a second later."""

from dataclasses import dataclass

from droveway.core.quota import NOTHING, Amount
from droveway.core.tally import dollars
from droveway.gateway.config import Config, Run, Spent

_FEW = 512


@dataclass(slots=True)
class _Used:
    """Of one run: what its status said when it was first seen, and what was counted here since."""

    before: Amount
    own: Amount = NOTHING


class RunBudgets:
    """The accounts of runs that have a budget.

    The status of a run lags by seconds and holds what other replicas counted, too: the larger of both counts.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._used: dict[str, _Used] = {}
        self._prune_at = _FEW

    def overrun(self, run: Run) -> str | None:
        """What a run has used up, in words; None while it may go on."""
        if run.budget is None:
            return None
        used, budget = self._of(run, run.budget), run.budget
        if budget.max_tokens is not None and used.tokens >= budget.max_tokens:
            return f"run {run.name} has used {used.tokens} of {budget.max_tokens} tokens (spec.budget.maxTokens)"
        if budget.max_cost is not None and used.cost >= budget.max_cost:
            cost, most = dollars(used.cost), dollars(budget.max_cost)
            return f"run {run.name} has cost {cost} of {most} US dollars (spec.budget.maxCostUSD)"
        return None

    def add(self, run: Run, spent: Amount) -> None:
        """A request of it has used so much."""
        if run.budget is not None:
            self._of(run, run.budget)
            known = self._used[run.uid]
            known.own = known.own.plus(spent)

    def _of(self, run: Run, budget: Spent) -> Amount:
        known = self._used.get(run.uid)
        if known is None:
            self._prune()
            known = self._used[run.uid] = _Used(budget.used)
        latest = self._config.find_run(run.uid) or run
        told = latest.budget.used if latest.budget else NOTHING
        return known.before.plus(known.own).at_least(told)

    def _prune(self) -> None:
        """Forgets runs that are gone, now and then."""
        if len(self._used) >= self._prune_at:
            self._used = {uid: used for uid, used in self._used.items() if self._config.find_run(uid)}
            self._prune_at = max(_FEW, 2 * len(self._used))
