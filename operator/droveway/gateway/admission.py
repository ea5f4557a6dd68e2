"""Who may send now: at most `maxInFlight` requests to a provider, first come, first served."""

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field


class QueueTimeout(Exception):  # noqa: N818 - says what happened
    """No slot became free in time."""


@dataclass(slots=True)
class Slots:
    """The slots of one provider. Whoever takes one gives it back in the `finally` of the same function."""

    limit: int
    in_flight: int = 0
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)

    def resize(self, limit: int) -> None:
        """Takes another limit; requests that are under way go on."""
        self.limit = limit
        self._admit()

    async def acquire(self, seconds: float) -> bool:
        """Takes one slot; `release` gives it back.

        Args:
            seconds: the longest wait for it.

        Returns:
            Whether it had to wait.

        Raises:
            QueueTimeout: none became free. A cancelled waiter gives its place up.
        """
        if self.in_flight < self.limit and not self.waiting:
            self.in_flight += 1
            return False
        await self._queue(seconds)
        return True

    def release(self) -> None:
        """Gives a slot back; whoever has waited longest gets it."""
        self.in_flight -= 1
        self._admit()

    async def _queue(self, seconds: float) -> None:
        place = asyncio.get_running_loop().create_future()
        self.waiting.append(place)
        try:
            async with asyncio.timeout(seconds):
                await place
        except BaseException as error:
            if place.done() and not place.cancelled():  # admitted in the very moment in which the waiter left
                self.release()
            else:
                with suppress(ValueError):
                    self.waiting.remove(place)
            if isinstance(error, TimeoutError):
                raise QueueTimeout from error
            raise

    def _admit(self) -> None:
        while self.waiting and self.in_flight < self.limit:
            place = self.waiting.popleft()
            if not place.done():
                self.in_flight += 1
                place.set_result(None)
