"""A queue of keys: one pass per key at a time, wake-ups coalesce, failures back off with jitter, a pass may ask for a timer."""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from droveway.api.errors import TryLater
from droveway.cluster.client import Conflict, NotFound
from droveway.cluster.objects import Key
from droveway.controllers.metrics import PASS_FAILURES, PASS_SECONDS

log = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 60.0
_CONFLICT_PAUSE, _LONGEST_CONFLICT_PAUSE = 0.02, 5.0
_TURNS = 4  # of so many, the last is for those who are not in a hurry

Reconcile = Callable[[Key], Awaitable[datetime | None]]


class KeyedQueue:
    """Runs `reconcile(key)` for every key that was woken.

    Args:
        name: for logs and metrics.
        reconcile: one pass; returns when to look again, if ever.
        workers: passes at once, over different keys.
        hurried: whether a key goes before those that are not. When both kinds wait, three of four turns are theirs.
    """

    def __init__(
        self, name: str, reconcile: Reconcile, workers: int = 16, hurried: Callable[[Key], bool] = lambda _: False
    ) -> None:
        self._name, self._reconcile, self._free, self._hurried = name, reconcile, workers, hurried
        self._hurry: deque[Key] = deque()
        self._line: deque[Key | asyncio.Future[None]] = deque()
        self._turn = 0
        self._group: asyncio.TaskGroup | None = None
        self._queued: set[Key] = set()
        self._running: set[Key] = set()
        self._again: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._stale: dict[Key, float] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}

    def wake(self, key: Key) -> None:
        """Asks for a pass soon."""
        if key in self._running:
            self._again.add(key)
        elif key not in self._queued:
            self._queued.add(key)
            (self._hurry if self._hurried(key) else self._line).append(key)
            self._start()

    async def give_way(self) -> None:
        """For a pass that is no longer in a hurry: lets go first who is."""
        if self._hurry:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._line.append(turn)
            self._free += 1
            self._start()
            await turn

    async def run(self) -> None:
        """Works until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._start()
            try:
                await asyncio.Event().wait()
            finally:
                self._group = None

    def __len__(self) -> int:
        return len(self._queued)

    def _start(self) -> None:
        """As many as may run at once."""
        while self._group and self._free and (self._hurry or self._line):
            self._free -= 1
            if isinstance(next_one := self._next(), asyncio.Future):
                next_one.set_result(None)
            else:
                self._group.create_task(self._work(next_one))

    def _next(self) -> Key | asyncio.Future[None]:
        if not self._hurry or not self._line:
            return (self._hurry or self._line).popleft()
        self._turn = (self._turn + 1) % _TURNS
        return (self._hurry if self._turn else self._line).popleft()

    async def _work(self, key: Key) -> None:
        self._queued.discard(key)
        self._running.add(key)
        self._cancel_timer(key)
        pause = await self._pass(key)
        self._running.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.wake(key)
        elif pause is not None:
            self._timers[key] = asyncio.get_running_loop().call_later(pause, self._on_timer, key)
        self._free += 1
        self._start()

    async def _pass(self, key: Key) -> float | None:
        """One pass; returns the seconds until the next one, if it wants one."""
        try:
            with PASS_SECONDS.labels(self._name).time():
                wake_at = await self._reconcile(key)
        except (Conflict, NotFound):
            # The cache is behind: the newer state (or the deletion) may be here already; look again in a moment either way.
            pause = _CONFLICT_PAUSE if key in self._again else self._stale.get(key, _CONFLICT_PAUSE)
            self._again.discard(key)
            self._stale[key] = min(_LONGEST_CONFLICT_PAUSE, 2 * pause)
            return pause
        except TryLater as error:
            return self._back_off(key, error, "try_later")
        except Exception as error:
            log.exception("%s %s/%s: this is a bug of ours", self._name, key.namespace, key.name)
            return self._back_off(key, error, "bug")
        self._failures.pop(key, None)
        self._stale.pop(key, None)
        return None if wake_at is None else max(0.0, (wake_at - datetime.now(UTC)).total_seconds())

    def _back_off(self, key: Key, error: Exception, kind: str) -> float:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        pause: float = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(failures, 16)) * random.uniform(0.5, 1.5)  # noqa: S311 - jitter
        PASS_FAILURES.labels(self._name, kind).inc()
        log.warning("%s %s/%s: %s; again in %.1f s", self._name, key.namespace, key.name, error, pause)
        return pause

    def _on_timer(self, key: Key) -> None:
        self._timers.pop(key, None)
        self.wake(key)

    def _cancel_timer(self, key: Key) -> None:
        if timer := self._timers.pop(key, None):
            timer.cancel()
