"""Shapes that the four kinds share."""

from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from droveway.api.names import GROUP


def wire_name(field: str) -> str:
    """`base_url` → `baseURL`: camelCase, with initialisms in capitals."""
    head, *rest = field.split("_")
    return head + "".join({"url": "URL", "usd": "USD", "id": "ID", "ip": "IP"}.get(w, w.capitalize()) for w in rest)


class Wire(BaseModel):
    """Anything that travels through the API server. Unknown fields are kept out of the model, as the schema prunes them."""

    model_config = ConfigDict(alias_generator=wire_name, populate_by_name=True, extra="ignore", frozen=True)

    def to_wire(self) -> dict[str, Any]:
        """The object as the API server takes it: camelCase, absent fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


RULES = "x-kubernetes-validations"
REMEDY = "x-remedy"
"""Beside a pattern: what to write instead. The generator makes it a CEL rule, since a regular expression tells nobody."""


def rule(expression: str, message: str, field_path: str | None = None) -> dict[str, str]:
    """One CEL validation: `x-kubernetes-validations` of the schema."""
    found = {"rule": expression, "message": message}
    return found | ({"fieldPath": field_path} if field_path else {})


def rules(*validations: dict[str, str]) -> dict[str, Any]:
    """Schema extra that carries CEL validations."""
    return {RULES: list(validations)}


def name_at_most(limit: int) -> dict[str, str]:
    """A rule for the root of a kind whose name goes into other names, or into a label."""
    message = f"metadata.name must have at most {limit} characters; shorten it"
    return rule(f"size(self.metadata.name) <= {limit}", message, ".metadata.name")


def list_map(*keys: str) -> dict[str, Any]:
    """Schema extra of a list whose items are told apart by keys."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


ATOMIC: dict[str, Any] = {"x-kubernetes-list-type": "atomic"}


def _parse_time(value: object) -> object:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def _text(value: object) -> object:
    return str(value) if isinstance(value, int) else value


def _print_time(value: datetime) -> str:
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ" if value.microsecond else "%Y-%m-%dT%H:%M:%SZ")


Time = Annotated[
    datetime,
    BeforeValidator(_parse_time),
    PlainSerializer(_print_time, when_used="json"),
    Field(json_schema_extra={"type": "string", "format": "date-time"}),
]
"""An aware instant. Microseconds survive, so that orders and durations do."""

Name = Annotated[
    str,
    Field(
        min_length=1,
        max_length=63,
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        json_schema_extra={REMEDY: "use lower-case letters, digits and dashes, with a letter or digit at both ends"},
    ),
]
ObjectName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=253,
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        json_schema_extra={REMEDY: "an object's name has lower-case letters, digits, dashes and dots"},
    ),
]
DataKey = Annotated[
    str,
    Field(
        min_length=1,
        max_length=253,
        pattern=r"^[-._a-zA-Z0-9]+$",
        json_schema_extra={REMEDY: "a key has letters, digits, dashes, underscores and dots"},
    ),
]
Decimal = Annotated[
    str,
    Field(
        max_length=24,
        pattern=r"^[0-9]{1,12}(\.[0-9]{1,9})?$",
        json_schema_extra={REMEDY: 'write a decimal number in quotes, such as "2.50"'},
    ),
]
"""Money or a rate: a decimal string, since the API has no floats."""
Message = Annotated[str, Field(max_length=256)]
Quantity = Annotated[
    str,
    Field(
        max_length=32,
        pattern=r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$",
        json_schema_extra={"x-kubernetes-int-or-string": True, REMEDY: "write a quantity such as 500m, 2 or 4Gi"},
    ),
    BeforeValidator(_text),
]
Count = Annotated[int, Field(ge=0, le=2**53 - 1)]
"""A number that only grows; every JSON reader keeps it exact."""


class LocalRef(Wire):
    """An object of the same namespace, by name."""

    name: ObjectName


class KeyRef(Wire):
    """One key of a Secret or ConfigMap of the same namespace."""

    name: ObjectName
    key: DataKey


class Condition(Wire):
    """An observation, in the shape of `metav1.Condition`."""

    type: Annotated[str, Field(min_length=1, max_length=64)]
    status: Annotated[str, Field(json_schema_extra={"enum": ["True", "False", "Unknown"]})]
    observed_generation: Count | None = None
    last_transition_time: Time
    reason: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z][A-Za-z0-9]*$")]
    message: Annotated[str, Field(max_length=1024)] = ""


class Metadata(Wire):
    """What we read of an object's metadata."""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: Time | None = None
    deletion_timestamp: Time | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class Resource(Wire):
    """A custom resource. The class variables feed the CRD generator."""

    plural: ClassVar[str]
    short_names: ClassVar[tuple[str, ...]]
    columns: ClassVar[tuple[dict[str, Any], ...]]
    group: ClassVar[str] = GROUP

    metadata: Metadata


def column(name: str, path: str, description: str, *, kind: str = "string", priority: int = 0) -> dict[str, Any]:
    """One printer column; priority 1 shows with `-o wide` only."""
    shown: dict[str, Any] = {"name": name, "jsonPath": path, "type": kind, "description": description}
    return shown | ({"priority": priority} if priority else {})


AGE = column("Age", ".metadata.creationTimestamp", "Since when it exists.", kind="date")
