"""Agent: how to run one kind of agent."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from droveway.api.enums import Cli
from droveway.api.v1alpha1.common import (
    AGE,
    ATOMIC,
    REMEDY,
    Quantity,
    Resource,
    Wire,
    column,
    list_map,
    rule,
    rules,
)

Argument = Annotated[str, Field(max_length=4096)]
ResourceName = Literal["cpu", "memory", "ephemeral-storage"]
Quantities = Annotated[
    dict[ResourceName, Quantity],
    Field(
        max_length=3,
        json_schema_extra=rules(
            rule(
                "self.all(name, name in ['cpu', 'memory', 'ephemeral-storage'])",
                "only cpu, memory and ephemeral-storage can be asked for",
            )
        ),
    ),
]


class EnvVar(Wire):
    """A plain environment variable. Credentials do not belong here: providers hold them."""

    name: Annotated[
        str,
        Field(
            min_length=1,
            max_length=128,
            pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
            json_schema_extra={REMEDY: "use letters, digits and underscores, and no digit in front"},
        ),
    ]
    value: Annotated[str, Field(max_length=4096)] = ""


class Resources(Wire):
    """Requests and limits of the agent's container."""

    requests: Quantities = {}
    limits: Quantities = {}


class AgentSpec(Wire):
    """What to run, and how."""

    model_config = Wire.model_config | {
        "json_schema_extra": rules(
            rule(
                "self.cli != 'custom' || (has(self.command) && size(self.command) > 0)",
                "a custom agent needs spec.command: the argv to run, with $(PROMPT) and $(MODEL)",
                ".command",
            ),
            rule(
                "self.cli == 'custom' || !has(self.command) || size(self.command) == 0",
                "spec.command is for cli: custom only; use spec.args to add arguments to a known CLI",
                ".command",
            ),
        )
    }

    cli: Annotated[Cli, Field(description="Which command line speaks in the pod; `custom` runs spec.command.")]
    image: Annotated[
        str,
        Field(
            min_length=1,
            max_length=512,
            pattern=r"^[^\s]+$",
            json_schema_extra={REMEDY: "name an image without spaces, such as droveway/agents:0.1"},
            description="Image that holds the CLI, a POSIX shell and setsid.",
        ),
    ]
    image_pull_policy: Annotated[Literal["Always", "IfNotPresent", "Never"], Field(description="As in a pod.")] = (
        "IfNotPresent"
    )
    command: Annotated[
        list[Argument],
        Field(
            max_length=64,
            json_schema_extra=ATOMIC,
            description="cli: custom only. argv; $(PROMPT) and $(MODEL) are replaced.",
        ),
    ] = []
    args: Annotated[
        list[Argument], Field(max_length=64, json_schema_extra=ATOMIC, description="Arguments added to the CLI's own.")
    ] = []
    env: Annotated[
        list[EnvVar],
        Field(
            max_length=64, json_schema_extra=list_map("name"), description="Plain variables of the agent's container."
        ),
    ] = []
    resources: Annotated[Resources, Field(description="Requests and limits of the agent's container.")] = Resources()
    runtime_class_name: Annotated[
        str,
        Field(
            max_length=253,
            pattern=r"^$|^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$",
            json_schema_extra={REMEDY: "name a RuntimeClass of the cluster: kubectl get runtimeclass"},
            description="RuntimeClass of the pod, such as a sandbox.",
        ),
    ] = ""
    node_selector: Annotated[
        dict[str, Annotated[str, Field(max_length=63)]],
        Field(max_length=16, description="Nodes that the pod may run on."),
    ] = {}
    tolerations: Annotated[
        list["Toleration"], Field(max_length=16, json_schema_extra=ATOMIC, description="Taints that the pod tolerates.")
    ] = []


class Toleration(Wire):
    """As in a pod."""

    key: Annotated[str, Field(max_length=317)] = ""
    operator: Literal["Exists", "Equal"] = "Equal"
    value: Annotated[str, Field(max_length=63)] = ""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""


class Agent(Resource):
    """A runtime for agents, reusable by many runs."""

    plural: ClassVar[str] = "agents"
    short_names: ClassVar[tuple[str, ...]] = ("agt",)
    columns: ClassVar = (
        column("CLI", ".spec.cli", "Which agent CLI it runs."),
        column("Image", ".spec.image", "Where the CLI comes from."),
        AGE,
    )

    spec: AgentSpec


AgentSpec.model_rebuild()
