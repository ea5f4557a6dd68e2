"""A wire between a client and the API server that a test can cut, hold, or make silent for the watches of one kind.

It speaks plain HTTP to the client, so that it sees which connection watches what, and passes on everything else as it is.
"""

import asyncio
import contextlib
import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import yaml

_WATCH = re.compile(rb"GET \S*/(\w+)\?\S*watch=")


class Wire:
    """One listening port.

    Attributes:
        url: what the client is told.
        held: no answer comes through any more; the connections stay up.
        mute: plurals whose watches say nothing any more; the connections stay up.
    """

    def __init__(self, server: str, authority: str) -> None:
        where = urlsplit(server)
        self._target = (where.hostname, where.port)
        self._trust = ssl.create_default_context(cafile=authority)
        self._loop = asyncio.new_event_loop()
        self._serving: asyncio.Task[None] | None = None
        self._cut = False
        self._open: set[asyncio.StreamWriter] = set()
        self.held = False
        self.mute: set[str] = set()
        self.url = ""

    def cut(self) -> None:
        """Breaks all connections; new ones are refused at once."""
        asyncio.run_coroutine_threadsafe(self._set(cut=True), self._loop).result()

    def mend(self) -> None:
        asyncio.run_coroutine_threadsafe(self._set(cut=False), self._loop).result()

    async def _set(self, *, cut: bool) -> None:
        self._cut = cut
        for writer in list(self._open) if cut else ():
            writer.transport.abort()

    async def _serve(self, started: threading.Event) -> None:
        self._serving = asyncio.current_task()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        started.set()
        async with server:
            await server.serve_forever()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._cut:
            writer.transport.abort()
            return
        with contextlib.suppress(OSError):
            up_reader, up_writer = await asyncio.open_connection(*self._target, ssl=self._trust)
            both, watched = {writer, up_writer}, [""]
            self._open |= both
            try:
                if self._cut:  # meanwhile
                    return
                await asyncio.gather(self._up(reader, up_writer, watched), self._down(up_reader, writer, watched))
            finally:
                self._open -= both
                for end in both:
                    end.transport.abort()
                for end in both:  # a transport that outlives the loop is never closed
                    with contextlib.suppress(OSError):
                        await end.wait_closed()

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, watched: list[str]) -> None:
        while data := await reader.read(65536):
            if found := _WATCH.match(data):
                watched[0] = found[1].decode()
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, watched: list[str]) -> None:
        while data := await reader.read(65536):
            if not self.held and watched[0] not in self.mute:
                writer.write(data)
                await writer.drain()
        raise ConnectionResetError

    def _run(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._serve(started))
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*asyncio.all_tasks(self._loop), return_exceptions=True))
        self._loop.close()

    def _stop(self) -> None:
        if self._serving:
            self._serving.cancel()  # the connections follow, each told once, so that each can close what it opened


@contextmanager
def wire(kubeconfig: Path, folder: Path) -> Iterator[tuple[Wire, Path]]:
    """A wire to the API server of a kubeconfig, and a kubeconfig that leads through it."""
    config = yaml.safe_load(kubeconfig.read_text())
    cluster = config["clusters"][0]["cluster"]
    found, started = Wire(cluster["server"], cluster.pop("certificate-authority")), threading.Event()
    thread = threading.Thread(target=found._run, args=(started,))
    thread.start()
    assert started.wait(10)
    cluster["server"] = found.url
    (folder / "wired.yaml").write_text(yaml.safe_dump(config))
    try:
        yield found, folder / "wired.yaml"
    finally:
        found._loop.call_soon_threadsafe(found._stop)
        thread.join()
