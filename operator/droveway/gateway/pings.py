"""Signs of life in streams whose provider is silent: proxies on the way cut a connection on which nothing moves.

Only in a stream that has begun, and between two events. Before it has begun the agent waits for a head, and sending it would take
the choice of another candidate away. Streams pay for it with a look at the clock per piece; one task looks at all of them.
"""

import asyncio
import time
from collections.abc import Iterable

from droveway.gateway.client import Answering

_LOOKS = 4  # within the time that may pass in silence
_PATIENCE_SECONDS = 1.0  # for agents that do not read; a ping that they do not take is not owed to them


class Pings:
    """Pings streams.

    Args:
        streams: those that may be silent, with what their dialect calls a ping; empty: it has none.
        seconds: of silence before a ping.
    """

    def __init__(self, streams: Iterable[tuple[Answering, bytes]], seconds: float) -> None:
        self._streams, self._seconds = streams, seconds

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self._seconds / _LOOKS)
            silent = [
                s.ping(ping) for s, ping in self._streams if ping and s.silent_since(time.monotonic() - self._seconds)
            ]
            if silent:
                await asyncio.wait([asyncio.ensure_future(each) for each in silent], timeout=_PATIENCE_SECONDS)
