"""The generated CustomResourceDefinitions: structural, bounded, small, and what the models say."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import pytest
import yaml
from pydantic import Field

from droveway.api import crd
from droveway.api.names import CATEGORY
from droveway.api.v1alpha1 import KINDS
from droveway.api.v1alpha1.common import ATOMIC, REMEDY, Name, Quantity, Time, Wire, list_map, rule, rules

Schema = dict[str, Any]


def parts(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    """A schema and everything within it, each with its path."""
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from parts(part, f"{path}.{name}")
    if "items" in schema:
        yield from parts(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from parts(schema["additionalProperties"], f"{path}{{}}")


def everything() -> Iterator[tuple[str, Schema]]:
    for definition in crd.manifests():
        root = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        for name in ("spec", "status"):
            if name in root["properties"]:
                yield from parts(root["properties"][name], f"{definition['spec']['names']['kind']}.{name}")


def unbounded(schema: Schema) -> str | None:
    """What is missing, or None."""
    needs: dict[str | None, set[str]] = {
        "string": {"maxLength", "enum", "format"},
        None: {"maxLength"},  # int or string
        "array": {"maxItems"},
        "object": {"properties", "maxProperties"},
    }
    kind = schema.get("type")
    if kind == "integer":
        return None if {"minimum", "maximum"} <= schema.keys() else "an integer without both bounds"
    if kind in needs and not needs[kind] & schema.keys():
        return f"{kind} without any of {sorted(needs[kind])}"
    return None


def generated(model: type[Wire], *, for_users: bool = True) -> Schema:
    found = model.model_json_schema(by_alias=True)
    return crd.structural(found, found.get("$defs", {}), for_users=for_users)


class TestEveryDefinition:
    def test_every_value_is_bounded(self) -> None:
        assert {path: why for path, schema in everything() if (why := unbounded(schema))} == {}

    @pytest.mark.parametrize(
        "schema",
        [
            {"type": "string"},
            {"type": "integer", "minimum": 0},
            {"type": "array", "items": {}},
            {"type": "object", "additionalProperties": {}},
            {"x-kubernetes-int-or-string": True},
        ],
        ids=str,
    )
    def test_and_what_is_not_would_be_seen(self, schema: Schema) -> None:
        assert unbounded(schema) is not None

    def test_every_list_says_how_it_merges(self) -> None:
        lists = {path: schema for path, schema in everything() if schema.get("type") == "array"}

        assert lists
        assert [path for path, schema in lists.items() if "x-kubernetes-list-type" not in schema] == []

    def test_the_keys_of_a_list_are_required(self) -> None:
        keyed = [(path, s) for path, s in everything() if "x-kubernetes-list-map-keys" in s]

        assert keyed
        assert [
            p for p, s in keyed if not {*s["x-kubernetes-list-map-keys"]} <= {*s["items"].get("required", ())}
        ] == []

    def test_nothing_is_left_that_a_structural_schema_may_not_have(self) -> None:
        forbidden = {"$ref", "anyOf", "allOf", "oneOf", "title", "const", "propertyNames", REMEDY}

        assert [path for path, schema in everything() if forbidden & schema.keys()] == []

    def test_every_type_is_said_but_for_int_or_string(self) -> None:
        assert [p for p, s in everything() if ("type" in s) == ("x-kubernetes-int-or-string" in s)] == []

    def test_status_states_no_defaults(self) -> None:
        assert [path for path, schema in everything() if ".status" in path and "default" in schema] == []

    def test_every_field_that_users_write_is_explained(self) -> None:
        specs = [(p, s) for p, s in everything() if p.count(".") == 2 and ".spec." in p and p[-1] not in "]}"]

        assert [path for path, schema in specs if "description" not in schema] == []

    def test_every_rule_says_what_to_do(self) -> None:
        found = [r for _, schema in everything() for r in schema.get("x-kubernetes-validations", ())]

        assert found
        assert [r["rule"] for r in found if len(r["message"]) < 20] == []

    @pytest.mark.parametrize(("name", "text"), crd.render().items())
    def test_a_file_is_small_plain_and_read_back_the_same(self, name: str, text: str) -> None:
        definition = yaml.safe_load(text)

        assert len(text.encode()) <= 200 * 1024
        assert definition in crd.manifests()
        assert name == f"droveway.dev_{definition['spec']['names']['plural']}.yaml"
        assert "&id" not in text, "an anchor"

    def test_rendering_twice_is_the_same(self) -> None:
        assert crd.render() == crd.render()

    def test_names(self) -> None:
        names = {d["metadata"]["name"]: d["spec"]["names"] for d in crd.manifests()}

        assert {found["kind"] for found in names.values()} == {kind.__name__ for kind in KINDS}
        assert all(name == f"{found['plural']}.droveway.dev" for name, found in names.items())
        assert all(found["categories"] == [CATEGORY] for found in names.values())
        short = [s for found in names.values() for s in found["shortNames"]]
        assert len(short) == len(set(short)) == len(names)

    def test_only_kinds_with_a_status_have_its_subresource(self) -> None:
        have = {d["spec"]["names"]["kind"]: "subresources" in d["spec"]["versions"][0] for d in crd.manifests()}

        assert have == {
            "Agent": False,
            "AgentRun": True,
            "ModelProvider": True,
            "ModelRoute": True,
            "TenantQuota": True,
        }


class Inner(Wire):
    """Inner words."""

    size: Annotated[int, Field(ge=1, le=9)] = 3
    label: Annotated[str, Field(max_length=5)] = ""


class Plain(Wire):
    """Nothing in it has a default."""

    note: Annotated[str, Field(max_length=5)] | None = None


class Outer(Wire):
    """Outer
    words."""

    model_config = Wire.model_config | {"json_schema_extra": rules(rule("self.size > 0", "make it larger"))}

    base_url: Annotated[str, Field(max_length=9)]
    inner: Annotated[Inner, Field(description="Own words.")] = Inner()
    plain: Plain = Plain()
    perhaps: Inner | None = None
    when: Time | None = None
    kind: Literal["A", "B"] = "A"
    one: Literal["A"] = "A"
    big: Annotated[int, Field(ge=0, le=2**40)] = 0
    flag: bool = False
    items: Annotated[list[Inner], Field(max_length=2, json_schema_extra=list_map("label"))] = []
    words: Annotated[list[Name], Field(max_length=2, json_schema_extra=ATOMIC)] = []
    sizes: Annotated[dict[str, Quantity], Field(max_length=3)] = {}


class TestStructural:
    @pytest.fixture
    def properties(self) -> Schema:
        found: Schema = generated(Outer)["properties"]
        return found

    def test_names_are_the_wires_and_only_what_has_no_default_is_required(self) -> None:
        found = generated(Outer)

        assert found["required"] == ["baseURL"]
        assert found["description"] == "Outer words."
        assert found["x-kubernetes-validations"] == [{"rule": "self.size > 0", "message": "make it larger"}]

    def test_a_reference_is_inlined_and_its_use_speaks_first(self, properties: Schema) -> None:
        assert properties["inner"]["description"] == "Own words."
        assert properties["inner"]["properties"]["size"] == {
            "type": "integer",
            "minimum": 1,
            "maximum": 9,
            "format": "int32",
            "default": 3,
        }

    def test_an_object_defaults_to_empty_so_that_defaults_within_apply(self, properties: Schema) -> None:
        assert properties["inner"]["default"] == {}

    @pytest.mark.parametrize("field", ["plain", "perhaps", "when", "items", "words", "sizes"])
    def test_a_default_that_says_nothing_is_not_stated(self, properties: Schema, field: str) -> None:
        assert "default" not in properties[field]

    def test_null_is_gone(self, properties: Schema) -> None:
        assert properties["perhaps"]["type"] == "object"
        assert properties["when"] == {"type": "string", "format": "date-time"}

    def test_choices_are_enums(self, properties: Schema) -> None:
        assert properties["kind"] == {"type": "string", "enum": ["A", "B"], "default": "A"}
        assert properties["one"]["enum"] == ["A"]

    def test_false_and_zero_are_defaults_too(self, properties: Schema) -> None:
        assert properties["flag"]["default"] is False
        assert properties["big"]["default"] == 0
        assert properties["big"]["format"] == "int64"

    def test_the_key_of_a_list_is_required(self, properties: Schema) -> None:
        assert properties["items"]["items"]["required"] == ["label"]

    def test_a_remedy_takes_the_place_of_its_pattern(self, properties: Schema) -> None:
        word = properties["words"]["items"]

        assert "pattern" not in word
        (validation,) = word["x-kubernetes-validations"]
        assert validation["rule"] == "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')"
        assert "lower-case letters" in validation["message"]

    def test_a_quantity_may_be_a_number(self, properties: Schema) -> None:
        size = properties["sizes"]["additionalProperties"]

        assert size["x-kubernetes-int-or-string"] is True
        assert size["x-kubernetes-validations"][0]["rule"].startswith("string(self).matches('^[0-9]+(\\\\.")

    def test_status_keeps_patterns_and_states_nothing(self) -> None:
        found = generated(Outer, for_users=False)["properties"]

        assert found["words"]["items"]["pattern"].startswith("^[a-z0-9]")
        assert "x-kubernetes-validations" not in found["words"]["items"]
        assert "default" not in found["inner"]
        assert "default" not in found["flag"]


class Strict(Wire):
    """Rules of its own."""

    model_config = Wire.model_config | {"json_schema_extra": rules(rule("has(self.a)", "say a"))}

    a: Annotated[int, Field(ge=0, le=1)] | None = None


class Stricter(Wire):
    """Uses it, with one rule more."""

    strict: Annotated[Strict, Field(json_schema_extra=rules(rule("self.a > 0", "more of a")))]


def test_rules_of_a_type_and_of_its_use_both_hold() -> None:
    found = generated(Stricter)["properties"]["strict"]["x-kubernetes-validations"]

    assert [r["message"] for r in found] == ["say a", "more of a"]
