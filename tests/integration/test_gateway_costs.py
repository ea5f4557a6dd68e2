"""What calls cost, from the price table's file to the operator's ears: known, unknown, and changed meanwhile."""

from pathlib import Path

import pytest

from droveway.api.enums import CostSource
from helpers.gateway import mock_provider, provider, route, serving, until

pytestmark = pytest.mark.integration

TABLE = """
version: "{version}"
models:
- model: model-a
  usdPerMillionTokens: {{input: "{input}", output: "10", cacheRead: "0.1", cacheWrite: "2"}}
"""


async def test_every_completion_says_what_it_cost_and_who_says_so(tmp_path: Path) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text(TABLE.format(version="1", input="1"))
    async with (
        mock_provider() as mock,
        serving(tmp_path, provider("a", mock), route("a"), prices_file=prices) as gateway,
    ):
        await gateway.ask()
        record = (await gateway.operator.heard(1))[0]
        # The mock: 1200 fresh, 800 read from the cache, 100 written to it, 42 of output.
        assert record.cost_usd == pytest.approx((1200 * 1 + 800 * 0.1 + 100 * 2 + 42 * 10) / 1e6)
        assert record.cost_source is CostSource.PRICED
        assert gateway.metric("price_info", source="table", version="1") == 1

        prices.with_name("next").write_text(TABLE.format(version="2", input="2"))
        prices.with_name("next").replace(prices)
        await until(lambda: gateway.metric("price_info", source="table", version="2") == 1)
        await gateway.ask()
        dearer = (await gateway.operator.heard(2))[1]
        assert dearer.cost_usd == pytest.approx((1200 * 2 + 800 * 0.1 + 100 * 2 + 42 * 10) / 1e6)
        assert gateway.metric("unpriced_completions_total") == 0


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "plain"])
async def test_an_unknown_model_has_no_cost_and_says_so(tmp_path: Path, stream: bool) -> None:
    async with mock_provider() as mock, serving(tmp_path, provider("a", mock), route("a")) as gateway:
        await gateway.ask(stream=stream)
        record = (await gateway.operator.heard(1))[0]
        assert (record.cost_usd, record.cost_source) == (None, CostSource.UNKNOWN)
        assert gateway.metric("unpriced_completions_total", tenant="default", route="main", model="model-a") == 1
        assert gateway.metric("cost_usd_total") == 0


async def test_a_failure_that_used_nothing_lacks_no_price(tmp_path: Path) -> None:
    async with mock_provider() as mock, serving(tmp_path, provider("a", f"{mock}/s/billing"), route("a")) as gateway:
        await gateway.ask()
        record = (await gateway.operator.heard(1))[0]
        assert (record.cost_usd, record.cost_source) == (None, None)
        assert gateway.metric("unpriced_completions_total") == 0
