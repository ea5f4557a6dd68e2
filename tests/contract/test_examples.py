"""Every file that we tell users to apply is taken by a real API server, as it is."""

from typing import Any

import pytest
import yaml

from droveway.api.enums import Cli
from droveway.api.v1alpha1 import KINDS
from helpers.control_plane import ROOT, Api

pytestmark = [pytest.mark.contract, pytest.mark.timeout(300)]

EXAMPLES = ROOT / "examples"
FILES = sorted(EXAMPLES.rglob("*.yaml"))
MODELS = {kind.__name__: kind for kind in KINDS}


def objects(manifests: Any) -> list[dict[str, Any]]:
    return [found for found in yaml.safe_load_all(manifests) if found]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(EXAMPLES)))
def test_accepted(api: Api, namespace: str, file: Any) -> None:
    for manifest in objects(file.read_text()):
        manifest["metadata"].pop("namespace", None)

        answer = api.create(manifest, namespace, dry_run=True)

        assert not answer.refused, answer.body["message"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(EXAMPLES)))
def test_the_models_read_what_the_api_server_stores(api: Api, namespace: str, file: Any) -> None:
    """Defaults are the same on both sides: stored and read back, or read from the file alone (`gateway --config`)."""
    for manifest in objects(file.read_text()):
        if (model := MODELS.get(manifest["kind"])) is None:
            continue
        manifest["metadata"].pop("namespace", None)

        stored = api.create(manifest, namespace, dry_run=True)

        assert model.model_validate(stored.body).spec == model.model_validate(manifest).spec


def test_there_is_an_agent_for_every_cli() -> None:
    shown = {found["spec"]["cli"] for found in objects((EXAMPLES / "agents.yaml").read_text())}

    assert shown == set(Cli)


def test_every_reference_of_the_demo_leads_somewhere() -> None:
    found = [o for file in sorted((EXAMPLES / "demo").glob("*.yaml")) for o in objects(file.read_text())]
    there = {(o["kind"], o["metadata"]["name"]) for o in found}
    asked = {(kind, name) for o in found for kind, name in _references(o)}

    assert {o["metadata"]["namespace"] for o in found} == {"droveway-demo"}
    assert asked <= there


def _references(found: dict[str, Any]) -> list[tuple[str, str]]:
    spec = found.get("spec", {})
    kinds = {"agentRef": "Agent", "routeRef": "ModelRoute", "providerRef": "ModelProvider", "credentialsRef": "Secret"}
    return [
        (kind, part[field]["name"])
        for part in (spec, *spec.get("candidates", ()))
        for field, kind in kinds.items()
        if field in part
    ]
