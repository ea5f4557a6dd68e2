"""How fast the parsers read what agent CLIs print, beside the least that any reader must do: decode each line and hash it.

Run: `python benchmarks/streams.py [--out FILE]`. A stream is all recordings of a CLI, one after the other, again and again, read
by one parser; besides, one of claude's whose tools print much. Rates are by the CPU time of this process, the best of several
rounds in which all streams take turns, so that a busy machine does not spoil them. Budgets: ≥ 20 MB/s on the machine of
`docs/STATUS.md`, and ≥ 0.5 of the bare decoding in the same run.
"""

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from droveway.agents import stream_parser

ROOT = Path(__file__).parents[1]
RECORDINGS = ROOT / "tests" / "fixtures" / "cli"
CLIS = ("claude", "codex", "opencode", "gemini", "qwen", "pi", "copilot")
AT = datetime(2026, 11, 21, 11, 30, tzinfo=UTC)
STREAM_BYTES = 250_000
OUTPUT_LINES = 2_000
"""Of what a tool prints at once: 100 kB, the size of a build log or a large file."""

ROUNDS = 50
LEAST_MEGABYTES_PER_SECOND, LEAST_RATIO = 20, 0.5

Lines = Sequence[str]


def recorded(cli: str) -> list[str]:
    streams = sorted(RECORDINGS.glob(f"{cli}/*/stdout.jsonl"))
    return [line for stream in streams for line in stream.read_text().splitlines(keepends=True)]


def with_large_outputs() -> list[str]:
    """Claude's recording of a run with a tool, whose output is that of a busy build."""
    lines = []
    for line in (RECORDINGS / "claude/tool/stdout.jsonl").read_text().splitlines():
        told = json.loads(line)
        if told["type"] == "user":
            output = "".join(f"src/main.rs:{n}: error: expected `;`, found `→`\n" for n in range(OUTPUT_LINES))
            told["message"]["content"][0]["content"] = told["tool_use_result"]["content"] = output
        lines.append(json.dumps(told, ensure_ascii=False) + "\n")
    return lines


def repeated(lines: list[str]) -> list[str]:
    return lines * max(1, STREAM_BYTES // size(lines))


def size(lines: Lines) -> int:
    return sum(len(line.encode()) for line in lines)


def parse(cli: str, lines: Lines) -> None:
    parser = stream_parser(cli, "run-1", 1, AT)
    for line in lines:
        parser.feed(line, AT)
    parser.finish(0, AT)


def decode(_: str, lines: Lines) -> None:
    for line in lines:
        json.loads(line)
        hashlib.sha256(line.encode()).digest()


def rate(act: Callable[[str, Lines], None], cli: str, lines: Lines) -> float:
    """In MB/s."""
    begin = time.process_time()
    act(cli, lines)
    return size(lines) / 1e6 / (time.process_time() - begin)


def measure() -> dict[str, dict[str, float]]:
    streams = {cli: (cli, repeated(recorded(cli))) for cli in CLIS}
    streams["claude with large outputs"] = ("claude", repeated(with_large_outputs()))
    best = {name: {"parse": 0.0, "decode": 0.0} for name in streams}
    for _ in range(ROUNDS):
        for name, (cli, lines) in streams.items():
            for what, act in (("parse", parse), ("decode", decode)):
                best[name][what] = max(best[name][what], rate(act, cli, lines))
    return {
        name: {
            "megabytes_per_second": round(found["parse"], 1),
            "decoding_megabytes_per_second": round(found["decode"], 1),
            "ratio": round(found["parse"] / found["decode"], 2),
            "bytes_per_line": round(size(streams[name][1]) / len(streams[name][1])),
        }
        for name, found in best.items()
    }


def machine() -> dict[str, Any]:
    commit = subprocess.run(
        ["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return {
        "commit": commit.stdout.strip(),
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="also write the figures to this file")
    out: Path | None = parser.parse_args().out
    streams = measure()
    slowest = min(found["megabytes_per_second"] for found in streams.values())
    ratio = min(found["ratio"] for found in streams.values())
    figures = json.dumps(
        {
            "machine": machine(),
            "budget": {"megabytes_per_second": LEAST_MEGABYTES_PER_SECOND, "ratio": LEAST_RATIO},
            "within_budget": slowest >= LEAST_MEGABYTES_PER_SECOND and ratio >= LEAST_RATIO,
            "slowest_megabytes_per_second": slowest,
            "least_ratio": ratio,
            "streams": streams,
        },
        indent=2,
    )
    sys.stdout.write(figures + "\n")
    if out:
        out.write_text(figures + "\n")


if __name__ == "__main__":
    main()
