"""What telemetry costs: `record`, and the snapshots of ten models, with 1 000 and with 100 000 completions in the window.

Run: `python benchmarks/telemetry.py`. Times are CPU times of this process, the best of several runs, so that a busy machine
does not spoil them. Budgets: record ≤ 4 µs and ≤ 1.5 × from 1 000 to 100 000; snapshots ≤ 500 µs and ≤ 1.5 ×.
"""

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from droveway.core.telemetry import CompletionEvent, TelemetryStore, TokenBreakdown

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
WINDOW = timedelta(hours=1)
FILLED = timedelta(seconds=3_500)
SMALL, LARGE = 1_000, 100_000
MODELS = 10
BATCH = 1_000


def event(number: int, at: datetime) -> CompletionEvent:
    ok = number % 10 != 0
    tokens = TokenBreakdown(total=1_200, input=1_000, output=200)
    error = None if ok else "connection refused"
    return CompletionEvent(
        f"provider/{number % MODELS}", f"s{number % 50}", at, 100.5, ok, tokens, 0.01, error, f"id-{number}"
    )


def filled(count: int) -> tuple[TelemetryStore, float]:
    """A store with so many completions, and what one of them cost."""
    events = [event(i, START + i * FILLED / count) for i in range(count)]
    store = TelemetryStore(WINDOW)
    begin = time.process_time()
    for e in events:
        store.record(e, e.completed_at)
    return store, (time.process_time() - begin) / count


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


def main() -> None:
    out = {}
    for name, count in (("small", SMALL), ("large", LARGE)):
        store, filling = filled(count)
        out[name] = {
            "completions": count,
            "fill_microseconds": round(filling * 1e6, 2),
            "snapshots_first_microseconds": round(snapshots(store, 0) * 1e6, 1),
            "snapshots_microseconds": round(best(30, partial(snapshots, store)) * 1e6, 1),
            "record_microseconds": round(best(20, partial(one_more, store)) * 1e6, 2),
        }
    small, large = out["small"], out["large"]
    ratios = {
        "record_ratio": round(large["record_microseconds"] / small["record_microseconds"], 2),
        "snapshots_ratio": round(large["snapshots_microseconds"] / small["snapshots_microseconds"], 2),
    }
    json.dump({**out, **ratios}, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
