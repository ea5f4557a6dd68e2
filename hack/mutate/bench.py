"""Where mutants are made and tried: a copy of the code and its tests below the cache, as mutmut wants them laid out."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from hack.mutate.results import results_of

ROOT = Path(__file__).resolve().parents[2]
BENCH = Path(os.environ["DROVEWAY_CACHE"]) / "mutation"
CORE = BENCH / "src/droveway/core"
MUTANTS = BENCH / "mutants/src/droveway/core"
_MADE_FROM = BENCH / "made-from"  # the modules of which MUTANTS are
_COPIED = {
    "operator/droveway": "src/droveway",  # mutmut names modules by their path, and knows no other prefix
    "tests/conftest.py": "tests/conftest.py",
    "tests/helpers": "tests/helpers",
    "tests/fixtures": "tests/fixtures",
    "tests/unit/core": "tests/unit/core",
    "pyproject.toml": "pyproject.toml",
}


def lay_out() -> None:
    """Copies what has changed, and forgets the mutants of modules that have."""
    for source, target in _COPIED.items():
        _mirror(ROOT / source, BENCH / target)
    _MADE_FROM.mkdir(exist_ok=True)
    now, then = _files(CORE), _files(_MADE_FROM)
    for name in now.keys() | then.keys():
        if name not in now or name not in then or now[name].read_bytes() != then[name].read_bytes():
            for file in MUTANTS.glob(f"{name}*"):
                file.unlink()
    _mirror(CORE, _MADE_FROM)


def modules() -> list[str]:
    """Their names, without `core/`."""
    return sorted(file.stem for file in CORE.glob("[a-z]*.py"))


def run(wanted: list[str]) -> None:
    """Tries what has to be tried of some modules."""
    tried = _Tried()
    todo = [name for module in wanted for name in tried.todo(module)]
    if not todo:
        return
    # mutmut knows tests by their names alone: what they reach has to be found out again, and none may be left over.
    (BENCH / "mutants/mutmut-stats.json").unlink(missing_ok=True)
    shutil.rmtree(BENCH / "mutants/tests", ignore_errors=True)
    log = BENCH / "mutmut.log"
    print(f"== mutate: mutmut is at work; its log is {log}", flush=True)
    with log.open("w") as out:
        done = subprocess.run(["mutmut", "run", *todo], cwd=BENCH, stdout=out, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        sys.exit(f"{log.read_text()[-3000:]}\n!! mutmut ended with exit code {done.returncode}")
    tried.are_tried(wanted)


class _Tried:
    """With which tests the mutants of each module were tried last."""

    def __init__(self) -> None:
        self._file = BENCH / "tried.json"
        self._tests = _digest(BENCH / "tests")
        self._known: dict[str, str] = json.loads(self._file.read_text()) if self._file.exists() else {}

    def todo(self, module: str) -> list[str]:
        """Names, or a pattern of names, of the mutants that are to be tried."""
        file = MUTANTS / f"{module}.py"
        if not file.with_suffix(".py.meta").exists():
            return [f"droveway.core.{module}.*"]
        again = self._known.get(module) != self._tests
        return [r.name for r in results_of(file) if r.exit_code is None or (again and not r.noticed)]

    def are_tried(self, modules: Iterable[str]) -> None:
        self._known |= dict.fromkeys(modules, self._tests)
        self._file.write_text(json.dumps(self._known))


def _files(place: Path) -> dict[str, Path]:
    """The files below a folder by their relative names; of a file, itself."""
    if place.is_file():
        return {"": place}
    return {str(f.relative_to(place)): f for f in place.rglob("*") if f.is_file() and "__pycache__" not in f.parts}


def _mirror(source: Path, target: Path) -> None:
    """Makes the target what the source is, and leaves alone what is so already: mutmut goes by the time of a change."""
    wanted, there = _files(source), _files(target)
    for name in there.keys() - wanted.keys():
        there[name].unlink()
    for name, file in wanted.items():
        copy = target / name if name else target
        if name not in there or copy.read_bytes() != file.read_bytes():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)


def _digest(place: Path) -> str:
    found = hashlib.sha256()
    for name, file in sorted(_files(place).items()):
        found.update(name.encode() + file.read_bytes())
    return found.hexdigest()
