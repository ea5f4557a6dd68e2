"""Which headers cross the gateway, and where a client puts its key."""

from collections.abc import Iterable
from urllib.parse import parse_qs

Raw = Iterable[tuple[bytes, bytes]]
"""Headers as ASGI has them: lower-case names."""

_HOP_BY_HOP = frozenset({
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
})  # fmt: skip
_KEYS = ("x-api-key", "x-goog-api-key", "authorization")
_NOT_UP = _HOP_BY_HOP | {*_KEYS, "api-key", "cookie", "host", "content-length", "accept-encoding", "expect"}
_NOT_DOWN = _HOP_BY_HOP | {
    "content-length",
    "content-encoding",  # what upstream compressed is plain by now
    "set-cookie",
    "date",  # our server's own
    "server",
    "alt-svc",  # speaks for upstream's host, not for ours
    "strict-transport-security",
    "anthropic-organization-id",  # CLIs print response headers: whose account it is, is not the agent's business
    "openai-organization",
    "openai-project",
}


def client_key(headers: Raw, query: str = "") -> str:
    """The run key a client presents: x-api-key, Authorization: Bearer, x-goog-api-key or `?key=`; "" if none."""
    found = {name: value for name, value in headers if name in (b"x-api-key", b"authorization", b"x-goog-api-key")}
    if key := found.get(b"x-api-key"):
        return key.decode("latin-1").strip()
    scheme, _, token = found.get(b"authorization", b"").decode("latin-1").strip().partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    if key := found.get(b"x-goog-api-key"):
        return key.decode("latin-1").strip()
    return parse_qs(query).get("key", [""])[0] if "key=" in query else ""


def request_headers_to_upstream(headers: Raw) -> list[tuple[str, str]]:
    """A client's headers without hop-by-hop ones, host, length, accepted encodings, any key and our own; the rest unchanged."""
    plain = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in headers]
    dropped = _NOT_UP | _named_by_connection(plain)
    return [pair for pair in plain if pair[0] not in dropped and not pair[0].startswith("x-droveway-")]


def response_headers_to_client(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Upstream's headers without hop-by-hop ones, length, encoding, cookies and account names.

    `X-Droveway-*` is dropped too: only this gateway says what it did.
    """
    plain = [(name.lower(), value) for name, value in headers]
    dropped = _NOT_DOWN | _named_by_connection(plain)
    return [
        (name.encode("latin-1"), value.encode("latin-1", "replace"))
        for name, value in plain
        if name not in dropped and not name.startswith("x-droveway-")
    ]


def _named_by_connection(headers: list[tuple[str, str]]) -> set[str]:
    """Headers that `Connection` declares to be for this hop alone."""
    return {token.strip().lower() for name, value in headers if name == "connection" for token in value.split(",")}
