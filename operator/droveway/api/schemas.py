"""The JSON Schemas of what crosses the gateway's own API, generated from the models that read and write it."""

import json
from typing import Any

from pydantic import TypeAdapter

from droveway.api.fanout import FanoutRequest
from droveway.api.fanoutanswer import ErrorResponse, FanoutEvent, FanoutResponse

_BASE = "https://droveway.dev/schemas"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
MODELS: dict[str, TypeAdapter[Any]] = {
    "fanout-request": TypeAdapter(FanoutRequest),
    "fanout-response": TypeAdapter(FanoutResponse),
    "fanout-event": TypeAdapter(FanoutEvent),
    "error": TypeAdapter(ErrorResponse),
}
"""By the name of the schema."""


def schema(name: str) -> dict[str, Any]:
    """One schema."""
    found = MODELS[name].json_schema(by_alias=True)
    return {"$schema": _DIALECT, "$id": f"{_BASE}/{name}.schema.json", **found}


def render() -> dict[str, str]:
    """File name → text of every schema."""
    return {f"{name}.schema.json": json.dumps(schema(name), indent=2, ensure_ascii=False) + "\n" for name in MODELS}
