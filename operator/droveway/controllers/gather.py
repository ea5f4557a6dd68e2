"""Reads a run's world once, and freezes it."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from droveway.agents import dialect_towards, launch, speaks
from droveway.api import names
from droveway.api.enums import Access, Dialect, QuotaWindow, Reason
from droveway.api.errors import UserMustAct
from droveway.api.v1alpha1 import Agent, AgentRun, Candidate, ModelProvider, ModelRoute
from droveway.cluster.objects import Key
from droveway.controllers.secrets import Sources
from droveway.controllers.world import World
from droveway.core.events import Record
from droveway.core.facts import RunFacts
from droveway.core.launch import LaunchRequest
from droveway.core.pod import PodSettings, Role
from droveway.core.provider import leaks_login, redirects_login
from droveway.core.ranking import CandidateView
from droveway.core.routing import NO_FREE_SLOT
from droveway.core.snapshot import Problem, Snapshot
from droveway.core.spend import Spend
from droveway.core.tenant import Blocked, blocked


class Ledger(Protocol):
    """What events have told, per route."""

    def candidates(self, namespace: str, route: ModelRoute, now: datetime) -> Sequence[CandidateView]:
        """The route's candidates with limits, breakers and telemetry."""

    def facts(self, route: Key, run_uid: str) -> RunFacts:
        """What events have told about a run."""

    def spent(self, namespace: str, now: datetime) -> Mapping[QuotaWindow, Spend]:
        """What the namespace has used in the windows of quotas."""

    def note_final(self, route: Key, record: Record) -> None:
        """Takes the final record of a sidecar from its termination message, unless it was delivered before."""

    def starting(self, route: Key, candidate: str) -> AbstractContextManager[bool]:
        """While an attempt is being made, which nobody else may make now; whether it is a probe. Else there is a Conflict."""


@dataclass(slots=True)
class Gatherer:
    """IO in: everything that a decision about a run may look at."""

    world: World
    sources: Sources
    ledger: Ledger
    pods: PodSettings
    allow_direct_base_url: bool = False
    listening_since: datetime | None = None

    async def gather(self, run: AgentRun, written_at: datetime | None, now: datetime) -> Snapshot:
        """The snapshot of a live run."""
        namespace = run.metadata.namespace
        route_key = Key(namespace, run.spec.route_ref.name)
        pods = self.world.pods_of(namespace, run.metadata.uid)
        for pod in pods:
            if pod.final:
                self.ledger.note_final(route_key, pod.final)
        facts = self.ledger.facts(route_key, run.metadata.uid)
        route = self.world.routes.get(route_key)
        if route is None:
            text = f"spec.routeRef: there is no ModelRoute {route_key.name} in namespace {namespace}; create it"
            return Snapshot(
                run, pods, None, (), Problem(Reason.ROUTE_NOT_FOUND, text), facts, written_at, self.listening_since
            )
        views = self.ledger.candidates(namespace, route, now)
        problem = None
        if not pods:
            views = [await self._fitted(run, view, c) for view, c in zip(views, route.spec.candidates, strict=True)]
            problem = await self._problem(run)
        since, block = self.listening_since, None if pods else self._blocked(namespace, now)
        return Snapshot(run, pods, route, tuple(views), problem, facts, written_at, since, block)

    def _blocked(self, namespace: str, now: datetime) -> Blocked | None:
        """The quota of the namespace that is used up for longest."""
        quotas = self.world.quotas_of(namespace)
        spent = self.ledger.spent(namespace, now) if quotas else {}
        found = [block for quota in quotas if (block := blocked(quota, spent, now))]
        return max(found, key=lambda block: block.until, default=None)

    def role(self, run: AgentRun, candidate: str) -> Role:
        """Who plays in an attempt on a candidate.

        Raises:
            UserMustAct: something it needs is missing or does not fit.
        """
        route = self.world.routes.get(Key(run.metadata.namespace, run.spec.route_ref.name))
        line = next((c for c in route.spec.candidates if c.name == candidate), None) if route else None
        if line is None:
            raise UserMustAct(f"the route no longer has a candidate {candidate}")
        agent, provider = self._agent(run, line), self._provider(run, line)
        if agent is None or provider is None:
            raise UserMustAct(f"candidate {candidate}: its Agent or ModelProvider was deleted meanwhile")
        if leak := self._leak(provider):
            raise UserMustAct(f"candidate {candidate}: {leak}")
        spec, access = agent.spec, provider.spec.access
        spoken = provider.spec.dialect
        if access is Access.GATEWAY:
            spoken = dialect_towards(spec.cli, spoken)
        url = self.pods.gateway_url if access is Access.GATEWAY else provider.spec.base_url
        request = LaunchRequest(
            cli=spec.cli,
            dialect=spoken,
            access=access,
            model=line.model,
            url=url,
            prompt=run.spec.prompt,
            prompt_file=f"{names.PATH_PROMPT}/prompt" if run.spec.prompt_from else None,
            command=tuple(spec.command),
            args=tuple(spec.args),
            portable=access is Access.GATEWAY and self._converts(run, route, spoken),
        )
        return Role(agent.metadata.name, spec, launch(request), provider.spec, run.spec.route_ref.name)

    def _converts(self, run: AgentRun, route: ModelRoute | None, spoken: Dialect) -> bool:
        """Whether a request in that dialect may be served by a provider of another."""
        providers = [self._provider(run, line) for line in route.spec.candidates] if route else []
        return any(p and p.spec.access is Access.GATEWAY and p.spec.dialect is not spoken for p in providers)

    async def _fitted(self, run: AgentRun, view: CandidateView, line: Candidate) -> CandidateView:
        """The view, with what speaks against it for this run."""
        if view.not_ready:
            return view
        provider, agent = self._provider(run, line), self._agent(run, line)
        if provider is None:
            text = f"create ModelProvider {line.provider_ref.name}"
            return replace(view, not_ready=(Reason.PROVIDER_NOT_FOUND, text))
        if leak := self._leak(provider):  # its status may not say so yet
            return replace(view, not_ready=(Reason.BASE_URL_REFUSED, leak))
        if agent is None:
            return replace(view, not_ready=(Reason.AGENT_NOT_FOUND, self._no_agent(run, line)))
        if missing := await self._missing_secret(run.metadata.namespace, provider):
            return replace(view, not_ready=missing)
        return replace(view, unfit=self._unfit(agent, provider))

    def _leak(self, provider: ModelProvider) -> str | None:
        return leaks_login(provider.spec, allow_direct_base_url=self.allow_direct_base_url)

    def _unfit(self, agent: Agent, provider: ModelProvider) -> tuple[str, str] | None:
        if provider.spec.access is Access.DIRECT:
            if provider.spec.dialect not in speaks(agent.spec.cli):
                other = f"{agent.spec.cli} does not speak {provider.spec.dialect}; give the candidate another agentRef"
                return Reason.AGENT_INVALID, other
            if agent.spec.cli != "claude":
                return Reason.AGENT_INVALID, "a Direct provider needs the official CLI: an Agent with cli: claude"
            if not self.allow_direct_base_url and (text := redirects_login(agent.spec.env)):
                return Reason.AGENT_INVALID, text
            busy = self.world.live_pods(Key(provider.metadata.namespace, provider.metadata.name))
            if busy >= provider.spec.max_in_flight:
                return NO_FREE_SLOT, f"{busy} of {provider.spec.max_in_flight} pods run on {provider.metadata.name}"
        return None

    async def _missing_secret(self, namespace: str, provider: ModelProvider) -> tuple[str, str] | None:
        ref = provider.spec.credentials_ref
        if ref is None:
            return None
        keys = await self.sources.secret_keys(Key(namespace, ref.name))
        if keys is None:
            return (
                Reason.SECRET_NOT_FOUND,
                f"ModelProvider {provider.metadata.name} needs Secret {ref.name} in namespace {namespace}",
            )
        if ref.key not in keys:
            return Reason.SECRET_KEY_MISSING, f"Secret {ref.name} has no key {ref.key}"
        return None

    async def _problem(self, run: AgentRun) -> Problem | None:
        """What keeps any attempt from being made."""
        if (source := run.spec.prompt_from) is None:
            return None
        namespace = run.metadata.namespace
        if ref := source.config_map_key_ref:
            kind, keys = "ConfigMap", await self.sources.config_map_keys(Key(namespace, ref.name))
        elif ref := source.secret_key_ref:
            kind, keys = "Secret", await self.sources.secret_keys(Key(namespace, ref.name))
        else:
            return None
        if keys is None:
            return Problem(
                Reason.PROMPT_NOT_FOUND,
                f"spec.promptFrom: there is no {kind} {ref.name} in namespace {namespace}; create it",
            )
        if ref.key not in keys:
            return Problem(Reason.PROMPT_NOT_FOUND, f"spec.promptFrom: {kind} {ref.name} has no key {ref.key}; add it")
        return None

    def _agent(self, run: AgentRun, line: Candidate) -> Agent | None:
        ref = line.agent_ref or run.spec.agent_ref
        return self.world.agents.get(Key(run.metadata.namespace, ref.name)) if ref else None

    def _provider(self, run: AgentRun, line: Candidate) -> ModelProvider | None:
        return self.world.providers.get(Key(run.metadata.namespace, line.provider_ref.name))

    def _no_agent(self, run: AgentRun, line: Candidate) -> str:
        ref = line.agent_ref or run.spec.agent_ref
        if ref is None:
            return "set spec.agentRef of the run, or agentRef of the candidate"
        return f"create Agent {ref.name} in namespace {run.metadata.namespace}"
