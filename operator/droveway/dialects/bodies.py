"""JSON bodies: in and out, and reading values that may be anything."""

import json
import re
from typing import Any, NoReturn

import orjson

from droveway.api.errors import UserMustAct


class BadRequest(UserMustAct):
    """The client's request is not one of its dialect; nothing goes upstream. Answer `error_response(RequestRejected)`."""


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object of a request.

    The slower reader takes what the fast one refuses and clients do send: half of a surrogate pair.

    Raises:
        BadRequest: the body is none.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        try:
            value = json.loads(body, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise BadRequest(f"the body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadRequest(f"the body must be a JSON object, not {type(value).__name__}")
    return value


def dump_object(value: dict[str, Any]) -> bytes:
    """The object as JSON."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def parse_any(body: bytes) -> Any:
    """The JSON value of a provider's answer; None when it is none."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def parse_error(body: bytes) -> Any:
    """The JSON value of a refusal, which may come from any proxy: broken UTF-8, a byte order mark and NaN are forgiven."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        try:
            return json.loads(body.decode("utf-8-sig", "replace"))
        except (ValueError, RecursionError):
            return None


def count(value: Any) -> int:
    """A token count; anything that is none is 0."""
    return max(0, value) if type(value) is int else 0


def http_status(value: Any) -> int | None:
    """The value if it is the status of a refusal, as a number or as digits."""
    number = int(value) if isinstance(value, str) and re.fullmatch(r"[45][0-9]{2}", value) else count(value)
    return number if 400 <= number < 600 else None


def table(value: Any) -> dict[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def error_of(holder: dict[str, Any]) -> dict[str, Any]:
    """The error inside an answer or event, as an object, whatever it is; empty when there is none."""
    found = holder.get("error")
    return table(found) or ({"message": text(found)} if found else {})


def first(value: Any) -> dict[str, Any]:
    """The first object of a list, else an empty one."""
    return table(value[0]) if isinstance(value, list) and value else {}


def text(value: Any) -> str:
    """The value if it is a string, else ""."""
    return value if isinstance(value, str) else ""


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
