"""How fast the parsers read what agent CLIs print, beside the least that any reader must do: decode each line and hash it.

Run: `python -m benchmarks.streams [--out results/streams.json]`. A stream is all recordings of a CLI, one after the other, again
and again, read by one parser; besides, one of claude's whose tools print much. Rates are by the CPU time of this process, the
best of many short rounds in which all streams take turns, so that a busy machine does not spoil them. Prints JSON; fails when
a budget is missed.
"""

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import facts

from droveway.agents import stream_parser

RECORDINGS = facts.ROOT / "tests" / "fixtures" / "cli"
CLIS = ("claude", "codex", "opencode", "gemini", "qwen", "pi", "copilot")
AT = datetime(2026, 11, 21, 11, 30, tzinfo=UTC)
STREAM_BYTES = 250_000
OUTPUT_LINES = 2_000
"""Of what a tool prints at once: 85 kB, the size of a build log or a large file."""

ROUNDS = 50
BUDGETS = {"MB/s": 20.0, "MB/s ÷ decoding": 0.33}

Lines = Sequence[str]
Figures = dict[str, dict[str, float]]


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


def measure() -> Figures:
    streams = {cli: (cli, repeated(recorded(cli))) for cli in CLIS}
    streams["claude, large outputs"] = ("claude", repeated(with_large_outputs()))
    best = {name: {"parse": 0.0, "decode": 0.0} for name in streams}
    for _ in range(ROUNDS):
        for name, (cli, lines) in streams.items():
            for what, act in (("parse", parse), ("decode", decode)):
                best[name][what] = max(best[name][what], rate(act, cli, lines))
    return {
        name: {
            "bytes per line": round(size(streams[name][1]) / len(streams[name][1])),
            "MB/s": round(found["parse"], 1),
            "decoding MB/s": round(found["decode"], 1),
            "MB/s ÷ decoding": round(found["parse"] / found["decode"], 2),
        }
        for name, found in best.items()
    }


def table(figures: Figures, where: str) -> str:
    names = list(next(iter(figures.values())))
    rows = [[name, *(str(found[column]) for column in names)] for name, found in figures.items()]
    budget = ["budget", *(f"≥ {BUDGETS[name]:g}" if name in BUDGETS else "" for name in names)]
    head = [["stream", *names], ["---"] * (len(names) + 1)]
    lines = "".join(f"| {' | '.join(row)} |\n" for row in [*head, *rows, budget])
    return f"# Streams\n\n`python -m benchmarks.streams`. {where}.\n\n{lines}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="also write the figures there, and a table beside it")
    arguments = parser.parse_args()
    where, figures = facts.machine(), measure()
    missed = [
        f"{name} of {cli}" for cli, found in figures.items() for name, least in BUDGETS.items() if found[name] < least
    ]
    found = {"machine": where, "budgets": BUDGETS, "missed": missed, "figures": figures}
    print(json.dumps(found, indent=1, ensure_ascii=False))
    if arguments.out:
        facts.keep(arguments.out, found, table(figures, facts.in_words(where)))
    if missed:
        sys.exit(f"missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
