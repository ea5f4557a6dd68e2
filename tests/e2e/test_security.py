"""What an agent has, what it can reach, and who is believed: looked at from inside the pod and from outside."""

import asyncio
import json
import re
import secrets
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import aiohttp
import pytest

from droveway.core.keys import RunIdentity, run_key, sidecar_token
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

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

MESSAGE = {"model": "any", "max_tokens": 16, "messages": [{"role": "user", "content": "hello"}]}


def secret(name: str, **data: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


def canary(what: str) -> str:
    """A secret that looks like none, so that no mask can hide that it got out."""
    return f"canary-{what}-{secrets.token_hex(8)}"


def inside(team: Team, pod: str, script: str, *args: str) -> str:
    """What a shell in the agent's container answers."""
    return kubectl("-n", team.namespace, "exec", pod, "-c", "agent", "--", "sh", "-c", script, "sh", *args)


async def sleeper(team: Team, name: str = "run") -> tuple[Manifest, str]:
    """A run whose agent sleeps, and its pod's name."""
    team.apply(
        shell_agent("sleeper", "sleep 600"),
        provider("p", "ok"),
        route("r", candidate("p")),
        agent_run(name, "r", "sleeper"),
    )
    run = await team.until(name, lambda r: condition(r, "Running").get("status") == "True", "running")
    return run, run["status"]["attempts"][-1]["podName"]


def namespace_key(team: Team) -> str:
    found = kubectl(
        "-n", team.namespace, "get", "secret", "droveway-run-keys", "-o", "go-template={{.data.current|base64decode}}"
    )
    return found.strip()


@contextmanager
def forwarded(service: str, port: int) -> Iterator[str]:
    """A service of ours on loopback."""
    with subprocess.Popen(
        ["kubectl", "-n", SYSTEM, "port-forward", f"svc/{service}", f":{port}"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        found = re.search(r"127\.0\.0\.1:(\d+)", process.stdout.readline())
        try:
            assert found, f"kubectl port-forward of {service} did not begin"
            yield f"http://127.0.0.1:{found[1]}"
        finally:
            process.terminate()


@asynccontextmanager
async def asking(service: str, port: int) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    with forwarded(service, port) as url:
        async with aiohttp.ClientSession(trust_env=False, timeout=aiohttp.ClientTimeout(total=20)) as session:
            yield session, url


# -- inside the pod --------------------------------------------------------------------------------------------------


async def test_an_agent_holds_its_run_key_and_nothing_else(team: Team) -> None:
    provider_key = canary("provider")
    team.apply(secret("key", apiKey=provider_key))
    run, pod = await sleeper(team)
    who = RunIdentity(run["metadata"]["uid"], 1)
    key = namespace_key(team)

    def where(text: str) -> list[str]:
        places = "/droveway /home /tmp /workspace /etc /run /var/run /var/lib/kubelet /dev/shm"
        files = inside(team, pod, f'grep -rlsF -e "$1" {places}; true', text)
        # The looking shell itself has the text among its arguments, not in its environment.
        environ = inside(team, pod, 'grep -lsF -e "$1" /proc/[0-9]*/environ; true', text)
        return [*files.split(), *("environment" for _ in environ.split())]

    assert set(where(run_key(key, who))) == {"/droveway/run/key", "environment"}, "or this search finds nothing at all"
    assert where(provider_key) == []
    assert where("not-a-login") == []
    assert where(key) == []
    assert where(sidecar_token(key, who)) == []
    first = inside(team, pod, "cat /proc/1/environ")
    assert run_key(key, who) not in first, "the wrapper hands it to the agent alone"
    assert "KUBERNETES_SERVICE_HOST" in first  # the kubelet sets it for every container; it opens nothing


async def test_an_agent_is_shut_in(team: Team) -> None:
    _, pod = await sleeper(team)

    assert inside(team, pod, "id -u; id -g").split() == ["65532", "65532"]
    status = dict(line.split(":\t") for line in inside(team, pod, "cat /proc/1/status").splitlines())
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    unwritable = "/ /usr /usr/bin /etc /opt /var /droveway /droveway/bin /droveway/run"
    assert inside(team, pod, f"for d in {unwritable}; do touch $d/x 2>/dev/null && echo $d; done; true") == ""
    assert inside(team, pod, "for d in $HOME /tmp /workspace; do touch $d/x || echo $d; done") == ""
    hidden = "/var/run/secrets/kubernetes.io /droveway/namespace-key /droveway/sidecar /droveway/login"
    assert inside(team, pod, f"ls -d {hidden} 2>/dev/null; true") == ""
    others = inside(team, pod, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert "sleep 600" in others
    assert "droveway.sidecar" not in others, "it does not see the sidecar's processes"
    assert _enforced(team) == "restricted"


def _enforced(team: Team) -> str:
    labels: dict[str, str] = kubectl_json("get", "namespace", team.namespace)["metadata"]["labels"]
    return labels["pod-security.kubernetes.io/enforce"]


async def test_without_a_token_the_api_server_tells_an_agent_nothing(team: Team) -> None:
    _, pod = await sleeper(team)
    script = """
process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
const base = `https://${process.env.KUBERNETES_SERVICE_HOST}:${process.env.KUBERNETES_SERVICE_PORT}`;
for (const path of ["/api/v1/secrets", "/api/v1/namespaces", "/apis/droveway.dev/v1alpha1/agentruns"])
  console.log((await fetch(base + path)).status);
"""
    told = inside(team, pod, 'node --no-warnings --input-type=module -e "$1"', script)

    assert set(told.split()) <= {"401", "403"}, told


# -- who is believed -------------------------------------------------------------------------------------------------


async def test_the_gateway_takes_the_key_of_the_attempt_under_way_and_no_other(team: Team) -> None:
    run, pod = await sleeper(team)
    mine = inside(team, pod, "cat /droveway/run/key").strip()
    key, uid = namespace_key(team), run["metadata"]["uid"]
    last = "0" if mine[-1] != "0" else "1"
    refused = {
        "none": "",
        "forged": mine[:-1] + last,
        "another attempt, the same mac": mine.replace(f"{uid}-1-", f"{uid}-2-"),
        "another run of the namespace": run_key(key, RunIdentity("00000000-0000-0000-0000-000000000000", 1)),
        "of another namespace": run_key("00" * 32, RunIdentity(uid, 1)),
        "the sidecar's token": sidecar_token(key, RunIdentity(uid, 1)),
        "the provider's key": "not-a-key",
    }
    async with asking("droveway-gateway", 8099) as (session, url):

        async def status(token: str) -> int:
            headers = {"x-api-key": token} if token else {}
            async with session.post(f"{url}/v1/messages", json=MESSAGE, headers=headers) as answer:
                text = await answer.text() + json.dumps(dict(answer.headers))
                assert "not-a-key" not in text, "an answer never holds the provider's key"
                assert not token or answer.status == 200 or token not in text, "nor the caller's"
                return answer.status

        assert await status(mine) == 200
        assert {name: await status(token) for name, token in refused.items()} == dict.fromkeys(refused, 401)
        assert {c["headers"]["x-api-key"] for c in team.calls("p")} == {"not-a-key"}, "upstream it is the provider's"

        team.patch("run", cancel=True)
        await team.done("run", 90)
        await asyncio.sleep(1)
        assert await status(mine) == 401, "the key has ended with its run"


async def test_only_gateways_and_sidecars_of_their_own_attempt_may_tell_the_operator(team: Team) -> None:
    run, pod = await sleeper(team)
    key, uid = namespace_key(team), run["metadata"]["uid"]
    own, other = RunIdentity(uid, 1), RunIdentity(uid, 2)
    mine = inside(team, pod, "cat /droveway/run/key").strip()

    def account(namespace: str, name: str) -> str:
        return kubectl("-n", namespace, "create", "token", name, "--duration=10m").strip()

    async with asking("droveway-operator", 8000) as (session, url):

        async def status(token: str, source: str) -> int:
            body = {"source": source, "namespace": team.namespace, "route": "r", "records": []}
            headers = {"authorization": f"Bearer {token}"} if token else {}
            async with session.post(f"{url}/v1/events", json=body, headers=headers) as answer:
                return answer.status

        assert await status(sidecar_token(key, own), f"{uid}-1") == 200
        assert await status(account(SYSTEM, "droveway-gateway"), secrets.token_hex(16)) == 200
        refused = {
            "nobody": ("", f"{uid}-1"),
            "an agent": (mine, f"{uid}-1"),
            "an agent as a gateway": (mine, secrets.token_hex(16)),
            "a sidecar about another attempt": (sidecar_token(key, own), f"{uid}-2"),
            "another attempt's sidecar": (sidecar_token(key, other), f"{uid}-1"),
            "a sidecar as a gateway": (sidecar_token(key, own), secrets.token_hex(16)),
            "a sidecar of another namespace": (sidecar_token("00" * 32, own), f"{uid}-1"),
            "a gateway as a sidecar": (account(SYSTEM, "droveway-gateway"), f"{uid}-1"),
            "the namespace's own service account": (account(team.namespace, "default"), secrets.token_hex(16)),
            "the operator's service account": (account(SYSTEM, "droveway-operator"), secrets.token_hex(16)),
            "somebody's word": ("droveway-gateway", secrets.token_hex(16)),
        }
        found = {name: await status(*how) for name, how in refused.items()}
    assert found == dict.fromkeys(refused, 401)


# -- what gets out ---------------------------------------------------------------------------------------------------


async def test_nothing_secret_is_in_what_people_read(team: Team) -> None:
    """Keys, logins, run keys and prompts: not in statuses, Events, telemetry, logs, metrics or the answers of errors."""
    provider_key, login, prompt = canary("provider"), canary("login"), canary("prompt")
    team.apply(
        secret("key", apiKey=provider_key),
        secret("login", token=login),
        agent("claude", "claude"),
        shell_agent("talker", 'echo "key=$DROVEWAY_API_KEY"; echo "$DROVEWAY_API_KEY" >&2; exit 3'),
        shell_agent("liar", 'echo "droveway: $DROVEWAY_API_KEY" >&2; exit 127'),
        shell_agent("writer", 'echo "$DROVEWAY_API_KEY" >/dev/termination-log; exit 3'),
        provider("spent", "usage_limit,window=300"),
        provider("wrong", "auth"),
        provider("spare", "tool"),
        provider("direct", "tool", access="Direct", credentialsRef={"name": "login", "key": "token"}),
        route("r", candidate("spent"), candidate("wrong"), candidate("spare")),
        route("d", candidate("direct")),
    )
    once = {"prompt": prompt, "retry": {"maxAttempts": 1}}
    runs = {"gateway": ("r", "claude"), "direct": ("d", "claude")}
    runs |= {name: ("r", name) for name in ("talker", "liar", "writer")}
    team.apply(*(agent_run(name, r, a, **once) for name, (r, a) in runs.items()))
    ended = {name: summary(await team.done(name)) for name in runs}

    good = ("True", "Succeeded")
    assert (ended["gateway"], ended["direct"]) == (good, good), "or there was little to give away"
    told = what_people_read(team)
    empty = {where for where, text in told.items() if not text}
    assert empty <= {"logs of agents' pods"}, "or it was looked for nowhere"
    assert all(name in told["Events"] for name in runs)
    key = namespace_key(team)
    secrets_of = {"provider key": provider_key, "login": login, "prompt": prompt, "namespace key": key}
    for name in runs:
        who = RunIdentity((await team.get(name))["metadata"]["uid"], 1)
        secrets_of |= {f"run key of {name}": run_key(key, who), f"token of {name}": sidecar_token(key, who)}
    leaks = [(what, where) for what, value in secrets_of.items() for where, text in told.items() if value in text]
    assert leaks == []


def what_people_read(team: Team) -> dict[str, str]:
    def read(*args: str) -> str:
        return kubectl("-n", team.namespace, *args)

    ours = kubectl_json("-n", team.namespace, "get", "agentruns,agents,modelproviders,modelroutes")["items"]
    pods = kubectl_json("-n", team.namespace, "get", "pods", "-l", "droveway.dev/run")["items"]
    told = {
        "statuses": json.dumps([o.get("status") for o in ours]),
        "Events": read("get", "events.events.k8s.io", "-o", "yaml"),
        "telemetry": read("get", "configmaps", "-o", "yaml"),
        "table": read("get", "droveway", "-o", "wide"),
        "pods' statuses": json.dumps([_without_agent(p["status"]) for p in pods]),
        "logs of agents' pods": "".join(
            read("logs", p["metadata"]["name"], "-c", c) for p in pods for c in ("setup", "sidecar")
        ),
    }
    for component, port in (("operator", 8000), ("gateway", 8099)):
        label = f"app.kubernetes.io/component={component}"
        told[f"log of {component}"] = kubectl("-n", SYSTEM, "logs", "-l", label, "--tail=-1", "--prefix")
        path = f"/api/v1/namespaces/{SYSTEM}/services/droveway-{component}:{port}/proxy/metrics"
        told[f"metrics of {component}"] = kubectl("get", "--raw", path)
    return told


def _without_agent(status: Manifest) -> Manifest:
    """What the agent writes about itself into its own pod is its own."""
    return {k: v for k, v in status.items() if k != "containerStatuses"}


# -- what can be reached ---------------------------------------------------------------------------------------------


def refused_packets() -> int:
    """How many attempts of pods to leave the cluster its firewall has refused."""
    node = kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
    done = subprocess.run(["docker", "exec", node, "iptables-save", "-c"], capture_output=True, text=True, check=False)
    lines = re.findall(r"^\[(\d+):\d+\] -A POD-EGRESS .*-j REJECT", done.stdout, re.MULTILINE)
    if not lines:
        pytest.skip("this cluster lets pods out; the one of make cluster-up, when it is built here, does not")
    return sum(int(count) for count in lines)


async def test_an_agent_that_wants_out_is_refused_at_once(team: Team) -> None:
    before = refused_packets()
    _, pod = await sleeper(team)
    script = 'require("net").connect(443, "192.0.2.1").on("error", e => console.log(e.code)).on("connect", () => 0)'
    began = time.monotonic()
    told = inside(team, pod, 'node -e "$1"', script)

    assert told.strip() in {"ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "ECONNRESET"}
    assert time.monotonic() - began < 10
    assert refused_packets() > before, "and it is counted"


@pytest.mark.timeout(600)
async def test_no_cli_tries_to_leave_the_cluster(team: Team) -> None:
    before = refused_packets()
    clis = {
        "claude": ("Anthropic", "claude-sonnet-4-5"),
        "codex": ("OpenAIResponses", "gpt-5-codex"),
        "opencode": ("OpenAIChat", "gpt-5"),
        "gemini": ("Gemini", "gemini-2.5-pro"),
        "qwen": ("OpenAIChat", "qwen3-coder-plus"),
        "pi": ("Anthropic", "claude-sonnet-4-5"),
        "copilot": ("OpenAIResponses", "gpt-5"),
    }
    for cli, (dialect, model) in clis.items():
        team.apply(
            agent(cli, cli),
            provider(cli, "tool", dialect),
            route(cli, candidate(cli, model)),
            agent_run(cli, cli, cli, stallTimeoutSeconds=90),
        )
    ended = {cli: summary(await team.done(cli)) for cli in clis}

    assert ended == dict.fromkeys(clis, ("True", "Succeeded"))
    assert refused_packets() == before
