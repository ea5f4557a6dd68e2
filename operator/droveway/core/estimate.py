"""What a request will put in, as far as its size tells. Standard library only."""

from typing import Any

_BYTES_PER_TOKEN = 4
_LONG = 16 * 1024
"""Bytes; anything shorter counts by its length, whatever it is."""
_ATTACHED_TOKENS = 1600
"""Of a picture or a file: a megabyte of base64 is not a quarter of a million tokens."""


def input_tokens(size: int, body: dict[str, Any]) -> int:
    """Tokens of a request of so many bytes: by its length, but long pictures and files by their number."""
    if size <= _LONG:
        return size // _BYTES_PER_TOKEN
    attached = _attached(body)
    return max(0, size - sum(attached)) // _BYTES_PER_TOKEN + len(attached) * _ATTACHED_TOKENS


def _attached(body: dict[str, Any]) -> list[int]:
    """Lengths of what is long and encoded: in every dialect a field named `data`, or a URL that holds it."""
    found, left = [], list[Any]([body])
    while left:
        value = left.pop()
        for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(inner, dict | list):
                left.append(inner)
            elif isinstance(inner, str) and len(inner) > _LONG and (name == "data" or inner.startswith("data:")):
                found.append(len(inner))
    return found
