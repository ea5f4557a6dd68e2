"""What is measured side by side: our gateway, LiteLLM's proxy, and the least that a relay can cost. All keep the key check on."""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from benchmarks.gateway.load import Target

from droveway.gateway.files import print_key

HERE = Path(__file__).parent
MASTER = b"a-master-key-for-the-benchmark"
TICKS = os.sysconf("SC_CLK_TCK")
START = "from droveway.gateway.serve import run; from droveway.gateway.settings import GatewaySettings; run(GatewaySettings())"
SLOWED = """
import time
from droveway.gateway.app import App
fast = App.__call__
async def slow(self, scope, receive, send):
    until = time.thread_time() + {seconds}
    while time.thread_time() < until:
        pass
    await fast(self, scope, receive, send)
App.__call__ = slow
"""
LITELLM = "litellm[proxy]==1.106.2"  # the version of the research; never a dependency of ours


class Contender(NamedTuple):
    """A process that serves.

    Attributes:
        pid: of its first process.
        started: seconds until it served.
    """

    pid: int
    target: Target
    started: float


Starter = Callable[[Path, int], AbstractContextManager[Contender]]


def family(pid: int) -> list[int]:
    """A process and all that it has started."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += family(int(child))
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and all that it has started, ended ones too."""
    total = 0
    for each in family(pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            total += sum(int(fields[place]) for place in (11, 12, 13, 14))
    return total / TICKS


def memory(pid: int) -> dict[str, float]:
    """MiB of a process and all that it has started: resident, and its share where pages are shared."""
    total = {"rss": 0.0, "pss": 0.0}
    for each in family(pid):
        rows = dict(row.split(":", 1) for row in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()[1:])
        for name in total:
            total[name] += int(rows[name.title()].split()[0]) / 1024
    return total


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
def floor(_: Path, provider_port: int) -> Iterator[Contender]:
    """A relay and nothing else."""
    began = time.perf_counter()
    with helper("floor.py", str(provider_port)) as (pid, port):
        yield Contender(pid, Target(port, "sk"), time.perf_counter() - began)


def gateway(slowed_by: float = 0.0) -> Starter:
    """Ours, with keys, metrics, events and request logs, as in production; `slowed_by`: CPU seconds burnt per request."""

    @contextmanager
    def start(folder: Path, provider_port: int) -> Iterator[Contender]:
        config = folder / "config"
        config.mkdir(exist_ok=True)
        (config / "all.yaml").write_text(yaml.safe_dump_all(manifests(f"http://127.0.0.1:{provider_port}")))
        began = time.perf_counter()
        with gateway_process(folder, provider_port, SLOWED.format(seconds=slowed_by) if slowed_by else "") as process:
            port = port_of(process, folder)
            yield Contender(
                process.pid, Target(port, print_key(config, MASTER, "default/run")), time.perf_counter() - began
            )

    return start


def gateway_process(
    folder: Path, operator_port: int, before: str = ""
) -> AbstractContextManager[subprocess.Popen[Any]]:
    """Our gateway on the manifests in `folder/config`; it logs to `folder/gateway.log`. `before`: code that it runs first."""
    master, log = folder / "master", folder / "gateway.log"
    master.write_bytes(MASTER)
    env = os.environ | {"DROVEWAY_CONFIG_DIR": str(folder / "config"), "DROVEWAY_MASTER_KEY_FILE": str(master),
                        "DROVEWAY_HOST": "127.0.0.1", "DROVEWAY_PORT": "0",
                        "DROVEWAY_OPERATOR_URL": f"http://127.0.0.1:{operator_port}"}  # fmt: skip
    with log.open("w") as sink:
        return ended(subprocess.Popen([sys.executable, "-c", before + START], env=env, stderr=sink))


def port_of(process: subprocess.Popen[Any], folder: Path) -> int:
    """Where a gateway listens, as soon as it does."""
    log = folder / "gateway.log"
    while (port := listening_port(log)) is None:
        assert process.poll() is None, log.read_text()
        time.sleep(0.005)
    return port


def litellm(python: Path) -> Starter:
    """LiteLLM's proxy in an environment of its own: one worker, no database, master key on."""

    @contextmanager
    def start(folder: Path, provider_port: int) -> Iterator[Contender]:
        base = f"http://127.0.0.1:{provider_port}/v1"
        params = {"model": "openai/claude-sonnet-4-5", "api_base": base, "api_key": "sk"}
        settings = {"model_list": [{"model_name": "asked", "litellm_params": params}]}
        (folder / "litellm.yaml").write_text(yaml.safe_dump(settings))
        env = os.environ | {"LITELLM_MASTER_KEY": "sk-master", "LITELLM_LOCAL_MODEL_COST_MAP": "True",
                            "LITELLM_TELEMETRY": "False", "LITELLM_MODE": "PRODUCTION"}  # fmt: skip
        env.pop("PYTHONPATH", None)
        port = _free_port()
        command = [str(python.parent / "litellm"), "--config", str(folder / "litellm.yaml"), "--host", "127.0.0.1",
                   "--port", str(port), "--num_workers", "1", "--telemetry", "False"]  # fmt: skip
        began = time.perf_counter()
        with (folder / "litellm.log").open("w") as sink:
            process = subprocess.Popen(command, env=env, stdout=sink, stderr=sink, cwd=folder)
        with ended(process):
            while not answers(port, "/health/liveliness"):
                assert process.poll() is None, (folder / "litellm.log").read_text()
                time.sleep(0.05)
            yield Contender(process.pid, Target(port, "sk-master"), time.perf_counter() - began)

    return start


def litellm_python() -> Path:
    """The environment of that proxy; made if it is not there."""
    cache = Path(os.environ.get("DROVEWAY_CACHE") or Path.home() / ".cache" / "droveway")
    python = cache / "litellm" / "bin" / "python"
    stamp = cache / "litellm" / ".installed"
    if not (stamp.is_file() and stamp.read_text() == LITELLM):
        subprocess.run(["uv", "venv", "-q", "--clear", "--python", sys.executable, str(cache / "litellm")], check=True)
        subprocess.run(["uv", "pip", "install", "-q", "--python", str(python), LITELLM], check=True)
        stamp.write_text(LITELLM)
    return python


@contextmanager
def ended(process: subprocess.Popen[Any]) -> Iterator[subprocess.Popen[Any]]:
    """A process that is ended with its block."""
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int, path: str) -> bool:
    """Whether a GET is answered with 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def listening_port(log: Path) -> int | None:
    for line in log.read_text().splitlines():
        if '"listening on' in line:
            return int(json.loads(line)["message"].rpartition(":")[2])
    return None


def manifests(url: str) -> list[dict[str, Any]]:
    named: Any = lambda kind, name, **rest: {"kind": kind, "metadata": {"name": name}, **rest}  # noqa: E731 - four lines of data
    spec = {"dialect": "OpenAIChat", "baseURL": url, "credentialsRef": {"name": "k", "key": "k"}}
    candidates = [{"name": "a", "providerRef": {"name": "a"}, "model": "claude-sonnet-4-5"}]
    return [
        named("ModelProvider", "a", spec=spec),
        named("ModelRoute", "main", spec={"candidates": candidates}),
        named("AgentRun", "run", spec={"routeRef": {"name": "main"}, "prompt": "x"}),
        named("Secret", "k", stringData={"k": "sk"}),
    ]
