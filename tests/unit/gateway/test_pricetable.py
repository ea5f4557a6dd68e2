"""The price table: read, refused with a remedy, and read again when it changes."""

import logging
import re
from pathlib import Path

import pytest

from droveway.api.enums import Dialect
from droveway.core.completion import TokenBreakdown
from droveway.gateway.metrics import GatewayMetrics
from droveway.gateway.prices import PricedModel, Prices
from droveway.gateway.pricetable import PriceFile, read_table

TABLE = """
version: "2026-11-01"
models:
- model: claude-sonnet-4-5
  baseURL: https://reseller.example/v1/
  usdPerMillionTokens: {input: "2", output: "10"}
- model: claude-sonnet-4-5
  usdPerMillionTokens: {input: "3", output: "15", cacheRead: "0.30", cacheWrite: "3.75", cacheWrite1h: "6"}
- model: qwen*
  usdPerMillionTokens: {input: "0", output: "0"}
"""


def asked(model: str, url: str = "https://api.anthropic.com") -> PricedModel:
    return PricedModel(url, Dialect.ANTHROPIC, model)


@pytest.mark.parametrize(
    ("model", "url", "typical"),
    [
        ("claude-sonnet-4-5", "https://api.anthropic.com", 6.0),
        ("claude-sonnet-4-5", "https://reseller.example/v1", 4.0),
        ("claude-sonnet-4-5", "https://reseller.example/v1/team", 4.0),
        ("claude-sonnet-4-5", "https://reseller.example/v10", 6.0),
        ("claude-sonnet-4-5-20250929", "https://api.anthropic.com", None),
        ("qwen", "https://x", 0.0),
        ("qwen3-coder", "https://x", 0.0),
    ],
)
def test_the_first_line_that_fits_counts(model: str, url: str, typical: float | None) -> None:
    rates = read_table(TABLE).find(asked(model, url))
    assert (rates and rates.typical) == (typical if rates is None else pytest.approx(typical))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("models: []", "version: Field required"),
        ("version: 2026-11-01", "version: Input should be a valid string"),
        ("version: v\nmodels: [{model: m, usdPerMillionTokens: {input: 3, output: '1'}}]", 'write input: "3"'),
        ("version: v\nmodels: [{model: m, usdPerMillionTokens: {input: 0.3, output: '1'}}]", "decimal string"),
        ("version: v\nmodels: [{model: m, usdPerMillionTokens: {input: '-1', output: '1'}}]", "input: String should match"),
        ("version: v\nmodels: [{model: m, usdPerMillionTokens: {input: 'NaN', output: '1'}}]", "models.0.usdPer"),
        ("version: v\nmodels: [{model: m, usdPerMillionTokens: {input: '1'}}]", "output: Field required"),
        ("version: v\nmodels: [{model: m, prices: {}}]", "prices: Extra inputs are not permitted"),
        ("version: v\nmodels: [{model: 'a*b', usdPerMillionTokens: {input: '1', output: '1'}}]", "models.0.model"),
        ("[1, 2]", "the table"),
        ("version: [", "not YAML"),
        ("", "the table"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        read_table(text)


def test_a_changed_file_is_read_again_and_a_broken_one_is_not_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, metrics, prices = tmp_path / "prices.yaml", GatewayMetrics(), Prices()
    prices.on_versions = metrics.show_prices
    file = PriceFile(path, prices, metrics.price_errors.inc)

    def write(text: str) -> None:
        """As the kubelet does it: another file in the place of the first."""
        other = tmp_path / "other"
        other.write_text(text)
        other.replace(path)
        file.load()

    def cost() -> float | None:
        rates = prices.rates(asked("claude-sonnet-4-5"))
        return rates.cost(TokenBreakdown(input=10**6)) if rates else None

    file.load()
    assert cost() is None
    assert b"droveway_gateway_price_errors_total 1.0" in metrics.expose()

    write(TABLE)
    assert cost() == 3.0
    assert b'price_info{source="table",version="2026-11-01"} 1.0' in metrics.expose()

    write("version: 3")
    assert cost() == 3.0
    assert "the last good one stays: version:" in caplog.text
    file.load()
    assert b"droveway_gateway_price_errors_total 2.0" in metrics.expose(), "the same file is complained about once"

    write(TABLE.replace('"3"', '"4"').replace("2026-11-01", "2026-12-01"))
    assert cost() == 4.0
    shown = metrics.expose()
    assert b'version="2026-12-01"' in shown
    assert b'version="2026-11-01"' not in shown


async def test_a_table_goes_before_the_list_and_the_list_fills_its_gaps(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    prices = Prices()
    prices.adopt(read_table(TABLE).find, "1")
    own, listed, nobodys = (asked(m) for m in ("claude-sonnet-4-5", "claude-opus-4-5", "m1-of-nobody"))
    for _ in range(2):
        prices.learn([own, listed, nobodys])
        await prices.settled(60)
    rates = prices.rates(own)
    assert rates
    assert rates.cost(TokenBreakdown(cache_write=3 * 10**6, cache_write_1h=10**6)) == pytest.approx(2 * 3.75 + 6)
    assert prices.rates(listed)
    assert prices.rates(nobodys) is None
    assert prices.versions["list"].startswith("genai-prices ")
    complaints = [record.getMessage() for record in caplog.records]
    assert len(complaints) == 1
    assert "m1-of-nobody" in complaints[0]
