"""The operator process: its parts, and the order in which they start and stop."""

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, cast

import kopf
import uvicorn

from droveway.cluster.client import Cluster
from droveway.cluster.lease import Lease, LeaseLost
from droveway.cluster.masterkey import read_master_keys
from droveway.cluster.objects import Key
from droveway.controllers.gather import Gatherer
from droveway.controllers.handlers import build_registry, kopf_settings
from droveway.controllers.ingest import build_app
from droveway.controllers.ledger import Ledgers
from droveway.controllers.providers import ProviderController
from droveway.controllers.queue import KeyedQueue
from droveway.controllers.quotas import QuotaController
from droveway.controllers.resync import Resync
from droveway.controllers.routes import RouteController
from droveway.controllers.runs import RunController
from droveway.controllers.secrets import NamespaceKeys, Sources
from droveway.controllers.world import World
from droveway.core.pod import PodSettings
from droveway.observability.tracing import start_tracing
from droveway.settings import OperatorSettings

log = logging.getLogger(__name__)

LEASE = "droveway-operator"


class _Stop(Exception):  # noqa: N818 - not an error: asked to end
    """Somebody asked the process to end."""


class _Server(uvicorn.Server):
    """Signals are ours (and kopf's), not uvicorn's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(settings: OperatorSettings) -> None:
    """Runs the operator until it is told to stop, or loses its Lease.

    Raises:
        UserMustAct: the set-up is incomplete.
        SystemExit: another process may act now.
    """
    masters = read_master_keys(settings.master_key_file)
    async with Cluster.connect("droveway-operator") as cluster:
        operator = Operator(cluster, settings, masters)
        try:
            await operator.run()
        except* _Stop:
            log.info("stopped")
        except* LeaseLost as lost:
            log.error("ended at once: %s", lost.exceptions[0])  # noqa: TRY400 - no accident, so no traceback
        finally:
            if operator.lease.held.is_set():
                await operator.lease.release()
            if operator.spans:
                await operator.spans.close()
    if not operator.told.is_set():
        sys.exit(1)


class Operator:
    """The parts, wired."""

    def __init__(self, cluster: Cluster, settings: OperatorSettings, masters: tuple[bytes, ...]) -> None:
        namespaces = tuple(settings.namespaces)
        self._cluster, self._settings = cluster, settings
        self.lease = Lease(cluster, settings.namespace, LEASE, settings.identity)
        self.world = World(cluster, namespaces)
        self._ready = asyncio.Event()
        self.told = asyncio.Event()
        keys, sources = NamespaceKeys(cluster, masters), Sources(cluster)
        pods = PodSettings(settings.image, settings.operator_url, settings.gateway_url, settings.image_pull_policy)
        self.ledgers = Ledgers(
            cluster,
            self.world,
            wake_run=self._wake_run,
            wake_route=self._wake_route,
            wake_provider=self._wake_provider,
            wake_quota=self._wake_quota,
        )
        self._gatherer = Gatherer(self.world, sources, self.ledgers, pods, settings.allow_direct_base_url)
        self.spans = start_tracing("droveway-operator", enabled=settings.otel_enabled)
        runs = RunController(cluster, self.world, self._gatherer, keys, pods, self.spans)
        routes = RouteController(cluster, self.world, self.ledgers)
        providers = ProviderController(
            cluster, self.world, self.ledgers, sources, allow_direct_base_url=settings.allow_direct_base_url
        )
        self._runs = KeyedQueue("AgentRun", runs.reconcile, settings.workers, runs.hurried)
        runs.give_way = self._runs.give_way
        self._routes = KeyedQueue("ModelRoute", routes.reconcile, 4)
        self._providers = KeyedQueue("ModelProvider", providers.reconcile, 4)
        self._quotas = KeyedQueue("TenantQuota", QuotaController(cluster, self.world, self.ledgers).reconcile, 2)
        self.world.wake_quota = self._wake_quota
        self.world.wake_run, self.world.wake_route, self.world.wake_provider = (
            self._wake_run,
            self._wake_route,
            self._wake_provider,
        )
        self._resync = Resync(cluster, self.world, namespaces, settings.resync_seconds)
        self._app = build_app(
            self.ledgers,
            self.world,
            cluster,
            keys,
            gateway_account=f"system:serviceaccount:{settings.namespace}:{settings.gateway_account}",
            active=self._ready.is_set,
            unhealthy=self._unhealthy,
        )

    async def run(self) -> None:
        """Serves, waits for the Lease, then works until something ends."""
        self._listen()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._until_told())
            group.create_task(self._serve_http())
            await self.lease.acquire()
            group.create_task(self.lease.keep())
            group.create_task(self.world.pods.run())
            await self.world.pods.synced.wait()  # before any run is looked at: its pods are known
            listed = asyncio.Event()
            group.create_task(self._watch(listed, kopf_runs := asyncio.Event()))
            group.create_task(self._listen_again(kopf_runs))
            await listed.wait()
            await self.ledgers.load()
            self._gatherer.listening_since = datetime.now(UTC)
            for queue in (self._providers, self._routes, self._quotas, self._runs):
                group.create_task(queue.run())
            group.create_task(self._resync.run())
            self._ready.set()
            log.info("ready: %d runs, %d pods", len(self.world.runs), len(self.world.pods.store))

    def _listen(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.told.set)

    async def _listen_again(self, kopf_runs: asyncio.Event) -> None:
        """Kopf takes the signals over, and would wait five seconds for tasks of ours that have no end."""
        await kopf_runs.wait()
        self._listen()

    async def _until_told(self) -> None:
        await self.told.wait()
        raise _Stop

    async def _watch(self, listed: asyncio.Event, kopf_runs: asyncio.Event) -> None:
        """Lists our resources once so that nothing is decided on half a world; then kopf keeps them current."""
        await self._resync.fill()
        listed.set()
        namespaces = self._settings.namespaces
        await kopf.operator(
            registry=build_registry(self.world, self._cluster.access),
            settings=kopf_settings(),
            identity=cast("Any", self._settings.identity),  # else it looks for a user name, and a pod has none
            standalone=True,
            ready_flag=kopf_runs,
            clusterwide=not namespaces,
            namespaces=namespaces,
        )
        raise _Stop

    async def _serve_http(self) -> None:
        config = uvicorn.Config(
            self._app,
            host=self._settings.host,
            port=self._settings.port,
            log_config=None,
            access_log=False,
            lifespan="off",
        )
        await _Server(config).serve()

    def _unhealthy(self) -> str | None:
        return self._resync.overdue() if self._ready.is_set() else None

    def _wake_run(self, key: Key) -> None:
        self._runs.wake(key)

    def _wake_route(self, key: Key) -> None:
        self._routes.wake(key)

    def _wake_quota(self, key: Key) -> None:
        self._quotas.wake(key)

    def _wake_provider(self, key: Key) -> None:
        self._providers.wake(key)
