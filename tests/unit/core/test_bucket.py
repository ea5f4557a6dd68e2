"""Sums of completions."""

import math
from typing import Any

import pytest

from droveway.core.bucket import MOST_TOKENS, Bucket, add_tokens
from droveway.core.completion import TokenBreakdown


def test_two_buckets_are_one() -> None:
    one = Bucket(10, 12, 19, 1, 2, 30, 1, TokenBreakdown(1, 2, 3, 4, 5, 6), 7, 1)
    other = Bucket(0, 15, 17, 10, 20, 300, 10, TokenBreakdown(10, 20, 30, 40, 50, 60), 70, 10)
    both = Bucket(0, 12, 19, 11, 22, 330, 11, TokenBreakdown(11, 22, 33, 44, 55, 66), 77, 11)
    assert one.merged(other) == other.merged(one) == both


def test_what_is_summed_once_may_be_more_than_one_completion_uses() -> None:
    full = Bucket(0, 0, 0, tokens=TokenBreakdown(total=MOST_TOKENS))
    assert full.merged(full).tokens.total == 2 * MOST_TOKENS


@pytest.mark.parametrize(
    ("values", "total"),
    [
        ([], 0),
        ([0, 5], 5),
        ([1, 2, 3], 6),
        ([-1, 5], 5),
        ([True, 2], 3),
        ([2.9, 1], 3),
        (["7", 1], 8),
        (["x", None, math.nan, math.inf, 4], 4),
        ([MOST_TOKENS, 1], MOST_TOKENS + 1),
        ([MOST_TOKENS + 1, 1], MOST_TOKENS + 1),
    ],
    ids=str,
)
def test_r_c6_what_is_no_count_counts_as_none(values: list[Any], total: int) -> None:
    for field in ("total", "input", "output", "reasoning", "cache_read", "cache_write"):
        assert add_tokens(TokenBreakdown(**{field: value}) for value in values) == TokenBreakdown(**{field: total})


def test_tokens_of_two_completions_are_summed_by_kind() -> None:
    one, other = TokenBreakdown(1, 2, 4, 8, 16, 32, 3), TokenBreakdown(100, 200, 400, 800, 1600, 3200, 300)
    assert one + other == TokenBreakdown(101, 202, 404, 808, 1616, 3232, 303)
