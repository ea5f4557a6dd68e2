"""What comes back takes a tenth of the sessions first, then three tenths, then all; alone it takes them all at once."""

from collections import Counter
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from droveway.api.enums import EndClass, Strategy
from droveway.core.draw import drawn
from droveway.core.limitbook import LimitBook
from droveway.core.ramp import FULL, SILENCE, STEP, STEPS, Comeback, slowest
from droveway.core.ranking import CandidateView, Preference
from droveway.core.routing import choose
from droveway.core.trials import TRIAL, Trials
from droveway.core.verdict import Verdict
from helpers.build import NOON, after, candidate


@pytest.mark.parametrize(
    ("seconds", "successes", "share", "grows_after"),
    [
        pytest.param(0, 0, 10, 120, id="a tenth at first"),
        pytest.param(29, 1000, 10, 30, id="however well it goes, a step lasts"),
        pytest.param(30, 4, 10, 120, id="too few successes"),
        pytest.param(30, 5, 30, 240, id="enough of them"),
        pytest.param(59, 10, 30, 60, id="the second step lasts as long"),
        pytest.param(60, 9, 30, 240, id="and needs its own successes"),
        pytest.param(60, 10, 100, None, id="all of it"),
        pytest.param(119, 0, 10, 120, id="silence"),
        pytest.param(120, 0, 30, 240, id="is consent"),
        pytest.param(240, 0, 100, None, id="in both steps"),
        pytest.param(-3600, 0, 100, None, id="a clock that was set back does not make it longer"),
        pytest.param(-0.2, 0, 10, 120, id="clocks differ a little"),
    ],
)
def test_a_share_grows_with_time_and_successes(
    seconds: float, successes: int, share: int, grows_after: float | None
) -> None:
    back = Comeback(NOON, successes)
    assert back.share(after(seconds)) == share
    assert back.grows_at(after(seconds)) == (None if grows_after is None else after(grows_after))


def test_only_work_that_began_after_the_return_proves_anything() -> None:
    back = Comeback(NOON).succeeded(after(-1)).succeeded(after(0)).succeeded(after(1))
    assert back.successes == 2


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 20), st.integers(0, 20))
def test_a_share_never_shrinks(first: int, later: int, successes: int, more: int) -> None:
    was = Comeback(NOON, successes).share(after(first))
    assert was <= Comeback(NOON, successes + more).share(after(first + later))
    assert was in (*STEPS, FULL)


@given(st.integers(0, 300), st.integers(0, 20))
def test_it_grows_exactly_when_it_says(seconds: int, successes: int) -> None:
    back, now = Comeback(NOON, successes), after(seconds)
    grows = back.grows_at(now)
    assert (grows is None) == (back.share(now) == FULL)
    if grows:
        assert back.share(grows - timedelta(microseconds=1)) == back.share(now) < back.share(grows)


def test_of_several_the_slowest_counts() -> None:
    early, late = Comeback(NOON), Comeback(after(100))
    assert slowest((None, early, late), after(121)) == late
    assert slowest((None, early), after(240)) is None


class TestWhoIsWithin:
    @pytest.mark.parametrize("percent", [10, 30])
    def test_the_share_is_the_share(self, percent: int) -> None:
        firsts = Counter(self.chosen(candidate("a", share_percent=percent), n) for n in range(1000))
        assert abs(firsts["a"] - percent * 10) <= 20, firsts
        assert firsts["a"] + firsts["b"] == 1000

    def test_who_is_back_stays_as_the_share_grows(self) -> None:
        within = [{n for n in range(1000) if drawn(p, "a", f"run-{n}")} for p in (0, 10, 30, 100)]
        assert within == sorted(within, key=len)
        assert all(small <= large for small, large in pairwise(within))
        assert [len(within[0]), len(within[3])] == [0, 1000]

    def test_alone_it_takes_all(self) -> None:
        only = candidate("a", share_percent=10)
        assert all(choose([only], Preference(key=f"run-{n}"), NOON).candidate is only for n in range(100))

    def test_it_is_preferred_to_nothing_but_not_to_what_is_whole(self) -> None:
        out = candidate("b", circuit_allows=False)
        choice = choose((candidate("a", share_percent=10), out), Preference(key="run-1"), NOON)
        assert choice.candidate
        assert choice.candidate.name == "a"

    @pytest.mark.parametrize("strategy", list(Strategy))
    def test_every_strategy_keeps_to_it(self, strategy: Strategy) -> None:
        best = candidate("a", share_percent=10, latency_ms=1.0, price=1.0, weight=1000, priority=0)
        other = candidate("b", latency_ms=900.0, price=9.0, weight=1, priority=9)
        firsts = Counter(self.chosen(best, n, other, strategy=strategy) for n in range(1000))
        assert 80 <= firsts["a"] <= 120

    def test_the_reason_is_told(self) -> None:
        views = (candidate("a", share_percent=30), candidate("b"))
        away = next(n for n in range(100) if self.chosen(views[0], n) == "b")
        choice = choose(views, Preference(key=f"run-{away}"), NOON)
        assert [(o.candidate, o.reason) for o in choice.rejected] == [("a", "Ramping")]
        assert "is coming back, takes 30 % of the sessions" in choice.rejected[0].message

    @staticmethod
    def chosen(
        view: CandidateView, n: int, other: CandidateView | None = None, strategy: Strategy = Strategy.PRIORITY
    ) -> str:
        prefer = Preference(strategy=strategy, key=f"run-{n}", sticky=view.name)
        found = choose((view, other or candidate("b")), prefer, NOON).candidate
        assert found
        return found.name


class TestQuotas:
    def spent(self, seconds: float) -> Trials:
        self.book = LimitBook()
        self.book.set("k", Verdict(EndClass.SUBSCRIPTION_LIMIT, after(seconds)), NOON, NOON, "m")
        return Trials(self.book)

    def test_a_quota_that_proves_to_be_back_is_back_in_steps(self) -> None:
        trials = self.spent(3600)
        trials.begin("k", "m", after(3600))
        assert trials.comeback("k", "m", after(3600)) is None, "one tries it"
        assert trials.succeeded("k", after(3600), "m", after(3602))
        back = trials.comeback("k", "other", after(3602))
        assert back == Comeback(after(3602)), "the whole group shares the quota"
        for second in range(3603, 3608):
            trials.succeeded("k", after(second), "m", after(second))
        back = trials.comeback("k", "m", after(3632))
        assert back
        assert (back.successes, back.share(after(3632))) == (5, 30)

    def test_a_throttle_of_seconds_brings_nobody_back_in_steps(self) -> None:
        trials = self.spent(STEP.total_seconds() - 1)
        trials.begin("k", "m", after(30))
        trials.succeeded("k", after(30), "m", after(31))
        assert trials.comeback("k", "m", after(31)) is None

    def test_a_trial_without_news_is_followed_in_steps(self) -> None:
        trials = self.spent(3600)
        trials.begin("k", "m", after(3600))
        follows = after(3600) + TRIAL
        assert trials.comeback("k", "m", follows) == Comeback(follows)
        trials.succeeded("k", after(3601), "m", follows + SILENCE)
        back = trials.comeback("k", "m", follows + SILENCE)
        assert back == Comeback(follows), "the late news does not begin it anew"

    def test_what_disproves_a_limit_early_brings_all_back(self) -> None:
        trials = self.spent(3600)
        assert trials.succeeded("k", after(10), "m", after(11))
        assert trials.comeback("k", "m", after(11)) is None

    def test_a_new_account_of_the_same_name_has_nothing_to_come_back_from(self) -> None:
        trials = self.spent(3600)
        trials.succeeded("k", after(3600), "m", after(3602))
        self.book.forget("k")
        trials.forget("k")
        assert trials.comeback("k", "m", after(3602)) is None
