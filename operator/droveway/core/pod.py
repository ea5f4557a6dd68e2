"""The pod of an attempt, as a manifest. Restricted by default, and without a provider's key in it.

setup     places the wrapper and the derived keys, writes the CLI's files, ends
sidecar   reads what the agent prints and tells the operator; ends after the agent
agent     wrapper → the real CLI
"""

import json
from dataclasses import dataclass
from typing import Any

from droveway.api import names
from droveway.api.enums import Access
from droveway.api.v1alpha1 import AgentRun, AgentSpec, ModelProviderSpec
from droveway.core.launch import Launch
from droveway.core.snapshot import NewAttempt
from droveway.core.trace import attempt_trace, traceparent
from droveway.core.volumes import STREAM_BYTES, claim_name, volumes

Manifest = dict[str, Any]

_USER = 65532
_GRACE_SECONDS = 30
_RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
_OURS = {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}}


@dataclass(frozen=True, slots=True)
class PodSettings:
    """What is the same for every pod.

    Attributes:
        image: of setup and sidecar.
        image_pull_policy: for that image.
        operator_url: where the sidecar reports to.
        gateway_url: base URL that agents are pointed at.
    """

    image: str
    operator_url: str
    gateway_url: str
    image_pull_policy: str = "IfNotPresent"


@dataclass(frozen=True, slots=True)
class Role:
    """Who plays in an attempt: the Agent, how its CLI is launched, and on which provider."""

    agent_name: str
    agent: AgentSpec
    launch: Launch
    provider: ModelProviderSpec
    route_name: str


def attempt_pod(
    run: AgentRun,
    new: NewAttempt,
    role: Role,
    settings: PodSettings,
    *,
    probes: bool = False,
    sampled: bool | None = None,
) -> Manifest:
    """The pod of a new attempt; it may be one that probes whether its candidate works again.

    It is told its place in the run's trace, and whether that is recorded; `sampled=None`: traces are off.
    """
    agent = role.agent
    spec: Manifest = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": _GRACE_SECONDS,
        "activeDeadlineSeconds": run.spec.timeout_seconds + _GRACE_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "initContainers": [_setup(run, new, role, settings), _sidecar(run, new, role, settings)],
        "containers": [_agent(run, role, _tracing(run, new, sampled))],
        "volumes": volumes(run),
    }
    if agent.runtime_class_name:
        spec["runtimeClassName"] = agent.runtime_class_name
    if agent.node_selector:
        spec["nodeSelector"] = dict(agent.node_selector)
    if agent.tolerations:
        spec["tolerations"] = [
            t.model_dump(exclude_defaults=True) | {"operator": t.operator} for t in agent.tolerations
        ]
    if new.node and run.spec.workspace.volume:
        spec["affinity"] = _near(new.node)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": _metadata(run, new, role, probes=probes), "spec": spec}


def workspace_claim(run: AgentRun) -> Manifest | None:
    """The claim that keeps a run's files from one attempt to the next, if it wants one. Owned by the run."""
    volume = run.spec.workspace.volume
    if volume is None:
        return None
    spec: Manifest = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": volume.size}}}
    if volume.storage_class_name:
        spec["storageClassName"] = volume.storage_class_name
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": claim_name(run),
            "namespace": run.metadata.namespace,
            "labels": {names.LABEL_MANAGED_BY: names.MANAGED_BY, names.LABEL_RUN: run.metadata.name},
            "ownerReferences": [owner_reference(run)],
        },
        "spec": spec,
    }


def owner_reference(run: AgentRun) -> Manifest:
    """Makes the cluster delete a child with its run."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": "AgentRun",
        "name": run.metadata.name,
        "uid": run.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def _metadata(run: AgentRun, new: NewAttempt, role: Role, *, probes: bool) -> Manifest:
    return {
        "name": new.pod_name,
        "namespace": run.metadata.namespace,
        "labels": {
            names.LABEL_MANAGED_BY: names.MANAGED_BY,
            names.LABEL_RUN: run.metadata.name,
            names.LABEL_RUN_UID: run.metadata.uid,
            names.LABEL_ATTEMPT: str(new.number),
            names.LABEL_PROVIDER: new.candidate.provider[:63].rstrip("-."),
            **({names.LABEL_PROBE: "true"} if probes else {}),
        },
        "annotations": {
            names.ANNOTATION_CANDIDATE: new.candidate.name,
            names.ANNOTATION_MODEL: new.candidate.model,
            names.ANNOTATION_REASON: new.reason,
            names.ANNOTATION_ROUTE: role.route_name,
        },
        "ownerReferences": [owner_reference(run)],
    }


def _near(node: str) -> Manifest:
    """A ReadWriteOnce volume is where the last attempt was; another node would have to wait for it."""
    here = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}
    return {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "preference": here}]}}


def _mount(volume: str, path: str, *, read_only: bool = False) -> Manifest:
    return {"name": volume, "mountPath": path} | ({"readOnly": True} if read_only else {})


def _env(**values: str) -> list[Manifest]:
    return [{"name": name, "value": value} for name, value in values.items()]


def _setup(run: AgentRun, new: NewAttempt, role: Role, settings: PodSettings) -> Manifest:
    return {
        "name": names.CONTAINER_SETUP,
        "image": settings.image,
        "imagePullPolicy": settings.image_pull_policy,
        "command": ["python", "-m", "droveway.sidecar.setup"],
        "env": _env(
            DROVEWAY_RUN_UID=run.metadata.uid,
            DROVEWAY_ATTEMPT=str(new.number),
            # The kubelet would expand `$(NAME)` in what a file is to hold.
            DROVEWAY_FILES=_literal(json.dumps(dict(role.launch.files))),
        ),
        "volumeMounts": [
            _mount("bin", names.PATH_BIN),
            _mount("run", names.PATH_RUN),
            _mount("sidecar", names.PATH_SIDECAR),
            _mount("home", names.PATH_HOME),
            _mount("namespace-key", names.PATH_NAMESPACE_KEY, read_only=True),
        ],
        "resources": _OURS,
        "securityContext": _RESTRICTED,
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _sidecar(run: AgentRun, new: NewAttempt, role: Role, settings: PodSettings) -> Manifest:
    return {
        "name": names.CONTAINER_SIDECAR,
        "image": settings.image,
        "imagePullPolicy": settings.image_pull_policy,
        "restartPolicy": "Always",
        "command": ["python", "-m", "droveway.sidecar"],
        "env": _env(
            DROVEWAY_OPERATOR_URL=settings.operator_url,
            DROVEWAY_CLI=role.agent.cli,
            DROVEWAY_NAMESPACE=run.metadata.namespace,
            DROVEWAY_RUN=run.metadata.name,
            DROVEWAY_RUN_UID=run.metadata.uid,
            DROVEWAY_ATTEMPT=str(new.number),
            DROVEWAY_ROUTE=role.route_name,
            DROVEWAY_CANDIDATE=new.candidate.name,
            DROVEWAY_PROVIDER=new.candidate.provider,
            DROVEWAY_MODEL=new.candidate.model,
            DROVEWAY_ACCESS=new.candidate.access,
            DROVEWAY_STALL_SECONDS=str(run.spec.stall_timeout_seconds),
            **_signatures(role.provider),
        ),
        "volumeMounts": [_mount("stream", names.PATH_STREAM, read_only=True), _mount("sidecar", names.PATH_SIDECAR)],
        "resources": _OURS,
        "securityContext": _RESTRICTED,
    }


def _signatures(provider: ModelProviderSpec) -> dict[str, str]:
    """Behind the gateway it is the gateway that knows them."""
    if provider.access is not Access.DIRECT or not provider.limits.signatures:
        return {}
    return {"DROVEWAY_SIGNATURES": _literal(json.dumps(provider.limits.signatures))}


def _tracing(run: AgentRun, new: NewAttempt, sampled: bool | None) -> dict[str, str]:
    """Where the attempt is in the run's trace, for CLIs that write spans of their own."""
    if sampled is None:
        return {}
    return {"TRACEPARENT": traceparent(attempt_trace(run.metadata.uid, new.number)._replace(sampled=sampled))}


def _agent(run: AgentRun, role: Role, tracing: dict[str, str]) -> Manifest:
    agent, launch = role.agent, role.launch
    env = _env(
        HOME=names.PATH_HOME,
        TMPDIR="/tmp",  # noqa: S108 - an emptyDir of the pod
        DROVEWAY_KEY_ENV=" ".join(launch.key_env),
        DROVEWAY_STDIN=launch.stdin or "",
        DROVEWAY_STREAM_LIMIT_BYTES=str(STREAM_BYTES),
        **tracing,
    )
    taken = {e["name"] for e in env} | set(launch.key_env) | {launch.login_env}
    env += [{"name": name, "value": _literal(value)} for name, value in launch.env]
    env += [{"name": e.name, "value": _literal(e.value)} for e in agent.env if e.name not in taken]
    if launch.login_env and role.provider.access is Access.DIRECT and (login := role.provider.credentials_ref):
        env.append({"name": launch.login_env, "valueFrom": {"secretKeyRef": {"name": login.name, "key": login.key}}})
    mounts = [
        _mount("bin", names.PATH_BIN, read_only=True),
        _mount("run", names.PATH_RUN, read_only=True),
        _mount("stream", names.PATH_STREAM),
        _mount("home", names.PATH_HOME),
        _mount("tmp", "/tmp"),  # noqa: S108
        _mount("workspace", names.PATH_WORKSPACE),
    ]
    if run.spec.prompt_from:
        mounts.append(_mount("prompt", names.PATH_PROMPT, read_only=True))
    return {
        "name": names.CONTAINER_AGENT,
        "image": agent.image,
        "imagePullPolicy": agent.image_pull_policy,
        "command": ["/bin/sh", f"{names.PATH_BIN}/wrapper"],
        "args": [_literal(a) for a in launch.argv],
        "env": _last_wins(env),
        "workingDir": names.PATH_WORKSPACE,
        "volumeMounts": mounts,
        "resources": agent.resources.to_wire(),
        "securityContext": _RESTRICTED,
        "terminationMessagePolicy": "File",
    }


def _last_wins(env: list[Manifest]) -> list[Manifest]:
    return list({e["name"]: e for e in env}.values())


def _literal(text: str) -> str:
    """The kubelet expands `$(NAME)` in arguments and values; `$$` is its escape for `$`."""
    return text.replace("$(", "$$(")
