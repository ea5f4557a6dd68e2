"""The gateway process: puts everything together, serves, and drains at the end."""

import asyncio
import contextlib
import logging
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from dataclasses import replace
from pathlib import Path

import uvicorn
import uvloop

from droveway.cluster.client import Cluster
from droveway.cluster.masterkey import read_master_keys
from droveway.core.deadline import Clocks
from droveway.gateway.admission import Admission
from droveway.gateway.app import App
from droveway.gateway.attempt import Services
from droveway.gateway.cache import Cache
from droveway.gateway.cachestore import MemoryStore
from droveway.gateway.config import Config, Snapshot
from droveway.gateway.connections import Bounds, Connection, bounded
from droveway.gateway.credentials import Credentials
from droveway.gateway.files import Folder
from droveway.gateway.identity import Doorkeeper
from droveway.gateway.intake import Intake
from droveway.gateway.ledger import Ledger, MirrorLedger
from droveway.gateway.metrics import GatewayMetrics
from droveway.gateway.mirror import Mirrors
from droveway.gateway.pings import Pings
from droveway.gateway.prices import PricedModel, Prices
from droveway.gateway.pricetable import PriceFile
from droveway.gateway.quotas import Quotas
from droveway.gateway.reporter import Reporter
from droveway.gateway.settings import GatewaySettings
from droveway.gateway.shared import Shared
from droveway.gateway.sharedquota import SharedQuota
from droveway.gateway.standing import Standing
from droveway.gateway.traces import RequestTraces
from droveway.gateway.upstream import Upstream
from droveway.gateway.watch import Watch
from droveway.observability.garbage import collect_seldom
from droveway.observability.logging import setup_logging
from droveway.observability.tracing import start_tracing

log = logging.getLogger(__name__)

_FLUSH_SECONDS = 2.0
_LAST_SECONDS = 10.0  # beyond the drain: for last words, and for who has not even sent its request
_LISTEN_BACKLOG = 2048


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the drain is ours."""

    def __init__(self, config: uvicorn.Config, listening: asyncio.Event) -> None:
        super().__init__(config)
        self._listening = listening

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._listening.set()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.servers[0].sockets[0].getsockname()[1])


class Gateway:
    """One gateway in one event loop.

    Attributes:
        port: where it listens, once `started` is set; useful when the settings say 0.
    """

    def __init__(self, settings: GatewaySettings) -> None:
        self.settings = settings
        self.config = Config()
        self.metrics = GatewayMetrics()
        self.prices = Prices()
        self.prices.on_versions = self.metrics.show_prices
        self.mirrors: Mirrors | None = None
        self.started = asyncio.Event()
        self.port = 0
        self.shared: Shared | None = None
        self.cache: Cache | None = None
        self._jobs: list[Callable[[], Coroutine[object, object, None]]] = []
        self._listening = asyncio.Event()
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Serves until `stop` is called and everything under way has ended.

        Raises:
            UserMustAct: the configuration or the master key cannot be read.
        """
        masters = read_master_keys(self.settings.master_key_file)
        async with contextlib.AsyncExitStack() as stack:
            source = await stack.enter_async_context(self._source())
            app, reporter = await self._app(masters, source, stack)
            pings = Pings(app.under_way, self.settings.ping_seconds)
            tasks = [asyncio.create_task(job()) for job in (source.run, reporter.run, pings.run, *self._jobs)]
            if self.settings.prices_file:
                tasks.append(asyncio.create_task(self._price_file(self.settings.prices_file).run()))
            try:
                await self._listen(app, tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await reporter.flush(_FLUSH_SECONDS)

    def stop(self) -> None:
        """Begins the end: not ready, no new connections, streams go on for a while."""
        self._stopping.set()

    @contextlib.asynccontextmanager
    async def _source(self) -> AsyncIterator[Folder | Watch]:
        settings, problem = self.settings, self.metrics.config_errors.inc
        if settings.config_dir is not None:
            yield Folder(settings.config_dir, self.config, problem)
            return
        async with Cluster.connect("droveway-gateway") as cluster:
            yield Watch(cluster, self.config, settings.namespaces, problem)

    async def _app(
        self, masters: tuple[bytes, ...], source: Folder | Watch, stack: contextlib.AsyncExitStack
    ) -> tuple[App, Reporter]:
        settings = self.settings
        reporter = Reporter(settings.operator_url, settings.token_file, self.prices, self.metrics)
        upstream = Upstream(
            Clocks(settings.connect_seconds, settings.answer_seconds, settings.answer_seconds, settings.idle_seconds)
        )
        stack.push_async_callback(upstream.close)
        self.shared = self._connect(stack)
        self.metrics.upstream_connections.set_function(upstream.in_use)
        self.cache = self._make_cache()
        credentials = Credentials(source.read_secret, time.monotonic)
        standing, admission = Standing(self.config, self.prices), Admission(self.metrics)
        self.config.on_change += [standing.adopt, admission.adopt, self._learn_prices]
        ledger = Ledger(self.metrics, reporter, self._traces(stack))
        quotas = self._quotas(ledger, stack)
        if isinstance(source, Folder):
            source.on_swap = [credentials.forget, standing.forgive]
            source.load()
        services = Services(
            standing,
            admission,
            credentials,
            upstream,
            ledger,
            quotas,
            self.metrics,
            settings.queue_seconds,
            self.shared,
            self.cache,
        )
        self.mirrors = Mirrors(services, MirrorLedger(self.metrics, reporter))
        services = replace(services, mirrors=self.mirrors)
        doorkeeper = Doorkeeper(masters, self.config.find_run)
        intake = Intake(self.config, doorkeeper, standing.route, reporter.source, settings.max_body_bytes)
        return App(self.config, intake, services), reporter

    def _quotas(self, ledger: Ledger, stack: contextlib.AsyncExitStack) -> Quotas:
        together = SharedQuota(self.shared) if self.shared else None
        quotas = Quotas(self.config, self.prices, ledger, self.metrics, self.settings.queue_seconds, together)
        self.config.on_change.append(quotas.adopt)
        stack.push_async_callback(quotas.close)
        if self.shared:
            self._jobs += [self.shared.run, quotas.run]
        return quotas

    def _connect(self, stack: contextlib.AsyncExitStack) -> Shared | None:
        url = self.settings.valkey_url.get_secret_value()
        if not url:
            return None
        shared = Shared(url, self.metrics)
        stack.push_async_callback(shared.close)
        return shared

    def _price_file(self, path: Path) -> PriceFile:
        file = PriceFile(path, self.prices, self.metrics.price_errors.inc)
        file.load()
        return file

    def _make_cache(self) -> Cache | None:
        """In memory, or in Valkey if there is one: its library is loaded already then."""
        if not self.settings.cache_enabled:
            return None
        if self.shared is None:
            return Cache(MemoryStore(self.settings.cache_bytes), time.time)
        from droveway.gateway.sharedstore import SharedStore  # noqa: PLC0415 - its library costs memory

        return Cache(SharedStore(self.shared), time.time)

    def _traces(self, stack: contextlib.AsyncExitStack) -> RequestTraces | None:
        spans = start_tracing("droveway-gateway", enabled=self.settings.otel_enabled)
        if spans is None:
            return None
        stack.push_async_callback(spans.close)
        return RequestTraces(spans)

    def _learn_prices(self, snapshot: Snapshot) -> None:
        known = [
            (candidate, snapshot.providers.get(candidate.provider))
            for route in snapshot.routes.values()
            for candidate in route.candidates
        ]
        self.prices.learn(
            PricedModel(provider.base_url, provider.dialect, candidate.model)
            for candidate, provider in known
            if provider is not None
        )

    async def _listen(self, app: App, tasks: list[asyncio.Task[None]]) -> None:
        settings = self.settings
        connections = bounded(
            Bounds(
                settings.max_connections,
                settings.request_seconds,
                settings.idle_seconds,
                settings.max_body_bytes * 2,
                lambda reason: self.metrics.refused(reason).inc(),
            )
        )
        server = _Server(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                backlog=_LISTEN_BACKLOG,
                http=connections,
                ws="websockets-sansio",
                ws_max_size=settings.max_body_bytes,
                ws_per_message_deflate=False,
                lifespan="off",
                interface="asgi3",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=int(settings.drain_seconds + _LAST_SECONDS),
            ),
            self._listening,
        )
        serving = asyncio.create_task(server.serve())
        listening = asyncio.create_task(self._announce(server))
        self.metrics.open_requests.set_function(lambda: len(app.under_way))
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([serving, stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            listening.cancel()
            await self._drain(app, server, serving, connections)
        for task in tasks:
            if task.done():
                task.result()

    async def _announce(self, server: _Server) -> None:
        await self._listening.wait()
        self.port = server.port
        self.metrics.connections.set_function(lambda: len(server.server_state.connections))
        self.metrics.tasks.set_function(lambda: len(asyncio.all_tasks()))
        self.started.set()
        log.info("listening on %s:%d", self.settings.host, self.port)

    async def _drain(
        self, app: App, server: uvicorn.Server, serving: asyncio.Task[None], connections: type[Connection]
    ) -> None:
        app.draining = True
        server.should_exit = True
        if self.mirrors:
            await self.mirrors.close()
        log.info("draining for at most %g s", self.settings.drain_seconds)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.drain_seconds):
                await app.under_way.idle.wait()
        await app.under_way.stop("the gateway is restarting; send the request again")
        connections.let_go()
        await serving


def run(settings: GatewaySettings) -> None:
    """The whole process: logs, the fast loop, and `serve`."""
    setup_logging(settings.log_level)
    collect_seldom()
    uvloop.run(serve(settings))


async def serve(settings: GatewaySettings) -> None:
    """Runs a gateway until SIGTERM or SIGINT, then drains it.

    Raises:
        UserMustAct: the configuration or the master key cannot be read.
    """
    gateway = Gateway(settings)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, gateway.stop)
    await gateway.run()
