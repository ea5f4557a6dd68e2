"""The rolling telemetry: the reference's own seven tests, and what is counted when."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from droveway.api.enums import EndClass
from droveway.core.telemetry import (
    TelemetryStore,
    TokenBreakdown,
    is_subscription_limit_error,
)
from droveway.core.verdict import Verdict
from helpers.completions import HOUR, MICRO, MODEL, NOW, SECOND, done, failed, reborn, reference_summary, store_with


class TestTheReferencesOwn:
    def test_reference_1_two_successes_and_a_limit(self) -> None:
        store = store_with(done(latency_ms=100), done(latency_ms=200), failed("rate limit exceeded"))
        found = store.model_performance(MODEL, NOW)
        assert (found.successful_completions, found.failed_completions) == (2, 1)
        assert found.avg_latency_ms == 150
        assert found.success_rate == pytest.approx(2 / 3)
        assert found.subscription_limit_reached

    def test_reference_2_session_usage(self) -> None:
        store = store_with(done(session_id="sess-1", tokens=TokenBreakdown(total=500, input=300, output=200)))
        used = store.session_usage("sess-1", NOW)
        assert used.totals.total_tokens == 500
        assert used.totals.message_count == 1
        assert list(used.by_model) == [MODEL]

    def test_reference_3_an_unknown_model(self) -> None:
        store = TelemetryStore(HOUR)
        found = store.model_performance("nobody", NOW)
        assert found.successful_completions == 0
        assert not found.is_subscription_limited(NOW)
        assert store.known_models(NOW) == []

    def test_reference_4_a_restart_keeps_the_counts(self) -> None:
        found = reborn(store_with(done(latency_ms=100), done(latency_ms=200)), NOW).model_performance(MODEL, NOW)
        assert (found.successful_completions, found.avg_latency_ms) == (2, 150)

    def test_reference_5_a_restart_keeps_the_limit(self) -> None:
        store = reborn(store_with(failed("weekly session limit reached")), NOW)
        assert store.model_performance(MODEL, NOW).is_subscription_limited(NOW)

    def test_reference_6_an_old_summary_counts_nothing(self) -> None:
        summary = reference_summary(last_event_at=NOW - 2 * HOUR)
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
    def test_reference_7_detection(self, text: str, limit: bool) -> None:
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
        store.record_batch([done(), done(NOW + SECOND)], NOW)
        assert store.clock_clamped_total == 2

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

    def test_r_t3_and_only_what_is_in_the_window(self) -> None:
        store = store_with(done(), done(NOW - 30 * SECOND))
        assert store.model_performance(MODEL, NOW + HOUR - SECOND).last_event_at == NOW
        assert store.model_performance(MODEL, NOW + HOUR).last_event_at is None

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
        found = store.model_performance(MODEL, NOW)
        assert (found.window_secs, found.throughput) == (3600, 0.01)

    def test_a_time_without_a_zone_is_refused(self) -> None:
        store, naive = store_with(done()), NOW.replace(tzinfo=None)
        for act in (
            lambda: store.record(done(naive), NOW),
            lambda: store.record(done(), naive),
            lambda: store.model_performance(MODEL, naive),
            lambda: store.export_summary(naive),
            lambda: store.record_limit(MODEL, Verdict(EndClass.SUBSCRIPTION_LIMIT), naive),
        ):
            with pytest.raises(ValueError, match="a time needs a zone"):
                act()
        assert store.model_performance(MODEL, NOW).samples == 1

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

    def test_r_t17_and_take_no_room(self) -> None:
        store = store_with(*(done(model=f"p{i}/m") for i in range(500)))
        store.record(failed("usage limit reached, resets in 1 day", model="q/m"), NOW)
        later = NOW + 3 * HOUR
        store.record(done(later), later)
        assert set(store._series) == {MODEL, "q/m"}

    def test_what_comes_after_a_look_ahead_is_gone_in_the_next_one(self) -> None:
        store, ahead = TelemetryStore(HOUR), NOW + 30 * timedelta(minutes=1)
        for at, seen in ((NOW, 1), (NOW - 40 * timedelta(minutes=1), 1), (NOW, 2)):
            store.record(done(at), NOW)
            assert store.model_performance(MODEL, ahead).samples == seen
        store.record(done(NOW - 45 * timedelta(minutes=1)), NOW)
        store.record(done(), NOW)
        assert store.model_performance(MODEL, ahead).samples == 3

    def test_memory_is_given_back(self) -> None:
        store = TelemetryStore(SECOND)
        for i in range(5_000):
            at = NOW + i * timedelta(milliseconds=10)
            store.record(done(at, model=f"m{i % 7}", id=str(i)), at)
        assert sum(len(slot.items) for series in store._series.values() for slot in series._slots.values()) < 600
        assert len(store._seen) < 600

    def test_r_c8_all_performances_are_sorted_and_of_known_models_only(self) -> None:
        store = store_with(done(model="b"), done(model="a"), done(NOW - 59 * timedelta(minutes=1), model="c"))
        assert store.all_model_performances(NOW) == [store.model_performance(model, NOW) for model in "abc"]
        later = NOW + timedelta(minutes=1)
        assert [found.model for found in store.all_model_performances(later)] == ["a", "b"]
        assert store.known_models(later) == ["a", "b"]


class TestBatches:
    def test_any_iterable_is_a_batch(self) -> None:
        store = TelemetryStore(HOUR)
        assert store.record_batch((done(id=name) for name in "abca"), NOW) == 3
        assert store.model_performance(MODEL, NOW).samples == 3

    def test_an_empty_batch_is_nothing(self) -> None:
        store = store_with(done())
        assert store.record_batch([], NOW + HOUR) == 0
        assert store.model_performance(MODEL, NOW).samples == 1


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
