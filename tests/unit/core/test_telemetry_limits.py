"""What a store learns of limits from failures and successes."""

from datetime import timedelta

import pytest

from droveway.api.enums import EndClass
from droveway.core.telemetry import TelemetryStore, default_quota_key
from droveway.core.verdict import Scope, Verdict
from helpers.completions import HOUR, MICRO, MODEL, NOW, SECOND, done, failed, store_with


class TestLimits:
    def test_r_t5_only_failures_set_limits(self) -> None:
        store = store_with(done(error="processed, but usage limit reached"), failed(None), failed(""), failed("boom"))
        assert store.limited_until(MODEL, NOW) is None

    @pytest.mark.parametrize(
        ("text", "lasts"),
        [
            ("usage limit reached", HOUR),
            ("usage limit reached, resets in 10m", timedelta(minutes=10)),
            ("insufficient balance", timedelta(hours=6)),
            ("429 Too Many Requests", timedelta(seconds=60)),
            ("429 Too Many Requests, retry after 5s", timedelta(seconds=5)),
        ],
    )
    def test_r_t5_r_c14_how_long(self, text: str, lasts: timedelta) -> None:
        assert store_with(failed(text)).limited_until(MODEL, NOW) == NOW + lasts

    def test_r_t5_it_counts_from_the_event(self) -> None:
        spoken = NOW - timedelta(minutes=50)
        assert store_with(failed("usage limit reached", spoken)).limited_until(MODEL, NOW) == spoken + HOUR
        assert store_with(failed("usage limit reached", NOW - HOUR)).limited_until(MODEL, NOW) is None
        late = store_with(failed("usage limit reached, resets in 2h", spoken), window=SECOND)
        assert (
            late.limited_until(MODEL, NOW) == spoken + 2 * HOUR
        )  # its completion is out of the window, its limit is not

    def test_r_t5_what_was_said_in_the_future_was_said_now(self) -> None:
        assert store_with(failed("usage limit reached", NOW + HOUR)).limited_until(MODEL, NOW) == NOW + HOUR

    def test_r_t5_limit_ttl_is_the_stores(self) -> None:
        assert store_with(failed("usage limit reached"), limit_ttl=SECOND).limited_until(MODEL, NOW) == NOW + SECOND
        assert store_with(failed("usage limit reached"), limit_ttl=-SECOND).limited_until(MODEL, NOW) is None
        for_ever = store_with(failed("usage limit reached"), limit_ttl=timedelta.max).limited_until(MODEL, NOW)
        assert for_ever == NOW + timedelta(days=36_500)

    def test_r_t6_a_success_that_started_later_clears(self) -> None:
        store = store_with(failed("usage limit reached"))
        ten = 10 * SECOND
        store.record(done(NOW + ten, latency_ms=10_000), NOW + ten)
        assert store.limited_until(MODEL, NOW + ten) is not None  # it started at the very moment
        store.record(done(NOW + ten, latency_ms=9_999), NOW + ten)
        assert store.limited_until(MODEL, NOW + ten) is None

    @pytest.mark.parametrize("latency", [1e300, float("inf"), float("nan"), 1e12])
    def test_r_t6_a_latency_that_can_be_none_is_unknown(self, latency: float) -> None:
        store = store_with(failed("usage limit reached"))
        store.record(done(NOW + SECOND, latency_ms=latency), NOW + SECOND)
        assert store.limited_until(MODEL, NOW + SECOND) is None

    def test_r_t6_unknown_latency_starts_when_it_completes(self) -> None:
        store = store_with(failed("usage limit reached"))
        store.record(done(NOW + SECOND), NOW + SECOND)
        assert store.limited_until(MODEL, NOW + SECOND) is None

    @pytest.mark.parametrize(
        ("model", "key"),
        [
            ("zai/glm", "zai"),
            ("anthropic/claude-x", "claude-code"),
            ("claude-code/x", "claude-code"),
            ("sonnet", "claude-code"),
            ("opus", "claude-code"),
            ("haiku", "claude-code"),
            ("anthropic", "claude-code"),
            ("gpt-5", "gpt-5"),
            ("", ""),
        ],
    )
    def test_r_t7_quota_key(self, model: str, key: str) -> None:
        assert default_quota_key(model) == key

    def test_r_c10_models_of_one_subscription_share_the_limit(self) -> None:
        store = store_with(failed("usage limit reached", model="anthropic/a"))
        assert store.limited_until("claude-code/b", NOW) == NOW + HOUR
        store.record(done(NOW + SECOND, model="sonnet"), NOW + SECOND)  # R-C20
        assert store.limited_until("anthropic/a", NOW + SECOND) is None

    def test_r_t7_scope_model_is_the_references(self) -> None:
        store = store_with(failed("usage limit reached", model="zai/a"), limit_scope="Model")
        assert store.limited_until("zai/a", NOW)
        assert store.limited_until("zai/b", NOW) is None

    def test_quota_keys_can_be_given(self) -> None:
        store = store_with(failed("usage limit reached", model="a/x"), quota_key=lambda _: "team")
        assert store.limited_until("b/y", NOW)

    def test_r_c9_structured_limits(self) -> None:
        store = TelemetryStore(HOUR)
        until = NOW + timedelta(days=2)
        assert store.record_limit(MODEL, Verdict(EndClass.SUBSCRIPTION_LIMIT, until, reason="weekly"), NOW)
        limit = store.limit_of(MODEL, NOW)
        assert limit
        assert limit == store.limit_of(MODEL, NOW + HOUR)
        assert (limit.kind, limit.set_at, limit.until, limit.reason) == (
            EndClass.SUBSCRIPTION_LIMIT,
            NOW,
            until,
            "weekly",
        )
        assert not store.record_limit(MODEL, Verdict(EndClass.PROVIDER_OUTAGE, until), NOW)

    def test_r_c20_a_limit_of_one_model(self) -> None:
        store = TelemetryStore(HOUR)
        store.record_limit("zai/a", Verdict(EndClass.SUBSCRIPTION_LIMIT, scope=Scope.MODEL), NOW)
        assert store.limit_of("zai/a", NOW)
        assert store.limit_of("zai/b", NOW) is None
        assert store.limited_until("zai/b", NOW) is None
        assert [p.subscription_limit_reached for p in store.all_model_performances(NOW)] == [True]
        assert not store.model_performance("zai/b", NOW).subscription_limit_reached
        store.record(done(NOW + SECOND, model="zai/b"), NOW + SECOND)
        assert store.limited_until("zai/a", NOW + SECOND)
        store.record(done(NOW + SECOND, model="zai/a"), NOW + SECOND)
        assert store.limited_until("zai/a", NOW + SECOND) is None

    def test_r_c14_consecutive_rate_limits(self) -> None:
        store, at, lasted = TelemetryStore(HOUR), NOW, []
        for _ in range(6):
            store.record(failed("rate limit exceeded", at), at)
            until = store.limited_until(MODEL, at)
            assert until
            lasted.append((until - at).total_seconds())
            at = until
        assert lasted == [60, 120, 240, 480, 600, 600]
        store.record(done(at), at + SECOND)
        store.record(failed("rate limit exceeded", at + SECOND), at + SECOND)
        assert store.limited_until(MODEL, at + SECOND) == at + 61 * SECOND

    def test_r_c14_so_does_a_success_that_was_in_flight(self) -> None:
        store = store_with(failed("rate limit exceeded"))
        store.record(done(NOW + SECOND, latency_ms=5_000), NOW + SECOND)
        assert store.limited_until(MODEL, NOW + SECOND) == NOW + 60 * SECOND
        later = NOW + 60 * SECOND
        store.record(failed("rate limit exceeded", later), later)
        assert store.limited_until(MODEL, later) == later + 60 * SECOND

    def test_a_limit_ends_exclusively(self) -> None:
        store = store_with(failed("usage limit reached"))
        found = store.model_performance(MODEL, NOW)
        assert found.is_subscription_limited(NOW + HOUR - MICRO)
        assert not found.is_subscription_limited(NOW + HOUR)
        assert not store.model_performance(MODEL, NOW + HOUR).subscription_limit_reached
        assert store.limited_until(MODEL, NOW + HOUR) is None
        assert store.limited_until(MODEL, NOW + HOUR - MICRO) == NOW + HOUR  # R-C23
