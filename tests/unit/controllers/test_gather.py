"""What a decision looks at: what speaks against each candidate, in words that say what to do."""

import base64
from typing import Any, cast

import pytest

from droveway.api import names
from droveway.api.errors import UserMustAct
from droveway.api.v1alpha1 import AgentRun
from droveway.cluster.client import Cluster
from droveway.cluster.objects import Key
from droveway.controllers.gather import Gatherer
from droveway.controllers.secrets import Sources
from droveway.core.pod import PodSettings
from droveway.core.snapshot import Snapshot
from helpers.operator import Desk, run_manifest
from helpers.told import NOON, provider_manifest, route_manifest

RUN = Key("team", "fix-login")


def agent(name: str, cli: str, **spec: Any) -> dict[str, Any]:
    meta = {"name": name, "namespace": "team", "uid": f"uid-{name}"}
    return {"metadata": meta, "spec": {"cli": cli, "image": "i", **spec}}


def key_holder(kind: str, name: str, *keys: str) -> tuple[str, dict[str, Any]]:
    data = {key: base64.b64encode(b"x").decode() for key in keys}
    return kind, {"metadata": {"name": name, "namespace": "team"}, "data": data}


class Scout:
    """One run on a route with one candidate, and everything that it needs; a test takes something away."""

    def __init__(self, **run_spec: Any) -> None:
        self.desk = Desk()
        self.desk.add(names.MODEL_ROUTES, route_manifest(candidates=[line()]))
        self.desk.add(names.MODEL_PROVIDERS, provider_manifest("anthropic"))
        self.desk.add(names.AGENTS, agent("claude", "claude"))
        self.desk.api.put(*key_holder("secrets", "key", "apiKey"))
        manifest = run_manifest()
        manifest["spec"] |= run_spec
        self.desk.add(names.AGENT_RUNS, {**manifest, "spec": {k: v for k, v in manifest["spec"].items() if v}})
        cluster = cast("Cluster", self.desk.api)
        pods = PodSettings("ours", "http://operator", "http://gateway")
        self.gatherer = Gatherer(self.desk.world, Sources(cluster), self.desk.ledgers, pods)

    def run(self) -> AgentRun:
        found = self.desk.world.runs.get(RUN)
        assert isinstance(found, AgentRun)
        return found

    async def look(self) -> Snapshot:
        return await self.gatherer.gather(self.run(), None, NOON)

    async def objection(self) -> tuple[str, str]:
        (view,) = (await self.look()).candidates
        return view.not_ready or view.unfit or ("", "")

    def replace(self, plural: str, manifest: dict[str, Any]) -> None:
        self.desk.add(plural, manifest)


def line(**changes: Any) -> dict[str, Any]:
    return {"name": "a", "providerRef": {"name": "anthropic"}, "model": "sonnet", **changes}


async def test_when_all_is_there_nothing_speaks_against_it() -> None:
    scout = Scout()
    seen = await scout.look()
    assert (await scout.objection(), seen.problem, seen.pods) == (("", ""), None, ())
    role = scout.gatherer.role(scout.run(), "a")
    assert (role.agent_name, role.route_name, role.provider.dialect) == ("claude", "coding", "Anthropic")


@pytest.mark.parametrize(
    ("plural", "name", "reason", "says"),
    [
        pytest.param(names.MODEL_PROVIDERS, "anthropic", "ProviderNotFound", "ModelProvider anthropic", id="provider"),
        pytest.param(names.AGENTS, "claude", "AgentNotFound", "create Agent claude in namespace team", id="agent"),
    ],
)
async def test_what_is_missing_is_named(plural: str, name: str, reason: str, says: str) -> None:
    scout = Scout()
    scout.desk.take_away(plural, Key("team", name))
    found = await scout.objection()
    assert found[0] == reason
    assert says in found[1]
    with pytest.raises(UserMustAct, match="deleted meanwhile"):
        scout.gatherer.role(scout.run(), "a")


@pytest.mark.parametrize(
    ("keys", "reason", "says"),
    [
        pytest.param(None, "SecretNotFound", "needs Secret key in namespace team", id="no Secret"),
        pytest.param(("other",), "SecretKeyMissing", "Secret key has no key apiKey", id="no such key"),
    ],
)
async def test_a_provider_without_its_key_is_not_ready(keys: tuple[str, ...] | None, reason: str, says: str) -> None:
    scout = Scout()
    scout.desk.api.remove("secrets", "team", "key")
    if keys:
        scout.desk.api.put(*key_holder("secrets", "key", *keys))
    found = await scout.objection()
    assert found[0] == reason
    assert says in found[1]


async def test_a_candidates_own_agent_wins_over_the_runs() -> None:
    scout = Scout()
    scout.replace(names.AGENTS, agent("special", "claude"))
    scout.replace(names.MODEL_ROUTES, route_manifest(candidates=[line(agentRef={"name": "special"})]))
    assert scout.gatherer.role(scout.run(), "a").agent_name == "special"


async def test_without_any_agent_it_says_where_to_name_one() -> None:
    assert await Scout(agentRef=None).objection() == (
        "AgentNotFound",
        "set spec.agentRef of the run, or agentRef of the candidate",
    )


async def test_any_agent_fits_any_provider_behind_the_gateway_and_speaks_its_own_dialect() -> None:
    scout = Scout()
    scout.replace(names.MODEL_PROVIDERS, provider_manifest("anthropic", dialect="Gemini"))
    assert await scout.objection() == ("", "")
    assert ("ANTHROPIC_BASE_URL", "http://gateway") in scout.gatherer.role(scout.run(), "a").launch.env


@pytest.mark.parametrize(
    ("dialects", "portable"),
    [
        pytest.param(["OpenAIResponses"], False, id="its own dialect alone"),
        pytest.param(["OpenAIChat"], True, id="another"),
        pytest.param(["OpenAIResponses", "Gemini"], True, id="a mixed route"),
    ],
)
def test_codex_searches_the_web_only_where_no_request_is_converted(dialects: list[str], portable: bool) -> None:
    scout = Scout()
    scout.replace(names.AGENTS, agent("claude", "codex"))
    lines = [{**line(), "name": f"c{n}", "providerRef": {"name": f"p{n}"}} for n in range(len(dialects))]
    for number, dialect in enumerate(dialects):
        scout.replace(names.MODEL_PROVIDERS, provider_manifest(f"p{number}", dialect=dialect))
    scout.replace(names.MODEL_ROUTES, route_manifest(candidates=lines))
    config = dict(scout.gatherer.role(scout.run(), "c0").launch.files)[".codex/config.toml"]
    assert ('web_search = "disabled"' in config) is portable


class TestDirect:
    def scout(self, cli: str = "claude") -> Scout:
        scout = Scout()
        scout.replace(names.AGENTS, agent("claude", cli, **({"command": ["a"]} if cli == "custom" else {})))
        scout.replace(names.MODEL_PROVIDERS, provider_manifest("anthropic", access="Direct", maxInFlight=2))
        return scout

    async def test_only_the_official_cli_gets_a_login(self) -> None:
        reason, says = await self.scout("custom").objection()
        assert reason == "AgentInvalid"
        assert "official CLI" in says

    async def test_an_agent_must_not_send_the_login_elsewhere(self) -> None:
        scout = self.scout()
        env = [{"name": "ANTHROPIC_BASE_URL", "value": "https://elsewhere.test"}]
        scout.replace(names.AGENTS, agent("claude", "claude", env=env))
        reason, says = await scout.objection()
        assert reason == "AgentInvalid"
        assert (
            says
            == "spec.env ANTHROPIC_BASE_URL of the Agent would send a Direct login elsewhere; remove it from that Agent"
        )
        scout.gatherer.allow_direct_base_url = True
        assert await scout.objection() == ("", "")

    async def test_it_has_as_many_slots_as_it_says(self) -> None:
        scout, provider = self.scout(), Key("team", "anthropic")
        with scout.desk.world.starting(provider):
            assert await scout.objection() == ("", "")
            with scout.desk.world.starting(provider):
                assert (await scout.objection())[1] == "2 of 2 pods run on anthropic"


async def test_a_missing_route_is_the_problem() -> None:
    scout = Scout()
    scout.desk.take_away(names.MODEL_ROUTES, Key("team", "coding"))
    seen = await scout.look()
    assert seen.problem is not None
    assert seen.problem.message == "spec.routeRef: there is no ModelRoute coding in namespace team; create it"
    with pytest.raises(UserMustAct, match="no longer has a candidate a"):
        scout.gatherer.role(scout.run(), "a")


@pytest.mark.parametrize(
    ("ref", "kind", "plural"),
    [
        pytest.param("configMapKeyRef", "ConfigMap", "configmaps", id="ConfigMap"),
        pytest.param("secretKeyRef", "Secret", "secrets", id="Secret"),
    ],
)
async def test_a_prompt_that_is_not_there_is_the_problem(ref: str, kind: str, plural: str) -> None:
    async def problem(*held: str) -> str:
        scout = Scout(prompt=None, promptFrom={ref: {"name": "tasks", "key": "today"}})
        if held:
            scout.desk.api.put(*key_holder(plural, "tasks", *held))
        found = (await scout.look()).problem
        return found.message if found else ""

    assert await problem() == f"spec.promptFrom: there is no {kind} tasks in namespace team; create it"
    assert await problem("tomorrow") == f"spec.promptFrom: {kind} tasks has no key today; add it"
    assert await problem("today") == ""


async def test_a_run_with_a_pod_asks_for_no_secrets() -> None:
    scout = Scout()
    scout.desk.api.remove("secrets", "team", "key")
    scout.desk.world.pods.put(
        {
            "metadata": {
                "name": "p",
                "namespace": "team",
                "uid": "p",
                "creationTimestamp": "2026-11-21T12:00:00Z",
                "labels": {names.LABEL_ATTEMPT: "1", names.LABEL_RUN: "fix-login"},
                "ownerReferences": [{"kind": "AgentRun", "uid": scout.run().metadata.uid, "controller": True}],
            },
            "status": {"phase": "Running"},
        }
    )
    scout.desk.api.before = lambda verb, plural: pytest.fail(f"{verb} {plural}")
    seen = await scout.look()
    assert ([p.name for p in seen.pods], seen.candidates[0].not_ready) == (["p"], None)
