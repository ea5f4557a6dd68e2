"""The book of what is spent until when."""

from datetime import UTC, datetime, timedelta

import pytest

from droveway.api.enums import EndClass
from droveway.core.limitbook import Limit, LimitBook, Streak, scope_of
from droveway.core.resets import LONGEST
from droveway.core.verdict import Scope, Verdict

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
SUBSCRIPTION, RATE, BALANCE = EndClass.SUBSCRIPTION_LIMIT, EndClass.RATE_LIMITED, EndClass.BALANCE_EXHAUSTED


def spent(kind: EndClass = SUBSCRIPTION, until: datetime | None = None, scope: Scope = Scope.QUOTA_GROUP) -> Verdict:
    """A limit."""
    return Verdict(kind, until, scope, "spent")


@pytest.mark.parametrize(
    ("kind", "lasts"), [(SUBSCRIPTION, HOUR), (RATE, timedelta(seconds=60)), (BALANCE, 6 * HOUR)], ids=str
)
def test_r_c14_without_a_stated_end_it_lasts(kind: EndClass, lasts: timedelta) -> None:
    book = LimitBook()
    assert book.set("k", spent(kind), NOW, NOW)
    assert book.find("k", NOW) == Limit(kind, NOW, NOW + lasts, Scope.QUOTA_GROUP, "", "spent")
    assert book.until("k", NOW + lasts) is None


@pytest.mark.parametrize("kind", [k for k in EndClass if k not in (SUBSCRIPTION, RATE, BALANCE)])
def test_only_limits_are_noted(kind: EndClass) -> None:
    book = LimitBook()
    assert not book.set("k", Verdict(kind, NOW + HOUR), NOW, NOW)
    assert not book


def test_r_t5_a_limit_that_is_over_is_not_set() -> None:
    book = LimitBook()
    assert not book.set("k", spent(until=NOW), NOW, NOW)
    assert not book.set("k", spent(), NOW - HOUR, NOW)
    assert book.limits(NOW) == []


def test_r_t5_a_stated_end_replaces_and_a_default_never_shortens() -> None:
    book = LimitBook()
    assert book.set("k", spent(until=NOW + 5 * HOUR), NOW, NOW)
    assert not book.set("k", spent(), NOW + SECOND, NOW + SECOND)
    assert book.until("k", NOW) == NOW + 5 * HOUR
    assert book.set("k", spent(until=NOW + 2 * HOUR), NOW + SECOND, NOW + SECOND)
    assert book.until("k", NOW) == NOW + 2 * HOUR
    later = NOW + 1.5 * HOUR
    assert book.set("k", spent(), later, later)
    assert book.until("k", later) == later + HOUR


def test_r_t5_what_was_stated_before_and_arrives_later_never_shortens() -> None:
    book = LimitBook()
    book.set("k", spent(until=NOW + 5 * HOUR), NOW, NOW)
    assert not book.set("k", spent(until=NOW + HOUR), NOW - 10 * SECOND, NOW)
    assert book.until("k", NOW) == NOW + 5 * HOUR
    assert book.set("k", spent(until=NOW + 6 * HOUR), NOW - 10 * SECOND, NOW)
    assert book.set("k", spent(until=NOW + HOUR), NOW + SECOND, NOW + SECOND), "who speaks later knows better"


def test_r_t5_an_account_s_own_default_does_not_shorten_either() -> None:
    book = LimitBook()
    book.set("k", spent(until=NOW + 300 * SECOND), NOW, NOW)
    assert not book.set("k", spent(), NOW, NOW, ttl=60 * SECOND)
    assert book.until("k", NOW) == NOW + 300 * SECOND
    assert book.set("k", spent(), NOW, NOW, ttl=600 * SECOND)
    assert book.until("k", NOW) == NOW + 600 * SECOND


def test_a_throttle_does_not_shorten_a_spent_quota() -> None:
    book = LimitBook()
    book.set("k", spent(until=NOW + 4 * HOUR), NOW, NOW)
    assert not book.set("k", spent(RATE, NOW + 9 * SECOND), NOW + SECOND, NOW + SECOND)
    assert book.find("k", NOW) == Limit(SUBSCRIPTION, NOW + SECOND, NOW + 4 * HOUR, Scope.QUOTA_GROUP, "", "spent")
    assert book.set("k", spent(RATE, NOW + 5 * HOUR), NOW, NOW)


def test_the_same_again_is_no_change() -> None:
    book = LimitBook()
    assert book.set("k", spent(until=NOW + HOUR), NOW, NOW)
    assert not book.set("k", spent(until=NOW + HOUR), NOW + SECOND, NOW + SECOND)


def test_r_t6_what_started_after_it_was_last_seen_clears_it() -> None:
    book = LimitBook()
    book.set("k", spent(), NOW, NOW)
    book.set("k", spent(), NOW + 10 * SECOND, NOW + 10 * SECOND)
    assert not book.succeeded("k", NOW + 10 * SECOND)
    assert not book.succeeded("other", NOW + HOUR)
    assert book.succeeded("k", NOW + 11 * SECOND)
    assert book.until("k", NOW) is None


def test_r_t10_a_limit_always_ends_and_r_c23_reading_forgets_nothing() -> None:
    book = LimitBook()
    book.set("k", spent(), NOW, NOW)
    assert book.until("k", NOW + 2 * HOUR) is None
    assert book.limits(NOW + 2 * HOUR) == []
    assert book.until("k", NOW) == NOW + HOUR


def test_r_c14_rate_limits_in_a_row() -> None:
    book, at, lasts = LimitBook(), NOW, []
    for _ in range(7):
        book.set("k", spent(RATE), at, at)
        until = book.until("k", at)
        assert until
        lasts.append((until - at).total_seconds())
        at = until
    assert lasts == [60, 120, 240, 480, 600, 600, 600]
    assert book.streaks["k"] == Streak(7, at - 600 * SECOND)


@pytest.mark.parametrize(
    ("started", "ended", "next_lasts"),
    [(1, 1, 60), (-5, 1, 60), (-5, 0, 120), (-5, -1, 120)],
    ids=["after", "during", "at", "before"],
)
def test_r_c14_any_later_success_starts_anew(started: int, ended: int, next_lasts: int) -> None:
    book = LimitBook()
    book.set("k", spent(RATE), NOW, NOW)
    book.succeeded("k", NOW + started * SECOND, at=NOW + ended * SECOND)
    later = NOW + 2 * HOUR
    book.set("k", spent(RATE), later, later)
    assert book.until("k", later) == later + next_lasts * SECOND


def test_r_c14_stated_ends_count_in_the_row_too() -> None:
    book = LimitBook()
    book.set("k", spent(RATE, NOW + SECOND), NOW, NOW)
    book.set("k", spent(RATE), NOW + SECOND, NOW + SECOND)
    assert book.until("k", NOW + SECOND) == NOW + 121 * SECOND


@pytest.mark.parametrize(
    ("model", "limited"),
    [
        ("claude-opus-4-5", True),
        ("anthropic/claude-opus-4.1", True),
        ("opus", True),
        ("claude-sonnet-4-5", False),
        ("magnum-opuscule", False),
        ("", False),
    ],
)
def test_a_limit_of_a_family_holds_for_all_its_models(model: str, limited: bool) -> None:
    book = LimitBook()
    assert book.set("k", spent(until=NOW + HOUR, scope=Scope.MODEL_FAMILY), NOW, NOW, "claude-opus-4-5")
    assert (book.find("k", NOW, model) is not None) is limited
    assert (book.unproven("k", NOW + HOUR, model) is not None) is limited
    assert book.succeeded("k", NOW + SECOND, model) is limited


def test_a_limit_of_a_model_without_a_family_is_its_own() -> None:
    book = LimitBook()
    book.set("k", spent(until=NOW + HOUR, scope=Scope.MODEL_FAMILY), NOW, NOW, "gpt-5")
    assert book.until("k", NOW, "gpt-5")
    assert book.until("k", NOW, "gpt-5-mini") is None


@pytest.mark.parametrize(
    ("covers", "scope"), [("", Scope.QUOTA_GROUP), ("opus", Scope.MODEL_FAMILY), ("claude-opus-4-5", Scope.MODEL)]
)
def test_a_limit_is_put_back_for_what_it_covered(covers: str, scope: Scope) -> None:
    kept = Limit(SUBSCRIPTION, NOW, NOW + HOUR, scope_of(covers), covers)
    assert (kept.scope, kept.covers) == (scope, covers)
    book = LimitBook()
    assert book.restore("k", kept)
    assert book.until("k", NOW, "claude-opus-4-5")


def test_r_c20_a_limit_of_one_model_is_that_models() -> None:
    book = LimitBook()
    book.set("k", spent(scope=Scope.MODEL), NOW, NOW, "a")
    assert book.until("k", NOW, "a") == NOW + HOUR
    assert book.until("k", NOW, "b") is None
    assert not book.succeeded("k", NOW + SECOND, "b")
    assert book.succeeded("k", NOW + SECOND, "a")


def test_a_model_is_limited_by_itself_and_by_its_group() -> None:
    book = LimitBook()
    book.set("k", spent(until=NOW + HOUR), NOW, NOW, "b")
    book.set("k", spent(until=NOW + 2 * HOUR, scope=Scope.MODEL), NOW, NOW, "a")
    assert book.until("k", NOW, "a") == NOW + 2 * HOUR
    assert book.until("k", NOW, "b") == NOW + HOUR
    assert [(key, limit.model, limit.scope) for key, limit in book.limits(NOW)] == [
        ("k", "b", Scope.QUOTA_GROUP),
        ("k", "a", Scope.MODEL),
    ]


def test_restoring_keeps_what_was_set_later() -> None:
    book, kept = LimitBook(), LimitBook()
    kept.set("k", spent(), NOW, NOW, "m")
    ((key, limit),) = kept.limits(NOW)
    assert book.restore(key, limit)
    assert not book.restore(key, limit)
    book.set("k", spent(until=NOW + SECOND), NOW + SECOND / 2, NOW + SECOND / 2)
    assert not book.restore(key, limit)
    assert book.until("k", NOW) == NOW + SECOND
    book.restore_streak("k", Streak(3, NOW))
    book.restore_streak("k", Streak(1, NOW - SECOND))
    assert book.streaks["k"].count == 3


def test_the_book_stays_small() -> None:
    book = LimitBook()
    for day in range(100):
        at = NOW + timedelta(days=day)
        book.set(f"k{day}", spent(), at, at)
    assert sum(book.until(f"k{day}", NOW) is not None for day in range(100)) < 10


def test_a_throttle_that_ends_with_a_spent_quota_does_not_rename_it() -> None:
    book = LimitBook()
    book.set("k", spent(until=NOW + HOUR), NOW, NOW)
    assert not book.set("k", spent(RATE, NOW + HOUR), NOW + SECOND, NOW + SECOND)
    assert book.find("k", NOW) == Limit(SUBSCRIPTION, NOW + SECOND, NOW + HOUR, Scope.QUOTA_GROUP, "", "spent")


def test_a_limit_that_ends_now_has_no_say_in_the_next_one() -> None:
    book = LimitBook()
    book.set("k", spent(until=NOW + HOUR), NOW, NOW)
    assert book.set("k", spent(until=NOW + 2 * HOUR), NOW - SECOND, NOW + HOUR)
    assert [limit.set_at for limit in book.all_of("k")] == [NOW - SECOND]


@pytest.mark.parametrize("scope", [Scope.PROVIDER, Scope.REQUEST, Scope.QUOTA_GROUP])
def test_what_is_not_one_models_is_the_whole_groups(scope: Scope) -> None:
    book = LimitBook()
    book.set("k", spent(until=NOW + HOUR, scope=scope), NOW, NOW, "m")
    assert [limit.scope for limit in book.all_of("k")] == [Scope.QUOTA_GROUP]


def test_of_what_is_over_the_last_to_end_has_to_be_proven() -> None:
    book = LimitBook()
    book.set("k", spent(until=NOW + HOUR), NOW, NOW, "m")
    book.set("k", spent(RATE, NOW + 2 * HOUR, Scope.MODEL), NOW, NOW, "m")
    found = book.unproven("k", NOW + 3 * HOUR, "m")
    assert found
    assert found[1].until == NOW + 2 * HOUR


def test_an_account_that_is_gone_leaves_no_row_of_throttles() -> None:
    book = LimitBook()
    book.set("k", spent(RATE), NOW, NOW)
    book.forget("k")
    assert not book


def test_a_row_of_throttles_that_is_as_new_stands() -> None:
    book = LimitBook()
    for row in (Streak(2, NOW), Streak(5, NOW), Streak(1, NOW - SECOND)):
        book.restore_streak("k", row)
    assert book.streaks["k"] == Streak(2, NOW)
    book.restore_streak("k", Streak(3, NOW + SECOND))
    assert book.streaks["k"] == Streak(3, NOW + SECOND)


@pytest.mark.parametrize(("after", "kept"), [(timedelta(), 1), (SECOND, 0)], ids=["to the last moment", "no longer"])
def test_what_is_long_over_is_dropped_and_nothing_else(after: timedelta, kept: int) -> None:
    book, later = LimitBook(), NOW + HOUR + LONGEST + after
    book.set("old", spent(until=NOW + HOUR), NOW, NOW)
    book.set("new", spent(until=later + HOUR), later, later)
    assert (len(book.all_of("old")), book.until("new", later)) == (kept, later + HOUR)
