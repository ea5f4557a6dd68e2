"""The operator against a real API server with fake nodes, beside bare Jobs, in one run.

    make bench-operator            # or: python -m benchmarks.operator.run [--count 500] [--rounds 3]

Each round takes, in turn: bare Jobs at 20/s, AgentRuns at 20/s, a burst of bare Jobs, a burst of AgentRuns. The figures are
the median over the rounds. Then once at 10/s, where the machine has room. Afterwards 2 000 finished runs are left in place
for the memory of the live operator and of a restarted one. Writes `results/operator.json` and `results/operator.md`. The
control plane is the project's own (`hack/control-plane`), with the client limits of the Job controller raised, so that the
comparison is with the best of it.
"""

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import facts

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CACHE = Path(os.environ.get("DROVEWAY_CACHE", Path.home() / ".cache/droveway"))
STATE = CACHE / "bench-control-plane"
ENV = os.environ | {
    "PATH": f"{CACHE / 'bin'}:{os.environ['PATH']}",
    "DROVEWAY_CACHE": str(CACHE),
    "CONTROL_PLANE_STATE": str(STATE),
    "CONTROL_PLANE_PORT": "18443",
    "CONTROL_PLANE_KCM": "500 1000",
    "CONTROL_PLANE_KS": "500 1000",
    "KUBECONFIG": str(STATE / "kubeconfig"),
}
CONTROL_PLANE = ("kube-apiserver", "etcd", "kube-controller-manager", "kube-scheduler", "kwok")
EASY_RATE, EASY_COUNT = 10, 300  # with room left on two cores
Figures = dict[str, Any]


def kubectl(*args: str) -> str:
    return subprocess.run(["kubectl", *args], env=ENV, check=True, capture_output=True, text=True).stdout


class OperatorProcess:
    """`droveway operator` as a process of its own, with the runtime dependencies only."""

    def __init__(self, python: str, folder: Path) -> None:
        key = folder / "key"
        key.write_text("the master key of a benchmark")
        env = ENV | {
            "DROVEWAY_MASTER_KEY_FILE": str(key),
            "DROVEWAY_PORT": "18000",
            "DROVEWAY_LOG_LEVEL": "WARNING",
            "DROVEWAY_HOST": "127.0.0.1",
        }
        self._log = (folder / "operator.log").open("ab")
        self.process = subprocess.Popen(
            [python, "-m", "droveway", "operator"], env=env, stdout=self._log, stderr=self._log
        )
        began = time.monotonic()
        while (
            "200"
            not in subprocess.run(
                ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "http://127.0.0.1:18000/readyz"],
                capture_output=True,
                text=True,
                check=False,
            ).stdout
        ):
            if self.process.poll() is not None or time.monotonic() - began > 60:
                sys.exit(f"the operator did not start:\n{(folder / 'operator.log').read_text()[-3000:]}")
            time.sleep(0.05)
        self.ready_seconds = time.monotonic() - began

    def rss_mib(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]  # a live process has one

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)


def measure(manifest: str, count: int, rate: float, pid: int, *, delete: bool = True) -> Figures:
    command = [
        sys.executable,
        str(HERE / "measure.py"),
        "--manifest",
        str(HERE / manifest),
        "--count",
        str(count),
        "--audit",
        str(STATE / "audit.log"),
        "--pid",
        f"operator={pid}",
        "--timeout",
        "180",
    ]
    for name in CONTROL_PLANE:
        command += ["--pid", f"{name}={(STATE / f'{name}.pid').read_text().strip()}"]
    command += ["--rate", str(rate)] if rate else []
    command += ["--children-label", "droveway.dev/run"] if manifest == "run.yaml" else []
    command += ["--delete"] if delete else []
    found: Figures = json.loads(subprocess.run(command, env=ENV, check=True, capture_output=True, text=True).stdout)
    print(
        f"   {manifest} {rate or 'burst'}: done {found['done']}/{count} in {found['all_done_s']} s, "
        f"seen → pod {found['ms']['seen -> child']}",
        flush=True,
    )
    if delete:
        settle()
    return found


def settle() -> None:
    """Waits until what was deleted is gone, so that rounds do not disturb one another."""
    for _ in range(120):
        if kubectl("get", "pods", "-o", "name").count("\n") == 0:
            return
        time.sleep(0.5)


def median(rounds: list[Figures], *path: str) -> float:
    values = []
    for found in rounds:
        value: Any = found
        for name in path:
            value = value[name]
        values.append(float(value))
    return round(statistics.median(values), 2)


def writes(found: Figures) -> dict[str, float]:
    """Our own writes per run, by what they were."""
    ours = {k.split(": ", 1)[1]: v for k, v in found["audit_per_object"].items() if k.startswith("droveway-operator")}
    return ours | {"all": round(sum(ours.values()), 2)}


def cpu(found: list[Figures]) -> dict[str, float]:
    """CPU per object of every process, in milliseconds."""
    return {name: median(found, "process", name, "cpu_ms_per_object") for name in ("operator", *CONTROL_PLANE)}


def summarise(found: dict[str, list[Figures]]) -> Figures:
    jobs, runs, job_bursts, run_bursts = (found[k] for k in ("jobs", "runs", "job bursts", "run bursts"))
    seen = ("ms", "seen -> child")
    return {
        f"{EASY_RATE}/s": {
            f"{name} seen → pod ms": {q: median(found[f"easy {name}s"], *seen, q) for q in ("p50", "p99")}
            for name in ("job", "run")
        },
        "20/s": {
            "job seen → pod ms": {q: median(jobs, *seen, q) for q in ("p50", "p99")},
            "run seen → pod ms": {q: median(runs, *seen, q) for q in ("p50", "p99")},
            "CPU ms per job": cpu(jobs),
            "CPU ms per run": cpu(runs),
            "writes per run": writes(runs[-1]),
        },
        "burst": {
            "job all done s": median(job_bursts, "all_done_s"),
            "run all done s": median(run_bursts, "all_done_s"),
            "run last pod s": median(run_bursts, "all_children_s"),
            "ratio all done": round(median(run_bursts, "all_done_s") / median(job_bursts, "all_done_s"), 2),
            "CPU ms per run": cpu(run_bursts),
        },
    }


def table(figures: Figures) -> str:
    lines = [
        "# Operator, measured",
        "",
        f"{facts.in_words(figures['machine'])}. Made by `python -m benchmarks.operator.run`.",
        "",
        "| what | measured |",
        "|---|---|",
    ]
    for part in (f"{EASY_RATE}/s", "20/s", "burst", "2 000 runs"):
        lines += [f"| {part}: {name} | {json.dumps(value)} |" for name, value in figures[part].items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--count", type=int, default=500)
    ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument(
        "--python", default=sys.executable, help="interpreter of the operator: one without development packages"
    )
    args = ap.parse_args()
    where = facts.machine()
    subprocess.run([str(ROOT / "hack/control-plane/up")], env=ENV, check=True, stdout=subprocess.DEVNULL)
    try:
        kubectl("apply", "-f", str(ROOT / "crds"))
        kubectl("wait", "--for", "condition=Established", "crd", "--all", "--timeout=30s")
        kubectl("apply", "-f", str(HERE / "furniture.yaml"))
        with tempfile.TemporaryDirectory() as folder:
            figures = {"machine": where} | run_all(args.count, args.rounds, args.python, Path(folder))
    finally:
        subprocess.run([str(ROOT / "hack/control-plane/down")], env=ENV, check=True)
    facts.keep(facts.RESULTS / "operator.json", figures, table(figures))
    print(table(figures))


def run_all(count: int, rounds: int, python: str, folder: Path) -> Figures:
    operator = OperatorProcess(python, folder)
    try:
        idle = operator.rss_mib()
        pid = operator.process.pid
        found: dict[str, list[Figures]] = {"jobs": [], "runs": [], "job bursts": [], "run bursts": []}
        for number in range(rounds):
            print(f"== round {number + 1} of {rounds}", flush=True)
            found["jobs"].append(measure("job.yaml", count, 20, pid))
            found["runs"].append(measure("run.yaml", count, 20, pid))
            found["job bursts"].append(measure("job.yaml", count, 0, pid))
            found["run bursts"].append(measure("run.yaml", count, 0, pid))
        print(f"== at {EASY_RATE}/s", flush=True)
        found["easy jobs"] = [measure("job.yaml", EASY_COUNT, EASY_RATE, pid)]
        found["easy runs"] = [measure("run.yaml", EASY_COUNT, EASY_RATE, pid)]
        operator.stop()
        operator = OperatorProcess(python, folder)
        measure("run.yaml", 2000, 40, operator.process.pid, delete=False)
        live = operator.rss_mib()
        operator.stop()
        operator = OperatorProcess(python, folder)
        time.sleep(5)
        memory = {
            "idle MiB": round(idle, 1),
            "live MiB": round(live, 1),
            "after a restart MiB": round(operator.rss_mib(), 1),
            "ready again after s": round(operator.ready_seconds, 2),
        }
    finally:
        operator.stop()
    return summarise(found) | {"2 000 runs": memory}


if __name__ == "__main__":
    main()
