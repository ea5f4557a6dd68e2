"""Our gateway beside LiteLLM's proxy, a relay that does nothing else, and a direct connection, in one run.

    python -m benchmarks.gateway.run [--seconds 5] [--rounds 3] [--clients 8] [--rate 20] [--without-litellm]

All share the machine with this load generator and the provider (`upstream.py`: 20 ms to the first byte; streams of 20 chunks,
5 ms apart). Each round takes them in turn, in another order, and the figures are medians over the rounds. Loops are closed (so
many clients, each asks again as soon as it is answered) and open (so many requests a second, timed from when they were due). CPU
is the process's own and its children's, from /proc. Absolute times are those of a busy machine; `ratios` compare within the run,
and `benchmarks.compare` compares them between runs.

Writes `results/gateway.json` and `.md`, and each loop's rounds as `results/gateway_closed.json` and `.txt`,
`results/gateway_open.json` and `.txt`. `--planted-slowdown` burns that many milliseconds of CPU in each of our requests: to see
the comparison fail.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks import facts
from benchmarks.gateway import contenders
from benchmarks.gateway.load import Load, Target, closed, opened

OURS, LITELLM, FLOOR, DIRECT = "droveway", "litellm", "floor", "direct"
KINDS = ("json", "stream")
BUDGETS = {
    "droveway closed json cpu ms": (0.8, "at most"),
    "droveway closed stream cpu ms": (2.0, "at most"),
    "droveway closed json added p50 ms": (2.0, "at most"),
    "droveway idle rss MiB": (80.0, "at most"),
    "droveway start s": (1.5, "at most"),
    "litellm / droveway closed json cpu": (15.0, "at least"),
}
_SETTLED_SECONDS = 4  # the price look-up, a process of its own, is over

Rounds = dict[str, list[float]]


def measure(arguments: argparse.Namespace, folder: Path) -> Rounds:
    found: Rounds = {}

    def note(name: str, value: float) -> None:
        found.setdefault(name, []).append(value)

    starters = {FLOOR: contenders.floor, OURS: contenders.gateway(arguments.planted_slowdown / 1000)}
    if not arguments.without_litellm:
        starters[LITELLM] = contenders.litellm(contenders.litellm_python())
    with ExitStack() as stack:
        _, provider_port = stack.enter_context(contenders.helper("upstream.py"))
        running = {name: stack.enter_context(start(folder, provider_port)) for name, start in starters.items()}
        time.sleep(_SETTLED_SECONDS)
        for name, contender in running.items():
            note(f"{name} start s", contender.started)
            for kind, size in contenders.memory(contender.pid).items():
                note(f"{name} idle {kind} MiB", size)
        targets = {name: (contender.pid, contender.target) for name, contender in running.items()}
        direct = Target(provider_port, "sk")
        for number in range(arguments.rounds):
            order = sorted(targets)
            order = order[number % len(order) :] + order[: number % len(order)]
            for kind in KINDS:
                for loop, drive in loops(arguments, stream=kind == "stream").items():
                    plain = drive(direct)
                    note(f"{DIRECT} {loop} {kind} p50 ms", late(plain.latencies, 50))
                    note(f"{DIRECT} {loop} {kind} p99 ms", late(plain.latencies, 99))
                    for name in order:
                        closed(targets[name][1], 2, 0.3, stream=kind == "stream")
                        for figure, value in turn(*targets[name], drive, plain).items():
                            note(f"{name} {loop} {kind} {figure}", value)
        for name, contender in running.items():
            note(f"{name} loaded rss MiB", contenders.memory(contender.pid)["rss"])
    return found


def loops(arguments: argparse.Namespace, *, stream: bool) -> dict[str, Callable[[Target], Load]]:
    return {
        "closed": lambda target: closed(target, arguments.clients, arguments.seconds, stream=stream),
        "open": lambda target: opened(target, arguments.rate, arguments.seconds, stream=stream),
    }


def turn(pid: int, target: Target, drive: Callable[[Target], Load], plain: Load) -> dict[str, float]:
    """One contender under one kind of load, beside the direct connection."""
    before, began = contenders.cpu_seconds(pid), time.perf_counter()
    load = drive(target)
    seconds = time.perf_counter() - began
    return {
        "cpu ms": (contenders.cpu_seconds(pid) - before) * 1000 / len(load.latencies),
        "added p50 ms": late(load.latencies, 50) - late(plain.latencies, 50),
        "added p99 ms": late(load.latencies, 99) - late(plain.latencies, 99),
        "added first byte p50 ms": late(load.first_bytes, 50) - late(plain.first_bytes, 50),
        "per second": len(load.latencies) / seconds,
    }


def late(seconds: list[float], percent: int) -> float:
    """A percentile, in milliseconds."""
    return statistics.quantiles(seconds, n=100)[percent - 1] * 1000


def ratios(found: Rounds) -> dict[str, float]:
    """What stays the same on a slower or busier machine: CPU, round by round, as a multiple of somebody else's in that round."""
    out = {}
    for above, below in ((OURS, FLOOR), (LITELLM, OURS)):
        for loop in ("closed", "open"):
            for kind in KINDS:
                pairs = zip(
                    found.get(f"{above} {loop} {kind} cpu ms", ()), found[f"{below} {loop} {kind} cpu ms"], strict=False
                )
                if values := [a / b for a, b in pairs if b]:
                    out[f"{above} / {below} {loop} {kind} cpu"] = round(statistics.median(values), 3)
    return out


def kept(budget: str, figures: dict[str, float]) -> str:
    """Whether a budget is kept, in words; "" when it was not measured."""
    bound, how = BUDGETS[budget]
    if budget not in figures:
        return ""
    fine = figures[budget] <= bound if how == "at most" else figures[budget] >= bound
    return f"{how} {bound:g}: {'kept' if fine else 'MISSED'}"


def table(found: dict[str, Any]) -> str:
    figures = found["figures"] | found["ratios"]
    rows = "".join(
        f"| {name} | {value} | {kept(name, figures) if name in BUDGETS else ''} |\n" for name, value in figures.items()
    )
    how = (f"{found['clients']} clients closed, {found['rate']:g} requests a second open, {found['rounds']} rounds of "
           f"{found['seconds']:g} s, medians")  # fmt: skip
    head = f"# Gateway benchmark\n\n{facts.in_words(found['machine'])}; {how}. Made by `python -m benchmarks.gateway.run`.\n\n"
    opponent = f"The opponent is `{contenders.LITELLM}`, one worker, no database, key check on.\n\n"
    return f"{head}{opponent}| figure | measured | budget |\n|---|---|---|\n{rows}"


def keep(found: dict[str, Any], values: Rounds, folder: Path) -> None:
    """The summary, and every round of each loop."""
    facts.keep(folder / "gateway.json", found, table(found))
    for loop in ("closed", "open"):
        part = {name: [round(v, 3) for v in each] for name, each in values.items() if f" {loop} " in name}
        (folder / f"gateway_{loop}.json").write_text(
            json.dumps({"machine": found["machine"], "rounds": part}, indent=1) + "\n"
        )
        lines = [f"{name:50} {statistics.median(each):10.3f}   rounds: {each}" for name, each in part.items()]
        (folder / f"gateway_{loop}.txt").write_text("\n".join([facts.in_words(found["machine"]), *lines]) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rate", type=float, default=20)
    parser.add_argument("--without-litellm", action="store_true")
    parser.add_argument("--planted-slowdown", type=float, default=0.0, metavar="MILLISECONDS")
    parser.add_argument("--out", type=Path, default=facts.RESULTS, metavar="FOLDER")
    arguments = parser.parse_args()
    where = facts.machine()
    with tempfile.TemporaryDirectory() as folder:
        values = measure(arguments, Path(folder))
    told = {name: value for name, value in vars(arguments).items() if name != "out"}
    figures = {name: round(statistics.median(each), 3) for name, each in values.items()}
    budgets = {name: " ".join((how, f"{bound:g}")) for name, (bound, how) in BUDGETS.items()}
    found = {"machine": where, **told, "budgets": budgets, "figures": figures, "ratios": ratios(values)}
    arguments.out.mkdir(exist_ok=True)
    keep(found, values, arguments.out)
    print(table(found))


if __name__ == "__main__":
    main()
