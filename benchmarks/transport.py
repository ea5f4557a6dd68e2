"""What one request to a provider costs in client libraries: CPU of the client alone, a plain answer and a stream of 20 chunks.

    python -m benchmarks.transport [--requests 300] [--rounds 5]

Each client asks the provider of the gateway benchmark (`gateway/upstream.py`) over connections that are kept alive, eight
requests at a time, in turns. CPU is this process's own, so the provider, which is another one, does not count. Figures are
medians over the rounds, and multiples of the floor's in the same round. Writes `results/transport.json` and `.md`.

`bytes over asyncio` is what no client can go below: the request's bytes written, the answer's read to its end, nothing parsed.
"""

import argparse
import asyncio
import resource
import statistics
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import httptools
import httpx2
import uvloop
from benchmarks import facts
from benchmarks.gateway import contenders
from benchmarks.gateway.load import Connection, Load, Target

from droveway.core.deadline import Clocks
from droveway.gateway.upstream import Upstream

Ask = Callable[[bytes], Awaitable[None]]
HEADERS = [("content-type", "application/json"), ("authorization", "Bearer sk"), ("accept-encoding", "identity")]
AT_ONCE = 8


@asynccontextmanager
async def ours(url: str) -> AsyncIterator[Ask]:
    """The gateway's own `Upstream`: an aiohttp session without cookies, redirects, proxies and clocks."""
    upstream = Upstream(Clocks(5, 60, 60, 60))

    async def ask(body: bytes) -> None:
        answer = await upstream.send(url, HEADERS, body, 5)
        while await answer.content.readany():
            pass
        answer.close()

    yield ask
    await upstream.close()


@asynccontextmanager
async def plain_aiohttp(url: str) -> AsyncIterator[Ask]:
    """A session as its documentation shows it."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def ask(body: bytes) -> None:
            async with session.post(url, data=body, headers=dict(HEADERS)) as answer:
                async for _ in answer.content.iter_any():
                    pass

        yield ask


@asynccontextmanager
async def plain_httpx2(url: str) -> AsyncIterator[Ask]:
    """A client with its own pool."""
    async with httpx2.AsyncClient(trust_env=False, timeout=None) as client:

        async def ask(body: bytes) -> None:
            async with client.stream("POST", url, content=body, headers=dict(HEADERS)) as answer:
                async for _ in answer.aiter_raw():
                    pass

        yield ask


class Parsed(asyncio.Protocol):
    """A connection of our own over httptools, as lean as it gets with answers parsed: no TLS, no pauses, no errors, no clocks."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def ask(self, request: bytes) -> asyncio.Queue[bytes]:
        self.headers: list[tuple[bytes, bytes]] = []
        self.pieces: asyncio.Queue[bytes] = asyncio.Queue()
        self.parser = httptools.HttpResponseParser(self)
        self.transport.write(request)
        return self.pieces

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        self.pieces.put_nowait(body)

    def on_message_complete(self) -> None:
        self.pieces.put_nowait(b"")


@asynccontextmanager
async def parsed(url: str) -> AsyncIterator[Ask]:
    """What a transport of our own could cost."""
    port, free, loop = int(url.split(":")[2].split("/", maxsplit=1)[0]), list[Parsed](), asyncio.get_running_loop()

    async def ask(body: bytes) -> None:
        connection = free.pop() if free else (await loop.create_connection(Parsed, "127.0.0.1", port))[1]
        lines = [*HEADERS, ("host", "127.0.0.1"), ("content-length", str(len(body)))]
        head = "".join(f"{name}: {value}\r\n" for name, value in lines)
        pieces = connection.ask(f"POST /v1/chat/completions HTTP/1.1\r\n{head}\r\n".encode() + body)
        while await pieces.get():
            pass
        free.append(connection)

    yield ask
    for connection in free:
        connection.transport.close()


@asynccontextmanager
async def only_bytes(url: str) -> AsyncIterator[Ask]:
    """The floor."""
    port, free = int(url.split(":")[2].split("/", maxsplit=1)[0]), list[Connection]()

    async def ask(body: bytes) -> None:
        stream = b'"stream":true' in body
        connection = free.pop() if free else await Connection.to(Target(port, "sk"), stream=stream)
        await connection.ask(Load([], []))
        free.append(connection)

    yield ask
    for connection in free:
        connection.close()


CLIENTS: dict[str, Callable[[str], Any]] = {
    "bytes over asyncio": only_bytes,
    "own, over httptools": parsed,
    "gateway's Upstream (aiohttp)": ours,
    "aiohttp session": plain_aiohttp,
    "httpx2 client": plain_httpx2,
}


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def cost(client: Callable[[str], Any], url: str, body: bytes, requests: int) -> float:
    """Milliseconds of CPU per request."""
    async with client(url) as ask:
        await asyncio.gather(*(ask(body) for _ in range(AT_ONCE)))  # connected and warm

        async def turn() -> None:
            for _ in range(requests // AT_ONCE):
                await ask(body)

        before = cpu()
        await asyncio.gather(*(turn() for _ in range(AT_ONCE)))
        return (cpu() - before) * 1000 / (requests // AT_ONCE * AT_ONCE)


async def measure(arguments: argparse.Namespace, port: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    for _ in range(arguments.rounds):
        for kind in ("json", "stream"):
            body = Target(port, "sk").request(stream=kind == "stream").partition(b"\r\n\r\n")[2]
            for name, client in CLIENTS.items():
                spent = await cost(client, url, body, arguments.requests // (1 if kind == "json" else 4))
                found.setdefault(f"{name} {kind}", []).append(spent)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    where = facts.machine()
    with contenders.helper("upstream.py") as (_, port):
        values = uvloop.run(measure(arguments, port))
    least = next(iter(CLIENTS))
    figures, ratios = {}, {}
    for name, each in values.items():
        floor = values[f"{least} {name.rsplit(' ', 1)[1]}"]
        figures[name] = round(statistics.median(each), 3)
        ratios[name] = round(statistics.median(a / b for a, b in zip(each, floor, strict=True)), 2)
    rows = "".join(f"| {name} | {figures[name]} | {ratios[name]} |\n" for name in figures)
    how = (
        f"{arguments.requests} requests, {arguments.rounds} rounds, medians. Made by `python -m benchmarks.transport`."
    )
    head = f"# Transport benchmark\n\n{facts.in_words(where)}; {how}\n\n"
    table = f"{head}| client | CPU ms per request | times the floor |\n|---|---|---|\n{rows}"
    found = {"machine": where, "figures": figures, "ratios": ratios, "rounds": values}
    facts.keep(facts.RESULTS / "transport.json", found, table)
    print(table)


if __name__ == "__main__":
    main()
