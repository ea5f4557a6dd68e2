"""Things that happened and are worth an Event."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Note:
    """One Event to be.

    Attributes:
        reason: CamelCase, of `api.enums`.
        message: one sentence for people; no prompt, no secret.
        warning: somebody should look.
    """

    reason: str
    message: str
    warning: bool = False
