"""What Droveway is for: a run survives a spent subscription, a broken provider, and an operator that dies meanwhile."""

from datetime import UTC, datetime

import pytest

from helpers.team import SYSTEM, Team, agent, agent_run, candidate, condition, kubectl, provider, route, summary

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]


async def test_a_request_is_rerouted_and_the_cli_never_notices(team: Team) -> None:
    team.apply(
        agent("claude", "claude"),
        provider("spent", "usage_limit,skip=1,before=tool,window=300"),
        provider("spare", "tool"),
        route("r", candidate("spent"), candidate("spare", model="claude-opus-4-5")),
        agent_run("run", "r", "claude"),
    )
    run = await team.done("run")
    status = run["status"]

    assert summary(run) == ("True", "Succeeded")
    assert status["attemptCount"] == 1, "the agent was not started again"
    assert {u["provider"] for u in status["usage"]["byModel"] if u["completions"]} == {"spent", "spare"}
    assert [(r["depth"], r["from"], r["to"]) for r in status["reroutes"]] == [("Request", "spent", "spare")]
    assert "SubscriptionLimit" in status["reroutes"][0]["reason"]
    assert (status["route"]["candidate"], status["route"]["model"]) == ("spare", "claude-opus-4-5")
    assert status["usage"]["tokens"]["total"] > 0
    assert status["sessionID"]
    limited = await team.get("spent", "modelproviders")
    assert limited["status"]["limits"][0]["kind"] == "SubscriptionLimit"
    assert len(team.calls("spent")) == 2, "one that worked, one that was refused; a limit is not hit twice"
    bodies = {c["body"]["model"] for c in team.calls("spare")}
    assert bodies == {"claude-opus-4-5"}, "the model of the request is the candidate's"


async def test_a_run_is_rerouted_to_another_cli_and_keeps_its_workspace(team: Team) -> None:
    team.apply(
        agent("claude", "claude"),
        agent("codex", "codex"),
        provider(
            "subscription",
            "usage_limit,skip=1,before=tool,window=300",
            access="Direct",
            credentialsRef={"name": "login", "key": "token"},
        ),
        provider("key", "ok", "OpenAIResponses"),
        route("r", candidate("subscription", agent="claude"), candidate("key", model="gpt-5-codex", agent="codex")),
        agent_run("run", "r", workspace={"volume": {"size": "64Mi"}}),
    )
    run = await team.done("run", 240)
    status = run["status"]

    assert summary(run) == ("True", "Succeeded")
    first, second = status["attempts"]
    assert (first["class"], first["candidate"]) == ("SubscriptionLimit", "subscription")
    assert (second["class"], second["candidate"], second["model"]) == ("Succeeded", "key", "gpt-5-codex")
    assert status.get("failedCount", 0) == 0, "a limit is not the agent's fault"
    assert [(r["depth"], r["from"], r["to"]) for r in status["reroutes"]] == [("Run", "subscription", "key")]
    assert team.calls("subscription")[0]["headers"]["authorization"] == "Bearer not-a-login"
    files = _look_into_workspace(team, run)
    assert "mock.txt" in files, "what the first CLI wrote is there for the second"


def _look_into_workspace(team: Team, run: dict[str, object]) -> str:
    claim = f"run-{run['metadata']['uid'][:5]}-workspace"  # type: ignore[index]  # plain JSON
    team.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "look"},
            "spec": {
                "restartPolicy": "Never",
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": 65532,
                    "fsGroup": 65532,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "volumes": [{"name": "w", "persistentVolumeClaim": {"claimName": claim}}],
                "containers": [
                    {
                        "name": "look",
                        "image": "droveway/agents:0.1.0",
                        "command": ["ls", "/w"],
                        "volumeMounts": [{"name": "w", "mountPath": "/w"}],
                        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                    }
                ],
            },
        }
    )
    kubectl("-n", team.namespace, "wait", "pod/look", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")
    return kubectl("-n", team.namespace, "logs", "look")


async def test_everything_limited_waits_until_the_reset_even_over_an_operator_restart(team: Team) -> None:
    team.apply(
        agent("claude", "claude"),
        provider("only", "usage_limit,window=40"),
        route("r", candidate("only")),
        agent_run("run", "r", "claude"),
    )
    waiting = await team.until("run", lambda r: summary(r)[1] == "WaitingForCapacity", "waiting")
    until = datetime.fromisoformat(waiting["status"]["nextEligibleTime"])
    assert until > datetime.now(UTC)
    assert condition(waiting, "Routed")["status"] == "False"

    kubectl("-n", SYSTEM, "delete", "pod", "-l", "app.kubernetes.io/component=operator", "--grace-period=0", "--force")
    run = await team.done("run", 200)

    assert summary(run) == ("True", "Succeeded")
    first, second = run["status"]["attempts"]
    assert first["class"] == "SubscriptionLimit"
    assert datetime.fromisoformat(second["startTime"]) >= until
    calls = [c["status"] for c in team.calls("only")]
    assert calls.count(429) == 1, "a limited provider is not asked again before its reset"


async def test_outages_open_the_breaker_and_a_probe_closes_it(team: Team) -> None:
    """A limit never counts; three outages in a row do; the half-open probe closes the breaker."""
    team.apply(
        agent("claude", "claude"),
        provider("shaky", "overloaded,fail=3"),
        provider("spare", "ok"),
        route(
            "r", candidate("shaky"), candidate("spare"), circuitBreaker={"failureThreshold": 3, "cooldownSeconds": 15}
        ),
    )
    for number in range(3):
        team.apply(agent_run(f"run-{number}", "r", "claude"))
        assert summary(await team.done(f"run-{number}")) == ("True", "Succeeded")
    opened = await team.until("r", lambda r: _circuit(r, "shaky")["state"] == "Open", "open", 20, "modelroutes")
    assert _circuit(opened, "spare")["state"] == "Closed"

    team.apply(agent_run("while-open", "r", "claude"))
    assert summary(await team.done("while-open")) == ("True", "Succeeded")
    assert len(team.calls("shaky")) == 3, "an open breaker lets nothing through"

    await team.until("r", lambda r: _circuit(r, "shaky")["state"] == "HalfOpen", "half-open", 40, "modelroutes")
    team.apply(agent_run("probe", "r", "claude"))
    assert summary(await team.done("probe")) == ("True", "Succeeded")
    await team.until("r", lambda r: _circuit(r, "shaky")["state"] == "Closed", "closed again", 30, "modelroutes")
    assert len(team.calls("shaky")) == 4


def _circuit(found: dict[str, object], name: str) -> dict[str, object]:
    candidates = found.get("status", {}).get("candidates", [])  # type: ignore[attr-defined]  # plain JSON
    line: dict[str, dict[str, object]] = next((c for c in candidates if c["name"] == name), {})
    return {"state": "Closed", **line.get("circuit", {})}
