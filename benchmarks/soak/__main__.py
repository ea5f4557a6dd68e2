"""A gateway under mixed load for a long time, with cancels and faults: nothing may be left over, and memory stays where it is.

    python -m benchmarks.soak [--minutes 30] [--agents 16] [--cancels 0.01] [--faults 0.01]

The gateway is a process of its own in files mode with keys, metrics, events and logs on; its counters are read from `/metrics`,
its memory from /proc. When the agents have stopped, every slot, queue, request, connection and task counter has to be back where
it was before the first request, and no event may be pending. Memory is flat when the median of the last third is not above that
of the middle third by more than `--growth` MiB. Writes `results/soak.json` and `.md`; exit code 1 when anything is left over.
"""

import argparse
import asyncio
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from benchmarks import facts
from benchmarks.gateway import contenders
from benchmarks.soak.clients import DIALECTS, Agents

from droveway.gateway.files import print_key

GONE = ("in_flight", "queue_length", "open_requests", "upstream_connections", "events_pending")
"""Gauges that are zero when nobody asks."""
_SETTLE_SECONDS = 20.0
_BUG = re.compile(r"Traceback|\"level\":\"(?:error|critical)\"")


def manifests(url: str) -> list[dict[str, Any]]:
    """Four providers; a route straight to each dialect, one that mixes them by weight, and one that keeps answers."""

    def named(kind: str, name: str, **spec: Any) -> dict[str, Any]:
        return {"kind": kind, "metadata": {"name": name}, "spec": spec}

    lines = [{"name": d.lower(), "providerRef": {"name": d.lower()}, "model": f"model-{d.lower()}"} for d in DIALECTS]
    breaker = {"failureThreshold": 5, "cooldownSeconds": 1}
    return [
        *(named("ModelProvider", d.lower(), dialect=d, baseURL=url, credentialsRef={"name": "k", "key": "k"}) for d in DIALECTS),
        {"kind": "Secret", "metadata": {"name": "k"}, "stringData": {"k": "sk"}},
        named("ModelRoute", "straight", candidates=lines, circuitBreaker=breaker),
        named("ModelRoute", "mixed", candidates=lines, strategy="Weighted", circuitBreaker=breaker),
        named("ModelRoute", "cached", candidates=lines, cache={"mode": "OnRequest"}, circuitBreaker=breaker),
        *(named("AgentRun", name, routeRef={"name": name}, prompt="x") for name in ("straight", "mixed", "cached")),
    ]  # fmt: skip


async def counters(url: str) -> dict[str, float]:
    """The gauges of the process, summed over their labels."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as answer:
        text = await answer.text()
    found = {}
    for name in (*GONE, "connections", "tasks"):
        samples = re.findall(rf"^droveway_gateway_{name}(?:\{{.*\}})? (\S+)$", text, re.MULTILINE)
        found[name] = sum(map(float, samples))
    return found


async def soak(url: str, pid: int, agents: Agents, arguments: argparse.Namespace) -> dict[str, Any]:
    """Load, then silence; what is left over then."""
    idle = await counters(url)
    running = asyncio.create_task(agents.run(arguments.agents))
    sizes, ends = [], time.monotonic() + arguments.minutes * 60
    while time.monotonic() < ends:
        await asyncio.sleep(min(5.0, max(1.0, arguments.minutes * 60 / 60)))
        sizes.append(round(contenders.memory(pid)["rss"], 1))
        assert not running.done(), running.exception()
    agents.stopping = True
    await running
    quiet, until = await counters(url), time.monotonic() + _SETTLE_SECONDS
    while left_over(idle, quiet) and time.monotonic() < until:
        await asyncio.sleep(0.5)
        quiet = await counters(url)
    return {"idle": idle, "quiet": quiet, "left over": left_over(idle, quiet), "rss MiB": sizes}


def left_over(idle: dict[str, float], quiet: dict[str, float]) -> list[str]:
    """What did not go back."""
    found = [f"{name}: {quiet[name]:g} instead of 0" for name in GONE if quiet[name]]
    return found + [
        f"{name}: {quiet[name]:g}, before the load {idle[name]:g}"
        for name in ("connections", "tasks")
        if quiet[name] > idle[name]
    ]


def growth(sizes: list[float]) -> float:
    """MiB by which the last third is above the middle one."""
    third = max(1, len(sizes) // 3)
    return round(statistics.median(sizes[-third:]) - statistics.median(sizes[third : 2 * third] or sizes), 1)


def gateway(stack: ExitStack, folder: Path, provider_port: int) -> tuple[int, int, dict[str, str]]:
    """The gateway's pid and port, and the keys of its runs."""
    config = folder / "config"
    config.mkdir()
    (config / "all.yaml").write_text(yaml.safe_dump_all(manifests(f"http://127.0.0.1:{provider_port}")))
    process = stack.enter_context(contenders.gateway_process(folder, provider_port))
    keys = {name: print_key(config, contenders.MASTER, f"default/{name}") for name in ("straight", "mixed", "cached")}
    return process.pid, contenders.port_of(process, folder), keys


def judged(
    found: dict[str, Any], ended: Counter[tuple[str, str]], bugs: list[str], arguments: argparse.Namespace
) -> dict[str, Any]:
    """What was seen, and why it is not good; an empty list is good."""
    wrong = list(found["left over"])
    found["growth MiB"] = growth(found["rss MiB"])
    if found["growth MiB"] > arguments.growth:
        wrong.append(f"memory grew by {found['growth MiB']} MiB")
    if bugs:
        wrong.append(f"{len(bugs)} lines of trouble in the log, the first: {bugs[0]}")
    ways: Counter[str] = Counter()
    for (_, how), count in ended.items():
        ways[how] += count
    if ways["500"] or ways["hangs"]:
        wrong.append(f"{ways['500']} answers 500, {ways['hangs']} that never came")
    if not ways["200"]:
        wrong.append("nothing was answered")
    kinds = {what: {how: n for (w, how), n in sorted(ended.items()) if w == what} for what, _ in sorted(ended)}
    return found | {"requests": sum(ways.values()), "ended": dict(ways.most_common()), "kinds": kinds, "wrong": wrong}


def table(found: dict[str, Any]) -> str:
    how = f"{found['minutes']:g} minutes, {found['agents']} agents, {found['cancels']:.1%} cancels, {found['faults']:.1%} faults"
    sizes = found["rss MiB"]
    rows = [
        ("requests", found["requests"]),
        ("ended", ", ".join(f"{how}: {count}" for how, count in found["ended"].items())),
        ("counters before", found["idle"]),
        ("counters after", found["quiet"]),
        (
            "memory, MiB",
            f"{sizes[0]} at first, {max(sizes)} at most, {sizes[-1]} at last; growth {found['growth MiB']}",
        ),
        ("wrong", "; ".join(found["wrong"]) or "nothing"),
    ]
    head = f"# Soak\n\n{facts.in_words(found['machine'])}; {how}. Made by `python -m benchmarks.soak`.\n\n"
    return f"{head}| what | seen |\n|---|---|\n" + "".join(f"| {name} | {value} |\n" for name, value in rows)


def main(given: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--agents", type=int, default=16)
    parser.add_argument("--cancels", type=float, default=0.01)
    parser.add_argument("--faults", type=float, default=0.01)
    parser.add_argument("--growth", type=float, default=4.0, help="MiB that memory may grow in the last third")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=facts.RESULTS / "soak.json")
    arguments = parser.parse_args(given)
    where = facts.machine()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        provider = stack.enter_context(provider_process(arguments))
        assert provider.stdout is not None
        pid, port, keys = gateway(stack, folder, int(provider.stdout.readline()))
        url = f"http://127.0.0.1:{port}"
        agents = Agents(url, keys, arguments.cancels, arguments.seed)
        found = asyncio.run(soak(url, pid, agents, arguments))
        with (folder / "gateway.log").open() as log:
            bugs = [line[:2000] for line in log if _BUG.search(line)]
    told = {name: value for name, value in vars(arguments).items() if name != "out"}
    found = {"machine": where, **told, **judged(found, agents.ended, bugs, arguments)}
    facts.keep(arguments.out, found, table(found))
    print(table(found))
    return 1 if found["wrong"] else 0


def provider_process(arguments: argparse.Namespace) -> Any:
    command = [sys.executable, "-m", "benchmarks.soak.provider", str(arguments.faults), str(arguments.seed)]
    return contenders.ended(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=facts.ROOT))


if __name__ == "__main__":
    sys.exit(main())
