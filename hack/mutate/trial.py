"""Runs, for each mutant, the tests that reach its function, in a process of its own. A pytest plugin.

Tests are imported and collected once; a process that forks off from there costs milliseconds. They take no fixtures, so they
are called as they are, without pytest's ceremony. The limit of a mutant is one of CPU time: a busy machine condemns nothing.
"""

import functools
import gc
import json
import math
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, TextIO

import pytest
from _pytest.unittest import TestCaseFunction
from hack.mutate.bench import BENCH
from hack.mutate.mutants import Mutant, Outcome
from hypothesis import settings
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.state import state

_MEMORY = 4 * 2**30  # bytes
_FAR = 255  # the highest exit code
_PROFILE = "mutation"  # tests/conftest.py
_SETTINGS = "_hypothesis_internal_use_settings"
_OPTIONS = ("-qq", "-p", "no:cacheprovider", f"--hypothesis-profile={_PROFILE}")
_SPEECHLESS = ("--assert=plain",)  # nobody reads why a test fails, and saying it takes longer than the test


@dataclass(slots=True)
class _Reach:
    """The tests that run a function, and how many seconds of CPU time they take together."""

    tests: list[pytest.Function]
    seconds: float


class Trial:
    """Tries mutants, and tells of each when its outcome is known."""

    def __init__(self, mutants: list[Mutant], tell: Callable[[Mutant], None]) -> None:
        self._mutants, self._tell = mutants, tell
        self._running: dict[int, tuple[Mutant, _Reach]] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Instead of running the tests once."""
        if session.testsfailed:
            return None  # pytest itself says what cannot be collected
        _forget_answers()
        reach = _survey([item for item in session.items if isinstance(item, pytest.Function)])
        gc.freeze()
        for mutant in self._mutants:
            if tests := reach.get(mutant.reached_by):
                self._start(mutant, tests)
            else:
                mutant.outcome = Outcome.UNREACHED
                self._tell(mutant)
        while self._running:
            self._wait()
        return True

    def _start(self, mutant: Mutant, tests: _Reach) -> None:
        if len(self._running) >= (os.cpu_count() or 1):
            self._wait()
        pid = os.fork()
        if not pid:
            _try(mutant, tests)
        self._running[pid] = mutant, tests

    def _wait(self) -> None:
        pid, status = os.wait()
        code = os.waitstatus_to_exitcode(status)
        mutant, tests = self._running.pop(pid)
        stopped = code in (-signal.SIGXCPU, -signal.SIGKILL)
        mutant.outcome = Outcome.ALIVE if code == 0 else Outcome.STOPPED if stopped else Outcome.NOTICED
        if 0 < code < _FAR:  # what noticed this one may notice the next one of the function, too
            tests.tests.insert(0, tests.tests.pop(code - 1))
        self._tell(mutant)


def run(mutants: list[Mutant], tell: Callable[[Mutant], None]) -> None:
    """Tries mutants on the bench."""
    os.chdir(BENCH)
    os.environ["TZ"] = "Asia/Kathmandu"  # where a forgotten zone shows
    time.tzset()
    sys.path.insert(0, str(BENCH / "operator"))
    code = pytest.main([*_OPTIONS, *_SPEECHLESS, "tests/unit/core"], plugins=[Trial(mutants, tell)])
    if code:
        sys.exit(f"!! pytest ended with {code!r}")


def _forget_answers() -> None:
    """What a cache kept while the tests were collected would answer for the mutants."""
    for found in gc.get_objects():
        if isinstance(found, functools._lru_cache_wrapper) and found.__module__.startswith("droveway."):  # noqa: SLF001
            found.cache_clear()


def _survey(items: list[pytest.Function]) -> dict[str, _Reach]:
    """Which tests run which function, quick tests first. Found out in a process of its own, so that this one stays clean."""
    here, there = os.pipe()
    pid = os.fork()
    if not pid:
        with os.fdopen(there, "w") as out:
            code = _run_all(items, out)
        os._exit(code)
    os.close(there)
    with os.fdopen(here) as pipe:
        text = pipe.read()
    if os.waitpid(pid, 0)[1]:
        sys.exit(f"{text}\n!! a test fails without any mutant")
    reach: dict[str, _Reach] = {}
    for seconds, number, functions in sorted(json.loads(line) for line in text.splitlines()):
        for function in functions:
            found = reach.setdefault(function, _Reach([], 0.0))
            found.tests.append(items[number])
            found.seconds += seconds
    return reach


def _call(test: pytest.Function) -> None:
    frugal = settings.get_profile(_PROFILE)
    if isinstance(test, TestCaseFunction):  # a state machine of hypothesis
        case: Any = test.cls(test.name)
        case.settings = frugal
        case.debug()
        return
    if hasattr(test.function, _SETTINGS):  # some tests ask for thousands of examples
        setattr(test.function, _SETTINGS, frugal)
    test.obj(**(test.callspec.params if hasattr(test, "callspec") else {}))


def _run_all(items: list[pytest.Function], out: TextIO) -> int:
    set_mutant_under_test("stats")
    reached = state()._stats  # noqa: SLF001 - mutmut gives it nowhere else
    for number, item in enumerate(items):
        reached.clear()
        began = time.process_time()
        try:
            _call(item)
        except BaseException:  # noqa: BLE001 - whatever it is, it is the answer
            out.write(f"{item.nodeid}\n{traceback.format_exc()}")
            return 1
        out.write(json.dumps([time.process_time() - began, number, sorted(reached)]) + "\n")
    return 0


def _try(mutant: Mutant, tests: _Reach) -> NoReturn:
    """Runs the tests until one fails; the exit code says which did, counted from 1, or 0."""
    code = _FAR
    try:
        seconds = math.ceil(2 + 5 * tests.seconds)
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        set_mutant_under_test(mutant.name)
        for number, test in enumerate(tests.tests, 1):
            code = min(number, _FAR)
            _call(test)
        code = 0
    finally:  # a test that fails raises
        os._exit(code)
