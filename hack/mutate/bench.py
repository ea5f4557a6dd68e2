"""Where mutants are made and remembered: a copy of the code and its tests below the cache, with core broken in it."""

import fcntl
import hashlib
import json
import os
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from hack.mutate.mutants import Mutant, Outcome, mutate

ROOT = Path(__file__).resolve().parents[2]
BENCH = Path(os.environ["DROVEWAY_CACHE"]) / "mutation"
_CORE = Path("operator/droveway/core")
_TESTS = ("conftest.py", "helpers", "fixtures", "data", "unit/core")
_COPIED = ("pyproject.toml", "operator", *(f"tests/{name}" for name in _TESTS))


def take() -> TextIO:
    """Makes the bench ours for as long as what is returned is open."""
    BENCH.mkdir(parents=True, exist_ok=True)
    lock = (BENCH / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit("!! another `make mutate` is at work; give this one a DROVEWAY_CACHE of its own, or wait")
    return lock


def lay_out() -> None:
    """Copies what has changed, and breaks the modules that have; what was found out about the others is kept."""
    for name in _COPIED:
        _mirror(ROOT / name, BENCH / name)
    for module in modules():
        source = (ROOT / _CORE / f"{module}.py").read_text()
        if _page(module).get("source") != _digest(source):
            code, mutants = mutate(module, source)
            _write(module, {"source": _digest(source), "code": code, "mutants": [asdict(m) for m in mutants]})
        (BENCH / _CORE / f"{module}.py").write_text(_page(module)["code"])


def modules() -> list[str]:
    """Their names, without `core/`."""
    return sorted(file.stem for file in (ROOT / _CORE).glob("[a-z]*.py"))


def mutants(module: str) -> list[Mutant]:
    """As far as they were tried."""
    return [Mutant(**m | {"outcome": m["outcome"] and Outcome(m["outcome"])}) for m in _page(module)["mutants"]]


def to_try(module: str) -> list[Mutant]:
    """Those that were not tried yet, and those that no test noticed if a test has changed since."""
    changed = _page(module).get("tests") != _tests()
    return [m for m in mutants(module) if m.outcome is None or (changed and not m.noticed)]


def remember(module: str, tried: list[Mutant]) -> None:
    """Keeps what was found out, with these tests."""
    outcomes = {m.name: m.outcome for m in tried}
    page = _page(module)
    for mutant in page["mutants"]:
        mutant["outcome"] = outcomes.get(mutant["name"], mutant["outcome"])
    _write(module, page | {"tests": _tests()})


def _tests() -> str:
    return _digest("".join(f"{name}\0{f.read_text()}\0" for name, f in sorted(_files(BENCH / "tests").items())))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _page(module: str) -> dict[str, Any]:
    file = BENCH / "found" / f"{module}.json"
    return json.loads(file.read_text()) if file.exists() else {}


def _write(module: str, page: dict[str, Any]) -> None:
    file = BENCH / "found" / f"{module}.json"
    file.parent.mkdir(exist_ok=True)
    file.with_suffix(".new").write_text(json.dumps(page))
    file.with_suffix(".new").replace(file)


def _files(place: Path) -> dict[str, Path]:
    """The files below a folder by their relative names; of a file, itself."""
    if place.is_file():
        return {"": place}
    return {str(f.relative_to(place)): f for f in place.rglob("*") if f.is_file() and "__pycache__" not in f.parts}


def _mirror(source: Path, target: Path) -> None:
    """Makes the target what the source is."""
    wanted, there = _files(source), _files(target)
    for name in there.keys() - wanted.keys():
        there[name].unlink()
    for name, file in wanted.items():
        copy = target / name if name else target
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
