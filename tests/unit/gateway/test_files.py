"""A folder of manifests is a configuration, and a broken edit never replaces a good one."""

from pathlib import Path

import pytest

from droveway.api.enums import Access, Dialect
from droveway.api.errors import UserMustAct
from droveway.cluster.objects import Key
from droveway.core.keys import claimed_identity
from droveway.gateway.config import Config, SecretKey
from droveway.gateway.files import Folder, print_key

MANIFESTS = """
apiVersion: droveway.dev/v1alpha1
kind: ModelProvider
metadata: {name: anthropic}
spec:
  dialect: Anthropic
  baseURL: https://api.anthropic.com/
  credentialsRef: {name: keys, key: anthropic}
  quotaGroup: team
  limits: {defaultSeconds: 60, signatures: ["weekly cap"]}
---
apiVersion: droveway.dev/v1alpha1
kind: ModelRoute
metadata: {name: main}
spec:
  candidates:
  - {name: sonnet, providerRef: {name: anthropic}, model: claude-sonnet-4-5}
---
apiVersion: v1
kind: Secret
metadata: {name: keys}
data: {anthropic: c2stb25l}
stringData: {openai: sk-two}
---
apiVersion: droveway.dev/v1alpha1
kind: AgentRun
metadata: {name: hello, uid: run-1}
spec: {routeRef: {name: main}, prompt: hi}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "all.yaml").write_text(MANIFESTS)
    (tmp_path / "README.md").write_text("not: [a manifest")
    return tmp_path


def load(path: Path) -> tuple[Config, Folder]:
    config = Config()
    source = Folder(path, config, lambda: None)
    source.load()
    return config, source


async def test_everything_is_served(folder: Path) -> None:
    config, source = load(folder)
    provider = config.snapshot.providers[Key("default", "anthropic")]
    assert (provider.dialect, provider.access, provider.base_url) == (
        Dialect.ANTHROPIC,
        Access.GATEWAY,
        "https://api.anthropic.com",
    )
    assert provider.quota_key == "default/team"
    assert provider.signatures[0].search("You reached your Weekly Cap")
    assert config.snapshot.routes[Key("default", "main")].candidates[0].provider == Key("default", "anthropic")
    assert config.synced
    run = config.find_run("run-1")
    assert run is not None
    assert (run.namespace, run.route, run.live) == ("default", "main", True)
    assert await source.read_secret(SecretKey("default", "keys", "anthropic")) == "sk-one"
    assert await source.read_secret(SecretKey("default", "keys", "openai")) == "sk-two"
    assert await source.read_secret(SecretKey("other", "keys", "openai")) is None


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        pytest.param("kind: [", "cannot be read as YAML", id="no YAML"),
        pytest.param("just: text", "no Kubernetes manifest", id="no manifest"),
        pytest.param(
            "kind: ModelRoute\nmetadata: {name: x}\nspec: {candidates: []}",
            "ModelRoute x is not valid",
            id="empty route",
        ),
        pytest.param(
            "kind: ModelProvider\nmetadata: {name: x}\nspec: {dialect: Anthropic, limits: {signatures: ['a(b']}}",
            r"ModelProvider x is not valid: spec.limits.signatures\[0\]",
            id="no pattern",
        ),
        pytest.param("kind: Secret\nmetadata: {name: x}\ndata: {a: '%'}", "base64", id="no base64"),
        pytest.param("kind: Secret\nmetadata: {}", "no metadata.name", id="no name"),
    ],
)
def test_a_broken_edit_leaves_the_last_good_state(folder: Path, edit: str, says: str) -> None:
    config, source = load(folder)
    good = config.snapshot
    (folder / "broken.yaml").write_text(edit)
    with pytest.raises(UserMustAct, match=says):
        source.load()
    assert config.snapshot is good


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UserMustAct, match="not a folder"):
        load(tmp_path / "absent")


def test_a_key_can_be_printed_for_a_run(folder: Path) -> None:
    who = claimed_identity(print_key(folder, b"master-master-master", "default/hello", attempt=3))
    assert who is not None
    assert (who.run_uid, who.attempt) == ("run-1", 3)
    assert print_key(folder, b"master-master-master", "hello") == print_key(
        folder, b"master-master-master", "default/hello"
    )
    with pytest.raises(UserMustAct, match="no AgentRun default/absent"):
        print_key(folder, b"master-master-master", "default/absent")


def test_a_run_without_uid_gets_a_stable_one(folder: Path) -> None:
    (folder / "more.yaml").write_text("kind: AgentRun\nmetadata: {name: bare}\nspec: {routeRef: {name: main}}\n")
    config, _ = load(folder)
    again, _ = load(folder)
    assert set(config.snapshot.runs) == set(again.snapshot.runs)
    assert len(config.snapshot.runs) == 2
