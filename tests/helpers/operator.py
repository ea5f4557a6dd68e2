"""An operator without its processes: a world, its ledgers, and a clock that is set by hand."""

import asyncio
from datetime import datetime, timedelta
from typing import Any, cast

from droveway.api import names
from droveway.api.enums import EndClass
from droveway.cluster.client import Cluster
from droveway.cluster.objects import Key
from droveway.controllers.ledger import Ledgers
from droveway.controllers.world import World
from helpers.objects import FakeCluster
from helpers.told import NOON, UID, provider_manifest, route_manifest

ROUTE = Key("team", "coding")
RUN = Key("team", "fix-login")
MAP = ("configmaps", "team", f"{names.CONFIGMAP_TELEMETRY_PREFIX}coding")


class Desk:
    """One operator process at work. `restart` gives the next one over the same cluster."""

    def __init__(self, cluster: FakeCluster | None = None, now: datetime = NOON) -> None:
        self.api = cluster or FakeCluster()
        self.now = now
        self.slept: list[float] = []
        self.woken: list[tuple[str, str]] = []
        self.world = World(cast("Cluster", self.api))
        self.world.wake_waiting = lambda namespace: self.woken.append(("waiting", namespace))  # type: ignore[method-assign]
        self.ledgers = Ledgers(
            cast("Cluster", self.api),
            self.world,
            wake_run=lambda key: self.woken.append(("run", key.name)),
            wake_route=lambda key: self.woken.append(("route", key.name)),
            wake_provider=lambda key: self.woken.append(("provider", key.name)),
            wake_quota=lambda key: self.woken.append(("quota", key.name)),
            now=lambda: self.now,
            clock=self._clock,
            sleep=self._sleep,
        )
        self.refresh()

    def _clock(self) -> float:
        return (self.now - NOON).total_seconds()

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)
        self.pass_time(seconds)

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def refresh(self) -> None:
        """The watch catches up with the cluster."""
        for (plural, *_), manifest in list(self.api.objects.items()):
            if plural in (names.AGENT_RUNS, names.MODEL_ROUTES, names.MODEL_PROVIDERS, names.TENANT_QUOTAS):
                self.world.store_of(plural).put(manifest)

    def restart(self) -> "Desk":
        return Desk(self.api, self.now)

    def add(self, plural: str, manifest: dict[str, Any]) -> None:
        self.world.store_of(plural).put(self.api.put(plural, manifest))

    def take_away(self, plural: str, key: Key) -> None:
        self.world.store_of(plural).remove(self.api.objects[plural, key.namespace, key.name])
        self.api.remove(plural, key.namespace, key.name)


def run_manifest(name: str = "fix-login", uid: str = UID, **status: Any) -> dict[str, Any]:
    meta = {"name": name, "namespace": "team", "uid": uid, "generation": 1}
    spec = {"routeRef": {"name": "coding"}, "agentRef": {"name": "claude"}, "prompt": "fix it"}
    return {"metadata": meta, "spec": spec, "status": status}


def attempt(number: int = 1, candidate: str = "own", provider: str = "login", **changes: Any) -> dict[str, Any]:
    return {"number": number, "podName": f"pod-{number}", "candidate": candidate, "provider": provider, "model": "opus",
            "startTime": "2026-11-21T12:00:00Z", **changes}  # fmt: skip


def over() -> dict[str, Any]:
    """The status of a run that has ended."""
    return {"completionTime": "2026-11-21T12:05:00Z",
            "attempts": [attempt() | {"endTime": "2026-11-21T12:05:00Z", "class": EndClass.SUCCEEDED.value}]}  # fmt: skip


def a_desk() -> Desk:
    """A route, its three providers and one live run."""
    desk = Desk()
    desk.add(names.MODEL_ROUTES, route_manifest())
    desk.add(names.MODEL_PROVIDERS, provider_manifest("anthropic"))
    desk.add(names.MODEL_PROVIDERS, provider_manifest("openai", dialect="OpenAIChat"))
    desk.add(names.MODEL_PROVIDERS, provider_manifest("login", access="Direct"))
    desk.add(names.AGENT_RUNS, run_manifest())
    return desk
