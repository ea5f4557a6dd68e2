"""Clients that are wrong, slow or hostile: each is refused or let go of, and nobody else notices."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import pytest

from droveway.core.keys import RunIdentity, namespace_key, run_key
from helpers.gateway import MASTER, MESSAGE, Running, Talk, provider, route, scripted, serving, until

KEY = run_key(namespace_key(MASTER, "default"), RunIdentity("uid-1", 1))
HEAD = f"POST /v1/messages HTTP/1.1\r\nhost: g\r\nx-api-key: {KEY}\r\ncontent-type: application/json\r\n".encode()
BODY = b'{"model":"m","messages":[]}'
WHOLE = HEAD + b"content-length: %d\r\n\r\n" % len(BODY) + BODY


@pytest.fixture(autouse=True)
async def _closed() -> AsyncIterator[None]:
    yield
    while Client.all:
        writer = Client.all.pop().writer
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def answer(talk: Talk) -> None:
    await talk.answer(200, MESSAGE)


class Client:
    """A connection that sends what it likes."""

    all: ClassVar[list["Client"]] = []

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.all.append(self)

    @classmethod
    async def to(cls, gateway: Running) -> "Client":
        return cls(*await asyncio.open_connection("127.0.0.1", gateway.gateway.port))

    async def rest(self) -> bytes:
        """Everything until the gateway closes."""
        async with asyncio.timeout(10):
            said = b""
            with suppress(ConnectionResetError):  # it was sent more than it read
                while piece := await self.reader.read(2**16):
                    said += piece
            return said

    async def status(self) -> int:
        """Of the next answer, which is read with its body."""
        async with asyncio.timeout(10):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length"))
            await self.reader.readexactly(length)
            return int(head.split(b" ")[1])


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param(b"\x16\x03\x01 no http\r\n\r\n", 400, id="no HTTP"),
        pytest.param(HEAD + b"content-length: 3\r\ncontent-length: 5\r\n\r\n{}", 400, id="two lengths"),
        pytest.param(HEAD + b"content-length: -3\r\n\r\n{}", 400, id="a negative length"),
        pytest.param(HEAD + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}", 400, id="length and chunks"),
        pytest.param(HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n", 400, id="a chunk of no size"),
        pytest.param(b"GET / HTTP/1.1\r\nx: " + b"x" * 400_000, 431, id="a head without an end"),
        pytest.param(HEAD + b"x: y\r\n" * 200 + b"\r\n", 431, id="too many headers"),
        pytest.param(HEAD + b"transfer-encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 9000, 413, id="chunks without an end"),
    ],
)  # fmt: skip
async def test_what_is_no_request_is_refused_and_closed(tmp_path: Path, sent: bytes, status: int) -> None:
    async with (
        scripted(answer) as (url, upstream),
        serving(tmp_path, provider("a", url), route("a"), max_body_bytes=4000, idle_seconds=0.5) as gateway,
    ):
        client = await Client.to(gateway)
        client.writer.write(sent)
        said = await client.rest()
        if len(sent) < 2**16:  # else the gateway has closed before it read it all, and its words may be lost
            assert said.startswith(b"HTTP/1.1 %d " % status)
            assert json.loads(said.partition(b"\r\n\r\n")[2])["error"]["message"]
        assert not upstream.seen
        await until(lambda: gateway.metric("connections") == 0)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\r\n", id="an empty line"),
        pytest.param(HEAD, id="half a head"),
        pytest.param(HEAD + b"content-length: 100\r\n\r\n{", id="less than the length it states"),
        pytest.param(HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n", id="no last chunk"),
    ],
)
async def test_who_does_not_finish_a_request_is_let_go(tmp_path: Path, sent: bytes) -> None:
    async with (
        scripted(answer) as (url, upstream),
        serving(tmp_path, provider("a", url), route("a"), request_seconds=0.3) as gateway,
    ):
        fresh, used = await Client.to(gateway), await Client.to(gateway)
        used.writer.write(WHOLE)
        assert await used.status() == 200
        for client in (fresh, used):
            client.writer.write(sent)
            if client is fresh or sent:
                assert (await client.rest()).startswith(b"HTTP/1.1 408 ")
        assert len(upstream.seen) == 1
        assert (await gateway.ask()).status == 200
        assert gateway.metric("open_requests") == 0


async def test_drips_do_not_buy_time(tmp_path: Path) -> None:
    async with (
        scripted(answer) as (url, _),
        serving(tmp_path, provider("a", url), route("a"), request_seconds=0.5) as gateway,
    ):
        client = await Client.to(gateway)

        async def drip() -> None:
            client.writer.write(HEAD + b"content-length: 4000\r\n\r\n")
            while True:
                client.writer.write(b" ")
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        await client.rest()
        dripping.cancel()
        assert gateway.metric("refused_connections_total", reason="slow") == 1


async def test_an_answer_may_take_longer_than_a_request(tmp_path: Path) -> None:
    async def slow(talk: Talk) -> None:
        await asyncio.sleep(0.5)
        await talk.answer(200, MESSAGE)

    async with (
        scripted(slow) as (url, _),
        serving(tmp_path, provider("a", url), route("a"), request_seconds=0.2) as gateway,
    ):
        assert (await gateway.ask()).status == 200


async def test_the_end_of_an_answer_is_read_or_the_connection_is_gone(tmp_path: Path) -> None:
    long = {**MESSAGE, "content": [{"type": "text", "text": "x" * 20_000_000}]}

    async def script(talk: Talk) -> None:
        await talk.answer(200, long)

    async with (
        scripted(script) as (url, _),
        serving(tmp_path, provider("a", url), route("a"), idle_seconds=1) as gateway,
    ):
        client = await Client.to(gateway)
        client.writer.write(WHOLE)
        await until(lambda: gateway.metric("refused_connections_total", reason="unread"))
        await until(lambda: gateway.metric("connections") == 0)


async def test_idle_connections_make_room_and_probes_get_through(tmp_path: Path) -> None:
    gone = asyncio.Event()

    async def patient(talk: Talk) -> None:
        await gone.wait()
        await talk.answer(200, MESSAGE)

    async with (
        scripted(patient) as (url, upstream),
        serving(tmp_path, provider("a", url), route("a"), max_connections=3) as gateway,
    ):
        idle = [await Client.to(gateway) for _ in range(3)]
        busy = []
        for number in range(3):
            busy.append(await Client.to(gateway))
            busy[-1].writer.write(WHOLE)
            assert await idle[number].rest() == b""
        await until(lambda: len(upstream.seen) == 3)
        spare = await Client.to(gateway)
        spare.writer.write(b"GET /healthz HTTP/1.1\r\nhost: g\r\n\r\n")
        assert await spare.status() == 200
        spare.writer.write(WHOLE)
        assert (await spare.rest()).startswith(b"HTTP/1.1 503 ")
        gone.set()
        assert [await client.status() for client in busy] == [200, 200, 200]


async def test_long_bodies_do_not_fill_the_memory(tmp_path: Path) -> None:
    async with (
        scripted(answer) as (url, _),
        serving(tmp_path, provider("a", url), route("a"), max_body_bytes=1000) as gateway,
    ):
        half = [await Client.to(gateway) for _ in range(6)]
        for client in half[:5]:
            client.writer.write(HEAD + b"content-length: 1000\r\n\r\n" + b" " * 900)
            await asyncio.sleep(0.02)
        assert await half[4].status() == 529
        for client in half[:4]:
            client.writer.write(b" " * 100)
        assert [await client.status() for client in half[:4]] == [400] * 4
        half[5].writer.write(HEAD + b"content-length: 1000\r\n\r\n" + b" " * 900)
        await asyncio.sleep(0.02)
        half[5].writer.write(b" " * 100)
        assert await half[5].status() == 400


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "identity, br"])
async def test_compressed_bodies_are_refused_with_a_remedy(tmp_path: Path, encoding: str) -> None:
    async with (
        scripted(answer) as (url, upstream),
        serving(tmp_path, provider("a", url), route("a")) as gateway,
        gateway.agent.post(
            f"{gateway.url}/v1/messages",
            data=gzip.compress(BODY),
            headers=gateway.headers() | {"content-encoding": encoding},
        ) as got,
    ):
        assert got.status == 415
        assert "without content-encoding" in (await got.json())["error"]["message"]
        assert not upstream.seen


async def test_the_end_waits_for_nobody_who_is_slow(tmp_path: Path) -> None:
    async with scripted(answer) as (url, _):
        async with serving(tmp_path, provider("a", url), route("a"), drain_seconds=0.2) as gateway:
            for sent in (b"", HEAD, HEAD + b"content-length: 100\r\n\r\n{"):
                (await Client.to(gateway)).writer.write(sent)
            await until(lambda: gateway.metric("connections") >= 3)
            began = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - began < 8


STREAM = b'{"model":"m","messages":[],"stream":true}'
ASK_STREAM = HEAD + b"content-length: %d\r\n\r\n" % len(STREAM) + STREAM


async def flood(talk: Talk) -> None:
    await talk.head()
    await talk.events("start", "block")
    while True:
        await talk.events(*["word"] * 100)


async def test_who_never_reads_a_stream_does_not_keep_its_connection(tmp_path: Path) -> None:
    async with (
        scripted(flood) as (url, upstream),
        serving(tmp_path, provider("a", url), route("a"), idle_seconds=0.3) as gateway,
    ):
        client = await Client.to(gateway)
        client.writer.write(ASK_STREAM)
        await until(lambda: upstream.seen)
        await upstream.seen[0].gone.wait()
        await until(lambda: gateway.metric("connections") == 0)


async def test_the_end_does_not_wait_for_who_does_not_read(tmp_path: Path) -> None:
    async with scripted(flood) as (url, upstream):
        async with serving(tmp_path, provider("a", url), route("a"), drain_seconds=0.2) as gateway:
            client = await Client.to(gateway)
            client.writer.write(ASK_STREAM)
            await until(lambda: upstream.seen)
            await asyncio.sleep(0.3)
            began = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - began < 15  # the drain, 5 s for the last word, and what is unread
        await upstream.seen[0].gone.wait()
