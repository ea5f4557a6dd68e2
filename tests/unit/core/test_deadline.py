"""Deadlines: what is left of them, and which of two counts."""

import pytest

from droveway.core.deadline import NEVER, Clock, Deadline


def test_what_is_left_never_falls_below_nothing() -> None:
    deadline = Deadline.after(0.3, now=100.0)
    assert deadline.left(100.1) == pytest.approx(0.2)
    assert deadline.left(101.0) == 0.0


@pytest.mark.parametrize(
    ("now", "milliseconds"), [(100.0, 300), (100.1005, 200), (100.2999, 1), (100.3, 1), (200.0, 1)]
)
def test_what_is_handed_on_is_rounded_up_and_never_nothing(now: float, milliseconds: int) -> None:
    assert Deadline.after(0.3, now=100.0).left_milliseconds(now) == milliseconds


def test_without_a_deadline_there_is_all_the_time_and_nothing_to_hand_on() -> None:
    assert NEVER.left(1e12) == float("inf")
    assert NEVER.left_milliseconds(1e12) is None


def test_the_sooner_one_counts() -> None:
    soon, late = Deadline.after(1, 0.0), Deadline.after(2, 0.0, Clock.TOTAL)
    assert late.or_sooner(soon) is soon
    assert soon.or_sooner(late) is soon
    assert NEVER.or_sooner(late) is late
    assert late.or_sooner(NEVER) is late


def test_it_says_whose_end_it_was() -> None:
    assert Deadline.after(0.3, 0.0).reason == "no complete answer within 0.3 s, the caller's deadline"
    assert "timeouts.totalSeconds" in Deadline.after(5, 0.0, Clock.TOTAL).reason
