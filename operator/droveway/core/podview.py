"""What we remember of an attempt's pod: enough to judge it, small enough to keep thousands."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from droveway.api import names
from droveway.core.events import Record, record_from_dict
from droveway.core.redaction import one_line

_UNPULLABLE = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"}
)
_EVICTIONS = frozenset(
    {
        "Evicted",
        "Preempting",
        "Preempted",
        "NodeLost",
        "NodeShutdown",
        "Shutdown",
        "Terminated",
        "TerminatedByKubelet",
        "NodeAffinity",
        "UnexpectedAdmissionError",
        "OutOfcpu",
        "OutOfmemory",
        "OutOfpods",
    }
)


_ON_ITS_WAY = frozenset({"", "PodInitializing", "ContainerCreating"})


@dataclass(frozen=True, slots=True)
class PodView:
    """One pod of a run.

    Attributes:
        run_uid: of the AgentRun that controls it; empty for a pod that only carries our labels.
        attempt: counts from 1; 0: no number.
        why: its candidate was chosen, as the operator that made it said.
        phase: as the API server says.
        reason: why the pod as a whole ended (`Evicted`, `DeadlineExceeded`), or empty.
        gone_by: when it was to be gone, if its deletion was asked for.
        started_at, finished_at: of the agent's container.
        exit_code: of the agent's container; 128 + n for signal n.
        oom: the kernel killed the agent's container for its memory.
        waiting: why a container cannot start (`ImagePullBackOff`, `CreateContainerConfigError`) or no node takes it
            (`Unschedulable`), or empty.
        message: what the kubelet or a container said about it.
        restarts: of its sidecar.
        disruption: why the cluster is about to take it away, or empty.
        lost: its containers were ready when its node was last heard of.
        final: the sidecar's final record, from its termination message.
    """

    name: str
    uid: str
    run: str
    run_uid: str
    attempt: int
    candidate: str
    provider: str
    model: str
    phase: str
    created_at: datetime
    why: str = ""
    node: str = ""
    reason: str = ""
    gone_by: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int | None = None
    oom: bool = False
    waiting: str = ""
    message: str = ""
    restarts: int = 0
    disruption: str = ""
    lost: bool = False
    final: Record | None = None

    @property
    def ended(self) -> bool:
        """All its containers have ended."""
        return self.phase in ("Succeeded", "Failed")

    @property
    def unborn(self) -> bool:
        """Nothing is known of it but that it was made."""
        return self.phase == "Pending" and not (self.waiting or self.message or self.started_at or self.deleting)

    @property
    def deleting(self) -> bool:
        """Its deletion was asked for."""
        return self.gone_by is not None

    @property
    def evicted(self) -> bool:
        """The cluster took it away; not the agent's fault."""
        return self.phase == "Failed" and self.reason in _EVICTIONS

    @property
    def stuck(self) -> bool:
        """Something keeps it from starting."""
        return self.started_at is None and self.waiting not in _ON_ITS_WAY

    @property
    def unpullable(self) -> bool:
        """An image cannot be had."""
        return self.waiting in _UNPULLABLE


def pod_view(pod: dict[str, Any]) -> PodView:
    """The view of a pod manifest that carries our labels."""
    meta, status = pod["metadata"], pod.get("status") or {}
    labels, notes = meta.get("labels") or {}, meta.get("annotations") or {}
    agent = _container(status.get("containerStatuses"), names.CONTAINER_AGENT)
    sidecar = _container(status.get("initContainerStatuses"), names.CONTAINER_SIDECAR)
    setup = _container(status.get("initContainerStatuses"), names.CONTAINER_SETUP)
    state = agent.get("state") or {}
    over, running = state.get("terminated") or {}, state.get("running") or {}
    conditions = {c["type"]: c for c in status.get("conditions") or []}
    waiting = _waiting(setup, sidecar, agent) or _unscheduled(conditions)
    broken = (setup.get("state") or {}).get("terminated") or {}
    return PodView(
        name=meta["name"],
        uid=meta["uid"],
        run=labels.get(names.LABEL_RUN, ""),
        run_uid=_owner(meta),
        attempt=_number(labels.get(names.LABEL_ATTEMPT, "")),
        candidate=notes.get(names.ANNOTATION_CANDIDATE, ""),
        provider=labels.get(names.LABEL_PROVIDER, ""),
        model=notes.get(names.ANNOTATION_MODEL, ""),
        why=notes.get(names.ANNOTATION_REASON, ""),
        phase=status.get("phase", "Pending"),
        created_at=datetime.fromisoformat(meta["creationTimestamp"]),
        node=(pod.get("spec") or {}).get("nodeName", ""),
        reason=status.get("reason", ""),
        gone_by=_time(meta.get("deletionTimestamp")),
        started_at=_time(over.get("startedAt") or running.get("startedAt")),
        finished_at=_time(over.get("finishedAt")),
        exit_code=over.get("exitCode"),
        oom=over.get("reason") == "OOMKilled",
        waiting=waiting.get("reason", ""),
        message=_first(over.get("message"), _setup_message(broken), waiting.get("message"), status.get("message")),
        restarts=sidecar.get("restartCount", 0),
        disruption=_disruption(conditions),
        lost=_is_lost(conditions, agent, sidecar),
        final=_final((sidecar.get("state") or {}).get("terminated") or {}),
    )


def _owner(meta: dict[str, Any]) -> str:
    """Anybody can write a label; by the owner reference the cluster itself says whose the pod is."""
    owners = (o for o in meta.get("ownerReferences") or [] if o.get("controller") and o["kind"] == "AgentRun")
    return next((o["uid"] for o in owners), "")


def _number(label: str) -> int:
    return int(label) if label.isascii() and label.isdigit() else 0


def _container(statuses: list[dict[str, Any]] | None, name: str) -> dict[str, Any]:
    return next((c for c in statuses or [] if c["name"] == name), {})


def _waiting(*containers: dict[str, Any]) -> dict[str, Any]:
    """Why the first container that cannot start cannot."""
    found = [(c.get("state") or {}).get("waiting") or {} for c in containers]
    return next((w for w in found if w.get("reason")), {})


def _unscheduled(conditions: dict[str, Any]) -> dict[str, Any]:
    """Why no node takes it."""
    found: dict[str, Any] = conditions.get("PodScheduled") or {}
    return found if found.get("status") == "False" and found.get("reason") else {}


def _disruption(conditions: dict[str, Any]) -> str:
    found = conditions.get("DisruptionTarget") or {}
    return one_line(f"{found.get('reason')}: {found.get('message', '')}") if found.get("status") == "True" else ""


def _is_lost(conditions: dict[str, Any], *containers: dict[str, Any]) -> bool:
    """A pod is ready when its containers are; of a node that is silent the cluster takes that back."""
    ready: str = (conditions.get("Ready") or {}).get("status", "True")
    return ready != "True" and all(container.get("ready") for container in containers)


def _first(*texts: str | None) -> str:
    return next((one_line(t) for t in texts if t and t.strip()), "")


def _setup_message(broken: dict[str, Any]) -> str:
    if not broken.get("exitCode"):
        return ""
    return broken.get("message") or f"the setup container ended with exit code {broken['exitCode']}"


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _final(terminated: dict[str, Any]) -> Record | None:
    try:
        return record_from_dict(json.loads(terminated.get("message") or ""))
    except ValueError:
        return None  # killed before it could write one; the exit code has to do
