"""How much of a quota is used: the latest reading counts until its window begins anew."""

from datetime import UTC, datetime, timedelta

import pytest

from droveway.core.utilization import Reading, UtilizationBook, reading

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def told(window: str = "5h", used: int = 40, resets: timedelta | None = HOUR, at: timedelta = timedelta()) -> Reading:
    return Reading(window, used, None if resets is None else NOW + resets, NOW + at)


def book(*readings: Reading) -> UtilizationBook:
    found = UtilizationBook()
    for one in readings:
        found.note("k", [one], NOW + HOUR / 2)
    return found


@pytest.mark.parametrize(
    ("window", "used", "percent"),
    [
        ("5h", 0.0, 0),
        ("7d", 0.605, 60),
        ("7d_opus", 1.0, 100),
        ("5h", 1.37, 137),
        ("5h", None, None),
        ("5h", -0.1, None),
        ("5h", 10.0, 1000),
        ("5h", 10.1, None),
        ("5h", float("nan"), None),
        ("5h", float("inf"), None),
        ("", 0.5, None),
        ("Five Hours", 0.5, None),
        ("x" * 17, 0.5, None),
    ],
)
def test_what_is_no_window_or_no_share_is_no_reading(window: str, used: float | None, percent: int | None) -> None:
    found = reading(window, used, None, NOW)
    assert (found and found.used_percent) == percent


@pytest.mark.parametrize(
    ("window", "model", "concerned"),
    [
        ("5h", "claude-sonnet-4-5", True),
        ("7d_opus", "claude-opus-4-5", True),
        ("7d_opus", "claude-sonnet-4-5", False),
        ("7d_sonnet", "Claude-Sonnet-4-5", True),
        ("7d_overage", "claude-opus-4-5", False),
    ],
)
def test_a_window_counts_its_own_family_of_models(window: str, model: str, concerned: bool) -> None:
    assert told(window).concerns(model) is concerned
    assert book(told(window)).used_percent("k", model, NOW) == (40 if concerned else None)


def test_the_fullest_window_counts() -> None:
    found = book(told("5h", 20), told("7d", 61), told("7d_opus", 95))
    assert found.used_percent("k", "sonnet", NOW) == 61
    assert found.used_percent("k", "opus", NOW) == 95
    assert found.used_percent("other", "opus", NOW) is None


def test_the_latest_reading_stands_whatever_the_order() -> None:
    found = book(told(used=50, at=MINUTE), told(used=40))
    assert [r.used_percent for r in found.readings("k", NOW)] == [50]
    assert not found.note("k", [told(used=30)], NOW + MINUTE)


def test_of_two_readings_of_one_moment_the_second_stands() -> None:
    assert [r.used_percent for r in book(told(used=50), told(used=60)).readings("k", NOW)] == [60]


def test_what_is_over_hides_nothing_that_is_told_with_it() -> None:
    fresh = told("7d", at=MINUTE)
    assert UtilizationBook().note("k", [told(resets=-MINUTE), fresh], NOW + MINUTE) == [fresh]


def test_a_reading_ends_with_its_window() -> None:
    found = book(told(resets=HOUR), told("7d", resets=None))
    assert [r.window for r in found.readings("k", NOW + HOUR - MINUTE)] == ["5h", "7d"]
    assert found.readings("k", NOW + HOUR) == []
    assert found.readings("k", NOW) != [], "reading later forgets nothing"


def test_a_window_that_began_anew_is_news() -> None:
    found = book(told(used=99, resets=HOUR))
    assert found.note("k", [told(used=2, resets=6 * HOUR, at=HOUR)], NOW + HOUR)
    assert found.used_percent("k", "m", NOW + HOUR) == 2


@pytest.mark.parametrize(
    ("next_one", "news"),
    [
        (told(at=MINUTE), False),
        (told(resets=HOUR + MINUTE / 2, at=MINUTE), False),
        (told(resets=HOUR + MINUTE, at=MINUTE), True),
        (told(resets=2 * HOUR, at=MINUTE), True),
        (told(resets=None, at=MINUTE), True),
        (told(used=41, at=MINUTE), True),
        (told("7d", at=MINUTE), True),
    ],
    ids=[
        "the same",
        "a reset that jitters",
        "a reset a minute later",
        "another reset",
        "no reset any more",
        "more used",
        "another window",
    ],
)
def test_only_news_is_told(next_one: Reading, news: bool) -> None:
    assert bool(book(told()).note("k", [next_one], NOW + MINUTE)) is news


def test_readings_without_resets_say_the_same_while_the_share_is_the_same() -> None:
    assert not book(told(resets=None)).note("k", [told(resets=None, at=MINUTE)], NOW + MINUTE)


def test_a_reading_from_the_future_is_one_of_now() -> None:
    found = UtilizationBook()
    found.note("k", [told(at=HOUR, resets=2 * HOUR)], NOW)
    assert found.readings("k", NOW)[0].at == NOW
    assert found.note("k", [told(used=41, at=MINUTE)], NOW + MINUTE), "it does not silence what comes after it"


def test_what_is_over_when_it_arrives_is_not_noted() -> None:
    assert not UtilizationBook().note("k", [told(resets=-MINUTE)], NOW)


def test_a_page_stays_small_and_goes_with_its_account() -> None:
    found = book(*(told(f"{n}h") for n in range(1, 20)))
    assert len(found.readings("k", NOW)) == 8
    assert found.note("k", [told("1h", 77, at=MINUTE)], NOW + MINUTE), "a known window is still followed"
    found.forget("k")
    assert found.readings("k", NOW) == []


@pytest.mark.parametrize(
    ("window", "used", "resets", "spent"),
    [
        pytest.param("5h", 90, HOUR, 4 * HOUR * 100 / 90 - 4 * HOUR, id="four hours in, nine tenths used"),
        pytest.param("5h", 80, HOUR, None, id="just in time for its reset"),
        pytest.param("5h", 40, HOUR, None, id="it lasts"),
        pytest.param("7d_opus", 50, 5 * 24 * HOUR, 2 * 24 * HOUR, id="of one family"),
        pytest.param("90m", 50, 60 * MINUTE, 30 * MINUTE, id="in minutes"),
        pytest.param("5h", 120, HOUR, timedelta(), id="overdrawn"),
        pytest.param("5h", 0, HOUR, None, id="nothing used"),
        pytest.param("5h", 50, None, None, id="no reset"),
        pytest.param("5h", 9, 5 * HOUR - 10 * MINUTE, None, id="it has only just begun"),
        pytest.param("5h", 10, 5 * HOUR - 15 * MINUTE, 135 * MINUTE, id="a twentieth of it has passed"),
        pytest.param("month", 50, HOUR, None, id="of unknown length"),
    ],
)
def test_when_it_is_spent_at_this_pace(
    window: str, used: int, resets: timedelta | None, spent: timedelta | None
) -> None:
    found = told(window, used, resets).spent_at()
    assert (found is None) == (spent is None)
    if found and spent is not None:
        assert abs(found - (NOW + spent)) < timedelta(seconds=1)
