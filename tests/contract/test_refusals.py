"""A bad manifest is refused at once, and the refusal says which field, and what to write instead."""

from typing import Any

import pytest

from helpers.control_plane import Api
from helpers.manifests import ABSENT, AGENT, CUSTOM_AGENT, DIRECT_PROVIDER, PROVIDER, QUOTA, ROUTE, RUN, changed

pytestmark = [pytest.mark.contract, pytest.mark.timeout(300)]

Json = dict[str, Any]
CANDIDATE = ROUTE["spec"]["candidates"][0]
TWO = changed(ROUTE, {"spec.candidates": [CANDIDATE, CANDIDATE | {"name": "b"}]})
TRIED = {"candidate": CANDIDATE["name"]}
TRYING = changed(TWO, {"spec.canary": TRIED | {"maxLatencyIncreasePercent": 20}})
MIRRORING = changed(TWO, {"spec.mirror": {"candidate": "b"}})
GOOD = (TRYING, MIRRORING, AGENT, CUSTOM_AGENT, PROVIDER, DIRECT_PROVIDER, ROUTE, RUN)
KEY = {"name": "prompts", "key": "long.md"}


def bad(manifest: Json, changes: Json, field: str, remedy: str, id: str) -> Any:  # noqa: A002 - as pytest spells it
    return pytest.param(changed(manifest, changes), field, remedy, id=id)


AGENTS = [
    bad(AGENT, {"spec": ABSENT}, "spec", "Required value", "an Agent without a spec"),
    bad(AGENT, {"spec.cli": ABSENT}, "spec.cli", "Required value", "no CLI"),
    bad(AGENT, {"spec.cli": "cursor"}, "spec.cli", '"claude", "codex", "opencode"', "a CLI that we do not know"),
    bad(AGENT, {"spec.image": ABSENT}, "spec.image", "Required value", "no image"),
    bad(AGENT, {"spec.image": ""}, "spec.image", "at least 1 chars", "an empty image"),
    bad(AGENT, {"spec.image": "my agent:1"}, "spec.image", "without spaces", "an image with a space"),
    bad(AGENT, {"spec.image": "x" * 513}, "spec.image", "not be more than 512", "an image's name without end"),
    bad(AGENT, {"spec.imagePullPolicy": "Sometimes"}, "spec.imagePullPolicy", '"IfNotPresent"', "a pull policy"),
    bad(AGENT, {"spec.imgae": "x"}, "spec.imgae", "unknown field", "a slip of the pen"),
    bad(AGENT, {"spec.command": ["sh"]}, "spec.command", "use spec.args", "a command for a known CLI"),
    bad(CUSTOM_AGENT, {"spec.command": ABSENT}, "spec.command", "the argv to run", "custom without a command"),
    bad(CUSTOM_AGENT, {"spec.command": []}, "spec.command", "the argv to run", "custom with an empty command"),
    bad(AGENT, {"spec.args": ["-v"] * 65}, "spec.args", "at most 64 items", "arguments without end"),
    bad(AGENT, {"spec.env": [{"name": "1ST"}]}, "spec.env[0].name", "no digit in front", "a variable's name"),
    bad(AGENT, {"spec.env": [{"name": "A"}] * 2}, "spec.env[1]", "Duplicate value", "a variable twice"),
    bad(
        AGENT,
        {"spec.resources.requests": {"gpu": "1"}},
        "spec.resources.requests",
        "only cpu, memory and ephemeral-storage",
        "a resource that we do not pass on",
    ),
    bad(
        AGENT,
        {"spec.resources.limits": {"memory": "lots"}},
        "spec.resources.limits[memory]",
        "such as 500m, 2 or 4Gi",
        "a quantity in words",
    ),
    bad(
        AGENT,
        {"spec.resources.requests": {"cpu": -1}},
        "spec.resources.requests[cpu]",
        "such as 500m, 2 or 4Gi",
        "a negative quantity",
    ),
    bad(AGENT, {"spec.runtimeClassName": "g Visor"}, "spec.runtimeClassName", "kubectl get runtimeclass", "a runtime"),
    bad(
        AGENT,
        {"spec.nodeSelector": {f"key-{n}": "x" for n in range(17)}},
        "spec.nodeSelector",
        "at most 16 items",
        "a map without end",
    ),
]

QUOTAS = [
    bad(QUOTA, {"spec": {}}, "spec", "needs a limit: set maxInFlight, perMinute", "a quota without a limit"),
    bad(QUOTA, {"spec.mode": "Warn"}, "spec.mode", '"Enforce", "Shadow"', "a mode"),
    bad(
        QUOTA, {"spec.warnPercent": 101}, "spec.warnPercent", "less than or equal to 100", "a warning beyond the limit"
    ),
    bad(QUOTA, {"spec.perDay": {}}, "spec.perDay", "name a limit in it", "a day without a limit"),
    bad(
        QUOTA, {"spec.perMinute": {"maxCostUSD": "1"}}, "spec.perMinute.maxCostUSD", "unknown field", "money per minute"
    ),
    bad(QUOTA, {"spec.perHour": {"maxRequests": 1}}, "spec.perHour.maxRequests", "unknown field", "requests per hour"),
    bad(QUOTA, {"spec.perDay.maxTokens": 0}, "spec.perDay.maxTokens", "greater than or equal to 1", "no tokens"),
    bad(QUOTA, {"spec.perDay.maxCostUSD": 5}, "spec.perDay.maxCostUSD", "must be of type string", "money as a number"),
    bad(QUOTA, {"spec.perDay.maxCostUSD": "-5"}, "spec.perDay.maxCostUSD", "decimal number", "negative money"),
    bad(QUOTA, {"spec.maxInFlight": 0}, "spec.maxInFlight", "greater than or equal to 1", "nothing at once"),
]

PROVIDERS = [
    bad(
        PROVIDER,
        {"spec.quotaGroupMaxInFlight": 0},
        "spec.quotaGroupMaxInFlight",
        "greater than or equal to 1",
        "a quota group that lets nobody through",
    ),
    bad(PROVIDER, {"spec.dialect": "OpenAI"}, "spec.dialect", '"OpenAIChat", "OpenAIResponses"', "half a dialect"),
    bad(PROVIDER, {"spec.access": "Proxy"}, "spec.access", '"Gateway", "Direct"', "an access"),
    bad(PROVIDER, {"spec.baseURL": ABSENT}, "spec.baseURL", "needs spec.baseURL", "Gateway without an address"),
    bad(PROVIDER, {"spec.baseURL": "api.anthropic.com"}, "spec.baseURL", "http:// or https://", "no scheme"),
    bad(PROVIDER, {"spec.baseURL": "https://me:pw@host"}, "spec.baseURL", "without credentials", "a password in a URL"),
    bad(PROVIDER, {"spec.baseURL": "https://host?key=1"}, "spec.baseURL", "without credentials, query", "a query"),
    bad(DIRECT_PROVIDER, {"spec.dialect": "Gemini"}, "spec.access", "only dialect Anthropic", "Direct but for claude"),
    bad(
        DIRECT_PROVIDER,
        {"spec.credentialsRef": ABSENT},
        "spec.credentialsRef",
        "the Secret that holds the CLI's login",
        "Direct without a login",
    ),
    bad(PROVIDER, {"spec.credentialsRef.key": ABSENT}, "spec.credentialsRef.key", "Required value", "a Secret, no key"),
    bad(PROVIDER, {"spec.credentialsRef.key": "a/b"}, "spec.credentialsRef.key", "letters, digits, dashes", "a path"),
    bad(PROVIDER, {"spec.quotaGroup": "Team A"}, "spec.quotaGroup", "lower-case letters", "a quota group's name"),
    bad(PROVIDER, {"spec.maxInFlight": 0}, "spec.maxInFlight", "greater than or equal to 1", "no requests at all"),
    bad(PROVIDER, {"spec.maxInFlight": "8"}, "spec.maxInFlight", "must be of type integer", "a number in quotes"),
    bad(PROVIDER, {"spec.limits.defaultSeconds": 0}, "spec.limits.defaultSeconds", "or equal to 1", "a limit of 0 s"),
    bad(
        PROVIDER,
        {"spec.limits.signatures": ["quota (spent"]},
        "spec.limits.signatures[0]",
        "regular expression that compiles",
        "an open parenthesis",
    ),
    bad(
        PROVIDER,
        {"metadata.name": "p" * 64},
        "metadata.name",
        "at most 63 characters",
        "a provider's name that fits no label",
    ),
]

ROUTES = [
    bad(
        ROUTE,
        {"spec.retry": {"backoffMilliseconds": 2000, "maxBackoffMilliseconds": 1000}},
        "spec.retry",
        "raise maxBackoffMilliseconds",
        "a first wait that is longer than the longest",
    ),
    bad(ROUTE, {"spec.hedge": {}}, "spec.hedge.afterMilliseconds", "Required value", "a hedge without its moment"),
    bad(
        ROUTE,
        {"spec.timeouts": {"idleSeconds": 0}},
        "spec.timeouts.idleSeconds",
        "greater than or equal to 1",
        "no time",
    ),
    bad(ROUTE, {"spec.midStream": "Hide"}, "spec.midStream", "supported values", "an unknown way to go on"),
    bad(ROUTE, {"spec.candidates": ABSENT}, "spec.candidates", "Required value", "no candidates"),
    bad(ROUTE, {"spec.candidates": []}, "spec.candidates", "at least 1 items", "an empty list of candidates"),
    bad(
        ROUTE,
        {"spec.candidates": [CANDIDATE | {"name": f"c{n}"} for n in range(17)]},
        "spec.candidates",
        "at most 16 items",
        "seventeen candidates",
    ),
    bad(ROUTE, {"spec.candidates": [CANDIDATE] * 2}, "spec.candidates[1]", "Duplicate value", "a candidate twice"),
    bad(ROUTE, {"spec.candidates.0.name": "Sonnet 4"}, "spec.candidates[0].name", "lower-case letters", "its name"),
    bad(ROUTE, {"spec.candidates.0.model": ABSENT}, "spec.candidates[0].model", "Required value", "no model"),
    bad(ROUTE, {"spec.candidates.0.model": "gpt 5"}, "spec.candidates[0].model", "without spaces", "a model's name"),
    bad(
        ROUTE,
        {"spec.candidates.0.providerRef": ABSENT},
        "spec.candidates[0].providerRef",
        "Required value",
        "a candidate of nobody",
    ),
    bad(ROUTE, {"spec.candidates.0.weight": -1}, "spec.candidates[0].weight", "or equal to 0", "a negative weight"),
    bad(ROUTE, {"spec.strategy": "Random"}, "spec.strategy", '"Priority", "Weighted"', "a strategy"),
    bad(ROUTE, {"spec.onExhausted": "Default"}, "spec.onExhausted", '"Wait", "Fail"', "a silent default"),
    bad(
        ROUTE,
        {"spec.circuitBreaker.failureThreshold": 0},
        "spec.circuitBreaker.failureThreshold",
        "greater than or equal to 1",
        "a breaker that is open from the start",
    ),
    bad(
        ROUTE,
        {"spec.telemetry.windowSeconds": 10},
        "spec.telemetry.windowSeconds",
        "greater than or equal to 60",
        "a window too short to say anything",
    ),
    bad(
        ROUTE,
        {"spec.telemetry.windowSeconds": 604_801},
        "spec.telemetry.windowSeconds",
        "less than or equal to 604800",
        "a window of more than a week",
    ),
    bad(
        ROUTE,
        {"spec.canary": TRIED | {"candidate": "nobody"}},
        "spec.canary.candidate",
        "none of spec.candidates",
        "a canary that is no candidate",
    ),
    bad(
        ROUTE,
        {"spec.mirror": {"candidate": "nobody"}},
        "spec.mirror.candidate",
        "none of spec.candidates",
        "a mirror that is no candidate",
    ),
    bad(ROUTE, {"spec.canary": TRIED}, "spec.candidates", "neither the canary nor the mirror", "a canary alone"),
    bad(
        TWO,
        {"spec.canary": TRIED, "spec.mirror": {"candidate": TRIED["candidate"]}},
        "spec.mirror.candidate",
        "cannot be the canary",
        "a canary that is the mirror",
    ),
    bad(TWO, {"spec.canary": {}}, "spec.canary.candidate", "Required value", "a canary of nobody"),
    bad(
        TWO,
        {"spec.canary": TRIED | {"percent": 51}},
        "spec.canary.percent",
        "less than or equal to 50",
        "more than a canary",
    ),
    bad(
        TWO,
        {"spec.canary": TRIED | {"percent": 0}},
        "spec.canary.percent",
        "greater than or equal to 1",
        "a canary of nothing",
    ),
    bad(
        TWO,
        {"spec.canary": TRIED | {"minSamples": 0}},
        "spec.canary.minSamples",
        "or equal to 1",
        "a verdict on nothing",
    ),
    bad(
        TWO,
        {"spec.canary": TRIED | {"maxErrorRateIncreasePercent": 101}},
        "spec.canary.maxErrorRateIncreasePercent",
        "equal to 100",
        "points",
    ),
    bad(
        TWO,
        {"spec.mirror": {"candidate": "b", "percent": 101}},
        "spec.mirror.percent",
        "or equal to 100",
        "more copies than requests",
    ),
]

RUNS = [
    bad(RUN, {"spec.routeRef": ABSENT}, "spec.routeRef", "Required value", "no route"),
    bad(RUN, {"spec.routeRef.name": "My Route"}, "spec.routeRef.name", "lower-case letters", "a route's name"),
    bad(RUN, {"spec.prompt": ABSENT}, "spec", "exactly one of spec.prompt and spec.promptFrom", "nothing to do"),
    bad(
        RUN,
        {"spec.promptFrom": {"configMapKeyRef": KEY}},
        "spec",
        "exactly one of spec.prompt and spec.promptFrom",
        "two prompts",
    ),
    bad(RUN, {"spec.prompt": ""}, "spec.prompt", "at least 1 chars", "an empty prompt"),
    bad(RUN, {"spec.prompt": "x" * 32_001}, "spec.prompt", "not be more than 32000", "a prompt for promptFrom"),
    bad(
        RUN,
        {"spec.prompt": ABSENT, "spec.promptFrom": {}},
        "spec.promptFrom",
        "exactly one of spec.promptFrom.configMapKeyRef",
        "a prompt from nowhere",
    ),
    bad(
        RUN,
        {"spec.prompt": ABSENT, "spec.promptFrom": {"configMapKeyRef": KEY, "secretKeyRef": KEY}},
        "spec.promptFrom",
        "exactly one of spec.promptFrom.configMapKeyRef",
        "a prompt from two places",
    ),
    bad(
        RUN,
        {"spec.workspace": {"volumeClaimName": "mine", "emptyDir": {}}},
        "spec.workspace",
        "at most one of spec.workspace.volume",
        "two workspaces",
    ),
    bad(
        RUN,
        {"spec.workspace.volume.size": "5 GB"},
        "spec.workspace.volume.size",
        "such as 500m, 2 or 4Gi",
        "a size with a space",
    ),
    bad(RUN, {"spec.budget.maxCostUSD": "$2.50"}, "spec.budget.maxCostUSD", 'such as "2.50"', "a currency sign"),
    bad(RUN, {"spec.budget.maxCostUSD": 2.5}, "spec.budget.maxCostUSD", "must be of type string", "a float"),
    bad(RUN, {"spec.budget.maxTokens": 0}, "spec.budget.maxTokens", "or equal to 1", "no tokens at all"),
    bad(RUN, {"spec.timeoutSeconds": 0}, "spec.timeoutSeconds", "greater than or equal to 1", "no time"),
    bad(RUN, {"spec.timeoutSeconds": 604_801}, "spec.timeoutSeconds", "less than or equal to 604800", "over a week"),
    bad(RUN, {"spec.timeoutSeconds": "1h"}, "spec.timeoutSeconds", "must be of type integer", "a unit"),
    bad(RUN, {"spec.retry.maxAttempts": 0}, "spec.retry.maxAttempts", "or equal to 1", "no attempt"),
    bad(RUN, {"spec.retry.onLimit": "Retry"}, "spec.retry.onLimit", '"Reroute", "Wait", "Fail"', "onLimit"),
    bad(RUN, {"spec.priority": 1001}, "spec.priority", "less than or equal to 1000", "a priority"),
    bad(RUN, {"spec.suspend": "yes"}, "spec.suspend", "must be of type boolean", "yes"),
    bad(RUN, {"metadata.name": "r" * 49}, "metadata.name", "at most 48 characters", "a run's name"),
]


@pytest.mark.parametrize(("manifest", "field", "remedy"), [*AGENTS, *PROVIDERS, *QUOTAS, *ROUTES, *RUNS])
def test_refused(api: Api, namespace: str, manifest: Json, field: str, remedy: str) -> None:
    answer = api.create(manifest, namespace, dry_run=True)

    assert answer.refused, "the API server took it"
    objections = answer.causes or [(field, answer.body["message"])]
    said = [message for at, message in objections if at == field]
    assert said, f"nothing about {field} in {objections}"
    assert any(remedy in message for message in said), said
    assert field.rsplit(".", 1)[-1] in answer.body["message"]


@pytest.mark.parametrize("manifest", GOOD, ids=[m["metadata"]["name"] for m in GOOD])
def test_what_the_refusals_differ_from_is_accepted(api: Api, namespace: str, manifest: Json) -> None:
    answer = api.create(manifest, namespace, dry_run=True)

    assert not answer.refused, answer.body["message"]
