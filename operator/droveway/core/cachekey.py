"""What makes two requests the same to the cache: one canonical text, and its hash."""

import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

import orjson

SCHEMA = 1
"""Of keys and of what is kept under them; another one finds nothing of the earlier."""

IGNORED = frozenset({"model", "stream", "stream_options", "user", "metadata"})
"""Fields of a body that do not change what is answered. The model is the candidate's, whatever the client calls it."""

_KEY_BYTES = 16


class Resolved(NamedTuple):
    """Which model answers: the same name at another vendor is another model."""

    dialect: str
    base_url: str
    model: str


def cache_key(
    tenant: str, dialect: str, path: str, headers: Mapping[str, str], body: Mapping[str, Any], model: Resolved
) -> str:
    """The key of an answer, `<tenant>/<hash>`. The order of the keys of an object does not count, that of a list does.

    Args:
        tenant: namespace; what one tenant was told is never told to another.
        dialect: the client's, in which the answer is kept.
        path: what is left of path and query when model, key and form of the answer are gone.
        headers: those that change what is answered.
        body: of the request; everything but `IGNORED` counts, also what nobody here knows.
        model: who answers.
    """
    asked = {name: value for name, value in body.items() if name not in IGNORED}
    text = _canonical([SCHEMA, tenant, dialect, path, dict(headers), asked, *model])
    return f"{tenant}/{blake2b(text, digest_size=_KEY_BYTES).hexdigest()}"


def _canonical(value: Any) -> bytes:
    """The slower writer takes what the fast one refuses and clients do send: half of a surrogate pair, huge numbers."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
