"""Derived keys: each proves one attempt of one run of one namespace, and nothing else."""

import pytest

from droveway.core.keys import (
    RunIdentity,
    claimed_identity,
    is_run_key,
    is_sidecar_token,
    namespace_key,
    run_key,
    sidecar_token,
)

MASTER = b"master"
WHO = RunIdentity("5a1c0de0-0000-4000-8000-000000000001", 3)
KEY = namespace_key(MASTER, "team")


def test_a_key_says_whom_it_speaks_for_and_proves_it() -> None:
    token = run_key(KEY, WHO)

    assert claimed_identity(token) == WHO
    assert is_run_key(token, KEY, WHO)


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param(run_key(namespace_key(MASTER, "other"), WHO), id="of another namespace"),
        pytest.param(run_key(namespace_key(b"old", "team"), WHO), id="of another master"),
        pytest.param(run_key(KEY, RunIdentity(WHO.run_uid, 4)), id="of another attempt"),
        pytest.param(sidecar_token(KEY, WHO), id="a sidecar's token"),
        pytest.param("dwk-ü", id="not ASCII"),
    ],
)
def test_no_other_key_passes(forged: str) -> None:
    assert not is_run_key(forged, KEY, WHO)


def test_a_run_key_is_no_sidecar_token() -> None:
    assert not is_sidecar_token(run_key(KEY, WHO), KEY, WHO)
    assert is_sidecar_token(sidecar_token(KEY, WHO), KEY, WHO)


@pytest.mark.parametrize(
    "text", ["", "dwk-", "dwk-x", "dwk-x-1", "sk-ant-123", "dwk-uid-one-mac", "dwk-uid-1234567-mac", "dwk--1-mac"]
)
def test_what_is_no_key_claims_nothing(text: str) -> None:
    assert claimed_identity(text) is None
