"""A share of many: the same ones in every process, and nobody leaves when it grows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from droveway.core.draw import drawn

RUNS = [f"run-{n}" for n in range(1000)]


@pytest.mark.parametrize(
    ("percent", "least", "most"), [(0, 0, 0), (1, 5, 15), (10, 80, 120), (99, 985, 995), (100, 1000, 1000)]
)
def test_the_share_is_that_of_many(percent: int, least: int, most: int) -> None:
    assert least <= sum(drawn(percent, "route", run) for run in RUNS) <= most


def test_who_is_drawn_is_the_same_in_every_process_and_release() -> None:
    found = [number for number, run in enumerate(RUNS[:40]) if drawn(30, "route", run)]
    assert found == [4, 5, 10, 12, 13, 15, 18, 20, 21, 26, 29, 33, 34, 37]


@given(st.integers(0, 100), st.integers(0, 100), st.text())
def test_nobody_leaves_when_a_share_grows(one: int, other: int, key: str) -> None:
    assert drawn(min(one, other), key) <= drawn(max(one, other), key)


def test_keys_are_kept_apart() -> None:
    assert any(drawn(50, "a", f"b{n}") != drawn(50, f"ab{n}") for n in range(50))
