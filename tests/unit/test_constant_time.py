"""Keys are compared in constant time."""

import hmac
from collections.abc import Callable

import pytest

from droveway.core.keys import RunIdentity, is_run_key, is_sidecar_token, namespace_key, run_key, sidecar_token

WHO = RunIdentity("5a1c0de0-0000-4000-8000-000000000001", 3)
KEY = namespace_key(b"master", "team")


@pytest.mark.parametrize("check", [is_run_key, is_sidecar_token])
@pytest.mark.parametrize("token", [run_key(KEY, WHO), sidecar_token(KEY, WHO), "dwk-", ""])
def test_keys_are_compared_in_constant_time(
    monkeypatch: pytest.MonkeyPatch, check: Callable[[str, str, RunIdentity], bool], token: str
) -> None:
    """The answer is that of `hmac.compare_digest`, whatever was shown: nothing else decides, and nothing decides sooner."""
    compared: list[bytes] = []

    def same(shown: bytes, _: bytes) -> bool:
        compared.append(shown)
        return True

    monkeypatch.setattr(hmac, "compare_digest", same)
    assert check(token, KEY, WHO)
    assert compared == [token.encode()]
