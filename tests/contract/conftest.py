"""One real API server for the whole session, with our CustomResourceDefinitions as they are committed."""

from collections.abc import Iterator

import pytest
import yaml

from helpers.control_plane import ROOT, Api, ControlPlane, control_plane


@pytest.fixture(scope="session")
def plane() -> Iterator[ControlPlane]:
    with control_plane() as found:
        yield found


@pytest.fixture(scope="session")
def api(plane: ControlPlane) -> Iterator[Api]:
    with plane.api() as found:
        found.install([yaml.safe_load(file.read_text()) for file in sorted((ROOT / "crds").glob("*.yaml"))])
        yield found


@pytest.fixture(scope="session")
def namespace(api: Api) -> Iterator[str]:
    with api.namespace("contract") as name:
        yield name
