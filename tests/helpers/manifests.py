"""Small good manifests of every kind, and a way to say how a test's differs."""

from copy import deepcopy
from typing import Any

from droveway.api.names import API_VERSION

Json = dict[str, Any]
ABSENT: Any = object()
"""As a value of `changed`: the field is taken out."""


def _manifest(kind: str, name: str, spec: Json) -> Json:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}


AGENT = _manifest("Agent", "claude", {"cli": "claude", "image": "droveway/agents:0.1"})
CUSTOM_AGENT = _manifest("Agent", "custom", {"cli": "custom", "image": "tool:1", "command": ["tool", "$(PROMPT)"]})
PROVIDER = _manifest(
    "ModelProvider",
    "anthropic",
    {
        "dialect": "Anthropic",
        "baseURL": "https://api.anthropic.com",
        "credentialsRef": {"name": "anthropic", "key": "apiKey"},
    },
)
DIRECT_PROVIDER = _manifest(
    "ModelProvider",
    "subscription",
    {"dialect": "Anthropic", "access": "Direct", "credentialsRef": {"name": "login", "key": "token"}},
)
ROUTE = _manifest(
    "ModelRoute",
    "coding",
    {"candidates": [{"name": "sonnet", "providerRef": {"name": "anthropic"}, "model": "claude-sonnet-4-5"}]},
)
QUOTA = _manifest("TenantQuota", "team", {"perDay": {"maxTokens": 1000000}})
RUN = _manifest("AgentRun", "hello", {"routeRef": {"name": "coding"}, "prompt": "Say hello."})


def changed(manifest: Json, changes: Json) -> Json:
    """A copy with `{"spec.candidates.0.model": value}` set; missing objects on the way are made."""
    found = deepcopy(manifest)
    for path, value in changes.items():
        *way, last = path.split(".")
        at: Any = found
        for step in way:
            at = at[int(step)] if isinstance(at, list) else at.setdefault(step, {})
        key: Any = int(last) if isinstance(at, list) else last
        if value is ABSENT:
            del at[key]
        else:
            at[key] = value
    return found
