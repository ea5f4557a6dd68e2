import json
import os
from pathlib import Path

import pytest

from droveway.api.errors import Bug, DrovewayError, TryLater, UserMustAct
from droveway.core.keys import RunIdentity, is_run_key, is_sidecar_token, namespace_key
from droveway.sidecar import setup
from droveway.sidecar.settings import Paths
from droveway.sidecar.setup import set_up
from helpers.attempt import paths_in

KEY = namespace_key(b"master", "team-a")
WHO = RunIdentity("uid-1", 2)
ENV = {"DROVEWAY_RUN_UID": "uid-1", "DROVEWAY_ATTEMPT": "2"}


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = paths_in(tmp_path)
    (paths.namespace_key / "current").write_text(f"{KEY}\n")
    return paths


def wanting(files: object) -> dict[str, str]:
    return ENV | {"DROVEWAY_FILES": json.dumps(files)}


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_the_agent_gets_a_wrapper_and_a_key_and_the_sidecar_a_token(paths: Paths) -> None:
    umask = os.umask(0o277)
    try:
        set_up(ENV, paths)
    finally:
        os.umask(umask)
    assert paths.wrapper.read_text().startswith("#!/bin/sh\n")
    assert is_run_key(paths.run_key.read_text(), KEY, WHO)
    assert is_sidecar_token(paths.token.read_text(), KEY, WHO)
    assert [mode(p) for p in (paths.wrapper, paths.run_key, paths.token)] == [0o555, 0o440, 0o400]


def test_files_of_the_cli_are_put_below_home(paths: Paths) -> None:
    set_up(wanting({".gemini/settings.json": "{}", ".codex/deep/config.toml": "é = 1\n"}), paths)
    assert (paths.home / ".gemini/settings.json").read_text() == "{}"
    assert (paths.home / ".codex/deep/config.toml").read_text() == "é = 1\n"
    assert mode(paths.home / ".gemini/settings.json") == 0o600


def test_it_may_run_again(paths: Paths) -> None:
    set_up(wanting({"a": "old"}), paths)
    (paths.home / ".a.part").write_text("left by a kill")
    set_up(wanting({"a": "new"}), paths)
    assert (paths.home / "a").read_text() == "new"
    assert sorted(p.name for p in paths.home.iterdir()) == ["a"]


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "a/..", "", ".", "out/x"])
def test_no_file_leaves_home(paths: Paths, name: str) -> None:
    (paths.home / "out").symlink_to(paths.bin)
    with pytest.raises(Bug, match="HOME"):
        set_up(wanting({name: "x"}), paths)
    assert not list(paths.bin.iterdir())


@pytest.mark.parametrize(
    "env",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"DROVEWAY_RUN_UID": "u"}, id="no attempt"),
        pytest.param(ENV | {"DROVEWAY_ATTEMPT": "first"}, id="no number"),
        pytest.param(ENV | {"DROVEWAY_FILES": "{"}, id="no JSON"),
        pytest.param(ENV | {"DROVEWAY_FILES": "[1]"}, id="no object"),
    ],
)
def test_what_the_operator_got_wrong_is_ours(paths: Paths, env: dict[str, str]) -> None:
    with pytest.raises(Bug, match="operator"):
        set_up(env, paths)


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        pytest.param(lambda p: (p.namespace_key / "current").unlink(), TryLater, id="no key yet"),
        pytest.param(lambda p: (p.namespace_key / "current").write_text("no hex"), UserMustAct, id="not a key"),
        pytest.param(lambda p: (p.namespace_key / "current").write_text(""), UserMustAct, id="an empty key"),
        pytest.param(lambda p: p.run.rmdir(), TryLater, id="no volume"),
    ],
)
def test_exit_code_and_message_say_whose_turn_it_is(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, spoil: object, error: type[DrovewayError]
) -> None:
    assert callable(spoil)
    spoil(paths)
    for name, value in ENV.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Paths, "from_env", lambda _: paths)
    assert setup.main() == setup.EXIT_CODES[error]
    assert paths.termination_log.read_text().startswith("droveway: ")
