"""Costs come from the public price list, from disjoint buckets, and an unknown model has none."""

import pytest
from genai_prices import Usage, calc_price

from droveway.core.completion import TokenBreakdown
from droveway.gateway import pricelist
from droveway.gateway.prices import Rates

MODELS = ["claude-sonnet-4-5", "claude-opus-4-5", "gpt-5-codex", "gpt-4.1-mini", "gemini-2.5-pro", "gemini-2.5-flash"]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    "tokens",
    [
        pytest.param(
            TokenBreakdown(input=300, output=35, reasoning=7, cache_read=800, cache_write=100), id="small, cached"
        ),
        pytest.param(TokenBreakdown(input=250_000, output=2_000), id="beyond the tier"),
        pytest.param(TokenBreakdown(input=1, cache_read=250_000, output=10), id="beyond the tier by the cache alone"),
        pytest.param(TokenBreakdown(input=200_000, output=10), id="exactly at the tier"),
    ],
)
def test_our_rates_cost_what_the_price_list_says(model: str, tokens: TokenBreakdown) -> None:
    found = pricelist.look_up("https://gateway.example", "nobody", model)
    assert found is not None
    told = calc_price(
        Usage(
            input_tokens=tokens.input + tokens.cache_read + tokens.cache_write,
            cache_read_tokens=tokens.cache_read,
            cache_write_tokens=tokens.cache_write,
            output_tokens=tokens.output + tokens.reasoning,
        ),
        model,
    )
    assert Rates(**found).cost(tokens) == pytest.approx(float(told.total_price))


def test_an_unknown_model_has_no_price() -> None:
    assert pricelist.look_up("https://llm.example", "openai", "m1-of-nobody") is None


def test_the_host_decides_before_the_name() -> None:
    here = pricelist.look_up("https://api.anthropic.com", "openai", "claude-sonnet-4-5")
    assert here is not None
    assert here["input_mtok"][0] == [0, 3.0]


def test_a_typical_mix_is_mostly_input() -> None:
    assert Rates(input_mtok=[(0, 1.0)], output_mtok=[(0, 5.0)]).typical == 2.0
