"""Ten times `kill -9` against operator and gateway while runs of every kind are under way: each run still ends exactly once.

Moments and victims are random; the seed is printed, and `DROVEWAY_SEED` plays it again. The processes are killed inside
the node, so nobody is told: no SIGTERM, no drain, no last word.
"""

import asyncio
import os
import random
import re
import subprocess
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest
from kubernetes_asyncio import watch

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

KILLS, FIRST_SECONDS, LAST_SECONDS = 10, 4.0, 80.0
PATIENCE_SECONDS = 150
TERMINAL = ("True", "False")

# $1: subcommand, $2: uid of the pod as it is in its cgroup's name.
KILL = r"""
for process in /proc/[0-9]*; do
  grep -q "$2" "$process/cgroup" 2>/dev/null || continue
  tr '\0' ' ' <"$process/cmdline" | grep -q "droveway $1 *$" && kill -9 "${process#/proc/}" && echo "${process#/proc/}"
done
true
"""

# Fails twice, then succeeds; the count is kept in the workspace.
FLAKY = "n=$(($(cat n 2>/dev/null || echo 0) + 1)); echo $n >n; echo attempt $n; sleep 8; [ $n -ge 3 ] || exit 3"


async def test_ten_kills_and_every_run_ends_exactly_once(team: Team) -> None:
    seed = int(os.environ.get("DROVEWAY_SEED") or random.SystemRandom().randrange(10**6))
    print(f"DROVEWAY_SEED={seed}")
    async with pods_ever(team) as created, summaries_ever(team) as ended:
        names = start_runs(team)
        killed = await kill_at_random(random.Random(seed))
        print(f"killed: {killed}")
        runs = {name: await team.done(name, PATIENCE_SECONDS) for name in names}
        await asyncio.sleep(5)  # an outcome that is changed, or a pod too many, would come now
        runs = {name: await team.get(name) for name in names}

    assert len(killed) == KILLS
    assert {kind for kind, _ in killed} == {"operator", "gateway"}
    for name, run in runs.items():
        one_outcome(run, ended[name])
        pods_are_attempts(run, created[name])
        well_told(run)
        nothing_counted_twice(team, run)
    ended_as_expected(runs)


def start_runs(team: Team) -> list[str]:
    """Two that spend a window, two that use a tool, a subscription that is spent, three shells."""
    patient: dict[str, Any] = {"retry": {"maxAttempts": 6, "backoffSeconds": 1, "maxReroutes": 20}}
    volume: dict[str, Any] = {"workspace": {"volume": {"size": "16Mi"}}}
    team.apply(agent("claude", "claude"), agent("codex", "codex"))
    for n in "12":
        team.apply(
            provider(f"spent-{n}", "usage_limit,skip=1,before=tool,window=45,gap=0.5"),
            provider(f"spare-{n}", "tool,gap=1"),
            provider(f"plain-{n}", "tool,gap=1.5"),
            route(f"window-{n}", candidate(f"spent-{n}"), candidate(f"spare-{n}", model="claude-opus-4-5")),
            route(f"tool-{n}", candidate(f"plain-{n}")),
        )
    login: dict[str, Any] = {"access": "Direct", "credentialsRef": {"name": "login", "key": "token"}}
    team.apply(
        provider("subscription", "usage_limit,skip=1,before=tool,window=300,gap=0.5", **login),
        provider("codex", "ok,gap=1", "OpenAIResponses"),
        provider("unused", "ok"),
        route(
            "direct", candidate("subscription", agent="claude"), candidate("codex", model="gpt-5-codex", agent="codex")
        ),
        route("shell", candidate("unused")),
        shell_agent("flaky", FLAKY),
        shell_agent("broken", "sleep 12; exit 4"),
        shell_agent("long", "sleep 70"),
    )
    team.apply(
        *(agent_run(name, name, "claude", **patient) for name in ("window-1", "window-2", "tool-1", "tool-2")),
        agent_run("direct", "direct", **volume, **patient),
        agent_run("flaky", "shell", "flaky", **volume, retry={"maxAttempts": 3, "backoffSeconds": 1}),
        agent_run("broken", "shell", "broken", retry={"maxAttempts": 2, "backoffSeconds": 1}),
        agent_run("long", "shell", "long", retry={"maxAttempts": 1}),
    )
    return ["window-1", "window-2", "tool-1", "tool-2", "direct", "flaky", "broken", "long"]


# -- what is killed --------------------------------------------------------------------------------------------------


async def kill_at_random(dice: random.Random) -> list[tuple[str, int]]:
    """Kills as often as said, half of it operators, at moments that the dice choose; which, and their process ids."""
    kinds = ["operator", "gateway"] * (KILLS // 2)
    dice.shuffle(kinds)
    moments = sorted(dice.uniform(FIRST_SECONDS, LAST_SECONDS) for _ in kinds)
    began, killed = asyncio.get_running_loop().time(), []
    for moment, kind in zip(moments, kinds, strict=True):
        await asyncio.sleep(max(0.0, began + moment - asyncio.get_running_loop().time()))
        killed.append((kind, await kill_one(kind, dice)))
    return killed


async def kill_one(kind: str, dice: random.Random) -> int:
    """Waits until one runs, kills it; the process id.

    A second death of the same operator takes its pod along: the kubelet would let it rest, and the successor is then
    another identity that has to wait for the Lease. A gateway keeps its pod and rests: were its address to go, a CLI that
    is just connecting to it would wait for the kernel's two minutes.
    """
    async with asyncio.timeout(60):
        while True:
            pods = await asyncio.to_thread(running, kind)
            dice.shuffle(pods)
            for pod in pods:
                if pid := await asyncio.to_thread(kill, pod, kind):
                    if kind == "operator" and pod["status"]["containerStatuses"][0]["restartCount"]:
                        name = pod["metadata"]["name"]
                        await asyncio.to_thread(
                            kubectl, "-n", SYSTEM, "delete", "pod", name, "--grace-period=0", "--force"
                        )
                    return pid
            await asyncio.sleep(0.3)


def running(kind: str) -> list[Manifest]:
    pods = kubectl_json("-n", SYSTEM, "get", "pods", "-l", f"app.kubernetes.io/component={kind}")["items"]
    states = [(p, p["status"].get("containerStatuses", [{}])[0].get("state", {})) for p in pods]
    return [pod for pod, state in states if "running" in state]


def kill(pod: Manifest, kind: str) -> int:
    """The id of the process that was killed, 0 when it was not there."""
    uid = pod["metadata"]["uid"].replace("-", "[-_]")
    node = pod["spec"]["nodeName"]
    done = subprocess.run(
        ["docker", "exec", node, "sh", "-c", KILL, "sh", kind, uid], capture_output=True, text=True, check=True
    )
    return int((done.stdout.split() or ["0"])[0])


# -- what is seen ----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def pods_ever(team: Team) -> AsyncIterator[defaultdict[str, dict[str, str]]]:
    """Per run: uid and name of every pod that was ever created for it."""
    seen: defaultdict[str, dict[str, str]] = defaultdict(dict)

    def note(pod: Manifest) -> None:
        meta = pod["metadata"]
        seen[meta["labels"]["droveway.dev/run"]][meta["uid"]] = meta["name"]

    async with watching(note, team.core.list_namespaced_pod, team.namespace, label_selector="droveway.dev/run"):
        yield seen


@asynccontextmanager
async def summaries_ever(team: Team) -> AsyncIterator[defaultdict[str, set[tuple[str, ...]]]]:
    """Per run: every terminal summary that it ever showed, with the time of completion."""
    seen: defaultdict[str, set[tuple[str, ...]]] = defaultdict(set)

    def note(run: Manifest) -> None:
        found = condition(run, "Succeeded")
        if found.get("status") in TERMINAL:
            end = run["status"].get("completionTime", "")
            seen[run["metadata"]["name"]].add((found["status"], found["reason"], found["message"], end))

    what = ("droveway.dev", "v1alpha1", team.namespace, "agentruns")
    async with watching(note, team.objects.list_namespaced_custom_object, *what):
        yield seen


@asynccontextmanager
async def watching(note: Any, listing: Any, *args: str, **options: str) -> AsyncIterator[None]:
    async def follow() -> None:
        async for event in watch.Watch().stream(listing, *args, **options):
            note(event["raw_object"])

    task = asyncio.create_task(follow())
    try:
        yield
        assert not task.done(), f"the watch broke off: {task}"
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


# -- what must hold --------------------------------------------------------------------------------------------------


def one_outcome(run: Manifest, summaries: set[tuple[str, ...]]) -> None:
    name, status = run["metadata"]["name"], run["status"]
    assert len(summaries) == 1, f"{name}: {summaries}"
    assert status["completionTime"], name
    kinds = Counter(c["type"] for c in status["conditions"])
    assert set(kinds.values()) == {1}, (name, kinds)
    assert condition(run, "Succeeded")["status"] in TERMINAL
    assert condition(run, "Running")["status"] == "False", name
    assert status.get("nextEligibleTime") is None, name


def pods_are_attempts(run: Manifest, pods: dict[str, str]) -> None:
    name, status = run["metadata"]["name"], run["status"]
    assert len(pods) == status["attemptCount"], f"{name}: {sorted(pods.values())}"
    assert len(set(pods.values())) == len(pods), f"{name}: an attempt had two pods: {sorted(pods.values())}"
    attempts = status["attempts"]
    assert len(attempts) == min(status["attemptCount"], 10), name
    assert {a["podName"] for a in attempts} <= set(pods.values()), name
    numbers = [a["number"] for a in attempts]
    assert numbers == list(range(numbers[0], status["attemptCount"] + 1)), (name, numbers)


def well_told(run: Manifest) -> None:
    """Each attempt says how and when it ended, one after the other; the moves fit to them."""
    name, status = run["metadata"]["name"], run["status"]
    attempts, moves = status["attempts"], status.get("reroutes", [])
    for each in attempts:
        assert each["class"], (name, each)
        assert _time(each["startTime"]) <= _time(each["endTime"]), (name, each)
    for one, following in pairwise(attempts):
        assert _time(one["endTime"]) <= _time(following["startTime"]), (name, one, following)
        assert one["class"] != "Succeeded", f"{name}: nothing follows a success"
    assert (attempts[-1]["class"] == "Succeeded") == (summary(run) == ("True", "Succeeded")), name
    assert status.get("rerouteCount", 0) >= len(moves), name
    assert status.get("rerouteCount", 0) == len(moves) or len(moves) == 10, name
    assert all(move["from"] != move["to"] for move in moves), (name, moves)
    between = [
        (one["candidate"], two["candidate"]) for one, two in pairwise(attempts) if one["candidate"] != two["candidate"]
    ]
    if len(moves) < 10 and status["attemptCount"] <= 10:
        assert [(m["from"], m["to"]) for m in moves if m["depth"] == "Run"] == between, name


def nothing_counted_twice(team: Team, run: Manifest) -> None:
    """Usage is a sum of what the provider really served; a killed gateway may have lost its last second."""
    name, usage = run["metadata"]["name"], run["status"].get("usage", {})
    tokens, models = usage.get("tokens", {}), usage.get("byModel", [])
    assert all(count >= 0 for count in tokens.values()), (name, tokens)
    assert tokens.get("total", 0) == sum(count for kind, count in tokens.items() if kind != "total"), (name, tokens)
    assert usage.get("completions", 0) == sum(m.get("completions", 0) for m in models), (name, usage)
    assert re.fullmatch(r"\d+(\.\d+)?", usage.get("costUSD") or "0"), (name, usage)
    for each in models:
        calls = [call["status"] for call in team.calls(each["provider"])]
        assert 0 <= each.get("completions", 0) <= len(calls), (name, each, calls)
        assert 0 <= each.get("completions", 0) - each.get("failures", 0) <= calls.count(200), (name, each, calls)


def ended_as_expected(runs: dict[str, Manifest]) -> None:
    for name in ("window-1", "window-2", "tool-1", "tool-2", "direct"):
        assert summary(runs[name]) == ("True", "Succeeded"), (name, runs[name]["status"])
    classes = {
        name: [a["class"] for a in runs[name]["status"]["attempts"]] for name in ("flaky", "broken", "long", "direct")
    }
    assert classes["flaky"] == ["AgentFailed", "AgentFailed", "Succeeded"]
    assert classes["broken"] == ["AgentFailed", "AgentFailed"]
    assert summary(runs["broken"]) == ("False", "AgentFailed")
    assert classes["long"] == ["Succeeded"]
    assert classes["direct"][0] == "SubscriptionLimit", "what a Direct CLI says does not go through a gateway"


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
