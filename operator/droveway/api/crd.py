"""The CustomResourceDefinitions, generated from the pydantic models.

The API server wants *structural* schemas: no `$ref`, no `anyOf` with null, no titles. Within `spec`, which users write,
defaults are stated and a shape carries a message that says what to write. `status`, which only the operator writes,
has neither: an absent field there means "not seen yet".
"""

from collections.abc import Sequence
from typing import Any

import yaml

from droveway.api.names import CATEGORY, GROUP, VERSION
from droveway.api.v1alpha1 import KINDS
from droveway.api.v1alpha1.common import REMEDY, RULES, Resource, rule

Schema = dict[str, Any]

HEADER = "# Generated from operator/droveway/api/v1alpha1 by `make generate`; do not edit.\n"
METADATA: Schema = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 253}}}
"""The API server knows metadata by itself; the name is here so that a rule can point at it."""
INT32_MAX = 2**31 - 1
KEPT = (
    "enum", "format", "minimum", "maximum", "minLength", "maxLength", "pattern", "minItems", "maxItems",
    "minProperties", "maxProperties",
)  # fmt: skip


def manifests() -> list[dict[str, Any]]:
    """Every CustomResourceDefinition, in the order of their kinds."""
    return [_definition(kind) for kind in KINDS]


def render() -> dict[str, str]:
    """File name → YAML text of every CustomResourceDefinition."""
    return {
        f"{GROUP}_{found['spec']['names']['plural']}.yaml": HEADER
        + yaml.dump(found, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=120)
        for found in manifests()
    }


def _definition(kind: type[Resource]) -> dict[str, Any]:
    version: dict[str, Any] = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [dict(column) for column in kind.columns],
        "schema": {"openAPIV3Schema": _root(kind)},
    }
    if "status" in kind.model_fields:
        version["subresources"] = {"status": {}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind.__name__,
                "listKind": f"{kind.__name__}List",
                "plural": kind.plural,
                "singular": kind.__name__.lower(),
                "shortNames": list(kind.short_names),
                "categories": [CATEGORY],
            },
            "scope": "Namespaced",
            "versions": [version],
        },
    }


def _root(kind: type[Resource]) -> Schema:
    found = kind.model_json_schema(by_alias=True)
    parts = {
        name: structural(part, found["$defs"], for_users=name == "spec")
        for name, part in found["properties"].items()
        if name in ("spec", "status")
    }
    parts["status"].pop("default", None) if "status" in parts else None
    root = {
        "description": _one_line(found["description"]),
        "type": "object",
        "required": ["spec"],
        "properties": {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": METADATA} | parts,
    }
    return root | ({RULES: found[RULES]} if RULES in found else {})


def structural(schema: Schema, definitions: Schema, *, for_users: bool) -> Schema:
    """A pydantic schema as the API server takes it.

    `definitions` are the targets of its `$ref`s. `for_users`: state defaults and remedies, as in `spec`.
    """
    schema = _flat(schema, definitions)
    found: Schema = {}
    if "description" in schema:
        found["description"] = _one_line(schema["description"])
    if "x-kubernetes-int-or-string" not in schema:
        found["type"] = schema["type"]
    found |= {key: schema[key] for key in KEPT if key in schema}
    if found.get("type") == "integer":
        found["format"] = "int32" if schema.get("maximum", INT32_MAX + 1) <= INT32_MAX else "int64"

    def inner(part: Schema) -> Schema:
        return structural(part, definitions, for_users=for_users)

    if "required" in schema:
        found["required"] = schema["required"]
    if "properties" in schema:
        found["properties"] = {name: inner(part) for name, part in schema["properties"].items()}
    if "items" in schema:
        found["items"] = _with_keys(inner(schema["items"]), schema.get("x-kubernetes-list-map-keys", ()))
    if "additionalProperties" in schema:
        found["additionalProperties"] = inner(schema["additionalProperties"])
    found |= {key: value for key, value in schema.items() if key.startswith("x-kubernetes-")}
    return _with_help(found, schema) if for_users else found


def _flat(schema: Schema, definitions: Schema) -> Schema:
    """The schema with its `$ref` inlined and its null dropped: absent is how the API says nothing."""
    if "anyOf" in schema:
        (other,) = [part for part in schema["anyOf"] if part.get("type") != "null"]
        return _flat(_merged(other, {key: value for key, value in schema.items() if key != "anyOf"}), definitions)
    if "$ref" in schema:
        target = definitions[schema["$ref"].rsplit("/", 1)[1]]
        return _flat(_merged(target, {key: value for key, value in schema.items() if key != "$ref"}), definitions)
    if "const" in schema:
        return {**schema, "enum": [schema["const"]]}
    return schema


def _merged(target: Schema, use: Schema) -> Schema:
    """What a type says, overridden by what its use says; rules of both hold."""
    both = {**target, **use}
    if RULES in target and RULES in use:
        both[RULES] = [*target[RULES], *use[RULES]]
    return both


def _with_keys(item: Schema, keys: Sequence[str]) -> Schema:
    """An item of a list by keys: what tells it apart must be there, also where reading it has a default."""
    required = [*item.get("required", ()), *(key for key in keys if key not in item.get("required", ()))]
    return item | ({"required": required} if required else {})


def _with_help(found: Schema, schema: Schema) -> Schema:
    if REMEDY in schema:
        text = "self" if "type" in found else "string(self)"
        pattern = _cel_string(found.pop("pattern"))
        found[RULES] = [*found.get(RULES, ()), rule(f"{text}.matches({pattern})", schema[REMEDY])]
    default = schema.get("default")
    if found.get("type") == "object":
        if default is not None and any("default" in part for part in found.get("properties", {}).values()):
            found["default"] = {}  # so that the defaults within apply
    elif default not in (None, "", []):
        found["default"] = default
    return found


def _cel_string(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _one_line(text: str) -> str:
    return " ".join(text.split())


class _Plain(yaml.SafeDumper):
    """YAML without anchors: every definition is read on its own."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
