"""One request from its admission to its account: what serves it, and what may end it from outside."""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from droveway.api.enums import EndClass
from droveway.core.deadline import NEVER
from droveway.gateway.attempt import Services
from droveway.gateway.cached import Cached
from droveway.gateway.client import AgentStalled, Answering, Asked, Receive
from droveway.gateway.exchange import Exchange
from droveway.gateway.ledger import Account

log = logging.getLogger(__name__)


async def serve(services: Services, asked: Asked, answering: Answering, account: Account) -> EndClass:
    """Everything that stands between a request and its candidates, in order, and then the candidates."""
    if asked.cache is not None and services.cache is not None:
        serving = Cached(services, services.cache, asked.cache, asked, answering, account).serve
    else:
        serving = Exchange(services, asked, answering, account).serve
    if services.quotas.concern(asked):
        return await services.quotas.serve(asked, answering, account, serving)
    return await serving()


class Serving:
    """One exchange under way."""

    def __init__(self, services: Services, asked: Asked, answering: Answering, account: Account) -> None:
        self._services, self._asked, self._answering, self._account = services, asked, answering, account
        self._task: asyncio.Task[Any] | None = None
        self._left_at: float | None = None
        self._stopped = ""

    async def run(self, receive: Receive) -> EndClass:
        """Serves it; says how it ended. The agent is watched from the moment its request is read."""
        self._task = asyncio.current_task()
        watcher = asyncio.create_task(self._watch(receive))
        outcome, clock = EndClass.UNKNOWN, None
        try:
            if (seconds := self._seconds_left()) is None:  # as nearly always
                outcome = await serve(self._services, self._asked, self._answering, self._account)
            else:
                async with asyncio.timeout(seconds) as clock:
                    outcome = await serve(self._services, self._asked, self._answering, self._account)
        except TimeoutError:
            if clock is None or not clock.expired():
                raise
            outcome = await self._timed_out()
        except AgentStalled:
            outcome = EndClass.CANCELLED  # returning without an end makes the server close the connection
        except asyncio.CancelledError:
            outcome = EndClass.SUCCEEDED if self._account.answered else EndClass.CANCELLED
            with suppress(AgentStalled):
                await self._cancelled()
        except Exception:
            log.exception("request %s broke", self._asked.id)
            raise
        finally:
            watcher.cancel()
            self._services.ledger.request_ended(self._asked, self._account, outcome)
            if self._asked.route.mirror is not None:
                self._mirror(outcome)
        return outcome

    def _mirror(self, outcome: EndClass) -> None:
        """Copies what a provider has answered well; an answer of the cache says nothing of anybody."""
        if self._services.mirrors and outcome is EndClass.SUCCEEDED and self._account.calls:
            self._services.mirrors.copy(self._asked)

    @property
    def stream(self) -> tuple[Answering, bytes]:
        """Its answer, and what its dialect calls a ping."""
        return self._answering, self._asked.spec.ping if self._asked.request.stream else b""

    def stop(self, reason: str) -> None:
        """Ends it."""
        self._stopped = reason
        if self._task and not self._answering.done:
            self._task.cancel()

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        if self._task and not self._answering.done:
            self._left_at = time.monotonic()
            self._task.cancel()

    def _seconds_left(self) -> float | None:
        deadline = self._asked.deadline
        return None if deadline is NEVER else deadline.left(time.monotonic())

    async def _timed_out(self) -> EndClass:
        """The deadline has passed, whatever was waited for. The upstream call is aborted already."""
        deadline, spec, answering = self._asked.deadline, self._asked.spec, self._answering
        if answering.done or self._account.answered:
            if not answering.done:
                await answering.end()
            return EndClass.SUCCEEDED
        with suppress(AgentStalled):
            if answering.started:
                await answering.break_off(spec.in_band_error(EndClass.TIMEOUT, deadline.reason))
            else:
                answering.mark(self._asked.route.key.name, self._account.candidate, self._account.calls)
                await answering.reply(spec.error_response(EndClass.TIMEOUT, deadline.reason))
        return EndClass.TIMEOUT

    async def _cancelled(self) -> None:
        """The upstream call is aborted already; what is left is to tell the agent, if it is there."""
        if self._task:
            self._task.uncancel()
        if self._left_at is not None:
            self._services.metrics.aborts.observe(time.monotonic() - self._left_at)
        elif not self._stopped:
            raise asyncio.CancelledError
        elif self._answering.started:
            await self._answering.break_off(self._asked.spec.in_band_error(EndClass.PROVIDER_OUTAGE, self._stopped))
        else:
            await self._answering.reply(self._asked.spec.error_response(EndClass.PROVIDER_OUTAGE, self._stopped, 1))


class UnderWay:
    """The requests that are not over.

    Attributes:
        idle: set while there is none.
    """

    def __init__(self) -> None:
        self._all: set[Serving] = set()
        self.idle = asyncio.Event()
        self.idle.set()

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[tuple[Answering, bytes]]:
        return iter([serving.stream for serving in self._all])

    @contextmanager
    def take(self, serving: Serving) -> Iterator[Serving]:
        """Counts one in, and out again."""
        self._all.add(serving)
        self.idle.clear()
        try:
            yield serving
        finally:
            self._all.discard(serving)
            if not self._all:
                self.idle.set()

    async def stop(self, reason: str) -> None:
        """Ends them all, each answer with an error in its own dialect."""
        for serving in list(self._all):
            serving.stop(reason)
        await self.idle.wait()
