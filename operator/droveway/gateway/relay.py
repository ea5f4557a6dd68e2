"""Relaying a stream: held back until its first content, so that a failure before it stays invisible."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

import aiohttp

from droveway.core.verdict import Verdict
from droveway.dialects import StreamReader
from droveway.gateway.callclock import CallClock
from droveway.gateway.client import Answering
from droveway.gateway.ledger import Call
from droveway.gateway.passage import Passage
from droveway.gateway.upstream import Unreachable, read_piece

_HELD_EVENTS = 64
_HELD_BYTES = 256 * 1024


class Relay:
    """One stream, from the provider to the agent.

    Args:
        clock: runs until the first content, then from piece to piece; it also bounds an agent that does not read.
        won: called when this answer becomes the agent's.
    """

    def __init__(
        self,
        passage: Passage,
        answering: Answering,
        call: Call,
        answer: aiohttp.ClientResponse,
        clock: CallClock,
        won: Callable[[], None],
    ) -> None:
        self._answering, self._call, self._answer, self._clock, self._won = answering, call, answer, clock, won
        self._reader: StreamReader = passage.spec.reader(passage.request)
        self._passage, self._translator = passage, passage.translator()
        self._held: list[bytes] = [self._translator.preface] if self._translator else []
        self._held_bytes = self._held_events = 0
        self._committed = False

    async def run(self) -> Verdict:
        """Relays until the end, good or bad; a bad one is left to the caller to tell the agent.

        Raises:
            Unreachable: the stream was cut.
        """
        reader = self._reader
        try:
            while not (reader.terminal or reader.has_error) and (piece := await read_piece(self._answer)):
                await self._take(self._translated(reader.feed(piece)))
            if reader.terminal:
                self._call.answered = self._committed
                await self._tail()
            rest = self._translated(reader.close())
            verdict = reader.verdict(datetime.now(UTC))
            if verdict.is_success:
                await self._commit()
                await self._answering.end(rest + self._translator.finish() if self._translator else rest)
            elif rest and self._committed:
                await self._answering.piece(rest)
            return verdict
        finally:
            self._call.tokens = reader.usage

    def _translated(self, out: bytes) -> bytes:
        return self._translator.feed(out) if self._translator and out else out

    async def _take(self, out: bytes) -> None:
        if self._committed:
            if out:
                await self._answering.piece(out)
            self._clock.piece()
            return
        self._held.append(out)
        self._held_bytes += len(out)
        self._held_events += out.count(b"\n\n")
        enough = self._held_bytes > _HELD_BYTES or self._held_events > _HELD_EVENTS
        if (self._reader.has_content or enough) and not self._reader.has_error:
            await self._commit()
            self._clock.piece()

    async def _commit(self) -> None:
        """From here on the agent sees this candidate's answer, perhaps behind what it has of another's."""
        if self._committed:
            return
        self._committed = True
        self._won()
        self._call.first_content = time.monotonic()
        if not self._answering.started:
            headers = self._passage.headers_down(self._answer.headers.items())
            await self._answering.start(self._answer.status, headers)
        if held := b"".join(self._held):
            await self._answering.piece(held)
        self._held.clear()

    async def _tail(self) -> None:
        """What still comes after the explicit end: usage, and the end of the connection, so that it can be used again."""
        with suppress(TimeoutError, Unreachable):
            async with asyncio.timeout(self._clock.tail):
                while piece := await read_piece(self._answer):
                    await self._take(self._translated(self._reader.feed(piece)))
