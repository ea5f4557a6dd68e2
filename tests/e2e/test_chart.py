"""The chart's whole life: its rights, an upgrade under way, an uninstall that leaves runs and nothing else, an install again."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.release import helm, install
from helpers.team import (
    SYSTEM,
    Manifest,
    Team,
    agent,
    agent_run,
    candidate,
    condition,
    kubectl,
    kubectl_json,
    provider,
    route,
    shell_agent,
    summary,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

CRDS = {file.stem.partition("_")[2] + ".droveway.dev" for file in (Path(__file__).parents[2] / "crds").glob("*.yaml")}


@pytest.mark.parametrize(
    ("account", "allowed", "forbidden"),
    [
        pytest.param(
            "operator",
            [
                "get secrets",
                "create secrets",
                "update secrets/droveway-run-keys",
                "create pods",
                "delete pods",
                "patch agentruns.droveway.dev --subresource=status",
            ],
            [
                "list secrets",
                "watch secrets",
                "update secrets",
                "delete secrets/provider-key",
                "update pods",
                "patch pods",
                "create pods --subresource=exec",
                "get pods --subresource=log",
                "deletecollection pods",
                "update agentruns.droveway.dev",
                "patch modelproviders.droveway.dev",
                "create agentruns.droveway.dev",
                "delete persistentvolumeclaims",
                "delete configmaps",
                "create deployments.apps",
                "list nodes",
                "list namespaces",
                "create clusterrolebindings.rbac.authorization.k8s.io",
                "create serviceaccounts --subresource=token",
                "impersonate users",
            ],
            id="operator",
        ),
        pytest.param(
            "gateway",
            ["get secrets", "watch agentruns.droveway.dev", "list modelroutes.droveway.dev"],
            [
                "list secrets",
                "watch secrets",
                "create secrets",
                "update secrets/droveway-run-keys",
                "list pods",
                "create pods",
                "get configmaps",
                "create configmaps",
                "create events.events.k8s.io",
                "patch agentruns.droveway.dev --subresource=status",
                "patch modelproviders.droveway.dev --subresource=status",
                "delete agentruns.droveway.dev",
                "create tokenreviews.authentication.k8s.io",
                "update leases.coordination.k8s.io",
            ],
            id="gateway",
        ),
    ],
)
def test_each_may_do_its_work_and_no_more(account: str, allowed: list[str], forbidden: list[str]) -> None:
    for wanted in allowed:
        assert asked(account, wanted), f"{account} cannot {wanted}"
    for unwanted in forbidden:
        assert not asked(account, unwanted), f"{account} can {unwanted}"


def asked(account: str, request: str) -> bool:
    verb, what, *more = request.split()
    who = f"--as=system:serviceaccount:{SYSTEM}:droveway-{account}"
    done = subprocess.run(
        ["kubectl", "auth", "can-i", verb, what, *more, "-n", "default", who],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() in ("yes", "no"), done.stderr
    return done.stdout.strip() == "yes"


def master_key() -> str:
    found: str = kubectl_json("-n", SYSTEM, "get", "secret", "droveway-master-key")["data"]["key"]
    return found


async def test_an_upgrade_keeps_the_master_key_and_the_runs_under_way(team: Team) -> None:
    before = master_key()
    team.apply(
        agent("claude", "claude"),
        provider("p", "tool,gap=1"),
        route("r", candidate("p")),
        agent_run("run", "r", "claude", retry={"maxAttempts": 1}),
    )
    await team.until("run", lambda r: condition(r, "Running").get("status") == "True", "running")
    install("operator.workers=15")  # another pod template, so that the operator is really replaced
    try:
        assert master_key() == before
        run = await team.done("run")
    finally:
        install()

    assert summary(run) == ("True", "Succeeded"), "its key was good to the end"
    assert run["status"]["attemptCount"] == 1


@pytest.fixture
def put_back() -> Iterator[None]:
    """Whatever happens, later tests find the chart installed."""
    yield
    install()


@pytest.mark.usefixtures("put_back")
async def test_uninstall_leaves_the_runs_and_reinstall_goes_on_with_them(team: Team) -> None:
    team.apply(
        provider("p", "ok"),
        route("r", candidate("p")),
        shell_agent("short", "echo done"),
        shell_agent("long", "[ -e begun ] || { touch begun; sleep 600; }"),
        agent_run("finished", "r", "short"),
        agent_run("live", "r", "long", workspace={"volume": {"size": "16Mi"}}, retry={"backoffSeconds": 1}),
    )
    finished = await team.done("finished")
    await team.until("live", lambda r: condition(r, "Running").get("status") == "True", "running")
    assert left_in(team), "or the uninstall had nothing to clear up"

    helm("uninstall", "droveway", "--namespace", SYSTEM, "--wait", "--timeout", "3m")

    kubectl("-n", team.namespace, "wait", "pods", "-l", "droveway.dev/run", "--for=delete", "--timeout=60s")
    assert left_in(team) == []
    assert left_in_cluster() == CRDS
    assert await team.get("finished") == finished
    assert (await team.get("live"))["status"]["attemptCount"] == 1

    install()
    live = await team.done("live")
    assert summary(live) == ("True", "Succeeded")
    assert live["status"]["attemptCount"] == 2
    assert "deleted" in live["status"]["attempts"][0]["message"]
    assert await team.get("finished") == finished, "what is over is not touched"


def left_in(team: Team) -> list[str]:
    """What Droveway made in the namespace. Claims belong to runs, and stay with them."""
    ours = kubectl(
        "-n",
        team.namespace,
        "get",
        "pods,secrets,configmaps",
        "-l",
        "app.kubernetes.io/managed-by=droveway",
        "-o",
        "name",
    )
    return ours.split()


def left_in_cluster() -> set[str]:
    """Names of everything in and around the system namespace that the chart or the operator made."""
    everything = "clusterroles,clusterrolebindings,customresourcedefinitions"
    named: list[Manifest] = kubectl_json("get", everything)["items"]
    within = (
        "all,secrets,configmaps,serviceaccounts,roles,rolebindings,leases,networkpolicies,poddisruptionbudgets,"
        "persistentvolumeclaims"
    )
    named += kubectl_json("-n", SYSTEM, "get", within)["items"]
    roles = kubectl_json(
        "get", "roles,rolebindings,secrets", "--all-namespaces", "-l", "app.kubernetes.io/name=droveway"
    )
    found = {m["metadata"]["name"] for m in [*named, *roles["items"]] if "droveway" in json.dumps(m["metadata"])}
    return found - {"default", "kube-root-ca.crt"}  # every namespace has them
