"""A condition says since when its status holds, not when somebody last looked."""

from datetime import UTC, datetime, timedelta

from droveway.api.enums import ConditionType
from droveway.core.conditions import find, with_condition

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=5)


def test_the_time_stays_while_the_status_stays() -> None:
    first = with_condition([], ConditionType.READY, "True", "Ready", "", 1, NOON)
    again = with_condition(first, ConditionType.READY, "True", "Valid", "other words", 2, LATER)
    found = find(again, ConditionType.READY)
    assert found is not None
    assert (found.last_transition_time, found.reason, found.message, found.observed_generation) == (
        NOON, "Valid", "other words", 2)  # fmt: skip


def test_the_time_moves_with_the_status() -> None:
    first = with_condition([], ConditionType.READY, "True", "Ready", "", 1, NOON)
    again = with_condition(first, ConditionType.READY, "False", "SecretNotFound", "", 1, LATER)
    assert [c.last_transition_time for c in again] == [LATER]


def test_others_are_kept_and_the_list_is_sorted() -> None:
    ready = with_condition([], ConditionType.READY, "True", "Ready", "", 1, NOON)
    both = with_condition(ready, ConditionType.LIMITED, "False", "NoLimit", "", 1, LATER)
    assert [(c.type, c.last_transition_time) for c in both] == [("Limited", LATER), ("Ready", NOON)]
    assert find(both, ConditionType.HEALTHY) is None


def test_a_long_message_is_cut_to_what_the_schema_takes() -> None:
    (only,) = with_condition([], ConditionType.READY, "True", "Ready", "x" * 5000, 1, NOON)
    assert len(only.message) == 1024
    assert only.message.endswith("…")
