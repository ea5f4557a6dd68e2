"""Sending to providers: one connection pool, no redirects, no proxies, no cookies, and no clock but ours."""

from collections.abc import Callable
from functools import lru_cache

import aiohttp
from yarl import URL

from droveway.core.deadline import Clock, Clocks, silence

_KEEP_ALIVE_SECONDS = 15.0  # shorter than what load balancers grant, so that few connections die under a request
_BUFFER = 2**16
_LONGEST_BODY = 64 * 2**20


class Unreachable(Exception):  # noqa: N818 - says what happened
    """The provider cannot be reached, or broke off. The message is fit for people; `clock`: which one ended it, if one did."""

    def __init__(self, message: str, clock: Clock | None = None) -> None:
        super().__init__(message)
        self.clock = clock


class Upstream:
    """The way to all providers.

    Attributes:
        clocks: of a call whose route sets no other.
    """

    def __init__(self, clocks: Clocks) -> None:
        self.clocks = clocks
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("user-agent", "accept", "content-type"),
            trust_env=False,
            read_bufsize=_BUFFER,
        )

    def in_use(self) -> int:
        """How many connections carry a call now."""
        connector = self._session.connector
        return len(connector._acquired) if connector else 0  # noqa: SLF001 - aiohttp counts them and tells nobody

    async def close(self) -> None:
        """Closes all connections."""
        await self._session.close()

    async def send(
        self, url: str, headers: list[tuple[str, str]], body: bytes, connect: float
    ) -> aiohttp.ClientResponse:
        """Sends a request and returns as soon as the head of the answer is there.

        A connection that was kept alive may have been closed by the other side just now: then it is sent once more.

        Raises:
            Unreachable: no answer came.
        """
        try:
            return await self._post(url, headers, body, connect)
        except aiohttp.ServerDisconnectedError:
            pass
        try:
            return await self._post(url, headers, body, connect)
        except aiohttp.ServerDisconnectedError as error:
            raise Unreachable("the provider closed the connection without an answer") from error

    async def _post(
        self, url: str, headers: list[tuple[str, str]], body: bytes, connect: float
    ) -> aiohttp.ClientResponse:
        try:
            return await self._session.post(
                _parsed(url), headers=headers, data=body, allow_redirects=False, timeout=_timeout(connect)
            )
        except aiohttp.ServerDisconnectedError:
            raise
        except aiohttp.ConnectionTimeoutError as error:
            raise Unreachable(silence(Clock.CONNECT, connect), Clock.CONNECT) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Unreachable(f"no connection to the provider: {type(error).__name__}") from error


@lru_cache(maxsize=64)
def _timeout(connect: float) -> aiohttp.ClientTimeout:
    """Connecting is the one clock that is not ours."""
    return aiohttp.ClientTimeout(total=None, sock_connect=connect)


@lru_cache(maxsize=1024)
def _parsed(url: str) -> URL:
    return URL(url, encoded=True)


async def read_piece(answer: aiohttp.ClientResponse) -> bytes:
    """The next bytes; empty at the end.

    Raises:
        Unreachable: the stream was cut.
    """
    try:
        return await answer.content.readany()
    except (aiohttp.ClientError, OSError) as error:
        raise Unreachable("the provider's answer was cut off") from error


async def read_all(answer: aiohttp.ClientResponse, piece: Callable[[], None]) -> bytes:
    """A whole body. `piece` is called for every piece.

    Raises:
        Unreachable: it was cut off, or is too long to be an answer.
    """
    pieces, size = [], 0
    while data := await read_piece(answer):
        pieces.append(data)
        size += len(data)
        if size > _LONGEST_BODY:
            raise Unreachable(f"the provider's answer is longer than {_LONGEST_BODY} bytes")
        piece()
    return b"".join(pieces)
