"""Which headers cross the gateway, and where a client puts its key."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from urllib.parse import parse_qs

Raw = Sequence[tuple[bytes, bytes]]
"""Headers as ASGI has them: lower-case names."""

_HOP_BY_HOP = frozenset({
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
})  # fmt: skip
_UP = frozenset({
    "accept", "accept-language", "content-type", "user-agent",
    "traceparent", "tracestate",
    "idempotency-key", "x-request-id", "x-client-request-id",
    "session-id", "session_id", "thread-id", "conversation_id", "x-session-id", "x-session-affinity",  # prompt caches go by them
    "originator", "version", "x-app",  # which CLI asks
    "http-referer", "x-title",  # the same, for OpenRouter
})  # fmt: skip
"""What a provider is told of a request besides its body, with `_UP_PREFIXES`. Everything else stays here: keys, cookies, what
proxies in between have added, and our own `X-Droveway-*`."""
_UP_PREFIXES = (
    "anthropic-",
    "openai-",
    "x-claude-",
    "x-codex-",
    "x-gemini-",
    "x-goog-api-client",
    "x-opencode-",
    "x-stainless-",
)
_NOT_UP = frozenset({"openai-organization", "openai-project"})
"""Who pays is the provider's business: it goes with the key, and the key is not the client's."""
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
    """Of a client's headers those that mean something to a provider, unchanged (`docs/hardening.md` lists them)."""
    passed = [(known, value.decode("latin-1")) for name, value in headers if (known := _up(name))]
    if all(value.lower() in (b"keep-alive", b"close") for name, value in headers if name == b"connection"):
        return passed
    dropped = _named_by_connection([(n.decode("latin-1"), v.decode("latin-1")) for n, v in headers])
    return [pair for pair in passed if pair[0] not in dropped]


@lru_cache(maxsize=1024)
def _up(name: bytes) -> str:
    """The name under which a provider gets a header; "" if it does not."""
    known = name.decode("latin-1").lower()
    passes = known in _UP or (known.startswith(_UP_PREFIXES) and known not in _NOT_UP)
    return known if passes else ""


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
