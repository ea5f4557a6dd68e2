"""The chart on the kind cluster, once; a namespace of its own for every test; a folder of evidence for every failure."""

import os
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.release import install
from helpers.team import SYSTEM, Team, kubectl

ROOT = Path(__file__).parents[2]
EVIDENCE = Path(os.environ.get("DROVEWAY_ARTIFACTS", ROOT / "artifacts")) / "e2e"

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="session", autouse=True)
def droveway() -> Iterator[None]:
    if not os.environ.get("KUBECONFIG"):
        pytest.fail("these tests need the kind cluster: run them with `make e2e`")
    install()
    if os.environ.get("DROVEWAY_ROLL", "1") == "1":
        kubectl("-n", SYSTEM, "rollout", "restart", "deploy")  # the tag may be the same, the image another
    for name in ("droveway-operator", "droveway-gateway"):
        kubectl("-n", SYSTEM, "rollout", "status", f"deploy/{name}", "--timeout=120s")
    yield
    kubectl("get", "namespace", "-l", "droveway-test=true", "-o", "name")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Any:
    report = yield
    item.stash[_FAILED] = item.stash.get(_FAILED, False) or bool(report.failed)
    return report


_FAILED = pytest.StashKey[bool]()


@pytest.fixture
async def team(request: pytest.FixtureRequest) -> AsyncIterator[Team]:
    """A fresh namespace."""
    name = "e2e-" + re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower())[:40].strip("-")
    kubectl("delete", "namespace", name, "--ignore-not-found", "--timeout=120s")
    async with Team(name) as found:
        yield found
        if request.node.stash.get(_FAILED, False):
            found.dump(EVIDENCE / request.node.name)
        else:
            kubectl("delete", "namespace", name, "--wait=false")
