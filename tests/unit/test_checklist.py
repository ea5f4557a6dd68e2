"""The checklist is whole, and the script that says so sees what is called done and is not."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROOF = "`tests/unit/test_checklist.py::test_the_checklist_holds`"
GOOD = f"| S2-01 | a list | done | `make verify` | `docs/architecture.md` {PROOF} |"
GAPS = [
    pytest.param("", "S2-01: has no row", id="no row"),
    pytest.param(f"{GOOD}\n{GOOD}", "S2-01: has 2 rows", id="two rows"),
    pytest.param("| S2-01 | a list | finished | `make verify` | `Makefile` |", "its state is finished", id="state"),
    pytest.param("| S2-01 | | open | | |", "does not say what it is", id="no item"),
    pytest.param("| S2-01 | a list | done | | `Makefile` |", "without a check", id="no check"),
    pytest.param("| S2-01 | a list | done | `make verify` | |", "without evidence", id="no evidence"),
    pytest.param("| S2-01 | a list | done | `make verify` | soon |", "without evidence", id="words for evidence"),
    pytest.param("| S2-01 | a list | open | `make nothing` | |", "make has no target nothing", id="no such target"),
    pytest.param("| S2-01 | a list | open | `pytest tests/no.py` | |", "there is no tests/no.py", id="no such test"),
    pytest.param("| S2-01 | a list | open | `hack/nothing` | |", "no command hack/nothing", id="no such command"),
    pytest.param("| S2-01 | a list | done | `make verify` | `results/no.json` |", "no results/no.json", id="no file"),
    pytest.param(
        "| S2-01 | a list | done | `make verify` | `tests/unit/test_checklist.py::test_no` |",
        "no test test_no",
        id="gone",
    ),
]


def complaints(table: Path) -> list[str]:
    command = [sys.executable, "-m", "hack.checklist", str(table)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == bool(done.stderr)
    return done.stderr.splitlines()


def test_the_checklist_holds() -> None:
    assert complaints(ROOT / "docs/CHECKLIST.md") == []


@pytest.mark.parametrize(("row", "complaint"), GAPS)
def test_a_gap_is_seen(row: str, complaint: str, tmp_path: Path) -> None:
    others = [f"| S2-{n:02} | x | open | | |" for n in range(2, 61)]
    table = tmp_path / "CHECKLIST.md"
    table.write_text("\n".join([GOOD, *others]))
    assert complaints(table) == []
    table.write_text("\n".join([row, *others]))
    assert any(complaint in line for line in complaints(table))
