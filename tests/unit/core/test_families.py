"""Models that share one quota (R-C39)."""

import pytest

from droveway.core.families import FAMILIES, family


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("claude-opus-4-5", "opus"),
        ("claude-3-5-sonnet-20241022", "sonnet"),
        ("us.anthropic.claude-haiku-4-5-v1:0", "haiku"),
        ("anthropic/Claude-Opus-4.1", "opus"),
        ("opus", "opus"),
        ("gpt-5", "gpt-5"),
        ("magnum-opusculum", "magnum-opusculum"),
        ("", ""),
    ],
)
def test_r_c39_a_model_counts_in_its_family(model: str, expected: str) -> None:
    assert family(model) == expected


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_its_own(name: str) -> None:
    assert family(name) == name
