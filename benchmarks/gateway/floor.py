"""The least that a relay in Python can cost: raw ASGI, aiohttp upstream, a disconnect watcher; no keys, routes, metrics, events
or logs. The gateway's CPU is given as a multiple of this one's, measured in the same run: that figure survives a busy machine.

    python floor.py <port of the provider>        # prints its own port
"""

import asyncio
import sys
from typing import Any

import aiohttp
import uvicorn
import uvloop


class Floor:
    """Relays everything to one provider."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self._session = self._session or aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        work = asyncio.ensure_future(self._relay(scope["path"], body, send))
        watch = asyncio.ensure_future(receive())
        await asyncio.wait([work, watch], return_when=asyncio.FIRST_COMPLETED)
        watch.cancel()
        work.cancel()

    async def _relay(self, path: str, body: bytes, send: Any) -> None:
        assert self._session is not None
        async with self._session.post(self._provider + path, data=body) as answer:
            headers = [
                (k.lower().encode(), v.encode()) for k, v in answer.headers.items() if k.lower() != "transfer-encoding"
            ]
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            async for piece in answer.content.iter_any():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def main(provider: str) -> None:
    config = uvicorn.Config(Floor(provider), host="127.0.0.1", port=0, http="httptools", lifespan="off", log_config=None,
                            access_log=False)  # fmt: skip
    server = uvicorn.Server(config)
    serving = asyncio.ensure_future(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    print(server.servers[0].sockets[0].getsockname()[1], flush=True)
    await serving


if __name__ == "__main__":
    uvloop.run(main(f"http://127.0.0.1:{sys.argv[1]}"))
