"""The table of rules is whole, and the script that says so sees a gap."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FILES = {
    "operator/droveway/core/x.py": "class X:\n    y: int = 1\n\n    async def z(self) -> None: ...\n\n\nMOST = 7\n",
    "tests/helpers/test_h.py": "def test_h() -> None: ...\n",
    "tests/unit/test_x.py": (
        "def test_x() -> None: ...\n\n\ndef helper() -> None: ...\n\n\n"
        "class TestX:\n    async def test_y(self) -> None: ...\n\n\nclass Y:\n    def test_y(self) -> None: ...\n\n\n"
        "TestMachine = Machine.TestCase\n\n\n@pytest.mark.skip\ndef test_skipped() -> None: ...\n"
    ),
}
GOOD = [
    "| R-L1 | says | `core/x.py: X, X.y, X.z, MOST` | `unit/test_x.py::test_x` |",
    "| R-L2 | a \\| b | `core/x.py: X`<br>`core/x.py: MOST` | `unit/test_x.py::TestX::test_y`<br>`unit/test_x.py::TestMachine` |",
]
CODE, TEST = "`core/x.py: X`", "`unit/test_x.py::test_x`"
GAPS = [
    pytest.param("", "has no row; write", id="no row"),
    pytest.param(f"| R-T3 | x | {CODE} | {TEST} |\n" * 2, "has 2 rows", id="two rows"),
    pytest.param(f"| R-T3 | | {CODE} | {TEST} |", "does not say what the rule is", id="no statement"),
    pytest.param(f"| R-T3 | x | none | {TEST} |", "has no code", id="no code"),
    pytest.param(f"| R-T3 | x | {CODE} | |", "has no test", id="no test"),
    pytest.param(f"| R-T3 | x | {CODE} |", "has no test", id="no column of tests"),
    pytest.param(f"| R-T3 | x | `core/y.py: X` | {TEST} |", "there is no core/y.py", id="no such file"),
    pytest.param(f"| R-T3 | x | `core/x.py` | {TEST} |", "is a whole file", id="a whole file"),
    pytest.param(f"| R-T3 | x | `core/x.py: X, X.w` | {TEST} |", "core/x.py defines no X.w;", id="no such method"),
    pytest.param(f"| R-T3 | x | {CODE} | `unit/test_x.py::test_z` |", "has no test test_z", id="no such test"),
    pytest.param(f"| R-T3 | x | {CODE} | `unit/test_x.py::test_y` |", "has no test test_y", id="another class's test"),
    pytest.param(f"| R-T3 | x | {CODE} | `unit/test_x.py::helper` |", "has no test helper", id="a helper"),
    pytest.param(f"| R-T3 | x | {CODE} | `unit/test_x.py::TestX` |", "has no test TestX", id="a whole class"),
    pytest.param(f"| R-T3 | x | {CODE} | `unit/test_x.py::Y::test_y` |", "has no test Y::test_y", id="not collected"),
    pytest.param(f"| R-T3 | x | {CODE} | `unit/test_x.py::test_skipped` |", "proves nothing", id="skipped"),
    pytest.param(
        f"| R-T3 | x | {CODE} | `helpers/test_h.py::test_h` |", "no test is collected", id="not among the tests"
    ),
]


def check(root: Path) -> tuple[int, list[str]]:
    """Exit code, and what was said."""
    command = [sys.executable, str(root / "hack/rules.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr.splitlines()


def checkout(root: Path, *table: str) -> Path:
    """A small one, with this table."""
    for path, text in (FILES | {"docs/rules.md": "\n".join(table) + "\n"}).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (root / "hack").mkdir()
    shutil.copy(ROOT / "hack/rules.py", root / "hack")
    return root


def test_every_rule_has_code_and_a_test() -> None:
    assert check(ROOT) == (0, [])


@pytest.mark.parametrize(("row", "said"), GAPS)
def test_a_planted_gap_is_told(tmp_path: Path, row: str, said: str) -> None:
    code, complaints = check(checkout(tmp_path, *GOOD, row))
    of_it = [complaint for complaint in complaints if complaint.startswith("!! rules.md, R-T3: ")]

    assert code == 1
    assert len(of_it) == 1
    assert said in of_it[0]
    assert "turn" in complaints[-1]


def test_what_is_there_is_not_complained_of_and_a_rule_that_nobody_knows_is(tmp_path: Path) -> None:
    _, complaints = check(checkout(tmp_path, *GOOD, f"| R-L8 | x | {CODE} | {TEST} |"))

    assert [c for c in complaints if "R-L1" in c or "R-L2" in c] == []
    assert [c for c in complaints if "R-L8: is no rule of ours" in c]
    assert len([c for c in complaints if "has no row" in c]) == 130 - 2
