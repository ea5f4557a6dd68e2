"""Change with care: how a ModelRoute tries a candidate before all of its work goes there."""

from typing import Annotated

from pydantic import Field

from droveway.api.enums import CanaryPhase
from droveway.api.v1alpha1.common import Count, Decimal, Message, Name, Time, Wire


class CanarySpec(Wire):
    """A candidate that gets a share of the new sessions, and is promoted or rolled back by how it does."""

    candidate: Annotated[
        Name, Field(description="Name of the candidate that is tried; all others are the stable side.")
    ]
    percent: Annotated[
        int, Field(ge=1, le=50, description="Share of the new sessions that it gets; a session stays on its side.")
    ] = 10
    min_samples: Annotated[
        int, Field(ge=1, le=1_000_000, description="Completions that each side must have before anything is judged.")
    ] = 100
    duration_seconds: Annotated[
        int,
        Field(
            ge=1, le=2_592_000, description="It is promoted no sooner than this; rolled back as soon as it is worse."
        ),
    ] = 3600
    max_error_rate_increase_percent: Annotated[
        int,
        Field(ge=0, le=100, description="Percentage points by which its error rate may be above the stable side's."),
    ] = 5
    max_latency_increase_percent: Annotated[
        int | None,
        Field(ge=0, le=10_000, description="By how much its mean latency may be higher. Left out: it is not judged."),
    ] = None
    max_cost_increase_percent: Annotated[
        int | None,
        Field(
            ge=0,
            le=10_000,
            description="By how much its mean cost of a completion may be higher. Left out: not judged.",
        ),
    ] = None


class MirrorSpec(Wire):
    """A candidate that gets copies of requests; nobody waits for its answers, and they are thrown away."""

    candidate: Annotated[Name, Field(description="Name of the candidate; it gets no other work of this route.")]
    percent: Annotated[int, Field(ge=1, le=100, description="Share of the answered requests that is copied.")] = 10


class SideStatus(Wire):
    """What completions of one side came to. What limits and leaving agents end is no sample."""

    samples: Count = 0
    failed: Count = 0
    average_latency_milliseconds: Count | None = None
    average_cost_usd: Decimal | None = None


class CanaryStatus(Wire):
    """How the canary does. `Promoted` and `RolledBack` are final until spec.canary, or what its candidate is, changes."""

    candidate: Name
    trial: Annotated[
        str, Field(max_length=16, description="What is tried: changes with spec.canary and its provider and model.")
    ]
    phase: CanaryPhase = CanaryPhase.PROGRESSING
    percent: Annotated[int, Field(ge=0, le=100, description="Share of the new sessions that it gets now.")]
    start_time: Time
    end_time: Time | None = None
    message: Message = ""
    canary: SideStatus = SideStatus()
    stable: SideStatus = SideStatus()


class MirrorStatus(Wire):
    """What the copies came to. They count in no telemetry, no budget and no usage of a run."""

    candidate: Name
    results: SideStatus = SideStatus()
