"""What is written of a canary, a mirror and a candidate that comes back: a real API server keeps all of it, and no more."""

from typing import Any

import pytest

from droveway.api.names import API_VERSION
from droveway.api.v1alpha1 import ModelRouteStatus
from helpers.control_plane import Api, collection
from helpers.seen import Seen
from helpers.told import after, batch, completion, outage

pytestmark = [pytest.mark.contract, pytest.mark.timeout(300)]

TRIED: dict[str, Any] = {"canary": {"candidate": "b", "minSamples": 2}, "mirror": {"candidate": "own"}}


def manifest(seen: Seen, name: str) -> dict[str, Any]:
    spec = seen.route.spec.to_wire()
    return {"apiVersion": API_VERSION, "kind": "ModelRoute", "metadata": {"name": name}, "spec": spec}


def told(seen: Seen) -> ModelRouteStatus:
    """Candidate a has come back from an outage, and b fails."""
    seen.at(50).ledger.apply(batch(completion(4, 50, started_at=after(45))), after(50), lambda *_: True)
    failed = outage(5, 50, candidate="b", provider="openai", model="gpt")
    seen.ledger.apply(batch(failed, source="ab" * 16), after(50), lambda *_: True)
    return seen.status()


def test_the_status_is_kept_as_it_was_written(api: Api, namespace: str) -> None:
    seen = Seen(*(outage(n, n) for n in (1, 2, 3)), **TRIED)
    status = told(seen)
    assert (status.candidates[0].share_percent, status.canary and status.canary.phase) == (10, "Progressing")
    route = manifest(seen, "status-of-a-trial")
    path = f"{collection(route, namespace)}/status-of-a-trial"
    assert not api.create(route, namespace).refused
    written = api.apply({**route, "status": status.to_wire()}, f"{path}/status")
    assert not written.refused, written.body
    assert ModelRouteStatus.model_validate(written.body["status"]) == status


def test_nothing_of_a_trial_stays_when_it_is_over(api: Api, namespace: str) -> None:
    seen = Seen(*(outage(n, n) for n in (1, 2, 3)), **TRIED)
    route = manifest(seen, "end-of-a-trial")
    path = f"{collection(route, namespace)}/end-of-a-trial/status"
    assert not api.create(route, namespace).refused
    api.apply({**route, "status": told(seen).to_wire()}, path)
    plain = Seen()
    written = api.apply({**manifest(plain, "end-of-a-trial"), "status": plain.status().to_wire()}, path)
    assert not written.refused, written.body
    assert not {"canary", "mirror"} & written.body["status"].keys()
    assert not any("recoveredTime" in c for c in written.body["status"]["candidates"])
