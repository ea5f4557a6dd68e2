"""The tests of core call it with values and look at what it returns: no fixture, no mock, nothing patched."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

CORE = Path(__file__).with_name("core")
FOREIGN = frozenset(
    {"mock", "pytest_mock", "time", "random", "asyncio", "socket", "subprocess", "threading", "freezegun"}
)
PATCHING = frozenset({"fixture", "usefixtures", "MonkeyPatch", "patch", "setattr"})


def helpers_of(tree: ast.AST) -> Iterator[str]:
    """What a test module uses that a test of pure functions has no use for."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (part for name in names for part in name.name.split(".") if part in FOREIGN)
            case ast.ImportFrom(module=module, names=names):
                yield from FOREIGN & {*(module or "").split(".")}
                yield from (PATCHING | {"mock"}) & {name.name for name in names}
            case ast.Attribute(attr=name) | ast.Name(id=name) if name in PATCHING:
                yield name
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield from injected(node)


def injected(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    """Arguments of a test that no decorator of its own gives it: pytest would look for a fixture."""
    if not function.name.startswith("test"):
        return
    given = {"self"} | {name for decorator in function.decorator_list for name in names_given(decorator)}
    wanted = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    missing = [a.arg for a in wanted if a.arg not in given]
    by_position = sum(len(d.args) for d in calls(function, "given"))
    yield from missing[: len(missing) - by_position] if by_position else missing


def names_given(decorator: ast.expr) -> Iterator[str]:
    """The arguments that a `parametrize` or a `given` names."""
    if not isinstance(decorator, ast.Call) or not isinstance(decorator.func, ast.Name | ast.Attribute):
        return
    if called(decorator) == "given":
        yield from (k.arg for k in decorator.keywords if k.arg)
    elif called(decorator) == "parametrize":
        first = ast.literal_eval(decorator.args[0])
        yield from (name.strip() for name in (first.split(",") if isinstance(first, str) else first))


def calls(function: ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> list[ast.Call]:
    return [d for d in function.decorator_list if isinstance(d, ast.Call) and called(d) == name]


def called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


@pytest.mark.parametrize(
    ("source", "found"),
    [
        pytest.param("@pytest.fixture\ndef x(): ...", ["fixture"], id="a fixture"),
        pytest.param("from pytest import fixture", ["fixture"], id="a fixture by name"),
        pytest.param("@pytest.mark.usefixtures('x')\ndef test_x(): ...", ["usefixtures"], id="a fixture by mark"),
        pytest.param("def test_x(monkeypatch): ...", ["monkeypatch"], id="monkeypatch"),
        pytest.param("class TestX:\n def test_x(self, tmp_path): ...", ["tmp_path"], id="a folder, in a class"),
        pytest.param(
            "@pytest.mark.parametrize(('a', 'b'), [])\ndef test_x(a, b, c): ...", ["c"], id="beside parameters"
        ),
        pytest.param("@given(st.text())\ndef test_x(mocker, text): ...", ["mocker"], id="beside what is drawn"),
        pytest.param("from unittest.mock import Mock", ["mock"], id="a mock"),
        pytest.param("import unittest.mock", ["mock"], id="a mock by module"),
        pytest.param("setattr(run, 'x', 1)", ["setattr"], id="patched by hand"),
        pytest.param("from unittest import mock", ["mock"], id="a mock by name"),
        pytest.param("import time", ["time"], id="the clock"),
        pytest.param("from datetime import time", [], id="a time of day"),
        pytest.param("def view(tmp_path): ...", [], id="a function of its own"),
        pytest.param("@pytest.mark.parametrize('a, b', [])\ndef test_x(a, b): ...", [], id="parameters"),
        pytest.param("@given(st.data())\n@settings(max_examples=1)\ndef test_x(self, data): ...", [], id="drawn"),
        pytest.param("@given(x=st.text())\ndef test_x(x): ...", [], id="drawn by name"),
    ],
)
def test_what_is_seen(source: str, found: list[str]) -> None:
    assert list(helpers_of(ast.parse(source))) == found


@pytest.mark.parametrize("file", sorted(CORE.rglob("*.py")), ids=lambda file: file.name)
def test_the_tests_of_core_are_pure(file: Path) -> None:
    assert list(helpers_of(ast.parse(file.read_text()))) == []


def test_core_has_no_conftest() -> None:
    assert not list(CORE.rglob("conftest.py"))
    assert len(list(CORE.glob("test_*.py"))) > 10
