"""What the containers of an attempt share, and where a run keeps its files."""

from typing import Any

from droveway.api import names
from droveway.api.v1alpha1 import AgentRun
from droveway.api.v1alpha1.agentrun import PromptFrom

Manifest = dict[str, Any]

STREAM_BYTES = 64 * 2**20
"""The wrapper keeps so much of each stream that the agent prints."""


def claim_name(run: AgentRun) -> str:
    """The same for all attempts; another for a later run of the same name."""
    return f"{run.metadata.name}-{run.metadata.uid[:5]}-workspace"


def volumes(run: AgentRun) -> list[Manifest]:
    """The volumes of an attempt's pod."""
    memory = {"medium": "Memory", "sizeLimit": "1Mi"}
    found: list[Manifest] = [
        {"name": "bin", "emptyDir": {"sizeLimit": "1Mi"}},
        {"name": "run", "emptyDir": memory},
        {"name": "sidecar", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}},
        {"name": "stream", "emptyDir": {"sizeLimit": str(4 * STREAM_BYTES)}},
        {"name": "home", "emptyDir": {}},
        {"name": "tmp", "emptyDir": {}},
        {"name": "namespace-key", "secret": {"secretName": names.SECRET_NAMESPACE_KEY, "defaultMode": 0o440}},
        {"name": "workspace"} | _workspace(run),
    ]
    if source := run.spec.prompt_from:
        found.append({"name": "prompt"} | _prompt(source))
    return found


def _prompt(source: PromptFrom) -> Manifest:
    if ref := source.config_map_key_ref:
        return {"configMap": {"name": ref.name, "items": [{"key": ref.key, "path": "prompt"}]}}
    if ref := source.secret_key_ref:
        return {"secret": {"secretName": ref.name, "items": [{"key": ref.key, "path": "prompt"}]}}
    raise ValueError("the schema admits no promptFrom without a source")


def _workspace(run: AgentRun) -> Manifest:
    wanted = run.spec.workspace
    if wanted.volume:
        return {"persistentVolumeClaim": {"claimName": claim_name(run)}}
    if wanted.volume_claim_name:
        return {"persistentVolumeClaim": {"claimName": wanted.volume_claim_name}}
    limit = wanted.empty_dir.size_limit if wanted.empty_dir else None
    return {"emptyDir": {"sizeLimit": limit} if limit else {}}
