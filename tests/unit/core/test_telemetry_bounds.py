"""Memory is bounded whatever the rate: old slots become buckets, and nothing is lost or counted twice by it."""

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from droveway.core.telemetry import CompletionEvent, ModelPerformance, TelemetryStore, TokenBreakdown
from helpers.completions import HOUR, MODEL, NOW, SECOND, done, failed, reborn, store_with

WINDOW = timedelta(seconds=120)
SLOT = WINDOW / 60
BORDER = datetime(2026, 11, 21, 12, tzinfo=UTC)  # between two slots
MOST = 8

arrivals = st.lists(
    st.tuples(
        st.integers(0, 18).map(lambda n: 500 * n),  # milliseconds since the one before: often on a border
        st.integers(-1, 60).map(lambda n: 500 * n),  # age on arrival
        st.sampled_from(["zai/a", "kimi/b"]),
        st.booleans(),
        st.none() | st.integers(1, 5_000),
    ),
    max_size=80,
)


def kept(store: TelemetryStore) -> int:
    """Completions that a store keeps one by one."""
    return sum(sum(series.exact().values()) for series in store._series.values())


def taken(arrived: list[tuple[int, int, str, bool, int | None]], most: int) -> tuple[TelemetryStore, datetime]:
    """A store that has taken them in, and when."""
    store, now = TelemetryStore(WINDOW, most_completions=most), BORDER
    for number, (pause, age, model, success, latency) in enumerate(arrived):
        now += timedelta(milliseconds=pause)
        at = now - timedelta(milliseconds=age)
        tokens = TokenBreakdown(total=number)
        store.record(CompletionEvent(model, "s", at, latency, success, tokens, 0.5, None, str(number)), now)
    return store, now


def counts(found: ModelPerformance) -> tuple[int, int]:
    return found.successful_completions, found.failed_completions


class TestAgainstAStoreWithoutBound:
    @given(arrivals)
    def test_at_the_border_of_a_slot_all_is_the_same(
        self, arrived: list[tuple[int, int, str, bool, int | None]]
    ) -> None:
        store, now = taken(arrived, MOST)
        exact, _ = taken(arrived, len(arrived) + 1)
        for slots in range(0, 130, 9):
            later = BORDER + (now - BORDER) // SLOT * SLOT + (slots + 1) * SLOT
            assert store.all_model_performances(later) == exact.all_model_performances(later)
            assert store.export_summary(later).models == exact.export_summary(later).models

    @given(arrivals, st.integers(0, 130_000))
    def test_elsewhere_it_is_less_than_a_slot_more(
        self, arrived: list[tuple[int, int, str, bool, int | None]], ahead: int
    ) -> None:
        store, now = taken(arrived, MOST)
        exact, _ = taken(arrived, len(arrived) + 1)
        later = now + timedelta(milliseconds=ahead)
        border = later - (later - BORDER) % SLOT
        for model in ("zai/a", "kimi/b"):
            found = counts(store.model_performance(model, later))
            least, most = (counts(exact.model_performance(model, at)) for at in (later, border))
            assert least[0] <= found[0] <= most[0]
            assert least[1] <= found[1] <= most[1]

    @given(arrivals)
    def test_a_restart_changes_nothing_of_it(self, arrived: list[tuple[int, int, str, bool, int | None]]) -> None:
        store, now = taken(arrived, MOST)
        again = reborn(store, now, WINDOW)
        assert again.all_model_performances(now) == store.all_model_performances(now)
        before = store.all_model_performances(now)
        store.import_summary(again.export_summary(now), now)  # R-C22: what it has seen itself stands
        assert store.all_model_performances(now) == before

    @settings(max_examples=30)
    @given(arrivals, st.integers(0, 20))
    def test_never_more_is_kept(self, arrived: list[tuple[int, int, str, bool, int | None]], most: int) -> None:
        store, _ = taken(arrived, most)
        assert kept(store) <= most
        assert len(store._seen) <= 2 * most


def burst(size: int, most: int) -> TelemetryStore:
    """A store that has seen so many completions at once."""
    store = TelemetryStore(HOUR, most_completions=most)
    for number in range(size):
        store.record(done(id=str(number), latency_ms=number + 1), NOW)
    return store


class TestWhatIsGivenUp:
    def test_a_burst_within_one_slot_is_bounded_too(self) -> None:
        store = burst(1_000, 16)
        found = store.model_performance(MODEL, NOW)
        assert (kept(store) <= 16, found.successful_completions, found.avg_latency_ms) == (True, 1_000, 500.5)

    def test_a_late_completion_joins_what_its_slot_has_become(self) -> None:
        store = burst(17, 16)
        assert kept(store) == 0
        store.record(failed("boom", NOW - SECOND), NOW)
        assert kept(store) == 1
        assert len(store.export_summary(NOW).models[MODEL]) == 1
        assert counts(store.model_performance(MODEL, NOW)) == (17, 1)
        assert counts(store.model_performance(MODEL, NOW + HOUR - SECOND)) == (17, 0)

    def test_what_an_earlier_process_left_in_the_slot_stays(self) -> None:
        store = TelemetryStore(HOUR, most_completions=16)
        earlier = burst(5, 16).export_summary(NOW)
        store.import_summary(earlier, NOW)
        for _ in range(17):
            store.record(done(), NOW)
        assert (kept(store), store.model_performance(MODEL, NOW).samples) == (0, 22)
        store.import_summary(earlier, NOW)
        assert store.model_performance(MODEL, NOW).samples == 22
        assert reborn(store, NOW).model_performance(MODEL, NOW).samples == 22

    def test_the_oldest_ids_are_forgotten(self) -> None:
        store = burst(17, 16)
        assert not store.record(done(id="16"), NOW)
        assert not store.record(done(id="5"), NOW)
        assert store.record(done(id="4"), NOW)

    def test_sessions_are_forgotten_with_the_completions(self) -> None:
        assert burst(16, 16).session_usage("s", NOW).totals.message_count == 16
        assert burst(17, 16).session_usage("s", NOW).totals.message_count == 0

    def test_the_newest_stay(self) -> None:
        store = TelemetryStore(HOUR, most_completions=16)
        for minute in range(17):
            at = NOW + minute * timedelta(minutes=1)
            store.record(done(at, session_id=str(minute)), at)
        end = NOW + timedelta(minutes=16)
        told = [store.session_usage(str(minute), end).totals.message_count for minute in range(17)]
        assert told == [0] * 5 + [1] * 12
        assert store.model_performance(MODEL, end).samples == 17

    def test_what_left_the_window_a_window_ago_needs_no_room(self) -> None:
        store = store_with(*[done()] * 16, most_completions=16)
        later = NOW + 2 * HOUR
        store.record(done(later), later)
        assert kept(store) == 1
