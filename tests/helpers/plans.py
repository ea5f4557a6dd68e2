"""Plans for a run, and runs that have been tried."""

from typing import Any

from droveway.api.enums import EndClass
from droveway.api.v1alpha1 import AgentRunStatus, Attempt
from droveway.api.v1alpha1.agentrun import Rejection
from droveway.core.snapshot import Plan
from helpers.build import NOON, RunBuilder, a_run, after


def said(plan: Plan) -> dict[str, tuple[str, str, str]]:
    """The conditions of a plan: status, reason and message by type."""
    return {c.type: (c.status, c.reason, c.message) for c in plan.status.conditions}


def rejected(plan: Plan) -> list[Rejection]:
    return plan.status.route.rejected if plan.status.route else []


def tried(end: EndClass, run: RunBuilder | None = None, **status: Any) -> RunBuilder:
    """A run whose first attempt, on candidate a, ended like this at noon; its pod is gone."""
    attempt = Attempt(
        number=1,
        pod_name="fix-login-5a1c0-1",
        candidate="a",
        provider="a-provider",
        model="a-model",
        node_name="node-1",
        start_time=after(-60),
        end_time=NOON,
    ).model_copy(update={"end_class": end, "message": "last words"})
    known = AgentRunStatus(start_time=after(-60), attempts=[attempt], attempt_count=1, health="Healthy")
    return (run or a_run()).known(known.model_copy(update=status))
