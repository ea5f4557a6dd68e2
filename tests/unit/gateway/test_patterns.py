"""Patterns of tenants, in a process that all tenants share."""

import re

import pytest

from droveway.core.signatures import compiled
from droveway.gateway.patterns import linear_pattern


def test_letters_match_in_any_case_and_anywhere() -> None:
    (pattern,) = compiled([r"seats? (are|is) taken"], linear_pattern)
    assert pattern.search("sorry: all Seats are TAKEN today")
    assert not pattern.search("all seats are free")


@pytest.mark.parametrize("hostile", [r"(a+)+$", r"(a|aa)+$", r"(.*a){20}$"])
def test_no_pattern_holds_the_gateway_up(hostile: str) -> None:
    (pattern,) = compiled([hostile], linear_pattern)
    assert not pattern.search("a" * 4000 + "b" if hostile != r"(.*a){20}$" else "b" * 4000)


@pytest.mark.parametrize("none", ["(", r"(?=ahead)", r"(a)\1", "a{2000}"])
def test_what_the_engine_does_not_know_is_no_pattern(none: str) -> None:
    with pytest.raises(re.error):
        linear_pattern(none)
    with pytest.raises(ValueError, match=r"signatures\[0\] is not a regular expression: .+; correct it"):
        compiled([none], linear_pattern)
