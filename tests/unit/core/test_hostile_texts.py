"""No text makes the search for limits, resets and secrets slow: no repeat inside a repeat, and work that grows evenly."""

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import pytest

from droveway.core import hedges, limits, phrases, redaction, resets
from droveway.core.limits import classify_text
from droveway.core.redaction import redact

NOW = datetime(2026, 11, 21, 11, 16, tzinfo=UTC)
UNBOUNDED = importlib.import_module("re._constants").MAXREPEAT
PARSER = importlib.import_module("re._parser")


def patterns(value: Any) -> Iterator[re.Pattern[str]]:
    """Every compiled pattern in a value, however deep."""
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from patterns(inner)


def of_module(module: ModuleType) -> list[re.Pattern[str]]:
    return [found for value in vars(module).values() for found in patterns(value)]


def repeats(tree: Any, *, inside: bool = False) -> Iterator[bool]:
    """For each unbounded repeat in a parsed pattern: whether it stands inside another one."""
    for item in tree if isinstance(tree, list | tuple | PARSER.SubPattern) else ():
        if isinstance(item, tuple) and str(item[0]) in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            unbounded = item[1][1] == UNBOUNDED
            if unbounded:
                yield inside
            yield from repeats(item[1][2], inside=inside or unbounded)
        else:
            yield from repeats(item, inside=inside)


def nested(pattern: str) -> bool:
    return any(repeats(PARSER.parse(pattern)))


@pytest.mark.parametrize(
    ("pattern", "expected"), [("(a+)+", True), ("(?:x|(?:a*b){2,})", True), ("a+b*", False), ("(?:a+){0,9}", False)]
)
def test_nested_repeats_are_found(pattern: str, *, expected: bool) -> None:
    assert nested(pattern) is expected


@pytest.mark.parametrize("module", [phrases, hedges, limits, resets, redaction], ids=lambda module: module.__name__)
def test_no_pattern_repeats_a_repeat_without_bound(module: ModuleType) -> None:
    found = of_module(module)
    assert found or module is limits
    assert [pattern.pattern for pattern in found if nested(pattern.pattern)] == []


def steps(work: Callable[[str], object], text: str) -> int:
    """How many calls it takes, of Python and of C."""
    count = 0

    def called(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(called)
    try:
        work(text)
    finally:
        sys.setprofile(before)
    return count


HOSTILE = [
    "usage limit reached ",
    "usage limit reached\n",
    "if usage limit reached, ",
    "exceeded quota `",
    "429 too many requests ",
    "try again in 5m ",
    "resets in 2 days, resets 3pm (",
    "key=token:password=",
    "a",
    "[",
    " ",
    "\n",
]


@pytest.mark.parametrize("text", HOSTILE, ids=repr)
@pytest.mark.parametrize("work", [lambda text: classify_text(text, NOW), redact], ids=["classify", "redact"])
def test_twice_the_text_is_at_most_twice_the_work(work: Callable[[str], object], text: str) -> None:
    half, whole = (steps(work, text * (size // len(text))) for size in (20_000, 40_000))
    assert whole <= 2.2 * half + 200


@pytest.mark.parametrize("text", HOSTILE, ids=repr)
def test_of_a_mebibyte_the_ends_are_read(text: str) -> None:
    at_most = steps(lambda text: classify_text(text, NOW), text * (65_536 // len(text)))
    assert steps(lambda text: classify_text(text, NOW), text * (2**20 // len(text))) <= 1.1 * at_most + 200


@pytest.mark.parametrize(
    "text",
    [
        "usage limit reached, try again in 5m" + " " * 60_000 + "x",
        "usage limit reached, resets at" + " " * 60_000,
        "usage limit reached, retry-after" + "\\" * 60_000,
        "usage limit reached, resets 3pm (" + "x" * 60_000,
        "usage limit reached, resets in " + "1d" * 30_000,
        "usage limit reached|" + "1" * 60_000,
        "usage limit reached, resets_at: " + "2026-11-22T12:00:00." + "0" * 60_000,
    ],
    ids=lambda text: text[:40],
)
def test_r_l7_a_reset_that_never_ends_is_read_quickly(text: str) -> None:
    verdict = classify_text(text, NOW)
    assert verdict is None or verdict.until is None or verdict.until > NOW
