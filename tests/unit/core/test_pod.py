"""The pod of an attempt: restricted, without a provider's key, the same for the same attempt."""

import json
from typing import Any

import pytest

from droveway.api.enums import Access
from droveway.api.v1alpha1 import AgentSpec, ModelProviderSpec
from droveway.core.launch import Launch
from droveway.core.pod import PodSettings, Role, attempt_pod, workspace_claim
from droveway.core.snapshot import NewAttempt
from helpers.build import a_run, candidate

SETTINGS = PodSettings("droveway/droveway:1", "http://op:8000", "http://gw:8099")
GATEWAY = ModelProviderSpec.model_validate(
    {"dialect": "Anthropic", "baseURL": "https://api.example", "credentialsRef": {"name": "k", "key": "apiKey"}}
)
DIRECT = ModelProviderSpec.model_validate(
    {"dialect": "Anthropic", "access": "Direct", "credentialsRef": {"name": "login", "key": "token"}}
)


def pod_of(
    spec: dict[str, Any] | None = None,
    agent: dict[str, Any] | None = None,
    provider: ModelProviderSpec = GATEWAY,
    launch: Launch = Launch(("claude", "-p", "fix $(HOME)"), (("DISABLE_TELEMETRY", "1"),), ("ANTHROPIC_API_KEY",)),
    node: str = "",
) -> dict[str, Any]:
    role = Role(
        "claude",
        AgentSpec.model_validate({"cli": "claude", "image": "agents:1", **(agent or {})}),
        launch,
        provider,
        "r",
    )
    view = candidate("a", access=provider.access)
    return attempt_pod(
        a_run(**(spec or {})).build().run, NewAttempt(2, "fix-login-5a1c0-2", view, node), role, SETTINGS
    )


def containers(pod: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {c["name"]: c for c in (*pod["spec"]["initContainers"], *pod["spec"]["containers"])}


def test_every_container_is_restricted() -> None:
    pod = pod_of()
    spec = pod["spec"]

    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in containers(pod).values():
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_no_secret_reaches_the_agent_through_the_gateway() -> None:
    pod = pod_of()

    assert "k" not in {v.get("secret", {}).get("secretName") for v in pod["spec"]["volumes"]}
    assert "valueFrom" not in json.dumps(containers(pod)["agent"])
    mounts = {name: {m["name"] for m in c["volumeMounts"]} for name, c in containers(pod).items()}
    assert "namespace-key" not in mounts["agent"] | mounts["sidecar"]
    assert "sidecar" not in mounts["agent"]


def test_a_subscription_login_is_given_to_the_official_cli_alone() -> None:
    direct = pod_of(provider=DIRECT, launch=Launch(("claude",), (), login_env="CLAUDE_CODE_OAUTH_TOKEN"))
    everything = json.dumps(direct)

    assert {
        "name": "CLAUDE_CODE_OAUTH_TOKEN",
        "valueFrom": {"secretKeyRef": {"name": "login", "key": "token"}},
    } in containers(direct)["agent"]["env"]
    assert everything.count('"login"') == 1
    assert DIRECT.access is Access.DIRECT


def test_the_prompt_is_not_expanded_by_the_kubelet() -> None:
    assert containers(pod_of())["agent"]["args"] == ["claude", "-p", "fix $$(HOME)"]


def test_a_user_cannot_replace_what_droveway_sets() -> None:
    agent = containers(
        pod_of(
            agent={
                "env": [
                    {"name": "HOME", "value": "/root"},
                    {"name": "ANTHROPIC_API_KEY", "value": "sk-x"},
                    {"name": "MINE", "value": "1"},
                ]
            }
        )
    )["agent"]
    env = {e["name"]: e.get("value") for e in agent["env"]}

    assert env["HOME"] == "/home/agent"
    assert "ANTHROPIC_API_KEY" not in env
    assert env["MINE"] == "1"


@pytest.mark.parametrize(
    ("workspace", "volume"),
    [
        pytest.param({}, {"emptyDir": {}}, id="default"),
        pytest.param({"emptyDir": {"sizeLimit": "1Gi"}}, {"emptyDir": {"sizeLimit": "1Gi"}}, id="bounded"),
        pytest.param(
            {"volumeClaimName": "mine"}, {"persistentVolumeClaim": {"claimName": "mine"}}, id="the user's claim"
        ),
        pytest.param(
            {"volume": {"size": "5Gi"}},
            {"persistentVolumeClaim": {"claimName": "fix-login-5a1c0-workspace"}},
            id="the run's claim",
        ),
    ],
)
def test_workspaces(workspace: dict[str, Any], volume: dict[str, Any]) -> None:
    found = next(v for v in pod_of({"workspace": workspace})["spec"]["volumes"] if v["name"] == "workspace")

    assert found == {"name": "workspace"} | volume


def test_only_a_volume_makes_a_claim_and_the_run_owns_it() -> None:
    claim = workspace_claim(a_run(workspace={"volume": {"size": "5Gi", "storageClassName": "fast"}}).build().run)

    assert claim
    assert claim["metadata"]["ownerReferences"][0]["kind"] == "AgentRun"
    assert claim["spec"]["storageClassName"] == "fast"
    assert workspace_claim(a_run().build().run) is None


def test_the_next_attempt_goes_where_the_volume_is() -> None:
    near = pod_of({"workspace": {"volume": {}}}, node="node-1")["spec"]["affinity"]

    assert "node-1" in json.dumps(near)
    assert "affinity" not in pod_of(node="node-1")["spec"]


def test_a_prompt_kept_elsewhere_is_mounted_in_the_agent_alone() -> None:
    pod = pod_of({"prompt": None, "promptFrom": {"secretKeyRef": {"name": "p", "key": "text"}}})
    volume = next(v for v in pod["spec"]["volumes"] if v["name"] == "prompt")

    assert volume["secret"] == {"secretName": "p", "items": [{"key": "text", "path": "prompt"}]}
    assert [n for n, c in containers(pod).items() if "prompt" in {m["name"] for m in c["volumeMounts"]}] == ["agent"]


def test_where_the_pod_may_run_is_the_agents_word() -> None:
    spec = pod_of(
        agent={
            "nodeSelector": {"type": "kwok"},
            "runtimeClassName": "gvisor",
            "tolerations": [{"key": "x", "operator": "Exists"}],
        }
    )["spec"]

    assert (spec["nodeSelector"], spec["runtimeClassName"]) == ({"type": "kwok"}, "gvisor")
    assert spec["tolerations"] == [{"key": "x", "operator": "Exists"}]


def test_the_kubelet_is_the_last_resort_against_a_run_without_end() -> None:
    assert pod_of({"timeoutSeconds": 60, "stallTimeoutSeconds": 60})["spec"]["activeDeadlineSeconds"] == 90
