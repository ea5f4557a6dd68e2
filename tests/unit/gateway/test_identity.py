"""A key opens the gateway to one attempt of a live run, and every refusal says what to do."""

from pathlib import Path

import pytest

from droveway.api.errors import UserMustAct
from droveway.cluster.masterkey import read_master_keys
from droveway.core.keys import RunIdentity, namespace_key, run_key, sidecar_token
from droveway.gateway.config import Run
from droveway.gateway.identity import Caller, Doorkeeper, NotAllowed

CURRENT, PREVIOUS, FOREIGN = b"current-master-key", b"previous-master-key", b"somebody-elses-key"
RUN = Run("0a1b-2c", "team-a", "fix-bug", "main", attempt=2)


def door(run: Run = RUN) -> Doorkeeper:
    return Doorkeeper((CURRENT, PREVIOUS), {run.uid: run}.get)


def key(master: bytes = CURRENT, namespace: str = "team-a", uid: str = RUN.uid, attempt: int = 2) -> str:
    return run_key(namespace_key(master, namespace), RunIdentity(uid, attempt))


@pytest.mark.parametrize(
    ("token", "attempt"),
    [
        pytest.param(key(), 2, id="the current attempt"),
        pytest.param(key(attempt=3), 3, id="the next attempt, which status does not show yet"),
        pytest.param(key(PREVIOUS), 2, id="a key of the previous master"),
    ],
)
def test_admitted(token: str, attempt: int) -> None:
    assert door().admit(token) == Caller(RUN, attempt)


@pytest.mark.parametrize(
    ("token", "hint"),
    [
        pytest.param("", "no key was sent", id="nothing"),
        pytest.param("sk-ant-real-looking", "not a run key", id="a provider's key"),
        pytest.param(
            sidecar_token(namespace_key(CURRENT, "team-a"), RunIdentity(RUN.uid, 2)),
            "not a run key",
            id="the sidecar's token",
        ),
        pytest.param("dwk-nonsense", "not a run key", id="mangled"),
        pytest.param(key(uid="9f-9f"), "does not exist", id="a run that is gone"),
        pytest.param(key(FOREIGN), "forged", id="a foreign master"),
        pytest.param(key(namespace="team-b"), "forged", id="another namespace's key"),
        pytest.param(key()[:-1] + ("0" if key()[-1] != "0" else "1"), "forged", id="one digit off"),
        pytest.param(key(attempt=1), "attempt 1 of run team-a/fix-bug is over", id="an earlier attempt"),
        pytest.param(key() + "é", "forged", id="not ASCII"),
    ],
)
def test_refused(token: str, hint: str) -> None:
    with pytest.raises(NotAllowed, match=hint):
        door().admit(token)


def test_a_key_dies_with_its_run() -> None:
    ended = Run(RUN.uid, RUN.namespace, RUN.name, RUN.route, attempt=2, live=False)
    with pytest.raises(NotAllowed, match="has ended"):
        door(ended).admit(key())


def test_the_master_file_holds_generations(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("new-new-new-new-new\n\nold-old-old-old-old\n")
    assert read_master_keys(tmp_path / "key") == (b"new-new-new-new-new", b"old-old-old-old-old")


@pytest.mark.parametrize("content", [None, "", "short\n"], ids=["missing", "empty", "too short"])
def test_a_useless_master_file_is_the_users_turn(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "key").write_text(content)
    with pytest.raises(UserMustAct, match="key"):
        read_master_keys(tmp_path / "key")


def test_a_key_that_was_proven_opens_nothing_when_its_run_has_ended() -> None:
    """Nor does it vouch for a forged one."""
    runs = {RUN.uid: RUN}
    doorkeeper = Doorkeeper((CURRENT, PREVIOUS), runs.get)
    assert doorkeeper.admit(key()) == doorkeeper.admit(key()) == Caller(RUN, 2)
    with pytest.raises(NotAllowed, match="forged"):
        doorkeeper.admit(key(FOREIGN))
    runs[RUN.uid] = Run(RUN.uid, "team-b", RUN.name, RUN.route, attempt=2, live=True)
    with pytest.raises(NotAllowed, match="forged"):
        doorkeeper.admit(key())
    runs[RUN.uid] = Run(RUN.uid, RUN.namespace, RUN.name, RUN.route, attempt=2, live=False)
    with pytest.raises(NotAllowed, match="has ended"):
        doorkeeper.admit(key())
    runs.clear()
    with pytest.raises(NotAllowed, match="does not exist"):
        doorkeeper.admit(key())


def test_what_was_proven_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("droveway.gateway.identity._MOST_PROVEN", 2)
    doorkeeper = door()
    assert [doorkeeper.admit(key(attempt=attempt)).attempt for attempt in range(2, 9)] == [*range(2, 9)]
    assert len(doorkeeper._proven) <= 2
