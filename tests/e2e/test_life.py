"""The life of a run on a real cluster: it ends once, however it ends, and leaves nothing behind."""

import asyncio
import json

import pytest

from helpers.team import (
    SYSTEM,
    Team,
    agent,
    agent_run,
    candidate,
    condition,
    kubectl,
    provider,
    route,
    shell_agent,
    summary,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]


def running(run: dict[str, object]) -> bool:
    return condition(run, "Running").get("status") == "True"


@pytest.mark.parametrize(
    ("cli", "dialect", "model"),
    [
        ("claude", "Anthropic", "claude-sonnet-4-5"),
        ("codex", "OpenAIResponses", "gpt-5-codex"),
        ("opencode", "OpenAIChat", "gpt-5"),
        ("gemini", "Gemini", "gemini-2.5-pro"),
        ("qwen", "OpenAIChat", "qwen3-coder-plus"),
        ("pi", "Anthropic", "claude-sonnet-4-5"),
        ("copilot", "OpenAIResponses", "gpt-5"),
    ],
)
async def test_every_cli_does_its_work(team: Team, cli: str, dialect: str, model: str) -> None:
    team.apply(
        agent("a", cli), provider("p", "tool", dialect), route("r", candidate("p", model)), agent_run("run", "r", "a")
    )
    run = await team.done("run")
    status = run["status"]

    assert summary(run) == ("True", "Succeeded"), status
    assert status["usage"]["tokens"]["total"] > 0
    assert status["result"]["text"]
    assert [u["model"] for u in status["usage"]["byModel"]] == [model]
    columns = kubectl("-n", team.namespace, "get", "arun", "-o", "wide")
    assert "Succeeded" in columns
    assert model in columns


async def test_cancel_ends_it_and_says_so_only_when_the_pod_is_gone(team: Team) -> None:
    team.apply(
        shell_agent("a", "trap '' TERM; sleep 300"),
        provider("p", "ok"),
        route("r", candidate("p")),
        agent_run("run", "r", "a"),
    )
    await team.until("run", running, "running")
    team.patch("run", cancel=True)
    run = await team.done("run", 90)

    assert summary(run) == ("False", "Cancelled")
    assert await team.pods("run") == []


async def test_suspend_and_resume(team: Team) -> None:
    team.apply(shell_agent("a", "sleep 5"), provider("p", "ok"), route("r", candidate("p")), agent_run("run", "r", "a"))
    await team.until("run", running, "running")
    team.patch("run", suspend=True)
    await team.until("run", lambda r: summary(r)[1] == "Suspended", "suspended", 90)
    assert await team.pods("run") == []
    team.patch("run", suspend=False)
    run = await team.done("run", 90)

    assert summary(run) == ("True", "Succeeded")
    assert [a["class"] for a in run["status"]["attempts"]] == ["Suspended", "Succeeded"]


async def test_silence_is_noticed(team: Team) -> None:
    team.apply(
        shell_agent("a", "echo working; sleep 300"),
        provider("p", "ok"),
        route("r", candidate("p")),
        agent_run("run", "r", "a", stallTimeoutSeconds=8, retry={"maxAttempts": 1}),
    )
    run = await team.done("run", 90)

    assert summary(run) == ("False", "Stalled")


async def test_a_hanging_provider_does_not_hang_the_run(team: Team) -> None:
    team.apply(
        agent("claude", "claude"),
        provider("p", "hang"),
        route("r", candidate("p")),
        agent_run("run", "r", "claude", timeoutSeconds=25, stallTimeoutSeconds=25),
    )
    run = await team.done("run", 120)

    assert summary(run) in (("False", "Timeout"), ("False", "Stalled"))


async def test_what_is_missing_is_named_and_the_run_goes_on_once_it_is_there(team: Team) -> None:
    team.apply(agent_run("run", "r", "a"))
    await team.until("run", lambda r: summary(r)[1] == "RouteNotFound", "told that the route is missing", 30)
    team.apply(route("r", candidate("p")))
    await team.until(
        "run", lambda r: "ModelProvider p" in condition(r, "Routed").get("message", ""), "told of the provider", 30
    )
    team.apply(provider("p", "ok", credentialsRef={"name": "later", "key": "apiKey"}), shell_agent("a", "true"))
    await team.until(
        "run", lambda r: "Secret later" in condition(r, "Routed").get("message", ""), "told of the Secret", 30
    )
    kubectl("-n", team.namespace, "create", "secret", "generic", "later", "--from-literal=apiKey=x")
    run = await team.done("run", 60)

    assert summary(run) == ("True", "Succeeded")


async def test_a_killed_operator_makes_no_second_pod_and_loses_no_outcome(team: Team) -> None:
    team.apply(
        shell_agent("a", "sleep 12; exit 3"),
        provider("p", "ok"),
        route("r", candidate("p")),
        agent_run("run", "r", "a", retry={"maxAttempts": 1}),
    )
    await team.until("run", running, "running")
    pod = (await team.pods("run"))[0]["metadata"]["uid"]
    kubectl("-n", SYSTEM, "delete", "pod", "-l", "app.kubernetes.io/component=operator", "--grace-period=0", "--force")
    run = await team.done("run", 120)

    assert summary(run) == ("False", "AgentFailed")
    assert [a["exitCode"] for a in run["status"]["attempts"]] == [3]
    assert [p["metadata"]["uid"] for p in await team.pods("run")] == [pod]


async def test_a_gateway_that_is_rolled_does_not_cut_a_stream(team: Team) -> None:
    team.apply(
        agent("claude", "claude"),
        provider("p", "ok,gap=1.5"),
        route("r", candidate("p")),
        agent_run("run", "r", "claude"),
    )
    async with asyncio.timeout(60):
        while not team.calls("p"):
            await asyncio.sleep(0.2)
    kubectl("-n", SYSTEM, "rollout", "restart", "deploy/droveway-gateway")
    run = await team.done("run", 120)
    kubectl("-n", SYSTEM, "rollout", "status", "deploy/droveway-gateway", "--timeout=120s")

    assert summary(run) == ("True", "Succeeded")
    assert len(team.calls("p")) == 1, "the stream ended where it began"


async def test_deleting_a_run_leaves_no_orphan(team: Team) -> None:
    team.apply(
        shell_agent("a", "sleep 300"),
        provider("p", "ok"),
        route("r", candidate("p")),
        agent_run("run", "r", "a", workspace={"volume": {"size": "16Mi"}}),
    )
    await team.until("run", running, "running")
    kubectl("-n", team.namespace, "delete", "arun,agt,mprov,mroute", "--all", "--timeout=60s")
    async with asyncio.timeout(90):
        while _ours(team):
            await asyncio.sleep(1)


def _ours(team: Team) -> list[str]:
    text = kubectl(
        "-n",
        team.namespace,
        "get",
        "pods,pvc,secrets,configmaps",
        "-l",
        "app.kubernetes.io/managed-by=droveway",
        "-o",
        "json",
    )
    return [o["metadata"]["name"] for o in json.loads(text)["items"]]


async def test_a_finished_run_is_removed_after_its_time_to_live(team: Team) -> None:
    team.apply(
        shell_agent("a", "true"),
        provider("p", "ok"),
        route("r", candidate("p")),
        agent_run("run", "r", "a", ttlSecondsAfterSuccess=3),
    )
    async with asyncio.timeout(90):
        while await team.exists("agentruns", "run"):
            await asyncio.sleep(0.5)
