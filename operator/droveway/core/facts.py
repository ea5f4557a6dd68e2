"""What events have told about a run: the part of the snapshot that comes from gateways and sidecars."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from droveway.api.enums import EndClass
from droveway.api.v1alpha1 import Usage
from droveway.api.v1alpha1.agentrun import AttemptUsage
from droveway.core.verdict import Verdict


@dataclass(frozen=True, slots=True)
class AttemptFacts:
    """What is known of one attempt beyond its pod.

    Attributes:
        exhausted: the gateway had no candidate left for a request; `until` is the earliest reset.
        reported: what the CLI itself said (its own limit, refused login, outage).
        stalled: the agent has printed nothing for the stall timeout.
        final: the sidecar saw the agent end; then `exit_code`, `end_class` and `message` are its account.
        usage: the upstream calls that were counted for it: by gateways, for a Direct candidate by the sidecar.
    """

    exhausted: Verdict | None = None
    reported: Verdict | None = None
    stalled: bool = False
    final: bool = False
    exit_code: int | None = None
    end_class: EndClass | None = None
    message: str = ""
    usage: AttemptUsage = field(default_factory=AttemptUsage)


@dataclass(frozen=True, slots=True)
class RequestReroute:
    """The gateway moved a run's requests from one candidate to another."""

    at: datetime
    source: str
    target: str
    reason: str


@dataclass(frozen=True, slots=True)
class RunFacts:
    """Everything that events have told about one run."""

    usage: Usage = field(default_factory=Usage)
    session_id: str = ""
    result: str = ""
    attempts: Mapping[int, AttemptFacts] = field(default_factory=dict)
    reroutes: tuple[RequestReroute, ...] = ()
    served_by: str = ""
    """The candidate that answered the run's latest request; empty before the first."""
