"""What a failure means: class, scope, until when, whose turn it is."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from droveway.api.enums import LIMIT_CLASSES, EndClass
from droveway.core.deadline import Clock


class Scope(StrEnum):
    """How much of an account a verdict speaks for."""

    QUOTA_GROUP = "QuotaGroup"
    MODEL_FAMILY = "ModelFamily"
    MODEL = "Model"
    PROVIDER = "Provider"
    REQUEST = "Request"


class Retry(StrEnum):
    """Whose turn it is after a failure."""

    SAME_CANDIDATE = "SameCandidate"
    """It passes soon by itself: another candidate if there is one, else the same one again after `until`."""

    OTHER_CANDIDATE = "OtherCandidate"
    """Only another candidate will do: a spent window, money, a refused key, an outage of unknown length."""

    NEVER = "Never"
    """Nobody will do better: the request itself is at fault, or there was no failure."""


def retry_of(kind: EndClass, until: datetime | None = None) -> Retry:
    """Whose turn it is after a failure of that kind, which ends at `until` if somebody said so.

    The one place that says so, for a request and for a run.
    """
    if kind is EndClass.RATE_LIMITED or (kind is EndClass.PROVIDER_OUTAGE and until):
        return Retry.SAME_CANDIDATE
    if kind in LIMIT_CLASSES or kind in (EndClass.PROVIDER_OUTAGE, EndClass.AUTH_FAILED):
        return Retry.OTHER_CANDIDATE
    return Retry.NEVER


@dataclass(frozen=True, slots=True)
class Verdict:
    """The meaning of one answer or error text.

    Attributes:
        kind: `Succeeded`, a limit, `AuthFailed`, `ProviderOutage` or `RequestRejected` (R-C3).
        until: for a limit, when the quota is back; for an outage, when the provider asked to be tried again.
        scope: what the verdict speaks for.
        reason: one redacted line for people.
        clock: which one ended the call, if it was one.
    """

    kind: EndClass
    until: datetime | None = None
    scope: Scope = Scope.PROVIDER
    reason: str = ""
    clock: Clock | None = None

    @property
    def retry(self) -> Retry:
        """Whose turn it is now."""
        return retry_of(self.kind, self.until)

    @property
    def is_limit(self) -> bool:
        """A quota is spent; not a failure (R-B7)."""
        return self.kind in LIMIT_CLASSES

    @property
    def is_success(self) -> bool:
        """The provider answered."""
        return self.kind is EndClass.SUCCEEDED
