"""The gateway beside a direct connection, in one run: CPU per request, added latency, memory, start.

    python -m benchmarks.gateway.run [--seconds 5] [--rounds 3] [--clients 8]

Keys, metrics, events and request logs are on, as in production. The processes share the machine: this load generator, the
provider (`upstream.py`: 20 ms to the first byte; streams of 20 chunks, 5 ms apart), the gateway in files mode, and a relay that
does nothing else (`floor.py`). Each round takes them in turn, and the figures are medians over the rounds. CPU is
the gateway process's own, from /proc/<pid>/stat. Writes `results/gateway.json` and `results/gateway.md`.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import uvloop
import yaml
from benchmarks import facts

from droveway.gateway.files import print_key

HERE = Path(__file__).parent
MASTER = b"a-master-key-for-the-benchmark"
TICKS = os.sysconf("SC_CLK_TCK")
START = "from droveway.gateway.serve import run; from droveway.gateway.settings import GatewaySettings; run(GatewaySettings())"
BUDGETS = {"json cpu ms": 0.8, "stream cpu ms": 2.0, "json added p50 ms": 2.0, "idle rss MiB": 80.0, "start s": 1.5}
PROMPT = "please look at this file and say what is wrong with it. " * 70  # about 4 kB


class Load(NamedTuple):
    """One closed-loop measurement."""

    latencies: list[float]
    first_bytes: list[float]
    seconds: float


class Target(NamedTuple):
    """Where requests go, and with which key."""

    port: int
    key: str

    def request(self, *, stream: bool) -> bytes:
        body = json.dumps({"model": "asked", "stream": stream, "max_tokens": 100,
                           "messages": [{"role": "user", "content": PROMPT}]}, separators=(",", ":")).encode()  # fmt: skip
        return (f"POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1\r\nx-api-key: {self.key}\r\ncontent-type: application/json\r\n"
                f"anthropic-version: 2023-06-01\r\ncontent-length: {len(body)}\r\n\r\n").encode() + body  # fmt: skip


async def client(target: Target, load: Load, until: float, *, stream: bool) -> None:
    """One connection that asks again as soon as it is answered. By hand: a client library would cost more than the gateway."""
    reader, writer = await asyncio.open_connection("127.0.0.1", target.port, limit=2**20)
    request = target.request(stream=stream)
    while time.perf_counter() < until:
        began = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        load.first_bytes.append(time.perf_counter() - began)
        assert head.startswith(b"HTTP/1.1 200"), head
        if b"chunked" in head.lower():
            await reader.readuntil(b"\r\n0\r\n\r\n")
        else:
            await reader.readexactly(
                next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
            )
        load.latencies.append(time.perf_counter() - began)
    writer.close()


def drive(target: Target, clients: int, seconds: float, *, stream: bool) -> Load:
    load = Load([], [], seconds)

    async def all_clients() -> None:
        until = time.perf_counter() + seconds
        await asyncio.gather(*(client(target, load, until, stream=stream) for _ in range(clients)))

    uvloop.run(all_clients())
    return load


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory(pid: int) -> dict[str, float]:
    """MiB."""
    rows = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return {name.lower(): int(rows[name].split()[0]) / 1024 for name in ("Rss", "Pss")}


@contextmanager
def helper(script: str, *arguments: str) -> Iterator[tuple[int, int]]:
    """One of the scripts beside this one: its pid, and the port that it prints."""
    process = subprocess.Popen([sys.executable, str(HERE / script), *arguments], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.pid, int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


@contextmanager
def gateway(folder: Path, provider_port: int) -> Iterator[tuple[subprocess.Popen[str], Target, float]]:
    """A gateway process, the way to it, and how long it took to listen."""
    config, master = folder / "config", folder / "master"
    config.mkdir(exist_ok=True)
    master.write_bytes(MASTER)
    (config / "all.yaml").write_text(yaml.safe_dump_all(manifests(f"http://127.0.0.1:{provider_port}")))
    env = os.environ | {"DROVEWAY_CONFIG_DIR": str(config), "DROVEWAY_MASTER_KEY_FILE": str(master), "DROVEWAY_HOST": "127.0.0.1",
                        "DROVEWAY_PORT": "0", "DROVEWAY_OPERATOR_URL": f"http://127.0.0.1:{provider_port}"}  # fmt: skip
    log = folder / "gateway.log"
    began = time.perf_counter()
    with log.open("w") as sink:
        process = subprocess.Popen([sys.executable, "-c", START], env=env, stderr=sink, text=True)
    try:
        while (port := listening_port(log)) is None:
            assert process.poll() is None, log.read_text()
            time.sleep(0.005)
        yield process, Target(port, print_key(config, MASTER, "default/run")), time.perf_counter() - began
    finally:
        process.terminate()
        process.wait()


def listening_port(log: Path) -> int | None:
    for line in log.read_text().splitlines():
        if '"listening on' in line:
            return int(json.loads(line)["message"].rpartition(":")[2])
    return None


def manifests(url: str) -> list[dict[str, Any]]:
    named: Any = lambda kind, name, **rest: {"kind": kind, "metadata": {"name": name}, **rest}  # noqa: E731 - three lines of data
    return [
        named(
            "ModelProvider",
            "a",
            spec={"dialect": "Anthropic", "baseURL": url, "credentialsRef": {"name": "k", "key": "k"}},
        ),
        named(
            "ModelRoute",
            "main",
            spec={"candidates": [{"name": "a", "providerRef": {"name": "a"}, "model": "claude-sonnet-4-5"}]},
        ),
        named("AgentRun", "run", spec={"routeRef": {"name": "main"}, "prompt": "x"}),
        named("Secret", "k", stringData={"k": "sk"}),
    ]


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    figures: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        figures.setdefault(name, []).append(value)

    with helper("upstream.py") as (_, provider_port), helper("floor.py", str(provider_port)) as (floor_pid, floor_port):
        direct, floor = Target(provider_port, "sk"), Target(floor_port, "sk")
        for _ in range(arguments.rounds):
            with gateway(folder, provider_port) as (process, target, started):
                note("start s", started)
                time.sleep(4)  # the price look-up, a process of its own, is over
                for name, value in memory(process.pid).items():
                    note(f"idle {name} MiB", value)
                for kind in ("json", "stream"):
                    stream = kind == "stream"
                    drive(target, arguments.clients, 1, stream=stream)
                    drive(floor, arguments.clients, 1, stream=stream)
                    plain = drive(direct, arguments.clients, arguments.seconds, stream=stream)
                    least = loaded(floor, floor_pid, arguments, stream=stream)
                    ours = loaded(target, process.pid, arguments, stream=stream)
                    note(f"{kind} cpu ms", ours.cpu_ms)
                    note(f"{kind} cpu ms of the floor", least.cpu_ms)
                    note(f"{kind} cpu, times the floor", ours.cpu_ms / least.cpu_ms)
                    note(f"{kind} direct p50 ms", median_ms(plain.latencies))
                    note(f"{kind} added p50 ms", median_ms(ours.load.latencies) - median_ms(plain.latencies))
                    note(
                        f"{kind} added p50 ms of the floor",
                        median_ms(least.load.latencies) - median_ms(plain.latencies),
                    )
                    note(
                        f"{kind} added first byte p50 ms",
                        median_ms(ours.load.first_bytes) - median_ms(plain.first_bytes),
                    )
                    note(f"{kind} per second", len(ours.load.latencies) / ours.load.seconds)
                note("loaded rss MiB", memory(process.pid)["rss"])
    return {name: round(statistics.median(values), 3) for name, values in figures.items()} | {"rounds": figures}


class Spent(NamedTuple):
    """A measurement with the CPU that it cost the process in between."""

    load: Load
    cpu_ms: float


def loaded(target: Target, pid: int, arguments: argparse.Namespace, *, stream: bool) -> Spent:
    before = cpu_seconds(pid)
    load = drive(target, arguments.clients, arguments.seconds, stream=stream)
    return Spent(load, (cpu_seconds(pid) - before) * 1000 / len(load.latencies))


def median_ms(seconds: list[float]) -> float:
    return statistics.median(seconds) * 1000


def table(found: dict[str, Any]) -> str:
    rows = "".join(
        f"| {name} | {value} | {BUDGETS.get(name, '')} |\n"
        for name, value in found["figures"].items()
        if name != "rounds"
    )
    how = f"{found['clients']} clients, {found['rounds']} rounds of {found['seconds']:g} s, medians"
    head = f"# Gateway benchmark\n\n{facts.in_words(found['machine'])}; {how}. Made by `python -m benchmarks.gateway.run`.\n\n"
    return f"{head}| figure | measured | budget |\n|---|---|---|\n{rows}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, default=8)
    arguments = parser.parse_args()
    where = facts.machine()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(arguments, Path(folder))
    found = {"machine": where, **vars(arguments), "budgets": BUDGETS, "figures": figures}
    facts.keep(facts.RESULTS / "gateway.json", found, table(found))
    print(table(found))


if __name__ == "__main__":
    main()
