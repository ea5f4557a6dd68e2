"""What a decision about a run sees, and what it may ask for."""

from dataclasses import dataclass, field
from datetime import datetime

from droveway.api.v1alpha1 import AgentRun, AgentRunStatus, ModelRoute
from droveway.core.facts import RunFacts
from droveway.core.notes import Note
from droveway.core.podview import PodView
from droveway.core.ranking import CandidateView
from droveway.core.tenant import Blocked


@dataclass(frozen=True, slots=True)
class Problem:
    """Why no attempt can be made before somebody changes something."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One run and its world, read once.

    Attributes:
        pods: the run's pods, by owner uid.
        candidates: of its route, in the route's order, with everything that speaks against them.
        problem: no attempt can be made at all.
        written_at: when we last wrote its status; usage alone is written at most every ten seconds.
        listening_since: since when events are taken; what was told before has to be told again.
        blocked: a quota of its namespace is used up.
    """

    run: AgentRun
    pods: tuple[PodView, ...] = ()
    route: ModelRoute | None = None
    candidates: tuple[CandidateView, ...] = ()
    problem: Problem | None = None
    facts: RunFacts = field(default_factory=RunFacts)
    written_at: datetime | None = None
    listening_since: datetime | None = None
    blocked: Blocked | None = None


@dataclass(frozen=True, slots=True)
class NewAttempt:
    """A pod to be created."""

    number: int
    pod_name: str
    candidate: CandidateView
    node: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Doomed:
    """A pod to be deleted."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do, in this order: create, write the status, delete, record the notes."""

    status: AgentRunStatus
    create: NewAttempt | None = None
    delete: tuple[Doomed, ...] = ()
    notes: tuple[Note, ...] = ()
    wake_at: datetime | None = None
    waiting: bool = False
    """Something other than a clock or a pod of its own may let it go on: a provider, a route, a free slot."""
