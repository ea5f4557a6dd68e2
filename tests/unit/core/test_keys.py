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


def test_keys_stay_what_they_were_so_that_versions_understand_each_other() -> None:
    """Computed with `openssl dgst -sha256 -mac HMAC`, by hand."""
    assert namespace_key(MASTER, "team") == "175776f19fcd0225b07ec9a78b8d6122301f80ed0188387020ff8e5ca438d61f"
    assert run_key(KEY, WHO) == f"dwk-{WHO.run_uid}-3-1ca26664a24515c060df06fc38c22a62"
    assert sidecar_token(KEY, WHO) == f"dws-{WHO.run_uid}-3-691dda7ac9deb583b04ca5ffbf4c63fc"


@pytest.mark.parametrize(
    ("token", "who"),
    [("dwk-uid-999999-mac", RunIdentity("uid", 999999)), ("dws-a-uid-7-mac", RunIdentity("a-uid", 7))],
)
def test_a_claim_is_read_from_either_kind(token: str, who: RunIdentity) -> None:
    assert claimed_identity(token) == who


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
