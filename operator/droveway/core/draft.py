"""The plan for a run while it is being made."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from droveway.api.enums import ConditionType, EndClass
from droveway.api.v1alpha1 import AgentRunSpec, AgentRunStatus, Attempt
from droveway.core.conditions import with_condition
from droveway.core.notes import Note
from droveway.core.podview import PodView
from droveway.core.snapshot import Doomed, NewAttempt, Plan, Snapshot
from droveway.core.verdict import Retry, retry_of

MESSAGE = 256
"""Longest message of an attempt or a choice, in characters."""

FAULTS = frozenset({EndClass.AGENT_FAILED, EndClass.STALLED, EndClass.OUT_OF_MEMORY, EndClass.UNKNOWN})
"""Endings that count against `retry.maxAttempts`."""
INTERRUPTIONS = frozenset({EndClass.EVICTED, EndClass.IMAGE_PULL})
"""Endings that are nobody's fault."""
DIVERSIONS = frozenset(kind for kind in EndClass if retry_of(kind) is not Retry.NEVER)
"""Endings after which another candidate may do; they count against `retry.maxReroutes`."""


_LATE = timedelta(seconds=60)
"""A pod that is still there so long after it was to be gone is held by something, mostly by a node that is lost."""


@dataclass(slots=True)
class Draft:
    """The plan while it is being made."""

    seen: Snapshot
    now: datetime
    status: AgentRunStatus
    notes: list[Note] = field(default_factory=list)

    @property
    def spec(self) -> AgentRunSpec:
        """What the user wants."""
        return self.seen.run.spec

    @property
    def last(self) -> Attempt | None:
        """The latest attempt, if any."""
        return self.status.attempts[-1] if self.status.attempts else None

    def update(self, **changes: object) -> None:
        """Sets fields of the status."""
        self.status = self.status.model_copy(update=changes)

    def condition(self, type_: ConditionType, status: str, reason: str, message: str = "") -> None:
        """Sets one condition."""
        generation = self.seen.run.metadata.generation
        self.update(
            conditions=with_condition(self.status.conditions, type_, status, reason, message, generation, self.now)
        )

    def set_last(self, attempt: Attempt) -> None:
        """Replaces the latest attempt."""
        self.update(attempts=[*self.status.attempts[:-1], attempt])

    def stuck(self, pods: tuple[PodView, ...]) -> str:
        """What to do about pods that should be gone by now, and are not; no other pod may run beside them."""
        late = [f"{p.name} on node {p.node or '?'}" for p in pods if p.gone_by and self.now >= p.gone_by + _LATE]
        if not late:
            return ""
        return f"; {', '.join(late)} should be gone: when that node is lost, delete it, or the pod with --force"

    def next_stuck(self, pods: tuple[PodView, ...]) -> datetime | None:
        """When there will be something to say about pods that are going."""
        moments = [p.gone_by + _LATE for p in pods if p.gone_by]
        return min((m for m in moments if m > self.now), default=None)

    def note(self, reason: str, message: str, *, warning: bool = False) -> None:
        """Adds an Event to be."""
        self.notes.append(Note(reason, message, warning))

    def plan(
        self,
        *,
        create: NewAttempt | None = None,
        delete: tuple[PodView, ...] = (),
        wake_at: datetime | None = None,
        waiting: bool = False,
    ) -> Plan:
        """The plan as it stands."""
        return Plan(
            self.status,
            create,
            tuple(Doomed(p.name, p.uid) for p in delete),
            notes=tuple(self.notes),
            wake_at=wake_at,
            waiting=waiting,
        )

    def deadline(self) -> datetime | None:
        """When the whole run must be over."""
        seconds, start = self.spec.deadline_seconds, self.status.start_time
        return start + timedelta(seconds=seconds) if seconds is not None and start else None
