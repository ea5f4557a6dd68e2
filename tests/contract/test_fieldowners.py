"""The API server remembers who set an annotation, in the form that we read."""

import pytest

from droveway.api.names import ANNOTATION_RESET_CIRCUIT
from droveway.core.fieldowners import annotated_by
from helpers.control_plane import Api, collection
from helpers.manifests import ROUTE, changed

pytestmark = [pytest.mark.contract, pytest.mark.timeout(300)]


def test_r_b8_who_reset_a_breaker_is_known(api: Api, namespace: str) -> None:
    route = changed(ROUTE, {"metadata.name": "reset-by-somebody"})
    assert not api.create(route, namespace).refused
    path = f"{collection(route, namespace)}/reset-by-somebody"
    assert annotated_by(api.call("GET", path).body, ANNOTATION_RESET_CIRCUIT) == ""

    asked = {"metadata": {"annotations": {ANNOTATION_RESET_CIRCUIT: "please"}}}
    api.call("PATCH", path, asked, fieldManager="kubectl-annotate")
    who, _, at = annotated_by(api.call("GET", path).body, ANNOTATION_RESET_CIRCUIT).partition(" at ")
    assert (who, at[:2], at[-1:]) == ("kubectl-annotate", "20", "Z")
