"""One-line builders of snapshots: a run, its pods, its route, what events told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from droveway.api.enums import Access, Dialect, EndClass
from droveway.api.v1alpha1 import AgentRun, AgentRunStatus, ModelRoute
from droveway.api.v1alpha1.agentrun import AttemptUsage
from droveway.api.v1alpha1.modelroute import TokensStatus
from droveway.core.events import Record, RecordKind
from droveway.core.facts import AttemptFacts, RunFacts
from droveway.core.podview import PodView
from droveway.core.ranking import CandidateView
from droveway.core.snapshot import Problem, Snapshot
from droveway.core.verdict import Scope, Verdict

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
UID = "5a1c0de0-0000-4000-8000-000000000001"


def after(seconds: float) -> datetime:
    """A moment counted from noon."""
    return NOON + timedelta(seconds=seconds)


def limit(until: datetime | None, kind: EndClass = EndClass.SUBSCRIPTION_LIMIT) -> Verdict:
    return Verdict(kind, until, Scope.QUOTA_GROUP, f"{kind} until {until}")


def candidate(name: str, **changes: Any) -> CandidateView:
    view = CandidateView(name, f"{name}-provider", f"{name}-model", Dialect.ANTHROPIC, Access.GATEWAY)
    return replace(view, **changes)


@dataclass(frozen=True)
class RunBuilder:
    """A run and its world; every method returns a changed copy."""

    spec: Mapping[str, Any] = field(default_factory=dict)
    status: AgentRunStatus = AgentRunStatus()
    pods: tuple[PodView, ...] = ()
    views: tuple[CandidateView, ...] = (candidate("a"), candidate("b"))
    route: Mapping[str, Any] = field(default_factory=dict)
    facts: RunFacts = RunFacts()
    problem: Problem | None = None
    routed: bool = True
    written_at: datetime | None = None
    listening_since: datetime | None = None

    def but(self, **spec: Any) -> RunBuilder:
        return replace(self, spec={**self.spec, **spec})

    def known(self, status: AgentRunStatus) -> RunBuilder:
        return replace(self, status=status)

    def having(self, *views: CandidateView) -> RunBuilder:
        return replace(self, views=views)

    def with_route(self, **spec: Any) -> RunBuilder:
        return replace(self, route={**self.route, **spec})

    def with_pod(self, attempt: int = 1, **changes: Any) -> RunBuilder:
        return replace(self, pods=(*(p for p in self.pods if p.attempt != attempt), pod(attempt, **changes)))

    def without_pods(self) -> RunBuilder:
        return replace(self, pods=())

    def told(self, attempt: int | None = None, *, completions: int = 0, tokens: int = 0, **facts: Any) -> RunBuilder:
        """What events told: about an attempt when its number is given, else about the run."""
        if attempt is None:
            return replace(self, facts=replace(self.facts, **facts))
        usage = AttemptUsage(completions=completions, tokens=TokensStatus(total=tokens))
        attempts = {**self.facts.attempts, attempt: AttemptFacts(usage=usage, **facts)}
        return replace(self, facts=replace(self.facts, attempts=attempts))

    def build(self) -> Snapshot:
        run = AgentRun.model_validate(
            {
                "metadata": {
                    "name": "fix-login",
                    "namespace": "team",
                    "uid": UID,
                    "generation": 1,
                    "resourceVersion": "7",
                },
                "spec": {"routeRef": {"name": "r"}, "agentRef": {"name": "claude"}, "prompt": "fix it", **self.spec},
                "status": self.status.to_wire(),
            }
        )
        candidates = [{"name": v.name, "providerRef": {"name": v.provider}, "model": v.model} for v in self.views]
        route = ModelRoute.model_validate(
            {"metadata": {"name": "r", "namespace": "team"}, "spec": {"candidates": candidates, **self.route}}
        )
        seen = Snapshot(
            run, self.pods, route if self.routed else None, self.views, self.problem, self.facts, self.written_at
        )
        return replace(seen, listening_since=self.listening_since)


def a_run(**spec: Any) -> RunBuilder:
    return RunBuilder(spec)


def pod(attempt: int = 1, **changes: Any) -> PodView:
    view = PodView(
        name=f"fix-login-5a1c0-{attempt}",
        uid=f"pod-{attempt}",
        run="fix-login",
        run_uid=UID,
        attempt=attempt,
        candidate="a",
        provider="a-provider",
        model="a-model",
        phase="Running",
        created_at=NOON,
        node="node-1",
        started_at=NOON,
    )
    return replace(view, **changes)


def ended(exit_code: int | None = 0, at: datetime = NOON, **changes: Any) -> dict[str, Any]:
    """Changes that make a pod one whose containers have ended."""
    phase = "Succeeded" if exit_code == 0 else "Failed"
    return {"phase": phase, "exit_code": exit_code, "finished_at": at, **changes}


def final(end_class: EndClass, **changes: Any) -> Record:
    """The sidecar's final record."""
    record = Record(
        9,
        RecordKind.REPORT,
        NOON,
        "fix-login",
        UID,
        1,
        final=True,
        end_class=end_class,
        success=end_class is EndClass.SUCCEEDED,
    )
    return replace(record, **changes)
