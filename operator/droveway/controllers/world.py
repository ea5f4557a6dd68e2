"""What the operator knows of the cluster, and who has to be woken when it changes."""

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from droveway.api import names
from droveway.api.v1alpha1 import Agent, AgentRun, ModelProvider, ModelRoute, TenantQuota
from droveway.cluster.client import Cluster
from droveway.cluster.informer import Informer
from droveway.cluster.objects import PODS, Key, Store, key_of
from droveway.core.finish import expires_at
from droveway.core.podview import PodView, pod_view

log = logging.getLogger(__name__)

Wake = Callable[[Key], None]


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """All that is kept of a run that is over."""

    uid: str
    delete_at: datetime | None


def keep_run(manifest: dict[str, Any]) -> AgentRun | FinishedRun:
    """A live run whole, a finished one as a few bytes."""
    run = AgentRun.model_validate(manifest)
    if run.status.completion_time is None:
        return run
    return FinishedRun(run.metadata.uid, expires_at(run.spec, run.status))


class World:
    """The caches, and the indices over them."""

    def __init__(self, cluster: Cluster, namespaces: tuple[str, ...] = ()) -> None:
        self.runs: Store[AgentRun | FinishedRun] = Store(keep_run)
        self.agents: Store[Agent] = Store(Agent.model_validate)
        self.providers: Store[ModelProvider] = Store(ModelProvider.model_validate)
        self.routes: Store[ModelRoute] = Store(ModelRoute.model_validate)
        self.quotas: Store[TenantQuota] = Store(TenantQuota.model_validate)
        self.pods: Informer[PodView] = Informer(
            cluster,
            PODS,
            pod_view,
            self._on_pod,
            namespaces=namespaces,
            label_selector=f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY}",
        )
        self._pods_of: defaultdict[tuple[str, str], set[Key]] = defaultdict(set)
        self._live_pods: defaultdict[Key, set[Key]] = defaultdict(set)
        self._starting: Counter[Key] = Counter()
        self.waiting: set[Key] = set()
        self.wake_run: Wake = lambda _: None
        self.wake_route: Wake = lambda _: None
        self.wake_provider: Wake = lambda _: None
        self.wake_quota: Wake = lambda _: None

    def store_of(self, plural: str) -> Store[Any]:
        """The cache of one of our kinds."""
        store: Store[Any] = getattr(self, _STORES[plural])
        return store

    def pods_of(self, namespace: str, run_uid: str) -> tuple[PodView, ...]:
        """The pods of a run, in its own namespace."""
        found = (self.pods.get(key) for key in self._pods_of.get((namespace, run_uid), ()))
        return tuple(p for p in found if p)

    def live_pods(self, provider: Key) -> int:
        """Pods on a provider that have not ended, and those that are being created."""
        return len(self._live_pods.get(provider, ())) + self._starting[provider]

    @contextmanager
    def starting(self, provider: Key) -> Iterator[None]:
        """Counts a pod from the decision for it on, so that no two runs take the last slot."""
        self._starting[provider] += 1
        try:
            yield
        finally:
            self._starting[provider] -= 1

    def quotas_of(self, namespace: str) -> list[TenantQuota]:
        """The quotas of a namespace."""
        return [quota for key, quota in self.quotas.items() if key.namespace == namespace]

    def wake_waiting(self, namespace: str) -> None:
        """Something changed that runs may be waiting for; the most important goes first."""
        here = [key for key in self.waiting if key.namespace == namespace]
        for key in sorted(here, key=self._priority):
            self.wake_run(key)

    def take(self, plural: str, event: str | None, manifest: dict[str, Any]) -> bool:
        """One event of kopf's watch on our own resources; says whether it was news."""
        store, key = self.store_of(plural), key_of(manifest)
        try:
            changed = store.remove(manifest) if event == "DELETED" else store.put(manifest)
        except ValidationError:
            log.exception("%s %s/%s does not fit its own schema: this is a bug of ours", plural, *key)
            return False
        if changed:
            self.changed(plural, key)
        return changed

    def changed(self, plural: str, key: Key) -> None:
        """Wakes whoever looks at this object."""
        if plural == names.AGENT_RUNS:
            self.wake_run(key)
            return
        if plural == names.MODEL_ROUTES:
            self.wake_route(key)
        elif plural == names.TENANT_QUOTAS:
            self.wake_quota(key)
        elif plural == names.MODEL_PROVIDERS:
            self.wake_provider(key)
            self._wake_routes_of(key)
        self.wake_waiting(key.namespace)

    def _wake_routes_of(self, provider: Key) -> None:
        for key, route in self.routes.items():
            if key.namespace == provider.namespace and any(
                c.provider_ref.name == provider.name for c in route.spec.candidates
            ):
                self.wake_route(key)

    def _priority(self, key: Key) -> int:
        run = self.runs.get(key)
        return -run.spec.priority if isinstance(run, AgentRun) else 0

    def _on_pod(self, key: Key, before: PodView | None, after: PodView | None) -> None:
        if before and after and before.uid != after.uid:  # another pod took its name while nobody watched
            self._on_pod(key, before, None)
            before = None
        pod = after or before
        if pod is None or not pod.run_uid:  # a stranger with our labels
            return
        provider = Key(key.namespace, pod.provider)
        was_live = key in self._live_pods[provider]
        run = (key.namespace, pod.run_uid)
        if after is None:
            self._pods_of[run].discard(key)
            if not self._pods_of[run]:
                del self._pods_of[run]
        else:
            self._pods_of[run].add(key)
        if after is None or after.ended:
            self._live_pods[provider].discard(key)
        else:
            self._live_pods[provider].add(key)
        if _is_news(before, after):
            self.wake_run(Key(key.namespace, pod.run))
        if was_live and key not in self._live_pods[provider]:
            self.wake_waiting(key.namespace)


def _is_news(before: PodView | None, after: PodView | None) -> bool:
    """Whether it decides anything: neither where a pod lands does, nor a new pod, which its maker knows."""
    if before and after:
        return replace(before, node=after.node) != after
    return after is None or not after.unborn


_STORES = {
    names.AGENT_RUNS: "runs",
    names.AGENTS: "agents",
    names.MODEL_PROVIDERS: "providers",
    names.MODEL_ROUTES: "routes",
    names.TENANT_QUOTAS: "quotas",
}
