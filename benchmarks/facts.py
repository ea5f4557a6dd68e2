"""Of what, on what and when a measurement was taken, and where it is kept."""

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"


def machine() -> dict[str, Any]:
    """The machine, its load, the code and the time."""
    return {
        "commit": commit(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": cpu(),
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "system": platform.platform(),
    }


def commit() -> str:
    """Of this checkout; `-dirty` when it holds more than that."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def cpu() -> str:
    """Its model, as the kernel names it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def in_words(facts: dict[str, Any]) -> str:
    """One line for the head of a table."""
    return (
        f"{facts['time']}: commit {facts['commit']}, {facts['cpus']} × {facts['cpu']}, Python {facts['python']}, "
        f"load average {facts['load']}"
    )


def keep(out: Path, found: dict[str, Any], table: str) -> None:
    """Writes the figures to a JSON file, and the table beside it."""
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    out.with_suffix(".md").write_text(table)
