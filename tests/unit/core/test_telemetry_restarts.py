"""What survives a restart, and what a store makes of summaries that it did not write."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from droveway.core.telemetry import TelemetryStore, TelemetrySummary, TokenBreakdown
from helpers.completions import HOUR, MICRO, MODEL, NOW, SECOND, done, failed, reborn, reference_summary, store_with


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

    def test_r_t8_what_has_left_is_not_exported_again(self) -> None:
        store = reborn(store_with(done(), done(NOW + 90 * SECOND), now=NOW + 90 * SECOND), NOW + 90 * SECOND)
        (left,) = store.export_summary(NOW + HOUR).models[MODEL]
        assert left.succeeded == 1
        assert store.export_summary(NOW + HOUR + 90 * SECOND).models == {}

    def test_an_import_after_what_came_before_was_given_up(self) -> None:
        store = reborn(store_with(done()), NOW)
        later = NOW + 5 * HOUR
        store.record(done(later), later)
        store.import_summary(store_with(done(later - 600 * SECOND), now=later).export_summary(later), later)
        assert store.model_performance(MODEL, later).samples == 2

    def test_what_is_exported_later_is_what_is_left(self) -> None:
        store = store_with(done(NOW - 50 * SECOND), done(NOW - 10 * SECOND))
        assert store.export_summary(NOW).models[MODEL][0].succeeded == 2
        later = NOW - 50 * SECOND + HOUR
        assert store.export_summary(later).models[MODEL][0].succeeded == 1
        assert store.export_summary(NOW).models[MODEL][0].succeeded == 2

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
        late = TelemetryStore(HOUR)
        late.import_summary(store.export_summary(NOW), NOW + 24 * HOUR)
        assert late.limited_until(MODEL, NOW) is None

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
        assert reborn(store, NOW).model_performance(MODEL, NOW).samples == 1


class TestOurFormat:
    @pytest.mark.parametrize(
        "window", [HOUR, timedelta(), timedelta(microseconds=7), timedelta(days=604_800), timedelta.max]
    )
    def test_what_is_read_is_what_was_written(self, window: timedelta) -> None:
        store = store_with(
            done(cost_usd=0.5, latency_ms=3), failed("usage limit reached"), failed("429 Too Many Requests")
        )
        written = replace(store.export_summary(NOW), window=window)
        assert TelemetrySummary.from_json(written.to_json()) == written

    def test_it_says_what_it_is_without_a_blank(self) -> None:
        written = TelemetryStore(HOUR).export_summary(NOW).to_json()
        assert written.startswith(b'{"schema_version":1,"id":"telemetry_summary","window_secs":3600.0,')


class TestForeignData:
    def test_r_c12_the_references_summary(self) -> None:
        store = TelemetryStore(HOUR)
        store.import_summary(reference_summary(), NOW)
        store.import_summary(reference_summary(), NOW)
        found = store.model_performance(MODEL, NOW)
        assert (found.successful_completions, found.failed_completions, found.avg_latency_ms) == (5, 1, 120.5)
        assert found.last_event_at == NOW

    @pytest.mark.parametrize(
        ("changes", "counts", "latency"),
        [
            ({"avg_latency_ms": 0.0}, (5, 1), None),
            ({"avg_latency_ms": None}, (5, 1), None),
            ({"avg_latency_ms": 0.5}, (5, 1), 0.5),
            ({"successful_completions": 1, "failed_completions": 1}, (1, 1), 120.5),
            ({"successful_completions": 1, "failed_completions": 0}, (1, 0), 120.5),
            ({"successful_completions": 0}, (0, 1), None),
            ({"successful_completions": 0, "failed_completions": 0}, (0, 0), None),
        ],
        ids=str,
    )
    def test_r_t8_the_references_numbers(
        self, changes: dict[str, Any], counts: tuple[int, int], latency: float | None
    ) -> None:
        store = TelemetryStore(HOUR)
        store.import_summary(reference_summary(**changes), NOW)
        found = store.model_performance(MODEL, NOW)
        assert (found.successful_completions, found.failed_completions) == counts
        assert found.avg_latency_ms == latency

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
        store.import_summary(reference_summary(**changes), NOW)
        assert store.limited_until(MODEL, NOW) == until
        assert store.known_models(NOW) == [MODEL]
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
            b'{"model_performances":[],"window_secs":1,"exported_at":"2026-01-01T00:00:00Z","x":NaN}',
            b'{"model_performances":[],"window_secs":true,"exported_at":"2026-01-01T00:00:00Z"}',
            b'{"model_performances":[],"window_secs":-1,"exported_at":"2026-01-01T00:00:00Z"}',
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
            {"start": -(2**60)},
            {"last": 2**70},
            {"first": 0, "last": -1},
            {"succeeded": 1.5},
            {"failed": True},
            {"latency_ns": "1"},
            {"timed": -1},
            {"timed": 2},
            {"succeeded": 2**32 + 1},
            {"failed": 2**32 + 1},
            {"priced": 2},
            {"cost": 2**130},
            {"tokens": TokenBreakdown(total=-1)},
        ],
        ids=str,
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

    @pytest.mark.parametrize("tokens", [[0] * 5, [0] * 7, "000000", None], ids=str)
    def test_r_c12_so_are_their_tokens(self, tokens: object) -> None:
        whole = json.loads(store_with(done()).export_summary(NOW).to_json())
        whole["models"][MODEL][0][7] = tokens
        with pytest.raises(ValueError, match=r"."):
            TelemetrySummary.from_json(json.dumps(whole))

    @pytest.mark.parametrize("kind", ["ProviderOutage", "Succeeded", "x", 1, None])
    def test_r_c12_so_are_limits(self, kind: object) -> None:
        whole = json.loads(store_with(failed("usage limit reached")).export_summary(NOW).to_json())
        whole["limits"][0]["kind"] = kind
        with pytest.raises(ValueError, match=r"."):
            TelemetrySummary.from_json(json.dumps(whole))

    @pytest.mark.parametrize("latency", [-1, True, 1e40, "1"])
    def test_r_c12_so_is_the_references_latency(self, latency: object) -> None:
        with pytest.raises(ValueError, match=r"."):
            reference_summary(avg_latency_ms=latency)

    @pytest.mark.parametrize(
        "part",
        [
            {"models": []},
            {"models": {"m": {}}},
            {"models": {"m": ["x"]}},
            {"limits": {}},
            {"limits": [[]]},
            {"streaks": []},
        ],
        ids=str,
    )
    def test_r_c12_so_is_each_part(self, part: dict[str, Any]) -> None:
        whole = json.loads(store_with(done()).export_summary(NOW).to_json())
        with pytest.raises(ValueError, match="not a telemetry summary"):
            TelemetrySummary.from_json(json.dumps(whole | part))

    def test_r_c12_a_name_that_stands_twice_hides_nothing(self) -> None:
        whole = store_with(done()).export_summary(NOW).to_json()
        with pytest.raises(ValueError, match="a name twice"):
            TelemetrySummary.from_json(whole.replace(b'"models":', b'"models":{},"models":'))

    def test_r_t18_what_cannot_be_read_leaves_the_store_as_it_was(self) -> None:
        store = store_with(done(), failed("usage limit reached"))
        before = store.export_summary(NOW)
        with pytest.raises(ValueError, match="a newer release"):
            store.import_summary(TelemetrySummary.from_json(b'{"schema_version":2}'), NOW)
        assert store.export_summary(NOW) == before

    def test_r_t18_a_time_at_the_end_of_the_calendar_is_one_of_now(self) -> None:
        store = TelemetryStore(HOUR)
        end = "9999-12-31T23:59:59+00:00"
        store.import_summary(
            reference_summary(exported_at=end, last_event_at=end, subscription_limit_reached=True), NOW
        )
        found = store.model_performance(MODEL, NOW)
        assert (found.last_event_at, found.subscription_limit_expires_at) == (NOW, NOW + HOUR)

    def test_the_references_nanoseconds_are_read(self) -> None:
        store = TelemetryStore(HOUR)
        store.import_summary(reference_summary(last_event_at="2026-11-21T11:59:59.123456789Z"), NOW)
        assert store.model_performance(MODEL, NOW).last_event_at == NOW - SECOND + timedelta(microseconds=123_456)

    def test_odd_names_survive(self) -> None:
        odd = '\ud800 "\n' + "ü" * 10
        store = reborn(store_with(failed("usage limit reached", model=odd)), NOW)
        assert store.known_models(NOW) == [odd]
