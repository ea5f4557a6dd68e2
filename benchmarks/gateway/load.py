"""Load for the gateway benchmark: connections by hand, since a client library would cost more than what is measured."""

import asyncio
import json
import time
from typing import NamedTuple

import uvloop

PROMPT = "please look at this file and say what is wrong with it. " * 70  # about 4 kB


class Load(NamedTuple):
    """Seconds per request: until the answer's first byte, and until its last."""

    first_bytes: list[float]
    latencies: list[float]


class Target(NamedTuple):
    """Where requests go, and with which key."""

    port: int
    key: str

    def request(self, *, stream: bool) -> bytes:
        body = json.dumps({"model": "asked", "stream": stream, "max_tokens": 100,
                           "messages": [{"role": "user", "content": PROMPT}]}, separators=(",", ":")).encode()  # fmt: skip
        head = (f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {self.key}\r\n"
                f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n")  # fmt: skip
        return head.encode() + body


class Connection:
    """One connection to a target."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
        self._reader, self._writer, self._request = reader, writer, request

    @classmethod
    async def to(cls, target: Target, *, stream: bool) -> "Connection":
        reader, writer = await asyncio.open_connection("127.0.0.1", target.port, limit=2**20)
        return cls(reader, writer, target.request(stream=stream))

    async def ask(self, load: Load, due: float | None = None) -> None:
        """One request; open loops count from when it was due."""
        began = due or time.perf_counter()
        self._writer.write(self._request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        first = time.perf_counter()
        assert head.startswith(b"HTTP/1.1 200"), head + await self._reader.read(2**16)
        if b"chunked" in head.lower():
            await self._reader.readuntil(b"\r\n0\r\n\r\n")
        else:
            lengths = (line[15:] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
            await self._reader.readexactly(int(next(lengths)))
        load.first_bytes.append(first - began)
        load.latencies.append(time.perf_counter() - began)

    def close(self) -> None:
        self._writer.close()


def closed(target: Target, clients: int, seconds: float, *, stream: bool) -> Load:
    """So many clients, each of which asks again as soon as it is answered."""
    load = Load([], [])

    async def client(until: float) -> None:
        connection = await Connection.to(target, stream=stream)
        while time.perf_counter() < until:
            await connection.ask(load)
        connection.close()

    async def all_clients() -> None:
        until = time.perf_counter() + seconds
        await asyncio.gather(*(client(until) for _ in range(clients)))

    uvloop.run(all_clients())
    return load


def opened(target: Target, rate: float, seconds: float, *, stream: bool) -> Load:
    """So many requests a second, whether earlier ones are answered or not."""
    load = Load([], [])

    async def one(free: list[Connection], due: float) -> None:
        connection = free.pop() if free else await Connection.to(target, stream=stream)
        await connection.ask(load, due)
        free.append(connection)

    async def all_requests() -> None:
        began, free, tasks = time.perf_counter(), list[Connection](), []
        for number in range(int(rate * seconds)):
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.append(asyncio.create_task(one(free, due)))
        await asyncio.gather(*tasks)
        for connection in free:
            connection.close()

    uvloop.run(all_requests())
    return load
