"""The ConfigMap of a route's ledger."""

from typing import Any

import pytest

from droveway.core.telemetrymap import SELECTOR, belongs_to, map_name, route_of, telemetry_map

MADE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {
        "name": "droveway-telemetry-coding",
        "namespace": "team",
        "labels": {"app.kubernetes.io/managed-by": "droveway"},
        "ownerReferences": [
            {
                "apiVersion": "droveway.dev/v1alpha1",
                "kind": "ModelRoute",
                "name": "coding",
                "uid": "route-uid",
                "controller": True,
            }
        ],
    },
    "data": {"meta": "{}"},
}


def test_it_is_the_routes_and_goes_with_it() -> None:
    made = telemetry_map("team", "coding", "route-uid", "", {"meta": "{}"})

    assert made == MADE
    assert SELECTOR == "app.kubernetes.io/managed-by=droveway"
    assert (map_name("coding"), route_of(made)) == ("droveway-telemetry-coding", "coding")
    assert (belongs_to(made, "route-uid"), belongs_to(made, "its-namesake")) == (True, False)


def test_with_a_version_it_replaces_that_one_alone() -> None:
    assert telemetry_map("team", "coding", "route-uid", "7", {})["metadata"]["resourceVersion"] == "7"


@pytest.mark.parametrize("owners", [{}, {"ownerReferences": None}, {"ownerReferences": []}])
def test_a_map_without_an_owner_is_nobodys(owners: dict[str, Any]) -> None:
    assert not belongs_to({"metadata": {"name": "x", **owners}}, "route-uid")


@pytest.mark.parametrize("name", ["kube-root-ca.crt", "my-droveway-telemetry-coding"])
def test_another_map_is_about_no_route(name: str) -> None:
    assert route_of({"metadata": {"name": name}}) is None
