"""The rolling telemetry: the reference's own seven tests, then every rule that differs from it."""

import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from droveway.api.enums import EndClass
from droveway.core.telemetry import (
    CompletionEvent,
    TelemetryStore,
    TelemetrySummary,
    TokenBreakdown,
    default_quota_key,
    is_subscription_limit_error,
)
from droveway.core.verdict import Scope, Verdict

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
MICRO = timedelta(microseconds=1)
MODEL = "zai/glm"


def done(at: datetime = NOW, model: str = MODEL, **more: Any) -> CompletionEvent:
    """A completion that went well."""
    return CompletionEvent(**{"model": model, "session_id": "s", "completed_at": at, "success": True, **more})


def failed(error: str | None, at: datetime = NOW, model: str = MODEL, **more: Any) -> CompletionEvent:
    """A completion that did not."""
    return done(at, model, success=False, error=error, **more)


def store_with(*events: CompletionEvent, window: timedelta = HOUR, now: datetime = NOW, **more: Any) -> TelemetryStore:
    """A store that has taken these in."""
    store = TelemetryStore(window, **more)
    store.record_batch(events, now)
    return store


def reborn(store: TelemetryStore, now: datetime, window: timedelta = HOUR) -> TelemetryStore:
    """The store after a restart."""
    again = TelemetryStore(window)
    again.import_summary(TelemetrySummary.from_json(store.export_summary(now).to_json()), now)
    return again


class TestTheReferencesOwn:
    def test_two_successes_and_a_limit(self) -> None:
        store = store_with(done(latency_ms=100), done(latency_ms=200), failed("rate limit exceeded"))
        found = store.model_performance(MODEL, NOW)
        assert (found.successful_completions, found.failed_completions) == (2, 1)
        assert found.avg_latency_ms == 150
        assert found.success_rate == pytest.approx(2 / 3)
        assert found.subscription_limit_reached

    def test_session_usage(self) -> None:
        store = store_with(done(session_id="sess-1", tokens=TokenBreakdown(total=500, input=300, output=200)))
        used = store.session_usage("sess-1", NOW)
        assert used.totals.total_tokens == 500
        assert used.totals.message_count == 1
        assert list(used.by_model) == [MODEL]

    def test_unknown_model(self) -> None:
        store = TelemetryStore(HOUR)
        found = store.model_performance("nobody", NOW)
        assert found.successful_completions == 0
        assert not found.is_subscription_limited(NOW)
        assert store.known_models(NOW) == []

    def test_restart_keeps_the_counts(self) -> None:
        found = reborn(store_with(done(latency_ms=100), done(latency_ms=200)), NOW).model_performance(MODEL, NOW)
        assert (found.successful_completions, found.avg_latency_ms) == (2, 150)

    def test_restart_keeps_the_limit(self) -> None:
        store = reborn(store_with(failed("weekly session limit reached")), NOW)
        assert store.model_performance(MODEL, NOW).is_subscription_limited(NOW)

    def test_old_summary_counts_nothing(self) -> None:
        summary = _reference(last_event_at=NOW - 2 * HOUR)
        store = TelemetryStore(HOUR)
        store.import_summary(summary, NOW)
        assert store.model_performance(MODEL, NOW).successful_completions == 0

    @pytest.mark.parametrize(
        ("text", "limit"),
        [
            ("weekly session limit reached", True),
            ("Rate Limit Exceeded - try again later", True),
            ("Error 429: Too Many Requests", True),
            ("Quota exceeded for this billing period", True),
            ("connection refused", False),
            ("syntax error in response", False),
        ],
    )
    def test_detection(self, text: str, limit: bool) -> None:
        assert is_subscription_limit_error(text) is limit


class TestTheWindow:
    @pytest.mark.parametrize(
        ("age", "counts"),
        [
            (HOUR, False),
            (HOUR - MICRO, True),
            (HOUR + MICRO, False),
            (timedelta(), True),
            (timedelta(minutes=59, seconds=59), True),
        ],
    )
    def test_r_t1_it_ends_exclusively_on_write_and_on_read(self, age: timedelta, counts: bool) -> None:
        assert store_with(done(NOW - age)).model_performance(MODEL, NOW).samples == counts
        aged = store_with(done(NOW - age), now=NOW - age)
        assert aged.model_performance(MODEL, NOW).samples == counts

    def test_r_t1_an_idle_model_fades_and_r_c23_an_earlier_reader_still_sees_it(self) -> None:
        store = store_with(done(), window=SECOND)
        store.record(done(NOW + 1.3 * SECOND, model="another"), NOW + 1.3 * SECOND)
        assert store.model_performance(MODEL, NOW + 1.3 * SECOND).samples == 0
        assert store.known_models(NOW + 1.3 * SECOND) == ["another"]
        assert store.model_performance(MODEL, NOW).samples == 1

    def test_r_t2_what_comes_from_the_future_is_clamped_and_counted(self) -> None:
        store = store_with(done(NOW + timedelta(seconds=700)))
        found = store.model_performance(MODEL, NOW)
        assert found.last_event_at == NOW
        assert not found.is_stale(timedelta(minutes=10), NOW)
        assert store.clock_clamped_total == 1

    def test_r_t2_a_clock_that_is_set_back_drops_nothing_and_makes_no_negative_age(self) -> None:
        store = store_with(done())
        earlier = NOW - timedelta(minutes=10)
        store.record(done(earlier), earlier)
        found = store.model_performance(MODEL, earlier)
        assert found.samples == 2
        assert not found.is_stale(timedelta(), earlier)

    def test_r_t3_the_last_event_is_the_latest_not_the_last_to_arrive(self) -> None:
        store = store_with(done(), done(NOW - timedelta(minutes=30)))
        assert store.model_performance(MODEL, NOW).last_event_at == NOW

    @pytest.mark.parametrize(("age", "stale"), [(600, False), (600.9, True), (601, True), (599.9, False)])
    def test_r_t14_stale_is_older_than_the_age_exactly(self, age: float, stale: bool) -> None:
        found = store_with(done(NOW - timedelta(seconds=age))).model_performance(MODEL, NOW)
        assert found.is_stale(timedelta(seconds=600), NOW) is stale

    def test_r_t14_nothing_is_stale(self) -> None:
        assert TelemetryStore(HOUR).model_performance(MODEL, NOW).is_stale(HOUR, NOW)

    @pytest.mark.parametrize("window", [timedelta(), -HOUR], ids=["zero", "negative"])
    def test_r_t15_a_window_of_nothing_holds_nothing(self, window: timedelta) -> None:
        store = store_with(done(), window=window)
        found = store.model_performance(MODEL, NOW)
        assert (found.samples, found.throughput) == (0, 0.0)

    @pytest.mark.parametrize("window", [timedelta(microseconds=7), timedelta(days=604_800), timedelta.max])
    def test_r_t15_any_window_works(self, window: timedelta) -> None:
        assert store_with(done(), window=window).model_performance(MODEL, NOW).samples == 1

    def test_throughput_is_over_the_whole_window(self) -> None:
        store = store_with(*(done() for _ in range(36)), failed(None))
        assert store.model_performance(MODEL, NOW).throughput == 0.01

    @pytest.mark.parametrize("zone", [timezone(timedelta(hours=5, minutes=45)), ZoneInfo("America/New_York")])
    def test_any_zone_is_the_same_moment(self, zone: Any) -> None:
        dst_ends = datetime(2026, 11, 1, 6, 30, tzinfo=UTC)  # 01:30 in New York, for the second time
        store = TelemetryStore(HOUR)
        store.record(done((dst_ends - timedelta(minutes=59)).astimezone(zone)), dst_ends.astimezone(zone))
        assert store.model_performance(MODEL, dst_ends.astimezone(zone)).samples == 1
        assert store.model_performance(MODEL, (dst_ends + 2 * timedelta(minutes=1)).astimezone(zone)).samples == 0

    def test_r_t17_models_without_events_and_limits_leave(self) -> None:
        store = store_with(*(done(model=f"p{i}/m") for i in range(500)), failed("usage limit reached", model="q/m"))
        assert len(store.known_models(NOW)) == 501
        later = NOW + HOUR - SECOND
        assert store.known_models(later + SECOND) == []
        store.record_limit("r/m", Verdict(EndClass.SUBSCRIPTION_LIMIT), later)
        assert store.known_models(later + HOUR - SECOND) == ["r/m"]
        assert [p.model for p in store.all_model_performances(later + HOUR)] == []

    def test_memory_is_given_back(self) -> None:
        store = TelemetryStore(SECOND)
        for i in range(5_000):
            at = NOW + i * timedelta(milliseconds=10)
            store.record(done(at, model=f"m{i % 7}", id=str(i)), at)
        assert sum(len(slot.items) for series in store._series.values() for slot in series._slots.values()) < 600
        assert len(store._seen) < 600


class TestIdentity:
    def test_r_t4_the_same_id_counts_once_whatever_the_order(self) -> None:
        first, again = done(id="a", latency_ms=1), done(NOW - 5 * SECOND, id="a", latency_ms=9, model="other")
        for order in ([first, again], [again, first]):
            store = store_with(*order)
            assert sum(p.samples for p in store.all_model_performances(NOW)) == 1
            assert store.duplicates_total == 1

    def test_r_t4_no_id_counts_each_time(self) -> None:
        assert store_with(done(), done()).model_performance(MODEL, NOW).samples == 2

    def test_r_t4_after_the_window_an_id_is_new_again(self) -> None:
        store = store_with(done(id="a"))
        store.record(done(NOW + HOUR, id="a"), NOW + HOUR)
        assert store.model_performance(MODEL, NOW + HOUR).samples == 1

    def test_r_c21_what_is_dropped_at_ingest_reserves_no_id(self) -> None:
        store = TelemetryStore(HOUR)
        assert not store.record(done(NOW - HOUR, id="a"), NOW)
        assert store.record(done(id="a"), NOW)

    def test_r_t4_a_duplicate_sets_no_limit(self) -> None:
        store = store_with(done(id="a"), failed("usage limit reached", id="a"))
        assert store.limited_until(MODEL, NOW) is None


class TestNumbers:
    @pytest.mark.parametrize("latency", [None, 0, -5, math.nan, math.inf, -math.inf])
    def test_r_t11_unknown_latency_is_no_sample(self, latency: float | None) -> None:
        store = store_with(done(latency_ms=latency))
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

    def test_it_follows_the_window(self) -> None:
        store = store_with(done(NOW - timedelta(minutes=30)), done())
        assert store.session_usage("s", NOW + timedelta(minutes=30)).totals.message_count == 1
        assert store.session_usage("s", NOW).totals.message_count == 2


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

    def test_r_t5_limit_ttl_is_the_stores(self) -> None:
        assert store_with(failed("usage limit reached"), limit_ttl=SECOND).limited_until(MODEL, NOW) == NOW + SECOND

    def test_r_t6_a_success_that_started_later_clears(self) -> None:
        store = store_with(failed("usage limit reached"))
        ten = 10 * SECOND
        store.record(done(NOW + ten, latency_ms=10_000), NOW + ten)
        assert store.limited_until(MODEL, NOW + ten) is not None  # it started at the very moment
        store.record(done(NOW + ten, latency_ms=9_999), NOW + ten)
        assert store.limited_until(MODEL, NOW + ten) is None

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
        assert store.limited_until("zai/b", NOW) is None
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

    def test_a_limit_ends_exclusively(self) -> None:
        store = store_with(failed("usage limit reached"))
        found = store.model_performance(MODEL, NOW)
        assert found.is_subscription_limited(NOW + HOUR - MICRO)
        assert not found.is_subscription_limited(NOW + HOUR)
        assert not store.model_performance(MODEL, NOW + HOUR).subscription_limit_reached
        assert store.limited_until(MODEL, NOW + HOUR) is None
        assert store.limited_until(MODEL, NOW + HOUR - MICRO) == NOW + HOUR  # R-C23


class TestRestarts:
    def test_r_t8_everything_is_the_same_at_the_same_moment(self) -> None:
        store = TelemetryStore(HOUR)
        for i in range(500):
            at = NOW + i * timedelta(seconds=9.7)
            event = done(at, latency_ms=1.3 * i, model=f"m{i % 3}") if i % 5 else failed("boom", at, f"m{i % 3}")
            store.record(event, at)
        now = NOW + timedelta(seconds=4_850)
        again = reborn(store, now)
        assert again.all_model_performances(now) == store.all_model_performances(now)
        twice = reborn(again, now)
        assert twice.all_model_performances(now) == store.all_model_performances(now)
        before = again.all_model_performances(now)
        again.import_summary(store.export_summary(now), now)
        assert again.all_model_performances(now) == before

    def test_r_t8_many_are_not_ten(self) -> None:
        found = reborn(store_with(*[done()] * 100, *[failed("boom")] * 3), NOW).model_performance(MODEL, NOW)
        assert (found.successful_completions, found.failed_completions) == (100, 3)

    def test_r_t8_a_bucket_counts_until_its_last_moment_leaves(self) -> None:
        store = reborn(store_with(done(NOW - 30 * SECOND), done(NOW - 10 * SECOND)), NOW)
        gone = NOW - 10 * SECOND + HOUR
        assert store.model_performance(MODEL, gone - MICRO).samples == 2
        assert store.model_performance(MODEL, gone).samples == 0
        assert store.model_performance(MODEL, NOW).samples == 2

    def test_r_t8_tokens_and_cost_are_kept(self) -> None:
        store = store_with(done(tokens=TokenBreakdown(5, 3, 2), cost_usd=0.25), done(tokens=TokenBreakdown(7, 7)))
        (bucket,) = reborn(store, NOW).export_summary(NOW).models[MODEL]
        assert (bucket.tokens, bucket.cost, bucket.priced) == (TokenBreakdown(12, 10, 2), 250_000_000_000, 1)

    def test_r_c22_live_events_stand(self) -> None:
        store = store_with(done(), done())
        summary = store.export_summary(NOW)
        store.record(done(), NOW)
        store.import_summary(summary, NOW)
        assert store.model_performance(MODEL, NOW).samples == 3
        again = reborn(store, NOW)
        again.record(done(), NOW)
        again.import_summary(summary, NOW)
        assert again.model_performance(MODEL, NOW).samples == 4

    def test_r_c22_an_import_replaces_an_import(self) -> None:
        store = store_with(done())
        earlier = store.export_summary(NOW)
        store.record_batch([done(), done()], NOW)
        again = TelemetryStore(HOUR)
        for summary in (earlier, store.export_summary(NOW), store.export_summary(NOW)):
            again.import_summary(summary, NOW)
        assert again.model_performance(MODEL, NOW).samples == 3

    def test_a_changed_window_takes_the_buckets_over(self) -> None:
        store = reborn(store_with(done(), done(NOW - timedelta(minutes=50))), NOW, window=timedelta(minutes=30))
        assert store.model_performance(MODEL, NOW).samples == 1

    def test_r_t9_limits_survive_any_number_of_restarts_and_leave_when_over(self) -> None:
        store = store_with(failed("usage limit reached, resets in 1 day"))
        for hours in range(0, 24, 5):
            store = reborn(store, NOW + hours * HOUR)
            assert store.limited_until(MODEL, NOW + hours * HOUR) == NOW + 24 * HOUR
            assert store.known_models(NOW + hours * HOUR) == [MODEL]
        assert store.export_summary(NOW + 24 * HOUR).limits == ()

    def test_r_t9_so_do_idle_models_that_a_limit_of_their_group_keeps_known(self) -> None:
        store = store_with(done(model="zai/idle"))
        store.record(failed("usage limit reached", NOW + HOUR, "zai/busy"), NOW + HOUR)
        assert store.known_models(NOW + HOUR) == ["zai/busy", "zai/idle"]
        assert reborn(store, NOW + HOUR).known_models(NOW + HOUR) == ["zai/busy", "zai/idle"]

    def test_r_c14_consecutive_limits_survive_too(self) -> None:
        store = reborn(store_with(failed("rate limit exceeded")), NOW)
        later = NOW + 60 * SECOND
        store.record(failed("rate limit exceeded", later), later)
        assert store.limited_until(MODEL, later) == later + 120 * SECOND

    def test_r_t2_a_bucket_of_a_broken_clock_counts_as_one_of_now(self) -> None:
        store, ahead = TelemetryStore(HOUR), NOW + HOUR + SECOND
        store.import_summary(store_with(done(ahead), now=ahead).export_summary(ahead), NOW)
        assert store.model_performance(MODEL, NOW).last_event_at == NOW


def _reference(**changes: Any) -> TelemetrySummary:
    times = {k: v.isoformat() if isinstance(v, datetime) else v for k, v in changes.items()}
    row = {
        "model": MODEL,
        "successful_completions": 5,
        "failed_completions": 1,
        "window_secs": 3600,
        "throughput": 0.0014,
        "avg_latency_ms": 120.5,
        "success_rate": 0.83,
        "last_event_at": NOW.isoformat(),
        "subscription_limit_reached": False,
        "subscription_limit_expires_at": None,
        **times,
    }
    whole = {
        "id": "telemetry_summary",
        "model_performances": [row],
        "window_secs": 3600,
        "exported_at": NOW.isoformat(),
    }
    return TelemetrySummary.from_json(json.dumps(whole).encode())


class TestForeignData:
    def test_r_c12_the_references_summary(self) -> None:
        store = TelemetryStore(HOUR)
        store.import_summary(_reference(), NOW)
        store.import_summary(_reference(), NOW)
        found = store.model_performance(MODEL, NOW)
        assert (found.successful_completions, found.failed_completions, found.avg_latency_ms) == (5, 1, 120.5)
        assert found.last_event_at == NOW

    @pytest.mark.parametrize(
        ("changes", "until"),
        [
            ({"subscription_limit_reached": True}, NOW + HOUR),
            ({"subscription_limit_reached": True, "last_event_at": None}, NOW + HOUR),
            ({"subscription_limit_expires_at": NOW + 5 * SECOND}, NOW + 5 * SECOND),
            ({"subscription_limit_reached": True, "subscription_limit_expires_at": NOW}, None),
            ({}, None),
        ],
        ids=["no-end", "no-events", "flag-unset", "over", "none"],
    )
    def test_r_t10_a_limit_always_ends(self, changes: dict[str, Any], until: datetime | None) -> None:
        store = TelemetryStore(HOUR)
        store.import_summary(_reference(**changes), NOW)
        assert store.limited_until(MODEL, NOW) == until
        if until:
            assert reborn(store, NOW).limited_until(MODEL, NOW) == until

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"null",
            b"[]",
            b"{}",
            b'"x"',
            b"\xff\xfe",
            b"[" * 20_000,
            b'{"a":' * 20_000,
            b'{"schema_version":1,"models":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
            b'{"schema_version":2}',
            b'{"schema_version":true}',
            b'{"schema_version":1}',
            b'{"schema_version":"1"}',
            b'{"model_performances":3}',
            b'{"model_performances":[3],"window_secs":1,"exported_at":"2026-01-01T00:00:00Z"}',
            b'{"model_performances":[],"window_secs":NaN,"exported_at":"2026-01-01T00:00:00Z"}',
            b'{"model_performances":[],"window_secs":1e400,"exported_at":"2026-01-01T00:00:00Z"}',
            b'{"model_performances":[],"window_secs":1,"exported_at":"2026-01-01T00:00:00"}',
            b'{"model_performances":[],"window_secs":1,"exported_at":5}',
            b"1" * 5_000,
        ],
        ids=lambda data: data[:24].decode("latin-1"),
    )
    def test_r_c12_anything_else_is_a_value_error(self, data: bytes) -> None:
        with pytest.raises(ValueError, match=r"."):
            TelemetrySummary.from_json(data)

    @pytest.mark.parametrize(
        "change",
        [
            {"start": -1},
            {"last": 2**70},
            {"succeeded": 1.5},
            {"failed": True},
            {"latency_ns": "1"},
            {"timed": -1},
            {"cost": 2**100},
            {"tokens": TokenBreakdown(total=-1)},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_r_c12_buckets_are_checked(self, change: dict[str, Any]) -> None:
        summary = store_with(done()).export_summary(NOW)
        broken = replace(summary, models={MODEL: (replace(summary.models[MODEL][0], **change),)})
        with pytest.raises(ValueError, match=r"."):
            TelemetrySummary.from_json(broken.to_json())

    @pytest.mark.parametrize("version", [0, 2, 1.5, "1", None, True])
    def test_r_c12_a_whole_summary_of_another_version_is_refused(self, version: object) -> None:
        whole = store_with(done()).export_summary(NOW).to_json()
        other = json.dumps(json.loads(whole) | {"schema_version": version}).encode()
        assert TelemetrySummary.from_json(whole).models
        with pytest.raises(ValueError, match="a newer release may have written it"):
            TelemetrySummary.from_json(other)

    def test_odd_names_survive(self) -> None:
        odd = '\ud800 "\n' + "ü" * 10
        store = reborn(store_with(failed("usage limit reached", model=odd)), NOW)
        assert store.known_models(NOW) == [odd]
