"""Who set an annotation, by what the API server remembers."""

from typing import Any

import pytest

from droveway.core.fieldowners import annotated_by

NAME = "droveway.dev/reset-circuit"


def entry(manager: str, *annotations: str, at: str | None = "2026-11-21T12:00:00Z") -> dict[str, Any]:
    fields: dict[str, Any] = {"f:metadata": {"f:annotations": {f"f:{name}": {} for name in annotations}}}
    return {"manager": manager, "operation": "Update", "fieldsV1": fields} | ({"time": at} if at else {})


@pytest.mark.parametrize(
    ("entries", "who"),
    [
        pytest.param([entry("kubectl-annotate", NAME)], "kubectl-annotate at 2026-11-21T12:00:00Z", id="one"),
        pytest.param(
            [entry("argocd", NAME, at="2026-11-21T13:00:00Z"), entry("helm", NAME), entry("z", "other/annotation")],
            "argocd at 2026-11-21T13:00:00Z",
            id="several: the last one",
        ),
        pytest.param([entry("kubectl", "other/annotation")], "", id="nobody"),
        pytest.param([entry("kubectl", NAME, at=None)], "kubectl", id="nobody knows when"),
        pytest.param([entry("", NAME)], "", id="nobody knows who"),
        pytest.param([{"manager": "old", "fieldsV1": {"f:spec": {}}}, {"manager": "older"}], "", id="other fields"),
        pytest.param(None, "", id="nothing is remembered"),
    ],
)
def test_annotated_by(entries: list[dict[str, Any]] | None, who: str) -> None:
    assert annotated_by({"metadata": {"managedFields": entries}}, NAME) == who


def test_an_object_that_is_gone_tells_nothing() -> None:
    assert annotated_by({}, NAME) == ""
