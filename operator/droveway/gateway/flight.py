"""One answer that several wait for: it is made once, and it is given up when nobody waits any more."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from droveway.api.enums import EndClass
from droveway.gateway.cachestore import Entry


@dataclass(frozen=True, slots=True)
class Landing:
    """What came of a flight.

    Attributes:
        outcome: of the exchange; `Succeeded` when there was none.
        entry: the answer, if others may have it too.
        known: it was there already.
    """

    outcome: EndClass
    entry: Entry | None = None
    known: bool = False


class Flight:
    """An answer under way.

    Args:
        work: makes it; cancelled when the last one who waits has left.
        landed: called at the end of it, before anybody who waits goes on.

    Attributes:
        waiting: how many wait for it.
    """

    def __init__(self, work: Coroutine[Any, Any, Landing], landed: Callable[[], None]) -> None:
        self._task = asyncio.create_task(work)
        self._task.add_done_callback(lambda _: landed())
        self.waiting = 0

    async def lead(self) -> Landing:
        """Waits for it; whatever went wrong is raised."""
        await self._ride()
        return self._task.result()

    async def follow(self) -> Landing | None:
        """Waits for it; None: nothing came of it, and somebody has to try again."""
        await self._ride()
        if self._task.cancelled() or self._task.exception():
            return None
        landing = self._task.result()
        return landing if landing.outcome is EndClass.SUCCEEDED else None

    async def _ride(self) -> None:
        self.waiting += 1
        try:
            await asyncio.wait([self._task])
        finally:
            self.waiting -= 1
            if not self.waiting and not self._task.done():
                self._task.cancel()
                await asyncio.wait([self._task])  # the upstream call has ended before the last one is gone
