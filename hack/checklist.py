"""python -m hack.checklist [TABLE]: nothing in docs/CHECKLIST.md is called done without a command and evidence that are there.

Says what is missing and what to do; then exit code 1.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from hack.rules import CELLS, ROOT, SPAN, missing_test

TABLE = ROOT / "docs/CHECKLIST.md"
IDS = [f"S2-{n:02}" for n in range(1, 61)]
STATES = ("done", "partly", "open")

_ROW = re.compile(r"\| *(S2-[0-9]+) *\|(.*)\|")
_TARGET = re.compile(r"^([a-z][a-z0-9-]*):", re.MULTILINE)


class Row(NamedTuple):
    """One item: what it is, how far it is, the commands that check it, the files and tests that show it."""

    id: str
    says: str
    state: str
    checks: list[str]
    evidence: list[str]


def rows(table: str) -> Iterator[Row]:
    for found in filter(None, map(_ROW.fullmatch, table.splitlines())):
        says, state, checks, evidence, *_ = [*CELLS.split(found[2]), "", "", "", ""]
        yield Row(found[1], says.strip(), state.strip(), SPAN.findall(checks), SPAN.findall(evidence))


def missing_command(command: str) -> Iterator[str]:
    program, *words = command.split()
    if program == "make":
        known = _TARGET.findall((ROOT / "Makefile").read_text())
        targets = [word for word in words if "=" not in word]
        yield from (f"make has no target {word}" for word in targets if word not in known)
    elif program == "pytest":
        named = [word for word in words if word.startswith("tests/")]
        yield from (f"there is no {word}" for word in named if not (ROOT / word.partition("::")[0]).exists())
    elif program != "python" and not (ROOT / program).exists():
        yield f"there is no command {program}"


def missing_evidence(reference: str) -> Iterator[str]:
    if "::" in reference:
        yield from missing_test(reference.removeprefix("tests/"))
    elif not (ROOT / reference).exists():
        yield f"there is no {reference}"


def complaints(table: str) -> Iterator[str]:
    found = list(rows(table))
    count = Counter(row.id for row in found)
    yield from (f"{id_}: has no row; write what it is and how far it is" for id_ in IDS if not count[id_])
    yield from (f"{id_}: has {n} rows; keep one" for id_, n in count.items() if n > 1)
    for row in found:
        if row.state not in STATES:
            yield f"{row.id}: its state is {row.state or 'empty'}; write one of {', '.join(STATES)}"
        if not row.says:
            yield f"{row.id}: does not say what it is"
        if row.state == "done" and not row.checks:
            yield f"{row.id}: is called done without a check; name the command that shows it, or call it open"
        if row.state == "done" and not row.evidence:
            yield f"{row.id}: is called done without evidence; name a test or a file that shows it, or call it open"
        wrong = [w for c in row.checks for w in missing_command(c)]
        wrong += [w for e in row.evidence for w in missing_evidence(e)]
        yield from (f"{row.id}: {what}" for what in wrong)


def main() -> int:
    table = Path(sys.argv[1]) if len(sys.argv) > 1 else TABLE
    found = list(complaints(table.read_text()))
    for complaint in found:
        print(f"!! {table.name}, {complaint}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
