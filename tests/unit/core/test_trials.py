"""What comes back from a limit is tried by one before the others follow."""

from datetime import UTC, datetime, timedelta

import pytest

from droveway.api.enums import EndClass
from droveway.core.limitbook import LimitBook
from droveway.core.trials import TRIAL, Trials
from droveway.core.verdict import Scope, Verdict

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def limited(until: datetime, scope: Scope = Scope.QUOTA_GROUP) -> tuple[LimitBook, Trials]:
    book = LimitBook()
    book.set("k", Verdict(EndClass.SUBSCRIPTION_LIMIT, until, scope), NOW, NOW, "m")
    return book, Trials(book)


def test_a_quota_that_was_never_spent_needs_no_trial() -> None:
    trials = Trials(LimitBook())
    assert [trials.begin("k", "m", NOW) for _ in range(3)] == [True] * 3
    assert trials.until("k", "m", NOW) is None


def test_one_goes_first_when_a_limit_is_over() -> None:
    _, trials = limited(NOW + SECOND)
    over = NOW + SECOND
    assert trials.until("k", "m", over) is None, "nobody tries it yet"
    assert [trials.begin("k", "m", over) for _ in range(3)] == [True, False, False]
    assert trials.until("k", "other", over) == over + TRIAL, "the whole group shares the quota"


def test_only_the_one_that_goes_first_is_the_trial() -> None:
    _, trials = limited(NOW + SECOND)
    over = NOW + SECOND
    assert [trials.awaits("k", "m", at) for at in (NOW, over)] == [False, True], "a limit that holds is not tried"
    trials.begin("k", "m", over)
    assert [trials.awaits("k", "m", over + later) for later in (SECOND, TRIAL)] == [False, False]
    trials.give_back("k", "m", over)
    assert trials.awaits("k", "m", over + SECOND)


def test_a_success_lets_all_follow() -> None:
    book, trials = limited(NOW + SECOND)
    over = NOW + 2 * SECOND
    trials.begin("k", "m", over)
    assert not trials.begin("k", "m", over + SECOND)
    book.succeeded("k", over, "m", over + SECOND)
    assert [trials.begin("k", "m", over + SECOND) for _ in range(3)] == [True] * 3


@pytest.mark.parametrize(("later", "free"), [(TRIAL - SECOND, False), (TRIAL, True), (2 * TRIAL, True)])
def test_silence_is_consent(later: timedelta, free: bool) -> None:
    _, trials = limited(NOW + SECOND)
    trials.begin("k", "m", NOW + SECOND)
    at = NOW + SECOND + later
    assert [trials.begin("k", "m", at) for _ in range(2)] == [free] * 2, "free for all, not for one more alone"


def test_a_trial_that_meets_the_limit_again_is_followed_by_another_trial() -> None:
    book, trials = limited(NOW + SECOND)
    trials.begin("k", "m", NOW + SECOND)
    again = NOW + 30 * SECOND
    book.set("k", Verdict(EndClass.SUBSCRIPTION_LIMIT, again), NOW + 2 * SECOND, NOW + 2 * SECOND)
    assert [trials.begin("k", "m", again) for _ in range(2)] == [True, False]


def test_a_trial_that_was_not_made_is_given_back() -> None:
    _, trials = limited(NOW + SECOND)
    over = NOW + SECOND
    trials.begin("k", "m", over)
    trials.give_back("k", "m", over - SECOND)
    assert not trials.begin("k", "m", over)
    trials.give_back("k", "m", over)
    assert [trials.begin("k", "m", over) for _ in range(2)] == [True, False]


def test_the_limit_of_one_model_is_tried_by_that_model_alone() -> None:
    _, trials = limited(NOW + SECOND, Scope.MODEL)
    over = NOW + SECOND
    assert trials.begin("k", "m", over)
    assert not trials.begin("k", "m", over)
    assert trials.begin("k", "other", over)
    trials.give_back("k", "m", over)
    assert trials.begin("k", "m", over)


def test_a_clock_that_is_set_back_holds_nobody_up() -> None:
    _, trials = limited(NOW + SECOND)
    trials.begin("k", "m", NOW + 9 * SECOND)
    assert trials.begin("k", "m", NOW + 2 * SECOND)
