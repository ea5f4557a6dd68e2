"""python -m hack.mutate [core/MODULE ...]: does a test of tests/unit/core fail when the code of droveway.core is wrong?

Breaks the code in every way that mutmut knows, one way at a time, and runs the tests that reach the broken function. Tries only
what it has not tried yet: the mutants of modules that changed, and those that no test noticed if a test has changed since.
Fails below LEAST, and when a mutant that no test notices has no reason in reasons.toml. Over all modules it writes
docs/mutation.md.
"""

import sys
from collections import defaultdict
from pathlib import Path

from hack.mutate import bench, reasons, trial
from hack.mutate.mutants import Mutant
from hack.mutate.report import document, table

LEAST = 85  # percent
DOCUMENT = bench.ROOT / "docs/mutation.md"
REASONS = Path(__file__).with_name("reasons.toml")


def main(chosen: list[str]) -> int:
    modules = [name.removeprefix("core/") for name in chosen] or bench.modules()
    if unknown := set(modules) - set(bench.modules()):
        sys.exit(f"!! no such module: {', '.join(sorted(unknown))}")
    with bench.take():
        bench.lay_out()
        try_out(modules)
        return judge([m for module in modules for m in bench.mutants(module)], whole=not chosen)


def try_out(modules: list[str]) -> None:
    """Tries what has to be tried, and keeps what was found out of a module as soon as it is whole."""
    todo = {module: mutants for module in modules if (mutants := bench.to_try(module))}
    tried: dict[str, list[Mutant]] = defaultdict(list)

    def tell(mutant: Mutant) -> None:
        module = mutant.module
        tried[module].append(mutant)
        if len(tried[module]) == len(todo[module]):
            bench.remember(module, tried[module])
            alive = sum(not m.noticed for m in tried[module])
            print(f"== mutate: core/{module}: {len(tried[module])} tried, {alive} not noticed", flush=True)

    if todo:
        trial.run([mutant for mutants in todo.values() for mutant in mutants], tell)


def judge(mutants: list[Mutant], *, whole: bool) -> int:
    """Says what was found out; 1 if that is not good enough."""
    known = reasons.read(REASONS)
    alive = [m for m in mutants if not m.noticed]
    share = 100 * (1 - len(alive) / len(mutants))
    unexcused = [m for m in alive if reasons.reason_of(m, known) is None]
    idle = reasons.idle(known, alive) if whole else []
    print(table(mutants))
    for mutant in unexcused:
        print(f"!! no test notices, and no reason is given: {mutant.function}: {mutant.change}   in: {mutant.line}")
    for entry in idle:
        print(f"!! {REASONS.name} excuses what is no survivor: {entry}")
    print(f"== mutate: {len(mutants) - len(alive)} of {len(mutants)} noticed: {share:.1f} %, of {LEAST} % asked for")
    if whole and not unexcused:
        DOCUMENT.write_text(document(mutants, known))
    return int(bool(unexcused or idle or share < LEAST))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
