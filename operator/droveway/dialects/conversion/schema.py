"""Schemas of tools: JSON Schema as most dialects take it, and Google's two ways of writing it."""

from collections.abc import Mapping
from typing import Any

from droveway.dialects.conversion.words import tables

_KNOWN = frozenset({
    "$id", "$defs", "$ref", "$anchor", "type", "format", "title", "description", "enum", "items", "prefixItems", "minItems",
    "maxItems", "minimum", "maximum", "anyOf", "oneOf", "properties", "additionalProperties", "required", "propertyOrdering",
})  # fmt: skip
"""What Gemini's `parametersJsonSchema` understands; the rest only narrows values, and is left out."""

_OF_NAMES = ("properties", "$defs")
_OF_LISTS = ("anyOf", "oneOf", "prefixItems")
_OF_ONE = ("items", "additionalProperties")


def for_gemini(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a JSON Schema that Gemini understands: `const` as `enum`, `allOf` joined, `definitions` renamed."""
    return _each({name: value for name, value in _joined(schema).items() if name in _KNOWN}, for_gemini)


def from_openapi(schema: Mapping[str, Any]) -> dict[str, Any]:
    """JSON Schema of Google's older way: types in capitals, numbers as text, `nullable` beside the type."""
    found = dict(schema)
    if isinstance(kind := found.get("type"), str):
        found["type"] = kind.lower()
        if found.pop("nullable", False):
            found["type"] = [kind.lower(), "null"]
    for name in ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"):
        if isinstance(value := found.get(name), str) and value.isdigit():
            found[name] = int(value)
    return _each(found, from_openapi)


def _joined(schema: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(schema)
    for part in tables(found.pop("allOf", ())):
        found = {**part, **found}
    if "const" in found:
        found["enum"] = [found.pop("const")]
    if "definitions" in found:
        found.setdefault("$defs", found.pop("definitions"))
    if isinstance(reference := found.get("$ref"), str):
        found["$ref"] = reference.replace("#/definitions/", "#/$defs/")
    return found


def _each(schema: dict[str, Any], change: Any) -> dict[str, Any]:
    """The same change to all schemas inside a schema."""
    for name in _OF_NAMES:
        if isinstance(inner := schema.get(name), dict):
            schema[name] = {key: change(value) if isinstance(value, dict) else value for key, value in inner.items()}
    for name in _OF_LISTS:
        if isinstance(inner := schema.get(name), list):
            schema[name] = [change(value) if isinstance(value, dict) else value for value in inner]
    for name in _OF_ONE:
        if isinstance(inner := schema.get(name), dict):
            schema[name] = change(inner)
    return schema
