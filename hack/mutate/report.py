"""What is said of the mutants: on the terminal, and in docs/mutation.md."""

from collections.abc import Iterable
from itertools import groupby

from hack.mutate.mutants import Mutant, Outcome
from hack.mutate.reasons import Reason, reason_of

_INTRODUCTION = """\
# Mutation testing of the deciding core

`make mutate` breaks `operator/droveway/core` in every way that [mutmut](https://mutmut.readthedocs.io) knows, one way at a time,
and runs those tests of `tests/unit/core` that reach the broken function. A mutant that no test notices is a gap in the tests,
code that does nothing, or a change that makes no difference. This file is what the command wrote over all modules.

Not mutated, because mutmut leaves it alone: decorated functions (properties), and what is not in a function (tables, patterns,
declarations). A mutant that runs into its time limit (an endless loop) is noticed. Hypothesis tries 15 fixed examples per test
(profile `mutation`), and its state machines do not take part: the tests of `make unit` see more than these.

`make mutate MODULES="core/retry core/routing"` tries some modules. Results are kept below the cache: a module that changed is
tried anew, and so is what no test noticed when a test has changed; remove `mutation` there to try everything. What may live
stands in `hack/mutate/reasons.toml`; the command fails on a survivor without a reason, and on a reason without a survivor.
"""


def table(mutants: Iterable[Mutant]) -> str:
    """Per module: mutants, those that were noticed, and their share."""
    rows = ["| module | mutants | noticed | of them endless | % |", "|---|---:|---:|---:|---:|"]
    listed = sorted(mutants, key=lambda r: r.module)
    for module, group in groupby(listed, key=lambda r: r.module):
        rows.append(_row(f"core/{module}", list(group)))
    return "\n".join([*rows, _row("**all**", listed)])


def _row(name: str, mutants: list[Mutant]) -> str:
    noticed = sum(r.noticed for r in mutants)
    stopped = sum(r.outcome is Outcome.STOPPED for r in mutants)
    return f"| {name} | {len(mutants)} | {noticed} | {stopped} | {100 * noticed / len(mutants):.1f} |"


def document(mutants: list[Mutant], reasons: list[Reason]) -> str:
    """The whole of docs/mutation.md."""
    alive = [r for r in mutants if not r.noticed]
    parts = [_INTRODUCTION, table(mutants), f"\n## What lives ({len(alive)})"]
    for reason in reasons:
        excused = [r for r in alive if reason_of(r, reasons) is reason]
        parts.append(f"\n### {reason.why}\n\n{_list(excused)}")
    return "\n".join(parts) + "\n"


def _list(mutants: list[Mutant]) -> str:
    """One line per line of code, with every change of it that no test notices."""
    lines = []
    for (function, line), group in groupby(mutants, key=lambda r: (r.function, r.line)):
        changes = ", ".join(f"`{mutant.change}`" for mutant in group)
        lines.append(f"- `{function}`: {changes} in `{line}`")
    return "\n".join(lines)
