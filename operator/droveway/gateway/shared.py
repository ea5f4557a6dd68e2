"""What the replicas of the gateway share: one Valkey or Redis server, which may go away at any time.

While it is away nobody waits for it: `call` refuses at once, and a task of its own tries whether it is back.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import urlsplit

from droveway.api.errors import UserMustAct
from droveway.gateway.metrics import GatewayMetrics

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = logging.getLogger(__name__)
T = TypeVar("T")

_SECONDS = 0.5
"""For a connection, and for an answer. Whoever asks holds a request up; a healthy server takes a millisecond."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
_PROBE_SECONDS = 5.0  # between two looks at a server that nobody asks anything
_CONNECTIONS = 64
"""At most; who finds all of them busy waits. One more is for looking whether the server is there."""

Ask = Callable[["Redis"], Awaitable[T]]


class Away(Exception):  # noqa: N818 - says what happened
    """The server cannot be asked now; go on with what this replica knows by itself."""


class Shared:
    """The connection.

    Args:
        url: `redis://`, `rediss://` or `unix://`, perhaps with a password and the number of a database.
        metrics: shows whether the server answers, and how often it did not.

    Attributes:
        up: the server answers, as far as one knows.
        on_return: called whenever the server is back, or reached for the first time.

    Raises:
        UserMustAct: the URL is none.
    """

    def __init__(self, url: str, metrics: GatewayMetrics) -> None:
        from redis.asyncio import Redis  # noqa: PLC0415 - it costs memory that most gateways do not need
        from redis.asyncio.retry import Retry  # noqa: PLC0415
        from redis.backoff import NoBackoff  # noqa: PLC0415
        from redis.exceptions import RedisError  # noqa: PLC0415

        self._where, self._metrics = _without_secrets(url), metrics
        self._failures = (RedisError, OSError, TimeoutError)
        try:
            # Typed loosely by the library: what it returns depends on options that we do not set.
            self._redis: Redis = cast("Any", Redis).from_url(
                url,
                socket_connect_timeout=_SECONDS,
                socket_timeout=_SECONDS,
                retry=Retry(NoBackoff(), 0),
                max_connections=_CONNECTIONS + 1,
            )
        except ValueError as error:
            raise UserMustAct(f"DROVEWAY_VALKEY_URL is no address such as redis://host:6379/0: {error}") from None
        self.up = self._told = False
        self.on_return: list[Callable[[], object]] = []
        self._lost = asyncio.Event()
        self._lost.set()
        self._free = asyncio.Semaphore(_CONNECTIONS)
        self._asking: set[asyncio.Task[Any]] = set()
        metrics.shared_up.set(0)

    async def call(self, ask: Ask[T]) -> T:
        """Asks the server.

        The question goes on when whoever asks is cancelled: a connection that is left in the middle of an answer gives
        that answer to the next one.

        Raises:
            Away: the server cannot be asked now.
        """
        if not self.up:
            raise Away
        task: asyncio.Task[T] = asyncio.create_task(self._ask(ask))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)
        return await asyncio.shield(task)

    async def run(self) -> None:
        """Looks after the connection until cancelled: finds the server again when it was lost."""
        pause = 0.0
        while True:
            try:
                async with asyncio.timeout(_SECONDS * 2):
                    await cast("Awaitable[object]", self._redis.ping())
            except self._failures as error:
                self._lose(error)
                pause = min(_LONGEST_PAUSE, pause * 2 or _FIRST_PAUSE)
                await asyncio.sleep(pause)
                continue
            pause = 0.0
            self._find()
            with suppress(TimeoutError):
                async with asyncio.timeout(_PROBE_SECONDS):
                    await self._lost.wait()

    async def close(self) -> None:
        """Lets the questions that are under way end, and closes the connections."""
        if self._asking:
            await asyncio.wait(self._asking, timeout=_SECONDS * 2)
        await self._redis.aclose()

    async def _ask(self, ask: Ask[T]) -> T:
        try:
            async with self._free:
                if not self.up:  # lost while it waited
                    raise Away
                return await ask(self._redis)
        except self._failures as error:
            self._metrics.shared_failures.inc()
            self._lose(error)
            raise Away from error

    def _lose(self, error: Exception) -> None:
        if not self._told:
            log.warning(
                "Valkey at %s cannot be reached: every replica counts for itself until it is back: %r",
                self._where,
                error,
            )
        self.up, self._told = False, True
        self._metrics.shared_up.set(0)
        self._lost.set()

    def _find(self) -> None:
        if self.up:
            return
        log.info("Valkey at %s answers: quotas and cache are shared", self._where)
        self.up, self._told = True, False
        self._lost.clear()
        self._metrics.shared_up.set(1)
        for listener in self.on_return:
            listener()


def _without_secrets(url: str) -> str:
    """For people: where it is, without the password."""
    parts = urlsplit(url)
    return f"{parts.hostname or ''}:{parts.port or 6379}" if parts.hostname else parts.path
