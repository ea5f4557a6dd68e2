"""What agents see while their provider fails: error rates, retries, reroutes and timeouts, by kind of fault.

Drives the real gateway process; only the provider is a mock. Every case has a route of its own with two providers: every n-th
call of the first one fails, the second one is sound. Fails when an agent sees an error that the route's rules should have kept
from it.
"""

import argparse
import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import yaml
from benchmarks.facts import in_words, keep, machine
from benchmarks.gateway.contenders import answers, listening_port

from droveway.gateway.files import print_key

MASTER = b"a-master-key-for-the-report"
EVERY = 5
CLIENTS = 8
NEVER_OPEN = {"failureThreshold": 1000}
RETRY = {"sameCandidate": 1, "backoffMilliseconds": 50}


class Case(NamedTuple):
    """One fault under one route.

    Attributes:
        fault: a scenario of the mock.
        stream: whether agents ask for streams.
        spec: of the route, besides its candidates.
        deadline: milliseconds that agents wait; 0: for ever.
        seen: the outcomes that agents may see.
    """

    fault: str
    stream: bool
    spec: dict[str, Any]
    deadline: int = 0
    seen: tuple[str, ...] = ("whole",)

    @property
    def title(self) -> str:
        """For people."""
        rules = [f"{name} {self.spec[name]}" for name in ("midStream",) if name in self.spec]
        rules += ["retry"] * ("retry" in self.spec) + ["hedge"] * ("hedge" in self.spec)
        told = [*rules, *([f"deadline {self.deadline} ms"] if self.deadline else [])]
        return f"{self.fault}, {'streamed' if self.stream else 'plain'}{', ' if told else ''}{', '.join(told)}"


HANG = {"timeouts": {"headersSeconds": 1}}
CASES = [
    *(Case(fault, stream, {}) for fault in ("server_error", "overloaded", "html") for stream in (False, True)),
    Case("server_error", True, {"retry": RETRY}),
    Case("rate_limit,retry_after=1", True, {"retry": RETRY}),
    Case("usage_limit", True, {}),
    Case("hang", True, HANG),
    Case("hang", True, {"hedge": {"afterMilliseconds": 100, "maxPercent": 30}, **HANG}),
    Case("hang", True, HANG, deadline=300, seen=("whole", "timeout")),
    *(Case(fault, False, {}) for fault in ("disconnect",)),
    *(
        Case(fault, True, {"midStream": mode}, seen=("whole", "error in the stream") if mode == "Error" else ("whole",))
        for fault in ("disconnect", "stream_error")
        for mode in ("Error", "Continue", "Restart")
    ),
]  # fmt: skip


def manifests(mock: str) -> list[dict[str, Any]]:
    """All cases: a run, a route and two providers for each."""
    told: list[dict[str, Any]] = [_named("Secret", "key", stringData={"k": "sk"})]
    for number, case in enumerate(CASES):
        name = f"c{number}"
        urls = {"a": f"{mock}/s/{case.fault},run={name},every={EVERY}", "b": f"{mock}/s/ok"}
        for which, url in urls.items():
            key = {"name": "key", "key": "k"}
            spec = {"dialect": "Anthropic", "baseURL": url, "credentialsRef": key, "maxInFlight": 64}
            told.append(_named("ModelProvider", f"{name}-{which}", spec=spec))
        lines = [{"name": w, "providerRef": {"name": f"{name}-{w}"}, "model": "mock"} for w in urls]
        told.append(_named("ModelRoute", name, spec={"candidates": lines, "circuitBreaker": NEVER_OPEN, **case.spec}))
        told.append(_named("AgentRun", name, spec={"routeRef": {"name": name}, "prompt": "x"}))
    return told


def _named(kind: str, name: str, **rest: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name}, **rest}


@contextmanager
def processes(folder: Path) -> Iterator[tuple[int, Path]]:
    """The mock and the gateway: the gateway's port, and the folder that it serves."""
    port, config, master, log = _free_port(), folder / "config", folder / "master", folder / "gateway.log"
    config.mkdir()
    master.write_bytes(MASTER)
    (config / "all.yaml").write_text(yaml.safe_dump_all(manifests(f"http://127.0.0.1:{port}")))
    env = os.environ | {"DROVEWAY_CONFIG_DIR": str(config), "DROVEWAY_MASTER_KEY_FILE": str(master),
                        "DROVEWAY_HOST": "127.0.0.1", "DROVEWAY_PORT": "0"}  # fmt: skip
    droveway = [sys.executable, "-m", "droveway"]
    with log.open("w") as sink:
        mock = subprocess.Popen([*droveway, "mockllm", "--port", str(port)], stdout=sink, stderr=sink)
        try:
            while not answers(port, "/v1/models"):
                time.sleep(0.02)
            gateway = subprocess.Popen([*droveway, "gateway"], env=env, stdout=sink, stderr=sink)
            try:
                while (listens := listening_port(log)) is None:
                    assert gateway.poll() is None, log.read_text()
                    time.sleep(0.02)
                yield listens, config
            finally:
                gateway.terminate()
                gateway.wait()
        finally:
            mock.kill()
            mock.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def play(url: str, key: str, case: Case, requests: int) -> dict[str, Any]:
    """So many requests of one case, from a few clients at once."""
    seen: Counter[str] = Counter()
    times: list[float] = []
    left = iter(range(requests))
    headers = {"x-api-key": key} | ({"X-Droveway-Deadline-Ms": str(case.deadline)} if case.deadline else {})
    body = {"model": "m", "max_tokens": 9, "stream": case.stream, "messages": [{"role": "user", "content": "hi"}]}

    async def client(session: aiohttp.ClientSession) -> None:
        for _ in left:
            began = time.perf_counter()
            async with session.post(f"{url}/v1/messages", json=body, headers=headers) as answer:
                seen[outcome(answer.status, await answer.read(), case.stream)] += 1
            times.append(time.perf_counter() - began)

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(client(session) for _ in range(CLIENTS)))
    times.sort()
    at = {f"p{share}_ms": round(times[min(len(times) - 1, len(times) * share // 100)] * 1000) for share in (50, 99)}
    return {"requests": requests, "seen": dict(seen), **at}


def outcome(status: int, body: bytes, stream: bool) -> str:
    """What an agent makes of an answer."""
    if status == 504:
        return "timeout"
    if status != 200:
        return f"status {status}"
    if b"event: error" in body:
        return "error in the stream"
    return "whole" if not stream or b"message_stop" in body else "silent end"


def counted(metrics: str, case: int) -> dict[str, int]:
    """What the gateway itself counted for a case."""
    names = {"calls": "completions", "reroutes": "reroutes", "resumes": "resumes", "hedges": "hedges"}
    found = {
        label: _sum(metrics, f"droveway_gateway_{name}_total", f'route="c{case}"') for label, name in names.items()
    }
    found["failed_calls"] = found["calls"] - _sum(
        metrics, "droveway_gateway_completions_total", f'route="c{case}"', 'outcome="Succeeded"'
    )
    found["retries"] = _sum(metrics, "droveway_gateway_retries_total", f'provider="c{case}-a"')
    return found


def _sum(metrics: str, name: str, *labels: str) -> int:
    lines = re.findall(rf"^{name}{{(.*)}} ([\d.e+]+)$", metrics, re.MULTILINE)
    return round(sum(float(value) for told, value in lines if all(label in told for label in labels)))


async def measure(requests: int) -> list[dict[str, Any]]:
    """All cases, one after the other."""
    found = []
    with tempfile.TemporaryDirectory() as folder, processes(Path(folder)) as (port, config):
        url = f"http://127.0.0.1:{port}"
        for number, case in enumerate(CASES):
            played = await play(url, print_key(config, MASTER, f"default/c{number}"), case, requests)
            async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as answer:
                told = counted(await answer.text(), number)
            wrong = sum(count for what, count in played["seen"].items() if what not in case.seen)
            found.append({"case": case.title, **played, **told, "unexpected": wrong})
    return found


def table(found: list[dict[str, Any]], facts: dict[str, Any]) -> str:
    """The same for people."""
    head = (
        f"# Reliability under faults\n\n{in_words(facts)}. Every {EVERY}th call of each route's first provider fails, its "
        f"second one is sound; breakers stay closed, so that the faults go on; "
        f"{CLIENTS} clients at once. Made by `make report-reliability`.\n\n"
        "| fault and route | requests | whole | error rate | timeouts | failed calls | calls | reroutes | retries | resumes "
        "| hedges | p50 ms | p99 ms |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|\n"
    )
    rows = []
    for row in found:
        whole, late = row["seen"].get("whole", 0), row["seen"].get("timeout", 0)
        rate = f"{1 - whole / row['requests']:.1%}"
        figures = [row["requests"], whole, rate, late, row["failed_calls"], row["calls"], row["reroutes"]]
        figures += [row["retries"], row["resumes"], row["hedges"], row["p50_ms"], row["p99_ms"]]
        rows.append(f"| {row['case']} | {' | '.join(map(str, figures))} |\n")
    return head + "".join(rows)


def main() -> int:
    """Measures, writes, and says whether an agent saw what it should not have seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    found, facts = asyncio.run(measure(given.requests)), machine()
    text = table(found, facts)
    keep(given.out, {"machine": facts, "every": EVERY, "clients": CLIENTS, "cases": found}, text)
    print(text)
    wrong = [row["case"] for row in found if row["unexpected"]]
    print(
        f"unexpected errors in: {json.dumps(wrong)}" if wrong else "no agent saw an error that it should not have seen"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
