"""The other side of the soak: the mock provider in all four dialects, where a share of the calls goes wrong, and an operator that
acknowledges events. Prints its port.

    python -m benchmarks.soak.provider <share of faults> <seed>
"""

import asyncio
import json
import logging
import random
import sys
from typing import Any

import uvicorn
import uvloop

from droveway import mockllm

FAULTS = (
    "server_error",
    "overloaded",
    "html",
    "rate_limit,retry_after=1",
    "stream_error",
    "disconnect",
    "hang,seconds=1",
    "slow,gap=0.1",
    "context",
)
PAUSE = "ok,gap=0.005"  # a stream takes some time, so that there is something to cancel


class Provider:
    """The mock behind a die."""

    def __init__(self, faults: float, seed: int) -> None:
        self._mock, self._faults, self._random = mockllm.app(), faults, random.Random(seed)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/v1/events":
            await self._acknowledge(receive, send)
            return
        scenario = self._random.choice(FAULTS) if self._random.random() < self._faults else PAUSE
        path = f"/s/{scenario}{scope['path']}"
        await self._mock(scope | {"path": path, "raw_path": path.encode()}, receive, send)

    async def _acknowledge(self, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        answer = json.dumps({"acknowledged": max(r["number"] for r in json.loads(body)["records"])}).encode()
        headers = [(b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


async def main(faults: float, seed: int) -> None:
    server = uvicorn.Server(
        uvicorn.Config(Provider(faults, seed), port=0, lifespan="off", log_config=None, access_log=False)
    )
    serving = asyncio.ensure_future(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    print(server.servers[0].sockets[0].getsockname()[1], flush=True)
    await serving


if __name__ == "__main__":
    logging.disable()  # streams are cut by raising, on purpose
    uvloop.run(main(float(sys.argv[1]), int(sys.argv[2])))
