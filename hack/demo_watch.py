"""demo_watch.py NAMESPACE: follows the runs of a namespace until all are over.

On a terminal: a table that updates. Elsewhere: a line whenever a run changes. Exit code 1 when a run did not succeed.
"""

import json
import subprocess
import sys
import time
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

SECONDS = 420
Run = dict[str, Any]


def runs(namespace: str) -> list[Run]:
    out = subprocess.run(
        ["kubectl", "-n", namespace, "get", "agentruns", "-o", "json"], capture_output=True, text=True, check=True
    )
    found: list[Run] = json.loads(out.stdout)["items"]
    return sorted(found, key=lambda r: str(r["metadata"]["name"]))


def summary(run: Run) -> dict[str, str]:
    conditions = run.get("status", {}).get("conditions", [])
    return next(
        (c for c in conditions if c["type"] == "Succeeded"), {"status": "Unknown", "reason": "Pending", "message": ""}
    )


def row(run: Run) -> list[str]:
    status = run.get("status", {})
    on, usage = status.get("route", {}), status.get("usage", {})
    moves = ", ".join(f"{m['depth'].lower()}: {m['from']} → {m['to']}" for m in status.get("reroutes", []))
    return [
        run["metadata"]["name"],
        summary(run)["reason"],
        on.get("candidate", ""),
        on.get("model", ""),
        str(status.get("attemptCount", 0)),
        str(usage.get("tokens", {}).get("total", 0)),
        usage.get("costUSD", "–"),
        moves,
        status.get("nextEligibleTime", "")[11:19],
    ]


def table(found: list[Run]) -> Table:
    drawn = Table(
        "run", "status", "candidate", "model", "attempts", "tokens", "US$", "moved", "waits until", title="AgentRuns"
    )
    for run in found:
        drawn.add_row(*row(run))
    return drawn


def follow(namespace: str, console: Console) -> list[Run]:
    """Until all runs are over, or the time is."""
    end, told, found = time.monotonic() + SECONDS, dict[str, list[str]](), runs(namespace)
    with (
        Live(table(found), console=console, refresh_per_second=4, transient=False)
        if console.is_terminal
        else _Silent() as live
    ):
        while time.monotonic() < end:
            found = runs(namespace)
            if live:
                live.update(table(found))
            else:
                tell(found, told)
            if found and all(summary(r)["status"] != "Unknown" for r in found):
                break
            time.sleep(0.5)
    return found


class _Silent:
    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


def tell(found: list[Run], told: dict[str, list[str]]) -> None:
    for run in found:
        now = row(run)
        seen = [*now[:5], now[7]]  # tokens alone are no news
        if told.get(now[0]) != seen:
            told[now[0]] = seen
            line = f"{time.strftime('%H:%M:%S')}  {now[0]:<16} {now[1]:<20} {now[2]:<14} {now[3]:<18} attempts {now[4]}"
            print(f"{line}  {summary(run)['message']}", flush=True)


def main() -> None:
    namespace, console = sys.argv[1], Console()
    found = follow(namespace, console)
    print()
    subprocess.run(["kubectl", "-n", namespace, "get", "arun,mroute,mprov", "-o", "wide"], check=True)
    failed = [r["metadata"]["name"] for r in found if summary(r)["status"] != "True"]
    if failed:
        sys.exit(f"\nnot succeeded: {', '.join(failed)}; see: kubectl -n {namespace} describe agentrun {failed[0]}")


if __name__ == "__main__":
    main()
