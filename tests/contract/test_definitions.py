"""What the API server makes of our CustomResourceDefinitions, and what `kubectl` shows of them."""

from typing import Any

import pytest
import yaml

from droveway.api.names import API_VERSION, CATEGORY, GROUP
from droveway.api.v1alpha1 import KINDS
from helpers.control_plane import ROOT, Api, collection, condition
from helpers.manifests import PROVIDER, ROUTE, RUN, changed

pytestmark = [pytest.mark.contract, pytest.mark.timeout(300)]

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
NOW = "2026-01-02T03:04:05Z"
PLURALS = [kind.plural for kind in KINDS]


@pytest.mark.parametrize("plural", PLURALS)
def test_each_is_established_and_structural(api: Api, plural: str) -> None:
    found = api.call("GET", f"{DEFINITIONS}/{plural}.{GROUP}").body

    assert condition(found, "Established") == "True"
    assert condition(found, "NamesAccepted") == "True"
    assert condition(found, "NonStructuralSchema") is None


@pytest.mark.parametrize("plural", PLURALS)
def test_what_is_served_is_what_is_committed(api: Api, plural: str) -> None:
    """Nothing of it was dropped on the way in."""
    committed = yaml.safe_load((ROOT / "crds" / f"{GROUP}_{plural}.yaml").read_text())
    served = api.call("GET", f"{DEFINITIONS}/{plural}.{GROUP}").body

    assert served["spec"]["versions"] == committed["spec"]["versions"]


def test_short_names_and_category(api: Api) -> None:
    found = api.call("GET", f"/apis/{API_VERSION}").body["resources"]
    whole = {r["name"]: r for r in found if "/" not in r["name"]}

    assert {name: r["shortNames"] for name, r in whole.items()} == {
        "agents": ["agt"],
        "agentruns": ["arun"],
        "modelproviders": ["mprov"],
        "modelroutes": ["mroute"],
        "tenantquotas": ["tquota"],
    }
    assert all(r["categories"] == [CATEGORY] and r["namespaced"] for r in whole.values())
    assert {r["name"] for r in found if "/" in r["name"]} == {f"{n}/status" for n in whole if n != "agents"}


STANDING = {"type": "Ready", "status": "True", "lastTransitionTime": NOW, "reason": "Valid", "message": "fine"}
SUMMARY = {
    "type": "Succeeded",
    "status": "Unknown",
    "lastTransitionTime": NOW,
    "reason": "NoEligibleCandidate",
    "message": "waits for the reset",
}


@pytest.mark.parametrize(
    ("manifest", "status", "plain", "wide"),
    [
        pytest.param(
            PROVIDER,
            {
                "conditions": [STANDING],
                "limits": [
                    {"quotaGroup": "a", "model": "", "kind": "SubscriptionLimit", "setTime": NOW, "untilTime": NOW}
                ],
                "utilization": [{"window": "5h", "usedPercent": 93, "resetTime": NOW, "observedTime": NOW}],
                "usedSummary": "5h:93%",
            },
            {
                "Dialect": "Anthropic",
                "Access": "Gateway",
                "Ready": "True",
                "Reason": "Valid",
                "Used": "5h:93%",
                "Limited-Until": NOW,
            },
            {"Message": "fine"},
            id="ModelProvider",
        ),
        pytest.param(
            ROUTE,
            {
                "conditions": [STANDING, STANDING | {"type": "Limited", "status": "False"}],
                "eligibleSummary": "1/1",
                "candidateSummary": "sonnet Closed 98% 1240ms",
            },
            {"Strategy": "Priority", "Ready": "True", "Eligible": "1/1", "Limited": "False"},
            {"Candidates": "sonnet Closed 98% 1240ms", "Message": "fine"},
            id="ModelRoute",
        ),
        pytest.param(
            RUN,
            {
                "conditions": [SUMMARY],
                "route": {"candidate": "sonnet", "provider": "anthropic", "model": "m", "reason": "first by priority"},
                "attemptCount": 2,
                "rerouteCount": 1,
                "nextEligibleTime": NOW,
                "traceID": "0af7651916cd43dd8448eb211c80319c",
                "usage": {"costUSD": "0.12", "tokens": {"total": 1242}},
            },
            {"Status": "NoEligibleCandidate", "Candidate": "sonnet", "Model": "m", "Attempts": 2, "Cost": "0.12"},
            {
                "Tokens": 1242,
                "Reroutes": 1,
                "Why": "first by priority",
                "Trace": "0af7651916cd43dd8448eb211c80319c",
                "Until": NOW,
                "Message": "waits for the reset",
            },
            id="AgentRun",
        ),
    ],
)
def test_columns_answer_what_why_where_and_how_much(
    api: Api, namespace: str, manifest: Any, status: Any, plain: Any, wide: Any
) -> None:
    mine = changed(manifest, {"metadata.name": "shown"})
    api.create(mine, namespace)
    written = api.patch(mine, namespace, {"status": status}, "/status")
    assert not written.refused, written.body["message"]

    table = _table(api, f"{collection(mine, namespace)}/shown")

    cells = dict(zip((c["name"] for c in table["columnDefinitions"]), table["rows"][0]["cells"], strict=True))
    assert cells.pop("Name") == "shown"
    assert cells.pop("Age")
    assert cells == plain | wide
    shown = {c["name"] for c in table["columnDefinitions"] if c["priority"] == 0}
    assert shown == plain.keys() | {"Name", "Age"}


def test_a_new_run_shows_no_made_up_numbers(api: Api, namespace: str) -> None:
    """Status has no defaults: what was not seen yet is empty, not zero."""
    mine = changed(RUN, {"metadata.name": "fresh"})

    created = api.create(mine, namespace)

    assert "status" not in created.body


class TestStatusSubresource:
    def test_a_spec_write_leaves_the_status_alone(self, api: Api, namespace: str) -> None:
        mine = changed(RUN, {"metadata.name": "apart", "status": {"attemptCount": 7}})
        assert "status" not in api.create(mine, namespace).body
        api.patch(mine, namespace, {"status": {"attemptCount": 1}}, "/status")

        after = api.patch(mine, namespace, {"spec": {"suspend": True}, "status": {"attemptCount": 9}})

        assert after.body["spec"]["suspend"] is True
        assert after.body["status"]["attemptCount"] == 1
        assert after.body["metadata"]["generation"] == 2

    def test_a_status_write_leaves_the_spec_alone(self, api: Api, namespace: str) -> None:
        mine = changed(RUN, {"metadata.name": "apart-too"})
        api.create(mine, namespace)

        after = api.patch(mine, namespace, {"spec": {"cancel": True}, "status": {"attemptCount": 1}}, "/status")

        assert after.body["spec"]["cancel"] is False
        assert after.body["status"]["attemptCount"] == 1
        assert after.body["metadata"]["generation"] == 1

    def test_a_wrong_status_is_refused(self, api: Api, namespace: str) -> None:
        mine = changed(RUN, {"metadata.name": "wrong-status"})
        api.create(mine, namespace)

        after = api.patch(mine, namespace, {"status": {"health": "Fine"}}, "/status")

        assert after.refused
        assert 'supported values: "Healthy"' in dict(after.causes)["status.health"]


def _table(api: Api, path: str) -> Any:
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    return api.http.get(path, headers={"accept": accept}).json()
