"""`droveway gateway` as a process in files mode: what it logs and shows, as people outside see it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from droveway.gateway.files import print_key
from helpers.gateway import MASTER, PATHS, RUN, completed, until, write


@dataclass
class GatewayProcess:
    """One that listens."""

    process: asyncio.subprocess.Process
    log: Path
    agent: aiohttp.ClientSession
    key: str
    url: str = ""

    def lines(self) -> list[dict[str, Any]]:
        """What it has logged; every line of it must be an object in JSON."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def requests(self) -> list[dict[str, Any]]:
        return [line for line in self.lines() if line["message"] == "request"]

    async def logged(self, count: int) -> list[dict[str, Any]]:
        """The lines of its requests, as soon as there are so many: they are written a little later."""
        await until(lambda: len(self.requests()) >= count)
        return self.requests()

    async def ask(
        self, dialect: str = "Anthropic", *, stream: bool = False, headers: dict[str, str] | None = None, **body: Any
    ) -> tuple[int, dict[str, str], bytes]:
        """One request: status, headers and body of its answer."""
        path = PATHS[dialect].format(verb="streamGenerateContent?alt=sse" if stream else "generateContent")
        asked = {"model": "asked", "stream": stream, "messages": [], **body}
        given = {"x-api-key": self.key} | (headers or {})
        async with self.agent.post(self.url + path, data=json.dumps(asked), headers=given) as answer:
            return answer.status, {k.lower(): v for k, v in answer.headers.items()}, await answer.read()

    async def exposition(self) -> str:
        async with self.agent.get(f"{self.url}/metrics") as answer:
            return await answer.text()

    async def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of this name that have these labels."""
        return sum(
            sample.value
            for family in text_string_to_metric_families(await self.exposition())
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    async def end(self) -> int:
        """SIGTERM, and its exit code."""
        self.process.terminate()
        return await asyncio.wait_for(self.process.wait(), 20)


@asynccontextmanager
async def gateway_process(folder: Path, *manifests: dict[str, Any], **env: str) -> AsyncIterator[GatewayProcess]:
    """A gateway that serves these manifests; Secrets of providers and a run are added where they are missing."""
    config, master, log = folder / "config", folder / "master", folder / "gateway.log"
    config.mkdir()
    write(config, *completed(manifests))
    master.write_bytes(MASTER)
    ours = {
        "DROVEWAY_MASTER_KEY_FILE": str(master),
        "DROVEWAY_PORT": "0",
        "DROVEWAY_HOST": "127.0.0.1",
        "DROVEWAY_DRAIN_SECONDS": "1",
    }
    with log.open("wb") as sink:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "droveway",
            "gateway",
            "--config",
            str(config),
            env=os.environ | ours | env,
            stderr=sink,
        )
    try:
        async with aiohttp.ClientSession() as agent:
            found = GatewayProcess(process, log, agent, print_key(config, MASTER, RUN))
            await until(lambda: process.returncode is not None or _address(found), 30)
            assert process.returncode is None, log.read_text()
            found.url = f"http://{_address(found)}"
            yield found
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _address(found: GatewayProcess) -> str:
    starts = [line["message"] for line in found.lines() if line["message"].startswith("listening on ")]
    return str(starts[0]).removeprefix("listening on ") if starts else ""
