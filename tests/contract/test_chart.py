"""The chart, rendered without a cluster: what it installs, what it refuses, and what it grants.

The versions of Kubernetes and the rights that matter are written down here a second time, on purpose.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter

from droveway.gateway.pricetable import read_table
from droveway.gateway.settings import GatewaySettings

Manifest = dict[str, Any]
ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts/droveway"
CACHE = Path(os.environ.get("DROVEWAY_CACHE", Path.home() / ".cache/droveway"))
HELM = shutil.which("helm", path=f"{CACHE / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}") or "helm"
KUBERNETES = "1.34.0"

pytestmark = pytest.mark.contract

VALUES = {
    "as it comes": (),
    "two namespaces": ("namespaces={red,blue}",),
    "everything on": (
        "networkPolicy.enabled=true",
        "podMonitor.enabled=true",
        "prometheusRule.enabled=true",
        "dashboards.enabled=true",
        "telemetry.otel.enabled=true,telemetry.otel.endpoint=http://collector:4318",
        "gateway.replicas=3",
        "operator.replicas=2",
        "operator.allowDirectBaseURL=true",
        "imagePullSecrets[0].name=pull",
        "operator.nodeSelector.disk=ssd",
        "gateway.tolerations[0].key=dedicated,gateway.tolerations[0].operator=Exists",
    ),
    "everything off": ("crds.enabled=false", "masterKeySecret=mine", "operator.replicas=0", "gateway.replicas=0"),
    "by digest": (f"image.digest=sha256:{'a' * 64}",),
}


def helm(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([HELM, *args], capture_output=True, text=True, check=False, timeout=60)


def refusal(*values: str) -> str:
    """What helm says against these values."""
    done = helm("template", "droveway", str(CHART), "--kube-version", KUBERNETES, *_sets(values))
    assert done.returncode, "these values must be refused"
    return done.stderr


def render(*values: str, version: str = KUBERNETES) -> list[Manifest]:
    done = helm("template", "droveway", str(CHART), "-n", "system", "--kube-version", version, *_sets(values))
    assert not done.returncode, done.stderr
    return [found for found in yaml.safe_load_all(done.stdout) if found]


def _sets(values: tuple[str, ...]) -> list[str]:
    return [word for value in values for word in ("--set", value)]


def find(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    return next(m for m in manifests if (m["kind"], m["metadata"]["name"]) == (kind, name))


def pods(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    for found in manifests:
        if template := found.get("spec", {}).get("template"):
            yield f"{found['kind']}/{found['metadata']['name']}", template["spec"]


def rights(manifests: list[Manifest], kind: str, name: str) -> set[tuple[str, str, str]]:
    """(resource, named object or *, verb) of a role."""
    return {
        (resource, name, verb)
        for line in find(manifests, kind, name)["rules"]
        for resource in line["resources"]
        for name in line.get("resourceNames", ["*"])
        for verb in line["verbs"]
    }


def test_lint_has_nothing_to_say() -> None:
    done = helm("lint", "--strict", str(CHART), "--kube-version", KUBERNETES)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_every_set_of_values_gives_whole_manifests(values: tuple[str, ...]) -> None:
    manifests = render(*values)

    assert {"Deployment", "Service", "ServiceAccount"} <= {m["kind"] for m in manifests}
    names = [(m["kind"], m["metadata"].get("namespace"), m["metadata"]["name"]) for m in manifests]
    assert len(names) == len(set(names)), "nothing is there twice"
    for found in manifests:
        assert found["apiVersion"]
        assert found["metadata"]["labels"]["app.kubernetes.io/instance"] == "droveway", found["metadata"]["name"]


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_every_pod_and_container_is_restricted(values: tuple[str, ...]) -> None:
    found = list(pods(render(*values)))

    assert {name for name, _ in found} >= {"Deployment/droveway-operator", "Deployment/droveway-gateway"}
    for name, pod in found:
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] == 65532, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in pod["containers"] + pod.get("initContainers", []):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, (name, container["name"])
            assert container["resources"]["limits"]["memory"], (name, container["name"])


@pytest.mark.parametrize(
    ("values", "named"),
    [
        (("operator.replica=2",), "replica"),
        (("gatway.replicas=2",), "gatway"),
        (("image.registry=x",), "registry"),
        (("operator.replicas=two",), "replicas"),
        (("gateway.replicas=-1",), "replicas"),
        (("operator.resyncSeconds=0",), "resyncSeconds"),
        (("operator.logLevel=LOUD",), "logLevel"),
        (("image.digest=sha256:abc",), "digest"),
        (("image.pullPolicy=Sometimes",), "pullPolicy"),
        (("namespaces={Red}",), "namespaces"),
        (("namespaces={red,red}",), "namespaces"),
        (("crds.keep=yes-please",), "keep"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_typo_is_refused_and_named(values: tuple[str, ...], named: str) -> None:
    assert named in refusal(*values)


def test_a_cluster_without_native_sidecars_is_refused() -> None:
    done = helm("template", "droveway", str(CHART), "--kube-version", "1.28.9")

    assert done.returncode
    assert "1.29" in done.stderr


def test_every_value_is_in_the_schema_and_the_other_way_round() -> None:
    """A value without a schema cannot be checked; a schema without a value is not documented."""
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    def leaves(part: Manifest) -> set[str]:
        nested = {name: inner["properties"] for name, inner in part.items() if "properties" in inner}
        return {n for n in part if n not in nested} | {f"{n}.{leaf}" for n, p in nested.items() for leaf in leaves(p)}

    def given(part: Manifest, within: Manifest) -> set[str]:
        nested = {n for n in part if "properties" in within.get(n, {})}
        return {n for n in part if n not in nested} | {
            f"{n}.{leaf}" for n in nested for leaf in given(part[n], within[n]["properties"])
        }

    assert leaves(schema["properties"]) - {"global"} == given(values, schema["properties"])


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_the_gateway_can_read_the_prices_that_it_is_given(values: tuple[str, ...]) -> None:
    given = find(render(*values), "ConfigMap", "droveway-prices")["data"]["prices.yaml"]

    assert read_table(given).models == []


def test_prices_go_into_the_table_as_they_are() -> None:
    line = "prices.models[0]"
    manifests = render(
        f"{line}.model=m*", f"{line}.usdPerMillionTokens.input=0.30", f"{line}.usdPerMillionTokens.output=2.5"
    )

    given = yaml.safe_load(find(manifests, "ConfigMap", "droveway-prices")["data"]["prices.yaml"])
    assert given["models"] == [{"model": "m*", "usdPerMillionTokens": {"input": "0.30", "output": "2.5"}}]


# -- definitions -----------------------------------------------------------------------------------------------------


def test_the_chart_ships_the_definitions_that_were_generated() -> None:
    ours = {p.name: p.read_bytes() for p in (ROOT / "crds").glob("*.yaml")}

    assert len(ours) == 5
    assert {p.name: p.read_bytes() for p in (CHART / "files/crds").glob("*.yaml")} == ours


def test_definitions_are_rendered_unchanged_and_kept() -> None:
    rendered = {m["metadata"]["name"]: m for m in render() if m["kind"] == "CustomResourceDefinition"}
    generated = [yaml.safe_load(p.read_text()) for p in (ROOT / "crds").glob("*.yaml")]

    assert {g["metadata"]["name"]: g["spec"] for g in generated} == {n: m["spec"] for n, m in rendered.items()}
    assert all(m["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep" for m in rendered.values())


def test_whoever_wants_may_have_them_removed_with_the_chart() -> None:
    rendered = [m for m in render("crds.keep=false") if m["kind"] == "CustomResourceDefinition"]

    assert len(rendered) == 5
    assert not any("helm.sh/resource-policy" in m["metadata"].get("annotations", {}) for m in rendered)


# -- the master key --------------------------------------------------------------------------------------------------


def test_a_master_key_is_made_unless_one_is_given() -> None:
    made, given = render(), render("masterKeySecret=mine")

    assert find(made, "Secret", "droveway-master-key")["data"]["key"]
    assert not [m for m in given if m["kind"] == "Secret"]
    for name, pod in pods(given):
        secrets = [v["secret"]["secretName"] for v in pod.get("volumes", []) if "secret" in v]
        assert secrets == ([] if "cleanup" in name else ["mine"]), name


def test_two_installs_never_share_a_master_key() -> None:
    one, other = (find(render(), "Secret", "droveway-master-key")["data"]["key"] for _ in range(2))

    assert one != other


# -- rights ----------------------------------------------------------------------------------------------------------


def test_rights_are_exactly_these() -> None:
    manifests = render()
    ours = ("agents", "agentruns", "modelproviders", "modelroutes", "tenantquotas")
    reads = {(r, "*", v) for r in ours for v in ("get", "list", "watch")}

    assert rights(manifests, "ClusterRole", "droveway-operator") == reads | {
        *(("pods", "*", v) for v in ("get", "list", "watch", "create", "delete")),
        *((f"{r}/status", "*", "patch") for r in ours if r != "agents"),
        ("agentruns", "*", "delete"),
        ("persistentvolumeclaims", "*", "create"),
        ("secrets", "*", "get"),
        ("secrets", "*", "create"),
        ("secrets", "droveway-run-keys", "update"),
        ("secrets", "droveway-run-keys", "delete"),
        *(("configmaps", "*", v) for v in ("get", "list", "create", "update")),
        ("events", "*", "create"),
    }
    assert rights(manifests, "ClusterRole", "droveway-gateway") == {
        *(r for r in reads if r[0] != "agents"),
        ("secrets", "*", "get"),
    }


def test_named_namespaces_get_roles_and_no_right_elsewhere() -> None:
    everywhere, manifests = render(), render("namespaces={red,blue}")

    for component in ("operator", "gateway"):
        name = f"droveway-{component}"
        for kind in ("Role", "RoleBinding"):
            where = {
                m["metadata"]["namespace"] for m in manifests if (m["kind"], m["metadata"]["name"]) == (kind, name)
            }
            assert where == {"red", "blue"}, (kind, name)
        assert rights(manifests, "Role", name) == rights(everywhere, "ClusterRole", name)
    bound = {m["metadata"]["name"] for m in manifests if m["kind"] == "ClusterRoleBinding"}
    assert bound == {"droveway-token-review", "droveway-cleanup"}
    assert rights(manifests, "ClusterRole", "droveway-token-review") == {("tokenreviews", "*", "create")}
    for component in ("operator", "gateway"):
        container = find(manifests, "Deployment", f"droveway-{component}")["spec"]["template"]["spec"]["containers"][0]
        env = {e["name"]: e.get("value") for e in container["env"]}
        assert env["DROVEWAY_NAMESPACES"] == '["red","blue"]'


def test_the_clean_up_has_its_rights_only_while_it_works() -> None:
    hooks = [m for m in render() if "cleanup" in m["metadata"]["name"]]

    assert {m["kind"] for m in hooks} == {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Job"}
    for found in hooks:
        annotations = found["metadata"]["annotations"]
        assert annotations["helm.sh/hook"] == "post-delete", found["kind"]
        assert set(annotations["helm.sh/hook-delete-policy"].split(",")) >= {"before-hook-creation", "hook-succeeded"}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((), None),
        (("gateway.valkey.url=redis://valkey:6379/0",), {"value": "redis://valkey:6379/0"}),
        (
            ("gateway.valkey.url=redis://valkey:6379/0", "gateway.valkey.secret=mine"),
            {"valueFrom": {"secretKeyRef": {"name": "mine", "key": "url"}}},
        ),
    ],
)
def test_gateways_share_a_valkey_that_is_named(values: tuple[str, ...], expected: Manifest | None) -> None:
    deployment = find(render(*values), "Deployment", "droveway-gateway")
    env = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    found = [{k: v for k, v in e.items() if k != "name"} for e in env if e["name"] == "DROVEWAY_VALKEY_URL"]
    assert found == ([expected] if expected else [])


def test_every_setting_of_the_gateway_has_a_value_in_the_chart() -> None:
    deployment = find(render("gateway.valkey.url=redis://valkey:6379/0"), "Deployment", "droveway-gateway")
    env = {e["name"]: e.get("value") for e in deployment["spec"]["template"]["spec"]["containers"][0]["env"]}
    elsewhere = {"host", "port", "config_dir", "token_file", "otel_enabled"}  # of the pod itself, or OpenTelemetry's
    for name, field in GatewaySettings.model_fields.items():
        if name not in elsewhere:
            assert f"DROVEWAY_{name.upper()}" in env
            if isinstance(field.default, int | float):
                told = TypeAdapter(type(field.default)).validate_python(env[f"DROVEWAY_{name.upper()}"])
                assert (name, told) == (name, field.default)


def test_limits_reach_the_gateway_as_they_are() -> None:
    values = "gateway.maxBodyMebibytes=8,gateway.maxConnections=100000,gateway.queueSeconds=5"
    deployment = find(render(values), "Deployment", "droveway-gateway")
    env = {e["name"]: e.get("value") for e in deployment["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert env["DROVEWAY_MAX_BODY_BYTES"] == "8388608"
    assert env["DROVEWAY_MAX_CONNECTIONS"] == "100000"
    assert env["DROVEWAY_QUEUE_SECONDS"] == "5"


def test_who_scrapes_is_let_through_when_it_is_named() -> None:
    peer = "networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.team=monitoring"
    manifests = render("networkPolicy.enabled=true", peer)
    for name, port in (("droveway-gateway", 8099), ("droveway-operator", 8000)):
        *_, scraping = find(manifests, "NetworkPolicy", name)["spec"]["ingress"]
        expected = [{"namespaceSelector": {"matchLabels": {"team": "monitoring"}}}]
        assert scraping == {"ports": [{"port": port}], "from": expected}
    for name in ("droveway-gateway", "droveway-operator"):
        assert len(find(render("networkPolicy.enabled=true"), "NetworkPolicy", name)["spec"]["ingress"]) == 1


def test_a_password_does_not_go_into_the_values() -> None:
    assert "gateway/valkey/url" in refusal("gateway.valkey.url=redis://:hunter2@valkey:6379").replace(".", "/")


def test_traces_are_off_until_a_collector_is_named() -> None:
    off = [e["name"] for _, pod in pods(render()) for c in pod["containers"] for e in c.get("env", [])]
    assert not [name for name in off if name.startswith("OTEL_")]
    assert "/telemetry/otel/endpoint" in refusal("telemetry.otel.enabled=true").replace(".", "/")

    told = render(
        "telemetry.otel.enabled=true,telemetry.otel.endpoint=http://collector:4318,telemetry.otel.samplePercent=10"
    )
    for name in ("droveway-operator", "droveway-gateway"):
        (container,) = find(told, "Deployment", name)["spec"]["template"]["spec"]["containers"]
        env = {e["name"]: e.get("value") for e in container["env"]}
        assert (env["OTEL_ENABLED"], env["OTEL_EXPORTER_OTLP_ENDPOINT"]) == ("1", "http://collector:4318")
        assert (env["OTEL_TRACES_SAMPLER"], env["OTEL_TRACES_SAMPLER_ARG"]) == ("parentbased_traceidratio", "0.1")
        assert env["OTEL_RESOURCE_ATTRIBUTES"] == "k8s.namespace.name=system,k8s.pod.name=$(POD_NAME)"


def test_dashboards_and_alerts_are_shipped_as_they_are() -> None:
    told = render("dashboards.enabled=true,prometheusRule.enabled=true,prometheusRule.labels.release=prom")
    for name in ("gateway", "fleet"):
        found = find(told, "ConfigMap", f"droveway-dashboard-{name}")
        assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert found["data"] == {f"{name}.json": (CHART / f"files/dashboards/{name}.json").read_text()}
    rule = find(told, "PrometheusRule", "droveway")
    assert rule["spec"] == yaml.safe_load((CHART / "files/alerts.yaml").read_text())
    assert rule["metadata"]["labels"]["release"] == "prom"
    assert not [
        m for m in render() if m["kind"] in ("PrometheusRule", "PodMonitor") or "dashboard" in m["metadata"]["name"]
    ]
