"""An AgentRun is one piece of work: only suspend, cancel and priority may change after it was created."""

from typing import Any

import pytest

from droveway.api.v1alpha1 import AgentRunSpec
from droveway.api.v1alpha1.agentrun import MUTABLE
from droveway.api.v1alpha1.common import wire_name
from helpers.control_plane import Api
from helpers.manifests import ABSENT, RUN, changed

pytestmark = [pytest.mark.contract, pytest.mark.timeout(300)]

FULL = changed(
    RUN,
    {
        "metadata.name": "full",
        "spec.agentRef": {"name": "claude"},
        "spec.workspace": {"emptyDir": {"sizeLimit": "1Gi"}},
        "spec.budget": {"maxTokens": 1000},
        "spec.deadlineSeconds": 7200,
        "spec.ttlSecondsAfterSuccess": 60,
        "spec.ttlSecondsAfterFailure": 60,
    },
)
LEAST = changed(RUN, {"metadata.name": "least"})
STORED = changed(
    RUN,
    {
        "metadata.name": "stored-prompt",
        "spec.prompt": ABSENT,
        "spec.promptFrom": {"configMapKeyRef": {"name": "a", "key": "b"}},
    },
)

REFUSED = [
    pytest.param(FULL, {"agentRef": {"name": "codex"}}, "agentRef", id="another agent"),
    pytest.param(FULL, {"agentRef": None}, "agentRef", id="agentRef is taken away"),
    pytest.param(LEAST, {"agentRef": {"name": "codex"}}, "agentRef", id="agentRef appears"),
    pytest.param(FULL, {"routeRef": {"name": "cheap"}}, "routeRef", id="another route"),
    pytest.param(FULL, {"prompt": "Say goodbye."}, "prompt", id="another prompt"),
    pytest.param(
        LEAST,
        {"prompt": None, "promptFrom": {"configMapKeyRef": {"name": "a", "key": "b"}}},
        "promptFrom",
        id="the prompt moves away",
    ),
    pytest.param(STORED, {"promptFrom": {"configMapKeyRef": {"key": "c"}}}, "promptFrom", id="another stored prompt"),
    pytest.param(FULL, {"workspace": {"emptyDir": {"sizeLimit": "2Gi"}}}, "workspace", id="a larger workspace"),
    pytest.param(FULL, {"workspace": None}, "workspace", id="the workspace is taken away"),
    pytest.param(LEAST, {"workspace": {"volume": {}}}, "workspace", id="a workspace appears"),
    pytest.param(FULL, {"budget": {"maxTokens": 2000}}, "budget", id="a larger budget"),
    pytest.param(LEAST, {"budget": {"maxTokens": 2000}}, "budget", id="a budget appears"),
    pytest.param(FULL, {"timeoutSeconds": 60}, "timeoutSeconds", id="a shorter timeout"),
    pytest.param(FULL, {"deadlineSeconds": 8000}, "deadlineSeconds", id="a later deadline"),
    pytest.param(LEAST, {"deadlineSeconds": 8000}, "deadlineSeconds", id="a deadline appears"),
    pytest.param(FULL, {"stallTimeoutSeconds": 60}, "stallTimeoutSeconds", id="less patience"),
    pytest.param(FULL, {"retry": {"maxAttempts": 9}}, "retry", id="more attempts"),
    pytest.param(FULL, {"ttlSecondsAfterSuccess": 0}, "ttlSecondsAfterSuccess", id="a shorter life after success"),
    pytest.param(FULL, {"ttlSecondsAfterFailure": None}, "ttlSecondsAfterFailure", id="a longer life after failure"),
]
ACCEPTED = [
    pytest.param({"suspend": True}, id="suspend"),
    pytest.param({"suspend": False}, id="resume"),
    pytest.param({"cancel": True}, id="cancel"),
    pytest.param({"priority": 10}, id="priority"),
    pytest.param({"priority": None}, id="priority back to its default"),
]


@pytest.fixture(scope="module", autouse=True)
def _runs(api: Api, namespace: str) -> None:
    for manifest in (FULL, LEAST, STORED):
        answer = api.create(manifest, namespace)
        assert not answer.refused, answer.body["message"]


@pytest.mark.parametrize(("run", "change", "field"), REFUSED)
def test_refuses(api: Api, namespace: str, run: Any, change: Any, field: str) -> None:
    answer = api.patch(run, namespace, {"spec": change})

    assert answer.refused
    said = dict(answer.causes)
    assert f"spec.{field} cannot change: create a new AgentRun" in said[f"spec.{field}"]


@pytest.mark.parametrize("change", ACCEPTED)
def test_accepts(api: Api, namespace: str, change: Any) -> None:
    answer = api.patch(FULL, namespace, {"spec": change})

    assert not answer.refused, answer.body["message"]


def test_the_tables_are_complete() -> None:
    """A new field of the spec gets its line in one of them."""
    fields = {wire_name(name) for name in AgentRunSpec.model_fields}
    refused = {param.values[2] for param in REFUSED}
    accepted = {name for param in ACCEPTED for name in param.values[0]}  # type: ignore[union-attr]  # a dict

    assert accepted == set(MUTABLE)
    assert refused | accepted == fields
