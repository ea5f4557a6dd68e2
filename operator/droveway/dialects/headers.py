"""Which headers cross the gateway, and where a client puts its key."""

from collections.abc import Iterable

Raw = Iterable[tuple[bytes, bytes]]
"""Headers as ASGI has them: lower-case names."""


def client_key(headers: Raw, query: str = "") -> str:
    """The run key a client presents: x-api-key, Authorization: Bearer, x-goog-api-key or `?key=`; "" if none."""
    raise NotImplementedError


def request_headers_to_upstream(headers: Raw) -> list[tuple[str, str]]:
    """A client's headers without hop-by-hop ones, host, length, encoding and any key; the rest unchanged."""
    raise NotImplementedError


def response_headers_to_client(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Upstream's headers without hop-by-hop ones, length, encoding, cookies and account names."""
    raise NotImplementedError
