"""Twenty seconds of the soak, with more cancels and faults than it has: nothing is left over."""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.soak.__main__ import growth, left_over

ROOT = Path(__file__).parents[2]
NONE = dict.fromkeys(
    ("in_flight", "queue_length", "open_requests", "upstream_connections", "events_pending", "connections", "tasks"),
    0.0,
)


def test_nothing_is_left_over(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.soak", "--minutes", "0.33", "--agents", "8", "--cancels", "0.1",
               "--faults", "0.1", "--growth", "30", "--out", str(tmp_path / "soak.json")]  # fmt: skip
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr[-2000:]
    found = json.loads((tmp_path / "soak.json").read_text())
    assert found["requests"] > 100
    assert found["ended"]["left"] > 5
    assert len(found["kinds"]) > 20


def test_what_is_left_over_is_noticed() -> None:
    assert left_over(NONE, NONE) == []
    assert left_over(NONE, NONE | {"in_flight": 1.0, "tasks": 2.0}) == [
        "in_flight: 1 instead of 0",
        "tasks: 2, before the load 0",
    ]


def test_growth_is_that_of_the_last_third() -> None:
    assert growth([50, 70, 71, 71, 71, 71, 71, 71, 71]) == 0
    assert growth([50, 70, 71, 71, 71, 71, 80, 81, 82]) == 10
