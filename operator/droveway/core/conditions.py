"""The one way in which conditions of our resources are set."""

from collections.abc import Sequence
from datetime import datetime

from droveway.api.enums import ConditionType
from droveway.api.v1alpha1.common import Condition

_MESSAGE_LIMIT = 1024  # the schema's


def with_condition(
    old: Sequence[Condition],
    type_: ConditionType,
    status: str,
    reason: str,
    message: str,
    generation: int,
    now: datetime,
) -> list[Condition]:
    """The conditions with one of them set, sorted by type.

    `lastTransitionTime` moves only when the status does; a message too long for the schema is cut.
    """
    was = find(old, type_)
    since = was.last_transition_time if was and was.status == status else now
    new = Condition(
        type=type_.value,
        status=status,
        observed_generation=generation,
        last_transition_time=since,
        reason=reason,
        message=message if len(message) <= _MESSAGE_LIMIT else message[: _MESSAGE_LIMIT - 1] + "…",
    )
    return sorted([*(c for c in old if c.type != type_.value), new], key=lambda c: c.type)


def find(conditions: Sequence[Condition], type_: ConditionType) -> Condition | None:
    """The condition of a type, if it was ever set."""
    return next((c for c in conditions if c.type == type_.value), None)
