"""The rooms stay apart: a forbidden import breaks the contract that forbids it, and only that one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def lint_imports(folder: Path) -> str:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--config", str(ROOT / "pyproject.toml")],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        pytest.param("core/run.py", "import random", "The judging rooms do no IO", id="a judge rolls dice"),
        pytest.param(
            "dialects/headers.py", "import time", "The judging rooms do no IO", id="a dialect reads the clock"
        ),
        pytest.param(
            "gateway/app.py",
            "import droveway.controllers.queue",
            "Rooms are layered",
            id="the gateway reaches into the controllers",
        ),
        pytest.param(
            "core/retry.py", "import droveway.cluster.objects", "Rooms are layered", id="core reaches upwards"
        ),
        pytest.param("cluster/lease.py", "import kopf", "Only the controllers speak kopf", id="kopf outside its room"),
        pytest.param(
            "sidecar/tail.py", "import orjson", "The sidecar is standard library only", id="a library in the sidecar"
        ),
    ],
)
def test_a_planted_import_breaks_its_contract(tmp_path: Path, file: str, line: str, contract: str) -> None:
    shutil.copytree(ROOT / "operator/droveway", tmp_path / "droveway", ignore=shutil.ignore_patterns("__pycache__"))
    planted = tmp_path / "droveway" / file
    planted.write_text(planted.read_text() + f"\n{line}\n")
    report = lint_imports(tmp_path)

    broken = [row for row in report.splitlines() if row.endswith("BROKEN")]
    assert len(broken) == 1, report
    assert broken[0].startswith(contract)


def test_the_folder_operator_is_no_package() -> None:
    assert not (ROOT / "operator/__init__.py").exists(), "it would shadow the standard library's operator"
