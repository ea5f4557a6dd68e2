"""rules.py [TABLE]: every rule of docs/rules.md has code that is there, and a test that runs.

Reads the table only by its syntax trees: nothing is imported. Says what is missing and what to do; then exit code 1.
"""

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
TABLE, CODE, TESTS = ROOT / "docs/rules.md", ROOT / "operator/droveway", ROOT / "tests"
COLLECTED = ("unit", "contract", "integration", "e2e")

FAMILIES = {"R-T": 18, "R-B": 9, "R-H": 4, "R-L": 7, "R-P": 12, "R-C": 42, "S0-": 21, "S1-": 17}
IDS = [
    f"{family}{n:02}" if family[0] == "S" else f"{family}{n}"
    for family, most in FAMILIES.items()
    for n in range(1, most + 1)
]

_ROW = re.compile(r"\| *((?:R-[A-Z]|S[0-9]-)[0-9]+) *\|(.*)\|")
CELLS = re.compile(r"(?<!\\)\|")
SPAN = re.compile(r"`([^`]+)`")


class Row(NamedTuple):
    """One rule: what it says, `path: symbol, symbol` of its code, `path::test` of its tests."""

    id: str
    says: str
    code: list[str]
    tests: list[str]


def rows(table: str) -> Iterator[Row]:
    for found in filter(None, map(_ROW.fullmatch, table.splitlines())):
        says, code, tests, *_ = [*CELLS.split(found[2]), "", "", ""]
        yield Row(found[1], says.strip(), SPAN.findall(code), SPAN.findall(tests))


@cache
def defined(file: Path) -> dict[str, ast.stmt]:
    """Everything that a file defines at its top and in its classes, by dotted name."""
    return dict(_defined(ast.parse(file.read_text()).body)) if file.is_file() else {}


def _defined(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, ast.stmt]]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from _defined(node.body, f"{prefix}{node.name}.")
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from ((prefix + target.id, node) for target in targets if isinstance(target, ast.Name))


def missing_code(reference: str) -> Iterator[str]:
    path, _, symbols = reference.partition(": ")
    if not (CODE / path).is_file():
        yield f"there is no {path} in operator/droveway"
    elif not symbols:
        yield f"{path} is a whole file: name the function or class, as in `{path}: name`"
    else:
        gone = [symbol for symbol in symbols.split(", ") if symbol not in defined(CODE / path)]
        yield from (f"{path} defines no {symbol}; name what does the work now" for symbol in gone)


def missing_test(reference: str) -> Iterator[str]:
    path, *names = reference.split("::")
    file = TESTS / path
    if not file.is_file() or file.parts[len(TESTS.parts)] not in COLLECTED or not file.name.startswith("test_"):
        yield f"no test is collected from {path}: tests are in tests/{{{','.join(COLLECTED)}}}/…/test_*.py"
    elif (node := defined(file).get(".".join(names))) is None or not _is_collected(names, node):
        yield f"{path} has no test {'::'.join(names)}: name the one that fails without the rule"
    elif any("mark.skip" in said or "mark.xfail" in said for said in map(ast.unparse, _decorators(node))):
        yield f"{path}::{'::'.join(names)} is skipped or may fail, so it proves nothing"


def _is_collected(names: list[str], node: ast.stmt) -> bool:
    """As pytest collects: `test_…`, alone or in a `Test…`; or a state machine, which is assigned to a `Test…`."""
    *classes, last = names
    function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and last.startswith("test_")
    return all(name.startswith("Test") for name in classes) and (
        function or (isinstance(node, ast.Assign) and last.startswith("Test"))
    )


def _decorators(node: ast.stmt) -> list[ast.expr]:
    return node.decorator_list if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else []


def complaints(table: str) -> Iterator[str]:
    found = list(rows(table))
    count = Counter(row.id for row in found)
    yield from (f"{id_}: has no row; write what it says, its code and its test" for id_ in IDS if not count[id_])
    yield from (f"{id_}: has {n} rows; keep one" for id_, n in count.items() if n > 1)
    for row in found:
        if row.id not in IDS:
            yield f"{row.id}: is no rule of ours; correct the id, or the ranges in hack/rules.py"
        if not row.says:
            yield f"{row.id}: does not say what the rule is; one line in your own words"
        if not row.code:
            yield f"{row.id}: has no code; write it, or name it as `path: function`"
        if not row.tests:
            yield f"{row.id}: has no test; write one that fails without the rule, and name it as `path::test`"
        wrong = [w for r in row.code for w in missing_code(r)] + [w for r in row.tests for w in missing_test(r)]
        yield from (f"{row.id}: {what}" for what in wrong)


def main() -> int:
    table = Path(sys.argv[1]) if len(sys.argv) > 1 else TABLE
    found = list(complaints(table.read_text()))
    for complaint in found:
        print(f"!! {table.name}, {complaint}", file=sys.stderr)
    if found:
        print(
            "!! The turn is yours if you renamed, removed or added it: correct docs/rules.md likewise.", file=sys.stderr
        )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
