"""Bills by hand: what each vendor's own usage object comes to, at prices that tell every bucket apart.

Prices: input 1, output 10, read from the cache 0.1, written to it 2, written for an hour 4, all per million tokens. So a
cost in millionths of a dollar is the sum that stands beside each usage.
"""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from droveway.core.completion import TokenBreakdown
from droveway.core.tally import dollars, nano_dollars
from droveway.dialects import SPECS
from droveway.gateway.pricetable import PerMillion

NOW = datetime(2026, 11, 21, tzinfo=UTC)
PRICES = PerMillion(input="1", output="10", cacheRead="0.1", cacheWrite="2", cacheWrite1h="4").rates

A = "Anthropic"  # input_tokens leaves out what the cache read and wrote
C = "OpenAIChat"  # prompt_tokens has the cache in it, completion_tokens has reasoning in it
R = "OpenAIResponses"
G = "Gemini"  # promptTokenCount has the cache in it, thoughts come on top of the candidates

BILLS: list[tuple[str, dict[str, Any], str]] = [
    (A, {"input_tokens": 1000, "output_tokens": 50}, "1000*1 + 50*10"),
    (
        A,
        {"input_tokens": 1000, "cache_read_input_tokens": 800, "cache_creation_input_tokens": 100, "output_tokens": 50},
        "1000*1 + 800*0.1 + 100*2 + 50*10",
    ),
    (
        A,
        {
            "input_tokens": 7,
            "cache_creation_input_tokens": 300,
            "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
            "output_tokens": 1,
        },
        "7*1 + 100*2 + 200*4 + 1*10",
    ),
    (C, {"prompt_tokens": 1000, "completion_tokens": 50, "total_tokens": 1050}, "1000*1 + 50*10"),
    (
        C,
        {
            "prompt_tokens": 1200,
            "completion_tokens": 42,
            "total_tokens": 1242,
            "prompt_tokens_details": {"cached_tokens": 800},
            "completion_tokens_details": {"reasoning_tokens": 7},
        },
        "400*1 + 800*0.1 + 42*10",
    ),
    (
        C,  # a provider that counts reasoning beside the output, which its total tells
        {
            "prompt_tokens": 100,
            "completion_tokens": 40,
            "total_tokens": 150,
            "completion_tokens_details": {"reasoning_tokens": 10},
        },
        "100*1 + 50*10",
    ),
    (
        C,
        {
            "prompt_tokens": 1000,
            "completion_tokens": 1,
            "prompt_tokens_details": {"cached_tokens": 200, "cache_write_tokens": 300},
        },
        "500*1 + 200*0.1 + 300*2 + 1*10",
    ),
    (
        R,
        {
            "input_tokens": 1200,
            "output_tokens": 42,
            "total_tokens": 1242,
            "input_tokens_details": {"cached_tokens": 800},
            "output_tokens_details": {"reasoning_tokens": 7},
        },
        "400*1 + 800*0.1 + 42*10",
    ),
    (G, {"promptTokenCount": 1000, "candidatesTokenCount": 50, "totalTokenCount": 1050}, "1000*1 + 50*10"),
    (
        G,
        {
            "promptTokenCount": 1200,
            "cachedContentTokenCount": 800,
            "candidatesTokenCount": 35,
            "thoughtsTokenCount": 7,
            "toolUsePromptTokenCount": 20,
            "totalTokenCount": 1262,
        },
        "420*1 + 800*0.1 + 42*10",
    ),
]


def by_hand(formula: str) -> Decimal:
    """The sum in millionths of a dollar, exactly."""
    terms = (term.split("*") for term in formula.split(" + "))
    return sum((Decimal(tokens) * Decimal(price) for tokens, price in terms), Decimal(0))


@pytest.mark.parametrize(("dialect", "usage", "formula"), BILLS)
def test_a_bill_is_what_it_comes_to_by_hand(dialect: str, usage: dict[str, Any], formula: str) -> None:
    body = json.dumps({"usageMetadata" if dialect == G else "usage": usage}).encode()
    tokens = SPECS[dialect].read_answer(body, NOW).usage
    assert dollars(nano_dollars(PRICES.cost(tokens))) == f"{(by_hand(formula) / 10**6).normalize():f}"


@pytest.mark.parametrize(("dialect", "usage", "formula"), BILLS)
def test_no_token_is_in_two_buckets_or_in_none(dialect: str, usage: dict[str, Any], formula: str) -> None:
    body = json.dumps({"usageMetadata" if dialect == G else "usage": usage}).encode()
    tokens = SPECS[dialect].read_answer(body, NOW).usage
    buckets = (tokens.input, tokens.output, tokens.reasoning, tokens.cache_read, tokens.cache_write)
    assert sum(buckets) == tokens.total
    told = usage.get("total_tokens") or usage.get("totalTokenCount")
    assert told is None or tokens.total == told


def test_what_has_no_price_of_its_own_costs_what_input_costs() -> None:
    plain = PerMillion(input="3", output="15").rates
    tokens = TokenBreakdown(input=1, cache_read=10, cache_write=100, cache_write_1h=40)
    assert plain.cost(tokens) * 1e6 == pytest.approx(3 * 111)
    written = PerMillion(input="3", output="15", cacheWrite="4").rates
    assert written.cost(tokens) * 1e6 == pytest.approx(3 * 11 + 4 * 100)


def test_a_free_model_costs_nothing_and_that_is_known() -> None:
    free = PerMillion(input="0", output="0").rates
    assert free.cost(TokenBreakdown(input=10**9, output=10**9)) == 0
