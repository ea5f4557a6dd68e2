"""python -m hack.mutate [core/MODULE ...]: does a test of tests/unit/core fail when the code of droveway.core is wrong?

Breaks the code in every way that mutmut knows, one way at a time, and runs the tests that reach the broken function. Tries only
what it has not tried yet: the mutants of modules that changed, and those that no test noticed if a test has changed since.
Fails below LEAST, and when a mutant that no test notices has no reason in reasons.toml. Over all modules it writes
docs/mutation.md.
"""

import sys
from pathlib import Path

from hack.mutate import bench, reasons
from hack.mutate.report import document, table
from hack.mutate.results import Result, results_of

LEAST = 85  # percent
DOCUMENT = bench.ROOT / "docs/mutation.md"
REASONS = Path(__file__).with_name("reasons.toml")


def judge(results: list[Result], *, whole: bool) -> int:
    known = reasons.read(REASONS)
    alive = [r for r in results if not r.noticed]
    share = 100 * (1 - len(alive) / len(results))
    unexcused = [r for r in alive if reasons.reason_of(r, known) is None]
    idle = reasons.idle(known, alive) if whole else []
    print(table(results))
    for result in unexcused:
        print(f"!! no test notices, and no reason is given: {result.function}: {result.change}   in: {result.line}")
    for entry in idle:
        print(f"!! {REASONS.name} excuses what is no survivor: {entry}")
    print(f"== mutate: {len(results) - len(alive)} of {len(results)} noticed: {share:.1f} %, of {LEAST} % asked for")
    if whole and not unexcused:
        DOCUMENT.write_text(document(results, known))
    return int(bool(unexcused or idle or share < LEAST))


def main(chosen: list[str]) -> int:
    bench.lay_out()
    modules = [name.removeprefix("core/") for name in chosen] or bench.modules()
    if unknown := set(modules) - set(bench.modules()):
        sys.exit(f"!! no such module: {', '.join(sorted(unknown))}")
    bench.run(modules)
    return judge([r for module in modules for r in results_of(bench.MUTANTS / f"{module}.py")], whole=not chosen)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
