"""Keys that are derived, never stored: what an agent shows to the gateway, and a sidecar to the operator.

master → namespace key → run key | sidecar token. Each step is an HMAC, so knowing a run key tells nothing about another
run, and a namespace key nothing about another namespace. Standard library only.
"""

import hmac
from dataclasses import dataclass

from droveway.api.names import RUN_KEY_PREFIX

SIDECAR_TOKEN_PREFIX = "dws-"  # noqa: S105 - a prefix, not a secret
_MAC_LENGTH = 32  # hex digits: 128 bits


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """Whom a key speaks for."""

    run_uid: str
    attempt: int


def namespace_key(master: bytes, namespace: str) -> str:
    """The key of a namespace, hex."""
    return hmac.digest(master, b"namespace\0" + namespace.encode(), "sha256").hex()


def run_key(key: str, who: RunIdentity) -> str:
    """What the agent of an attempt shows to the gateway."""
    return _token(RUN_KEY_PREFIX, "run", key, who)


def sidecar_token(key: str, who: RunIdentity) -> str:
    """What the sidecar of an attempt shows to the operator."""
    return _token(SIDECAR_TOKEN_PREFIX, "sidecar", key, who)


def claimed_identity(token: str) -> RunIdentity | None:
    """Whom a run key or sidecar token claims to speak for. Nothing is proven yet."""
    for prefix in (RUN_KEY_PREFIX, SIDECAR_TOKEN_PREFIX):
        if token.startswith(prefix):
            uid, _, rest = token.removeprefix(prefix).rpartition("-")[0].rpartition("-")
            if uid and rest.isascii() and rest.isdigit() and len(rest) <= 6:
                return RunIdentity(uid, int(rest))
    return None


def is_run_key(token: str, key: str, who: RunIdentity) -> bool:
    """Whether the token was derived from this namespace key for this attempt."""
    return hmac.compare_digest(token.encode(), run_key(key, who).encode())


def is_sidecar_token(token: str, key: str, who: RunIdentity) -> bool:
    """Whether the token was derived from this namespace key for this attempt's sidecar."""
    return hmac.compare_digest(token.encode(), sidecar_token(key, who).encode())


def _token(prefix: str, purpose: str, key: str, who: RunIdentity) -> str:
    text = f"{purpose}\0{who.run_uid}\0{who.attempt}"
    mac = hmac.digest(bytes.fromhex(key), text.encode(), "sha256").hex()[:_MAC_LENGTH]
    return f"{prefix}{who.run_uid}-{who.attempt}-{mac}"
