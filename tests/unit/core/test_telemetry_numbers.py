"""What a store makes of numbers, and of sessions."""

import math
from datetime import timedelta
from typing import Any

import pytest

from droveway.core.telemetry import TelemetryStore, TokenBreakdown
from helpers.completions import HOUR, MODEL, NOW, SECOND, done, failed, reborn, store_with


class TestNumbers:
    @pytest.mark.parametrize("latency", [None, 0, -5, math.nan, math.inf, -math.inf])
    def test_r_t11_unknown_latency_is_no_sample(self, latency: float | None) -> None:
        store = store_with(done(latency_ms=latency), done(latency_ms=latency))
        assert store.latency_rejected_total == (0 if latency in (None, 0) else 2)
        assert store.model_performance(MODEL, NOW).avg_latency_ms is None
        store.record(done(latency_ms=40), NOW)
        assert store.model_performance(MODEL, NOW).avg_latency_ms == 40

    def test_the_mean_is_over_successes_only(self) -> None:
        store = store_with(done(latency_ms=10), failed("boom", latency_ms=1000))
        assert store.model_performance(MODEL, NOW).avg_latency_ms == 10

    @pytest.mark.parametrize(
        ("cost", "rejected"), [(None, 0), (0.0, 0), (math.nan, 1), (math.inf, 1), (-1.0, 1), (0.5, 0)]
    )
    def test_r_t12_a_cost_that_is_none_is_unknown(self, cost: float | None, rejected: int) -> None:
        store = store_with(done(cost_usd=cost))
        known = None if rejected or cost is None else cost
        assert store.session_usage("s", NOW).totals.cost_usd == known
        assert store.cost_rejected_total == rejected
        store.record(done(cost_usd=cost), NOW)
        assert store.cost_rejected_total == 2 * rejected

    def test_r_t12_unknown_is_not_free(self) -> None:
        used = store_with(done(cost_usd=0.1), done(cost_usd=None), done(cost_usd=0.2)).session_usage("s", NOW)
        assert used.totals.cost_usd == 0.3

    def test_r_t13_no_data_is_half(self) -> None:
        found = TelemetryStore(HOUR).model_performance(MODEL, NOW)
        assert (found.success_rate, found.expected_success, found.samples) == (0.0, 0.5, 0)

    def test_r_c6_nothing_is_refused(self) -> None:
        odd = TokenBreakdown(total=-1, input=math.nan, output=2.0, reasoning=math.inf)  # type: ignore[arg-type]
        used = store_with(done(tokens=odd), done(tokens=TokenBreakdown(total=3, output=1))).session_usage("s", NOW)
        assert (used.totals.total_tokens, used.totals.input_tokens, used.totals.output_tokens) == (3, 0, 3)

    @pytest.mark.parametrize(
        ("tokens", "counted"),
        [(7, 7), (-1, 0), (2.9, 2), ("12", 12), ("x", 0), (None, 0), (math.nan, 0), (math.inf, 0), (2**70, 2**63 - 1)],
    )
    def test_r_c6_tokens_are_whole_and_bounded(self, tokens: Any, counted: int) -> None:
        store = store_with(done(tokens=TokenBreakdown(total=tokens)), done(tokens=TokenBreakdown(total=1)))
        assert store.session_usage("s", NOW).totals.total_tokens == counted + 1
        (bucket,) = reborn(store, NOW).export_summary(NOW).models[MODEL]
        assert bucket.tokens.total == counted + 1


class TestSessions:
    def test_r_c7_by_model_and_in_total_failures_included(self) -> None:
        store = store_with(
            done(model="b", tokens=TokenBreakdown(10, 6, 4), cost_usd=0.5),
            failed("boom", model="a", tokens=TokenBreakdown(5, 5)),
            done(model="a", tokens=TokenBreakdown(1)),
            done(session_id="other", tokens=TokenBreakdown(99)),
        )
        used = store.session_usage("s", NOW)
        assert {model: (u.total_tokens, u.message_count, u.cost_usd) for model, u in used.by_model.items()} == {
            "a": (6, 2, None),
            "b": (10, 1, 0.5),
        }
        assert used.totals == used.by_model["a"].merge(used.by_model["b"])
        assert (used.id, used.window_start, used.window_end) == ("s", NOW - HOUR, NOW)

    def test_r_c7_unknown_session(self) -> None:
        used = TelemetryStore(HOUR).session_usage("nobody", NOW)
        assert (used.by_model, used.totals.total_tokens, used.totals.message_count, used.totals.cost_usd) == (
            {},
            0,
            0,
            None,
        )

    def test_r_t1_its_window_ends_exclusively_too(self) -> None:
        store = store_with(done(NOW - HOUR + SECOND), done(NOW - 59.5 * SECOND), done())
        for ahead, count in ((0, 3), (1 - 1e-6, 3), (1, 2), (3540.4, 2), (3540.5, 1), (3600, 0)):
            assert store.session_usage("s", NOW + ahead * SECOND).totals.message_count == count

    def test_it_follows_the_window(self) -> None:
        store = store_with(done(NOW - timedelta(minutes=30)), done())
        assert store.session_usage("s", NOW + timedelta(minutes=30)).totals.message_count == 1
        assert store.session_usage("s", NOW).totals.message_count == 2
