"""Fan-outs under load: throughput beside what is possible, the most calls at once at the provider, and what a call costs.

    python scripts/fanout_load_test.py [--seconds 10] [--clients 16]

Two providers answer after exactly 250 ms and take 8 calls at once each (`maxInFlight`), so no more than 2 × 8 / 0.25 s = 64
calls can be answered in a second. Clients of `droveway.client` ask for fan-outs of 4 calls, 2 to each provider, in a closed loop:
through a gateway (keys, metrics, events, logs on), and in process. The provider counts. Exit code 1 when it ever saw more calls
at once than a provider takes, or a call failed. Writes `results/fanout_load_<time>.json` and `.txt`. All share the machine.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]

import httpx2  # noqa: E402 - the path comes first
import uvloop  # noqa: E402
import yaml  # noqa: E402
from benchmarks import facts  # noqa: E402
from benchmarks.gateway.contenders import MASTER, START, cpu_seconds, listening_port  # noqa: E402

from droveway.api.enums import Dialect  # noqa: E402
from droveway.api.fanout import CallStatus, FanoutRequest  # noqa: E402
from droveway.api.fanoutanswer import FanoutResponse  # noqa: E402
from droveway.client import DialectClient, GatewayFanout, LocalFanout  # noqa: E402
from droveway.gateway.files import print_key  # noqa: E402

LATENCY, LIMIT, NAMES, CALLS = 0.25, 8, ("a", "b"), 4
IDEAL = len(NAMES) * LIMIT / LATENCY
ASKED = FanoutRequest.model_validate(
    {
        "messages": [{"role": "user", "content": "please look at this file and say what is wrong with it. " * 70}],
        "parameters": {"max_tokens": 100},
        "calls": [{"candidate": NAMES[place % 2]} for place in range(CALLS)],
    }
)
Client = GatewayFanout | LocalFanout


# ---------------------------------------------------------------------------------------------------------- the provider


class Provider:
    """Two providers at `/a` and `/b`, an operator, and `/peaks`: the most calls at once. Raw asyncio: its own share is small."""

    def __init__(self) -> None:
        self.open: Counter[str] = Counter()
        self.peaks: Counter[str] = Counter()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                length = next(
                    (int(line[15:]) for line in head.split("\r\n") if line.lower().startswith("content-length:")), 0
                )
                body, path = await reader.readexactly(length), head.split(" ")[1]
                writer.write(answer(await self.told(path, body)))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def told(self, path: str, body: bytes) -> Any:
        if path == "/peaks":
            found, self.peaks = dict(self.peaks), Counter()
            return found
        if path == "/v1/events":
            return {"acknowledged": max(r["number"] for r in json.loads(body)["records"])}
        name = path.split("/")[1]
        self.open[name] += 1
        self.peaks[name] = max(self.peaks[name], self.open[name])
        try:
            await asyncio.sleep(LATENCY)
        finally:
            self.open[name] -= 1
        return MESSAGE

    @classmethod
    async def run(cls) -> None:
        server = await asyncio.start_server(cls().serve, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


MESSAGE = {
    "id": "c1", "object": "chat.completion", "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop",
                 "message": {"role": "assistant", "content": "Hello from the benchmark. " * 8}}],
    "usage": {"prompt_tokens": 1200, "completion_tokens": 42, "total_tokens": 1242},
}  # fmt: skip


def answer(body: Any) -> bytes:
    text = json.dumps(body).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(text), text)


@contextmanager
def provider() -> Iterator[int]:
    process = subprocess.Popen([sys.executable, __file__, "--provider"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


def peaks(port: int) -> dict[str, int]:
    found: dict[str, int] = httpx2.get(f"http://127.0.0.1:{port}/peaks", trust_env=False).json()
    return found


# ----------------------------------------------------------------------------------------------------------- the gateway


@contextmanager
def gateway(folder: Path, port: int) -> Iterator[tuple[int, str, str]]:
    """Its pid, its address, and a run key."""
    config, master, log = folder / "config", folder / "master", folder / "log"
    config.mkdir()
    master.write_bytes(MASTER)
    (config / "all.yaml").write_text(yaml.safe_dump_all(manifests(port)))
    env = {"DROVEWAY_CONFIG_DIR": str(config), "DROVEWAY_MASTER_KEY_FILE": str(master), "DROVEWAY_HOST": "127.0.0.1",
           "DROVEWAY_PORT": "0", "DROVEWAY_OPERATOR_URL": f"http://127.0.0.1:{port}",
           "PYTHONPATH": str(ROOT / "operator")}  # fmt: skip
    with log.open("w") as sink:
        process = subprocess.Popen([sys.executable, "-c", START], env=env, stderr=sink)
    try:
        while (listens := listening_port(log)) is None:
            assert process.poll() is None, log.read_text()
            time.sleep(0.01)
        yield process.pid, f"http://127.0.0.1:{listens}", print_key(config, MASTER, "default/run")
    finally:
        process.terminate()
        process.wait()


def manifests(port: int) -> list[dict[str, Any]]:
    def named(kind: str, name: str, **rest: Any) -> dict[str, Any]:
        return {"kind": kind, "metadata": {"name": name}, **rest}

    ref = {"name": "k", "key": "k"}
    spec = {"dialect": "OpenAIChat", "credentialsRef": ref, "maxInFlight": LIMIT}
    lines = [{"name": name, "providerRef": {"name": name}, "model": "m"} for name in NAMES]
    return [
        *(named("ModelProvider", name, spec={**spec, "baseURL": f"http://127.0.0.1:{port}/{name}"}) for name in NAMES),
        named("ModelRoute", "main", spec={"candidates": lines}),
        named("AgentRun", "run", spec={"routeRef": {"name": "main"}, "prompt": "x"}),
        named("Secret", "k", stringData={"k": "sk"}),
    ]


def in_process(port: int) -> LocalFanout:
    http = httpx2.AsyncClient(trust_env=False, limits=httpx2.Limits(max_connections=None))
    found = {
        name: DialectClient(
            Dialect.OPENAI_CHAT, f"http://127.0.0.1:{port}/{name}", "sk", http=http, max_in_flight=LIMIT
        )
        for name in NAMES
    }
    return LocalFanout(found, {name: f"{name}/m" for name in NAMES})


# ---------------------------------------------------------------------------------------------------------- measurements


async def alone(client: Client, times: int = 30) -> list[float]:
    """Seconds of one fan-out with the machine to itself."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        check(await client.fanout(ASKED))
        found.append(time.perf_counter() - began)
    return found


async def loaded(client: Client, clients: int, seconds: float) -> list[float]:
    """Seconds of each, in a closed loop."""
    found: list[float] = []
    until = time.perf_counter() + seconds

    async def one() -> None:
        while time.perf_counter() < until:
            began = time.perf_counter()
            check(await client.fanout(ASKED))
            found.append(time.perf_counter() - began)

    await asyncio.gather(*(one() for _ in range(clients)))
    return found


def check(found: FanoutResponse) -> None:
    failed = [result for result in found.results if result.status is not CallStatus.OK]
    assert not failed, failed[0]


async def measured(client: Client, given: argparse.Namespace, port: int, pid: int | None) -> dict[str, float]:
    async with client:
        await alone(client, 3)
        single = await alone(client)
        peaks(port)
        cpu, began = cpu_seconds(pid) if pid else 0.0, time.perf_counter()
        taken = await loaded(client, given.clients, given.seconds)
        seconds = time.perf_counter() - began
        used = cpu_seconds(pid) - cpu if pid else None
    most, calls = peaks(port), len(taken) * CALLS
    figures = {
        "calls_per_second": calls / seconds,
        "share_of_ideal": calls / seconds / IDEAL,
        "most_at_once_a": most["a"],
        "most_at_once_b": most["b"],
        "fanout_p50_ms": statistics.median(taken) * 1000,
        "fanout_p99_ms": statistics.quantiles(taken, n=100)[98] * 1000,
        "alone_added_p50_ms": (statistics.median(single) - LATENCY) * 1000,
    }
    if used is not None:
        figures["gateway_cpu_per_call_ms"] = used / calls * 1000
    return {name: round(value, 3) for name, value in figures.items()}


def coding(found: FanoutResponse) -> dict[str, float]:
    """Milliseconds per fan-out that reading the request and writing the answer take: what another encoding could save at most."""
    asked = json.dumps(ASKED.to_wire()).encode()
    began, times = time.thread_time(), 500
    for _ in range(times):
        FanoutRequest.model_validate_json(asked)
        json.dumps(found.to_wire())
    return {"json_per_fanout_ms": round((time.thread_time() - began) / times * 1000, 3), "request_bytes": len(asked)}


async def measure(given: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, provider() as port:
        with gateway(Path(folder), port) as (pid, url, key):
            through = await measured(GatewayFanout(url, key), given, port, pid)
        locally = await measured(in_process(port), given, port, None)
        async with in_process(port) as client:
            found = await client.fanout(ASKED)
    return {"gateway": through, "local": locally, "coding": coding(found)}


def table(found: dict[str, Any]) -> str:
    lines = [facts.in_words(found["machine"]), "", f"{'':28}{'gateway':>12}{'local':>12}"]
    for name, value in found["gateway"].items():
        lines.append(f"{name:28}{value:>12}{found['local'].get(name, '-'):>12}")
    lines += [f"{'ideal calls_per_second':28}{IDEAL:>12}", f"{'limit of a provider':28}{LIMIT:>12}"]
    lines += [f"{name:28}{value:>12}" for name, value in found["coding"].items()]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--provider", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.provider:
        uvloop.run(Provider.run())
        return 0
    machine = facts.machine()
    load = {"clients": given.clients, "seconds": given.seconds, "calls_per_fanout": CALLS, "latency_seconds": LATENCY}
    load |= {"limit": LIMIT, "ideal_calls_per_second": IDEAL}
    found = {"machine": machine, "load": load, **uvloop.run(measure(given))}
    facts.RESULTS.mkdir(exist_ok=True)
    out = facts.RESULTS / f"fanout_load_{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    out.write_text(json.dumps(found, indent=1) + "\n")
    out.with_suffix(".txt").write_text(text := table(found))
    print(text + f"\n{out.relative_to(ROOT)}, and .txt beside it")
    most = max(found[way][f"most_at_once_{name}"] for way in ("gateway", "local") for name in NAMES)
    return 0 if most <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
