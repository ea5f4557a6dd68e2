"""Whether a run has used up what it may use."""

from decimal import Decimal

from droveway.api.v1alpha1 import Usage
from droveway.api.v1alpha1.agentrun import Budget


def overrun(budget: Budget, usage: Usage) -> str | None:
    """What was exceeded, in words; None while the run is within its budget.

    A completion whose cost is unknown does not count against `maxCostUSD`; its tokens count against `maxTokens`.
    """
    if budget.max_tokens is not None and usage.tokens.total >= budget.max_tokens:
        return f"used {usage.tokens.total} of {budget.max_tokens} tokens"
    if (
        budget.max_cost_usd is not None
        and usage.cost_usd is not None
        and Decimal(usage.cost_usd) >= Decimal(budget.max_cost_usd)
    ):
        return f"cost {usage.cost_usd} of {budget.max_cost_usd} US dollars"
    return None
