"""What a failure means: class, scope, until when, whose turn it is."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from droveway.api.enums import LIMIT_CLASSES, EndClass


class Scope(StrEnum):
    """How much of an account a verdict speaks for."""

    QUOTA_GROUP = "QuotaGroup"
    MODEL = "Model"
    PROVIDER = "Provider"
    REQUEST = "Request"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The meaning of one answer or error text.

    Attributes:
        kind: `Succeeded`, a limit, `AuthFailed`, `ProviderOutage` or `RequestRejected` (R-C3).
        until: for a limit, when the quota is back; for an outage, when the provider asked to be tried again.
        scope: what the verdict speaks for.
        reason: one redacted line for people.
    """

    kind: EndClass
    until: datetime | None = None
    scope: Scope = Scope.PROVIDER
    reason: str = ""

    @property
    def is_limit(self) -> bool:
        """A quota is spent; not a failure (R-B7)."""
        return self.kind in LIMIT_CLASSES

    @property
    def is_success(self) -> bool:
        """The provider answered."""
        return self.kind is EndClass.SUCCEEDED
