"""What a batch of events has changed."""

from dataclasses import dataclass, field

from droveway.core.accounts import Signal
from droveway.core.health import Transition
from droveway.core.tally import ModelTally
from droveway.core.utilization import Reading


@dataclass(slots=True)
class Changes:
    """What a batch has changed.

    Attributes:
        accepted, duplicates: records that were taken, and that were known already.
        gaps: numbers that a source skipped.
        strays: accepted records of runs that are over or unknown; they count for the route alone.
        clamped: records from the future (R-T2).
        costs_rejected, latencies_rejected: values that can be none, and count as unknown (R-T12).
        direct: what was used of Direct providers, by provider and model; by empty names where the candidate is another's.
        signals: what the calls say of their accounts, in order.
        utilization: how much of a quota is used, by provider, in order.
        transitions: of breakers, by candidate.
        runs: names of the runs of which something new is known.
    """

    accepted: int = 0
    duplicates: int = 0
    gaps: int = 0
    strays: int = 0
    clamped: int = 0
    costs_rejected: int = 0
    latencies_rejected: int = 0
    direct: dict[tuple[str, str], ModelTally] = field(default_factory=dict)
    signals: list[Signal] = field(default_factory=list)
    utilization: list[tuple[str, tuple[Reading, ...]]] = field(default_factory=list)
    transitions: list[tuple[str, Transition]] = field(default_factory=list)
    runs: set[str] = field(default_factory=set)
