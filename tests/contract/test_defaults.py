"""Defaults are in the schema: what `kubectl get -o yaml` shows is what holds."""

from typing import Any

import pytest

from helpers.control_plane import Api
from helpers.manifests import AGENT, PROVIDER, ROUTE, RUN, changed

pytestmark = [pytest.mark.contract, pytest.mark.timeout(300)]


@pytest.mark.parametrize(
    ("manifest", "filled_in"),
    [
        pytest.param(AGENT, {"imagePullPolicy": "IfNotPresent"}, id="Agent"),
        pytest.param(
            PROVIDER,
            {"access": "Gateway", "maxInFlight": 32, "limits": {"defaultSeconds": 3600, "drainPercent": 90}},
            id="ModelProvider",
        ),
        pytest.param(
            ROUTE,
            {
                "strategy": "Priority",
                "onExhausted": "Wait",
                "circuitBreaker": {
                    "failureThreshold": 3,
                    "cooldownSeconds": 30,
                    "successThreshold": 1,
                    "halfOpenMaxProbes": 1,
                },
                "telemetry": {"windowSeconds": 3600, "staleSeconds": 600},
                "cache": {"mode": "OnRequest", "ttlSeconds": 86_400},
                "earlierThoughts": "Refuse",
                "midStream": "Error",
                "retry": {
                    "sameCandidate": 0,
                    "maxCandidates": 16,
                    "backoffMilliseconds": 250,
                    "maxBackoffMilliseconds": 5000,
                    "maxPercent": 20,
                },
                "candidates": [{**ROUTE["spec"]["candidates"][0], "weight": 1, "priority": 0}],
            },
            id="ModelRoute",
        ),
        pytest.param(
            RUN,
            {
                "timeoutSeconds": 3600,
                "stallTimeoutSeconds": 900,
                "retry": {"maxAttempts": 3, "backoffSeconds": 10, "onLimit": "Reroute", "maxReroutes": 10},
                "suspend": False,
                "cancel": False,
                "priority": 0,
            },
            id="AgentRun",
        ),
    ],
)
def test_the_least_manifest_is_filled_in(api: Api, namespace: str, manifest: Any, filled_in: Any) -> None:
    stored = api.create(manifest, namespace, dry_run=True)

    assert stored.body["spec"] == manifest["spec"] | filled_in


@pytest.mark.parametrize(
    ("manifest", "path", "expected"),
    [
        pytest.param(
            changed(ROUTE, {"spec.circuitBreaker": {"failureThreshold": 9}}),
            "circuitBreaker",
            {"failureThreshold": 9, "cooldownSeconds": 30, "successThreshold": 1, "halfOpenMaxProbes": 1},
            id="one of a group is given, the others keep theirs",
        ),
        pytest.param(
            changed(RUN, {"spec.workspace.volume": {}}),
            "workspace",
            {"volume": {"size": "1Gi"}},
            id="a volume has a size",
        ),
        pytest.param(
            changed(AGENT, {"spec.tolerations": [{"key": "gpu"}]}),
            "tolerations",
            [{"key": "gpu", "operator": "Equal"}],
            id="within lists too",
        ),
    ],
)
def test_defaults_reach_into_what_is_given(api: Api, namespace: str, manifest: Any, path: str, expected: Any) -> None:
    stored = api.create(manifest, namespace, dry_run=True)

    assert stored.body["spec"][path] == expected
