"""The pod of an attempt: restricted, without a provider's key, the same for the same attempt."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from droveway.api.enums import Access
from droveway.api.v1alpha1 import AgentSpec, ModelProviderSpec
from droveway.core.launch import Launch
from droveway.core.pod import PodSettings, Role, attempt_pod, workspace_claim
from droveway.core.snapshot import NewAttempt
from droveway.core.trace import attempt_trace
from helpers.build import a_run, candidate

WHOLE = Path(__file__).parents[2] / "fixtures" / "pods" / "attempt.yaml"
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


def test_the_pod_is_what_the_kubelet_the_wrapper_and_the_sidecar_expect() -> None:
    run: dict[str, Any] = {
        "prompt": None,
        "promptFrom": {"configMapKeyRef": {"name": "prompts", "key": "fix"}},
        "workspace": {"volume": {}},
        "timeoutSeconds": 600,
        "stallTimeoutSeconds": 90,
    }
    agent = {
        "env": [{"name": "LANG", "value": "C $(HOME)"}],
        "runtimeClassName": "gvisor",
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "spot", "operator": "Exists", "effect": "NoSchedule"}],
        "resources": {"requests": {"cpu": "500m"}, "limits": {"memory": "2Gi"}},
    }
    launch = Launch(
        ("claude", "-p", "fix $(HOME)"),
        (("DISABLE_TELEMETRY", "1"),),
        ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"),
        files=((".claude.json", '{"a":"$(B)"}'),),
        stdin="/droveway/prompt/prompt",
    )

    pod = pod_of(run, agent, launch=launch, node="node-1")

    assert json.loads(json.dumps(pod)) == yaml.safe_load(WHOLE.read_text())


def test_an_attempt_asks_for_nothing_that_nobody_wants() -> None:
    spec = pod_of()["spec"]

    assert not {"runtimeClassName", "nodeSelector", "tolerations", "affinity"} & set(spec)
    assert "prompt" not in {v["name"] for v in spec["volumes"]}
    assert {e["name"]: e["value"] for e in containers(pod_of())["agent"]["env"]}["DROVEWAY_STDIN"] == ""


def test_a_long_providers_label_is_cut_to_what_a_label_may_hold() -> None:
    role = Role("claude", AgentSpec.model_validate({"cli": "claude", "image": "i"}), Launch((), ()), GATEWAY, "r")
    view = candidate("a", provider="x" * 62 + "-" + "y" * 10)
    pod = attempt_pod(a_run().build().run, NewAttempt(1, "p", view, "", "the only one"), role, SETTINGS)

    assert pod["metadata"]["labels"]["droveway.dev/provider"] == "x" * 62
    assert pod["metadata"]["annotations"]["droveway.dev/reason"] == "the only one"


@pytest.mark.parametrize(("probes", "label"), [(True, "true"), (False, None)])
def test_s1_05_a_probe_can_be_told_from_other_attempts(probes: bool, label: str | None) -> None:
    role = Role("claude", AgentSpec.model_validate({"cli": "claude", "image": "i"}), Launch((), ()), GATEWAY, "r")
    new = NewAttempt(1, "p", candidate("a"))
    pod = attempt_pod(a_run().build().run, new, role, SETTINGS, probes=probes)

    assert pod["metadata"]["labels"].get("droveway.dev/probe") == label


@pytest.mark.parametrize(("sampled", "flags"), [(True, "01"), (False, "00"), (None, None)])
def test_an_agent_is_told_its_place_in_the_trace_when_traces_are_on(sampled: bool | None, flags: str | None) -> None:
    role = Role("claude", AgentSpec.model_validate({"cli": "claude", "image": "i"}), Launch((), ()), GATEWAY, "r")
    run = a_run().build().run
    pod = attempt_pod(run, NewAttempt(2, "p", candidate("a")), role, SETTINGS, sampled=sampled)

    env = {e["name"]: e.get("value") for e in containers(pod)["agent"]["env"]}
    place = attempt_trace(run.metadata.uid, 2)
    assert env.get("TRACEPARENT") == (f"00-{place.trace_id}-{place.span_id}-{flags}" if flags else None)


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


@pytest.mark.parametrize(
    ("provider", "told"),
    [
        pytest.param(DIRECT, ["weekly cap", "$$(HOME) is full"], id="Direct: the sidecar applies them"),
        pytest.param(GATEWAY, None, id="Gateway: the gateway does"),
    ],
)
def test_who_applies_a_providers_signatures(provider: ModelProviderSpec, told: list[str] | None) -> None:
    limits = provider.limits.model_copy(update={"signatures": ["weekly cap", "$(HOME) is full"]})
    pod = pod_of(provider=provider.model_copy(update={"limits": limits}))
    env = {e["name"]: e["value"] for e in containers(pod)["sidecar"]["env"]}
    assert json.loads(env.get("DROVEWAY_SIGNATURES", "null")) == told
    assert "DROVEWAY_SIGNATURES" not in {e["name"] for e in containers(pod)["agent"]["env"]}


def test_a_direct_provider_without_signatures_has_none_to_apply() -> None:
    assert "DROVEWAY_SIGNATURES" not in {e["name"] for e in containers(pod_of(provider=DIRECT))["sidecar"]["env"]}


def test_the_prompt_is_not_expanded_by_the_kubelet() -> None:
    assert containers(pod_of())["agent"]["args"] == ["claude", "-p", "fix $$(HOME)"]


def test_a_user_cannot_replace_what_droveway_sets() -> None:
    agent = containers(
        pod_of(
            agent={
                "env": [
                    {"name": "HOME", "value": "/root"},
                    {"name": "ANTHROPIC_API_KEY", "value": "sk-x"},
                    {"name": "CLAUDE_CODE_OAUTH_TOKEN", "value": "x"},
                    {"name": "DISABLE_TELEMETRY", "value": "0"},
                    {"name": "MINE", "value": "1"},
                ]
            },
            launch=Launch(
                ("claude",), (("DISABLE_TELEMETRY", "1"),), ("ANTHROPIC_API_KEY",), "CLAUDE_CODE_OAUTH_TOKEN"
            ),
        )
    )["agent"]
    env = {e["name"]: e.get("value") for e in agent["env"]}

    assert env["HOME"] == "/home/agent"
    assert not {"ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN"} & set(env)
    assert (env["DISABLE_TELEMETRY"], env["MINE"]) == ("0", "1"), "a default of the launch is the user's to change"
    assert len(env) == len(agent["env"]), "the kubelet would take the last of two"


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

    owner = {
        "apiVersion": "droveway.dev/v1alpha1",
        "kind": "AgentRun",
        "name": "fix-login",
        "uid": "5a1c0de0-0000-4000-8000-000000000001",
        "controller": True,
        "blockOwnerDeletion": False,
    }
    assert claim == {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": "fix-login-5a1c0-workspace",
            "namespace": "team",
            "labels": {"app.kubernetes.io/managed-by": "droveway", "droveway.dev/run": "fix-login"},
            "ownerReferences": [owner],
        },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "5Gi"}},
            "storageClassName": "fast",
        },
    }
    assert workspace_claim(a_run().build().run) is None


def test_a_claim_without_a_class_takes_the_clusters_default() -> None:
    claim = workspace_claim(a_run(workspace={"volume": {"size": "5Gi"}}).build().run)

    assert claim
    assert "storageClassName" not in claim["spec"]


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


def test_s1_15_the_agent_may_use_what_its_agent_says_and_ours_what_we_say() -> None:
    wanted = {"requests": {"cpu": "1"}, "limits": {"memory": "2Gi", "ephemeral-storage": "5Gi"}}
    made = containers(pod_of(agent={"resources": wanted}))

    assert made["agent"]["resources"] == wanted
    assert [made[name]["resources"]["limits"] for name in ("setup", "sidecar")] == [{"memory": "128Mi"}] * 2
