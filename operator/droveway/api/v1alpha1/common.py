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


def rule(expression: str, message: str, field_path: str | None = None) -> dict[str, str]:
    """One CEL validation: `x-kubernetes-validations` of the schema."""
    found = {"rule": expression, "message": message}
    return found | ({"fieldPath": field_path} if field_path else {})


def rules(*validations: dict[str, str]) -> dict[str, Any]:
    """Schema extra that carries CEL validations."""
    return {"x-kubernetes-validations": list(validations)}


def list_map(*keys: str) -> dict[str, Any]:
    """Schema extra of a list whose items are told apart by keys."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


ATOMIC: dict[str, Any] = {"x-kubernetes-list-type": "atomic"}
QUANTITY: dict[str, Any] = {"x-kubernetes-int-or-string": True}


def _parse_time(value: object) -> object:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def _print_time(value: datetime) -> str:
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ" if value.microsecond else "%Y-%m-%dT%H:%M:%SZ")


Time = Annotated[
    datetime,
    BeforeValidator(_parse_time),
    PlainSerializer(_print_time, when_used="json"),
    Field(json_schema_extra={"type": "string", "format": "date-time"}),
]
"""An aware instant. Microseconds survive, so that orders and durations do."""

Name = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
ObjectName = Annotated[
    str,
    Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"),
]
SecretKey = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
Decimal = Annotated[str, Field(max_length=24, pattern=r"^[0-9]{1,12}(\.[0-9]{1,9})?$")]
"""Money or a rate: a decimal string, since the API has no floats."""
Message = Annotated[str, Field(max_length=256)]
Quantity = Annotated[str, Field(max_length=32, pattern=r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$")]


class LocalRef(Wire):
    """An object of the same namespace, by name."""

    name: ObjectName


class KeyRef(Wire):
    """One key of a Secret or ConfigMap of the same namespace."""

    name: ObjectName
    key: SecretKey


class Condition(Wire):
    """An observation, in the shape of `metav1.Condition`."""

    type: Annotated[str, Field(min_length=1, max_length=64)]
    status: Annotated[str, Field(json_schema_extra={"enum": ["True", "False", "Unknown"]})]
    observed_generation: Annotated[int, Field(ge=0)] | None = None
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
