"""What telemetry costs: time and memory of `record`, time of all snapshots, bytes of what is published and kept.

Run: `python -m benchmarks.telemetry [--out results/telemetry.json]`. Times are CPU times of this process, the best of several
runs, so that a busy machine does not spoil them. Memory is the high-water mark of a process of its own that fills one store
with completions as they come from JSON, less that of one that fills none. Prints JSON; fails when a budget is missed.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial, reduce
from pathlib import Path

from benchmarks import facts

from droveway.core.bucket import Bucket
from droveway.core.route import telemetry_status
from droveway.core.telemetry import MOST_COMPLETIONS, CompletionEvent, TelemetryStore, TokenBreakdown

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
WINDOW = timedelta(hours=1)
FILLED = timedelta(seconds=3_500)
SMALL, LARGE = 1_000, 100_000
BEYOND = MOST_COMPLETIONS * 5 // 4
MODELS, SESSIONS, BATCH = 10, 50, 1_000
BUDGETS = {
    "record µs at 100 000": 4.0,
    "record at 100 000 ÷ at 1 000": 1.5,
    "snapshots µs at 100 000": 500.0,
    "snapshots at 100 000 ÷ at 1 000": 1.5,
    "memory at 10 × the rate ÷ at 1 ×, beyond the bound": 1.5,
    "status bytes of a candidate": 1_000.0,
}
Figures = dict[str, float]


def event(number: int, at: datetime) -> CompletionEvent:
    """A completion whose every part is its own object, as when it comes from JSON."""
    ok = number % 10 != 0
    tokens = TokenBreakdown(total=12_000 + number, input=10_000 + number, output=2_000)
    return CompletionEvent(
        model=f"provider/model-{number % MODELS}",
        session_id=f"0f8fad5b-d9cb-469f-a165-{number % SESSIONS:012d}",
        completed_at=at,
        latency_ms=100.5 + number,
        success=ok,
        tokens=tokens,
        cost_usd=0.0123 + number * 1e-6,
        error=None if ok else "connection refused",
        id=f"0f8fad5b-d9cb-469f-a165-{number:012d}/1/{number}",
    )


def fill(store: TelemetryStore, count: int) -> float:
    """Takes in so many completions within the window. Returns the CPU seconds that each took."""
    spent = 0.0
    for first in range(0, count, BATCH):
        events = [event(i, START + i * FILLED / count) for i in range(first, min(first + BATCH, count))]
        begin = time.process_time()
        for e in events:
            store.record(e, e.completed_at)
        spent += time.process_time() - begin
    return spent / max(count, 1)


def best(runs: int, act: Callable[[int], float]) -> float:
    return min(act(run) for run in range(runs))


def one_more(store: TelemetryStore, run: int) -> float:
    """What one more completion costs in a filled store."""
    begin_at = START + FILLED + run * timedelta(seconds=1)
    events = [event(LARGE + run * BATCH + i, begin_at + i * timedelta(microseconds=900)) for i in range(BATCH)]
    begin = time.process_time()
    for e in events:
        store.record(e, e.completed_at)
    return (time.process_time() - begin) / BATCH


def snapshots(store: TelemetryStore, run: int) -> float:
    now = START + WINDOW + run * timedelta(seconds=61)  # some have left, and the edge moves on each run
    begin = time.process_time()
    found = store.all_model_performances(now)
    took = time.process_time() - begin
    assert len(found) == MODELS
    return took


def beyond_the_bound(_: int) -> float:
    """What a completion costs, its condensing included, when a tenth of all is kept one by one."""
    return fill(TelemetryStore(WINDOW, most_completions=LARGE // 10), LARGE)


def times() -> Figures:
    figures = {}
    for count in (SMALL, LARGE):
        store = TelemetryStore(WINDOW)
        fill(store, count)
        size = f"{count:,}".replace(",", " ")
        figures[f"snapshots µs at {size}"] = best(30, partial(snapshots, store)) * 1e6
        figures[f"record µs at {size}"] = best(20, partial(one_more, store)) * 1e6
    for what in ("record", "snapshots"):
        figures[f"{what} at 100 000 ÷ at 1 000"] = figures[f"{what} µs at 100 000"] / figures[f"{what} µs at 1 000"]
    figures["record µs beyond the bound"] = best(3, beyond_the_bound) * 1e6
    return figures


def memory() -> Figures:
    """Completions that would not all fit, and ten times as many in the same time."""
    none, full, beyond, far_beyond = (high_water(n) for n in (0, MOST_COMPLETIONS, BEYOND, 10 * BEYOND))
    return {
        "bytes per completion": (full - none) / MOST_COMPLETIONS,
        "memory MiB at the bound": (full - none) / 2**20,
        f"memory MiB of {10 * BEYOND} completions": (far_beyond - none) / 2**20,
        "memory at 10 × the rate ÷ at 1 ×, beyond the bound": (far_beyond - none) / (beyond - none),
    }


def high_water(count: int) -> int:
    """The most memory, in bytes, of a process that takes in so many completions."""
    command = [sys.executable, "-m", "benchmarks.telemetry", "--fill", str(count)]
    return int(subprocess.run(command, cwd=facts.ROOT, capture_output=True, text=True, check=True).stdout)


def print_high_water(count: int) -> None:
    fill(TelemetryStore(WINDOW), count)
    lines = Path("/proc/self/status").read_text().splitlines()
    print(next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024)


def sizes() -> Figures:
    """What a ModelRoute's status says of a candidate's telemetry, and what its ConfigMap keeps of it."""
    store, now = TelemetryStore(WINDOW), START + FILLED
    fill(store, LARGE)
    summary, seen = store.export_summary(now), store.all_model_performances(now)
    published = [telemetry_status(p, reduce(Bucket.merged, summary.models[p.model])).to_wire() for p in seen]
    return {
        "status bytes of a candidate": max(len(json.dumps(status).encode()) for status in published),
        "kept bytes of a model in 60 buckets": len(summary.to_json()) / MODELS,
    }


def table(found: dict[str, float], where: str) -> str:
    rows = "".join(f"| {name} | {value} | {BUDGETS.get(name, '')} |\n" for name, value in found.items())
    head = f"# Telemetry benchmark\n\n{where}. Made by `python -m benchmarks.telemetry`.\n\n"
    return f"{head}| figure | measured | budget |\n|---|---|---|\n{rows}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="also write the figures there, and a table beside it")
    parser.add_argument("--fill", type=int, help="print the high-water mark of memory after so many completions")
    arguments = parser.parse_args()
    if arguments.fill is not None:
        print_high_water(arguments.fill)
        return
    where = facts.machine()
    figures = {name: round(value, 2) for name, value in {**times(), **memory(), **sizes()}.items()}
    missed = [name for name, most in BUDGETS.items() if figures[name] > most]
    found = {"machine": where, "budgets": BUDGETS, "missed": missed, "figures": figures}
    print(json.dumps(found, indent=1, ensure_ascii=False))
    if arguments.out:
        facts.keep(arguments.out, found, table(figures, facts.in_words(where)))
    if missed:
        sys.exit(f"missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
