"""One pass over one AgentRun: gather → decide → apply → report."""

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from droveway.api.enums import Access, ConditionType
from droveway.api.errors import UserMustAct
from droveway.api.v1alpha1 import AgentRun, ModelProviderSpec
from droveway.cluster import events
from droveway.cluster.client import Cluster, Conflict, Manifest, Refused
from droveway.cluster.objects import AGENT_RUNS, CLAIMS, PODS, Key
from droveway.controllers.gather import Gatherer
from droveway.controllers.metrics import ATTEMPTS, RUNS_FINISHED, SEEN_TO_POD
from droveway.controllers.secrets import NamespaceKeys
from droveway.controllers.status import write_status
from droveway.controllers.world import FinishedRun, World
from droveway.core.conditions import find
from droveway.core.pod import PodSettings, attempt_pod, workspace_claim
from droveway.core.run import decide, refused
from droveway.core.runtrace import ended_spans
from droveway.core.snapshot import NewAttempt, Plan, Snapshot
from droveway.core.trace import run_trace
from droveway.observability.tracing import Spans

log = logging.getLogger(__name__)


async def _at_once() -> None:
    """Nobody else waits."""


@dataclass(slots=True)
class RunController:
    """Carries out what `core.run` decides.

    Attributes:
        spans: where traces go; None: they are off.
        give_way: awaited between a new pod and its report, so that under load all pods come before all reports.
    """

    cluster: Cluster
    world: World
    gatherer: Gatherer
    keys: NamespaceKeys
    pods: PodSettings
    spans: Spans | None = None
    give_way: Callable[[], Awaitable[None]] = _at_once
    written_at: dict[Key, datetime] = field(default_factory=dict)
    first_seen: dict[Key, datetime] = field(default_factory=dict)

    async def reconcile(self, key: Key) -> datetime | None:
        """One pass; returns when to look again."""
        run = self.world.runs.get(key)
        now = datetime.now(UTC)
        if run is None:
            self._forget(key)
            if not any(k.namespace == key.namespace for k in self.world.runs):
                await self.keys.release(key.namespace)
            return None
        if isinstance(run, FinishedRun):
            self._forget(key)
            return await self._expire(key, run, now)
        self.first_seen.setdefault(key, now)
        if run.metadata.deletion_timestamp:
            return None  # the garbage collector takes pods and claim
        self.world.waiting.add(key)  # before it looks: what changes during the pass wakes it again
        seen = await self.gatherer.gather(run, self.written_at.get(key), now)
        plan = decide(seen, now)
        plan = await self._create(seen, plan, now)
        if not plan.waiting:
            self.world.waiting.discard(key)
        if plan.create:
            await self.give_way()
        await self._report(key, run, plan)
        await self._delete(run, plan)
        return plan.wake_at

    def hurried(self, key: Key) -> bool:
        """Whether no pod was made for the run yet."""
        run = self.world.runs.get(key)
        return isinstance(run, AgentRun) and not self.world.pods_of(key.namespace, run.metadata.uid)

    async def _expire(self, key: Key, run: FinishedRun, now: datetime) -> datetime | None:
        if run.delete_at is None or now < run.delete_at:
            return run.delete_at
        await self.cluster.delete(AGENT_RUNS, *key, uid=run.uid)
        return None

    def _forget(self, key: Key) -> None:
        self.written_at.pop(key, None)
        self.first_seen.pop(key, None)
        self.world.waiting.discard(key)

    async def _create(self, seen: Snapshot, plan: Plan, now: datetime) -> Plan:
        """Creates the pod, and before it what it mounts. Twice is once: the names are the attempt's."""
        if (new := plan.create) is None:
            return plan
        run, route = seen.run, Key(seen.run.metadata.namespace, seen.run.spec.route_ref.name)
        try:
            role = self.gatherer.role(run, new.candidate.name)
            with (
                self._slot(Key(run.metadata.namespace, new.candidate.provider), role.provider),
                self.gatherer.ledger.starting(route, new.candidate.name) as probes,
            ):
                await self.keys.ensure(run.metadata.namespace)
                await self._ensure_claim(run)
                await self._create_pod(
                    run, new, attempt_pod(run, new, role, self.pods, probes=probes, sampled=self._sampled(run))
                )
        except (Refused, UserMustAct) as error:
            return refused(seen, str(error), now)
        key = Key(run.metadata.namespace, run.metadata.name)
        if new.number == 1 and key in self.first_seen:
            SEEN_TO_POD.observe((datetime.now(UTC) - self.first_seen[key]).total_seconds())
        ATTEMPTS.labels(key.namespace, new.candidate.provider, new.candidate.model).inc()
        return plan

    def _sampled(self, run: AgentRun) -> bool | None:
        return self.spans.sampled(run_trace(run.metadata.uid).trace_id) if self.spans else None

    @contextmanager
    def _slot(self, key: Key, provider: ModelProviderSpec) -> Iterator[None]:
        """One of a Direct provider's pods, from the decision for it on."""
        if provider.access is Access.DIRECT and self.world.live_pods(key) >= provider.max_in_flight:
            raise Conflict(409, "Conflict", f"another run has just taken the last slot of {key.name}")
        with self.world.starting(key):
            yield

    async def _ensure_claim(self, run: AgentRun) -> None:
        if run.status.attempt_count or not (claim := workspace_claim(run)):
            return
        try:
            await self.cluster.create(CLAIMS, claim)
        except Conflict:
            log.debug("workspace of %s/%s is there already", run.metadata.namespace, run.metadata.name)

    async def _create_pod(self, run: AgentRun, new: NewAttempt, pod: Manifest) -> None:
        try:
            self.world.pods.put(await self.cluster.create(PODS, pod))
        except Conflict:
            found = await self.cluster.get(PODS, run.metadata.namespace, new.pod_name)
            if found is None:
                raise
            owners = {o["uid"] for o in found["metadata"].get("ownerReferences") or []}
            if run.metadata.uid not in owners:
                raise UserMustAct(f"a pod named {new.pod_name} that is not ours is in the way; delete it") from None
            self.world.pods.put(found)

    async def _report(self, key: Key, run: AgentRun, plan: Plan) -> None:
        """One status write per pass, none when nothing changed; Events only for what really became true."""
        if plan.status == run.status:
            return
        status = plan.status.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        self.world.runs.put(await write_status(self.cluster, AGENT_RUNS, run, status))
        if self.spans and self._sampled(run):
            self.spans.record(ended_spans(run, plan.status))
        self.written_at[key] = datetime.now(UTC)
        if plan.status.completion_time and (summary := find(plan.status.conditions, ConditionType.SUCCEEDED)):
            RUNS_FINISHED.labels(key.namespace, summary.reason).inc()
        meta = {"name": key.name, "namespace": key.namespace, "uid": run.metadata.uid}
        for note in plan.notes:
            await events.record(self.cluster, "AgentRun", meta, note, datetime.now(UTC))

    async def _delete(self, run: AgentRun, plan: Plan) -> None:
        for pod in plan.delete:
            answer = await self.cluster.delete(PODS, run.metadata.namespace, pod.name, uid=pod.uid)
            if answer and answer.get("kind") == "Pod":
                self.world.pods.put(answer)
