"""AgentRun: one piece of work."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from droveway.api.enums import CostSource, EndClass, Health, OnLimit
from droveway.api.v1alpha1.common import (
    AGE,
    ATOMIC,
    RULES,
    Condition,
    Count,
    Decimal,
    KeyRef,
    LocalRef,
    Message,
    Name,
    ObjectName,
    Quantity,
    Resource,
    Time,
    Wire,
    column,
    list_map,
    name_at_most,
    rule,
    rules,
)
from droveway.api.v1alpha1.modelroute import TokensStatus

MUTABLE = ("suspend", "cancel", "priority")
"""What of an AgentRun's spec may change after it was created."""


class PromptFrom(Wire):
    """A prompt that is too long for the manifest, or kept apart from it."""

    model_config = Wire.model_config | {
        "json_schema_extra": rules(
            rule(
                "has(self.configMapKeyRef) != has(self.secretKeyRef)",
                "set exactly one of spec.promptFrom.configMapKeyRef and spec.promptFrom.secretKeyRef",
            )
        )
    }

    config_map_key_ref: KeyRef | None = None
    secret_key_ref: KeyRef | None = None


class VolumeWorkspace(Wire):
    """A claim that the run owns, and that survives its attempts."""

    size: Annotated[Quantity, Field(description="Size of the claim.")] = "1Gi"
    storage_class_name: Annotated[ObjectName | None, Field(description="Default: the cluster's.")] = None


class EmptyDirWorkspace(Wire):
    """Files that are given up with the attempt's pod."""

    size_limit: Annotated[Quantity | None, Field(description="The pod is evicted beyond it.")] = None


class Workspace(Wire):
    """Where the agent's files live."""

    model_config = Wire.model_config | {
        "json_schema_extra": rules(
            rule(
                "[has(self.volume), has(self.volumeClaimName), has(self.emptyDir)].filter(x, x).size() <= 1",
                "set at most one of spec.workspace.volume, .volumeClaimName and .emptyDir",
            )
        )
    }

    volume: VolumeWorkspace | None = None
    volume_claim_name: Annotated[
        ObjectName | None, Field(description="A claim of yours; it is never deleted by us.")
    ] = None
    empty_dir: EmptyDirWorkspace | None = None


class Budget(Wire):
    """What a run may use up; beyond it the attempt is ended and the run fails as BudgetExceeded."""

    max_cost_usd: Annotated[Decimal | None, Field(description="Sum over all attempts. Unknown costs do not count.")] = (
        None
    )
    max_tokens: Annotated[int | None, Field(ge=1, le=1_000_000_000_000, description="Sum over all attempts.")] = None


class Retry(Wire):
    """What happens when an attempt ends badly."""

    max_attempts: Annotated[
        int, Field(ge=1, le=100, description="Attempts that may fail by the agent's own fault.")
    ] = 3
    backoff_seconds: Annotated[int, Field(ge=1, le=3600, description="First pause; doubles, with jitter.")] = 10
    on_limit: Annotated[
        OnLimit, Field(description="At a limit: go to the next candidate, wait for the same, or fail.")
    ] = OnLimit.REROUTE
    max_reroutes: Annotated[int, Field(ge=0, le=1000, description="Moves to another candidate after a limit.")] = 10


def _spec_rules(schema: dict[str, Any]) -> None:
    # On the spec, not on its fields: a transition rule of an optional field is not asked when it appears or disappears.
    schema[RULES] = [
        rule("has(self.prompt) != has(self.promptFrom)", "set exactly one of spec.prompt and spec.promptFrom"),
        *(_unchanged(field) for field in schema["properties"] if field not in MUTABLE),
    ]


def _unchanged(field: str) -> dict[str, str]:
    return rule(
        f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})",
        f"spec.{field} cannot change: create a new AgentRun. Only {', '.join(MUTABLE)} may change",
        f".{field}",
    )


class AgentRunSpec(Wire):
    """The work, the road it may take, and what it may cost. Only suspend, cancel and priority may change."""

    model_config = Wire.model_config | {"json_schema_extra": _spec_rules}

    agent_ref: Annotated[LocalRef | None, Field(description="Agent for candidates that name none of their own.")] = None
    route_ref: Annotated[LocalRef, Field(description="The ModelRoute whose candidates it may use.")]
    prompt: Annotated[
        str | None, Field(min_length=1, max_length=32_000, description="What the agent is asked to do.")
    ] = None
    prompt_from: Annotated[PromptFrom | None, Field(description="A prompt kept elsewhere.")] = None
    workspace: Annotated[Workspace, Field(description="Default: emptyDir.")] = Workspace()
    budget: Annotated[Budget, Field(description="Default: none.")] = Budget()
    timeout_seconds: Annotated[int, Field(ge=1, le=604_800, description="Longest life of one attempt's pod.")] = 3600
    deadline_seconds: Annotated[
        int | None, Field(ge=1, le=2_592_000, description="Longest life of the whole run, waiting included.")
    ] = None
    stall_timeout_seconds: Annotated[int, Field(ge=1, le=604_800, description="Longest silence of the agent.")] = 900
    retry: Annotated[Retry, Field(description="Retries and reroutes.")] = Retry()
    suspend: Annotated[bool, Field(description="True ends the attempt and starts none until it is false again.")] = (
        False
    )
    cancel: Annotated[bool, Field(description="True ends the run for good.")] = False
    priority: Annotated[int, Field(ge=-1000, le=1000, description="Higher goes first when runs wait for a slot.")] = 0
    ttl_seconds_after_success: Annotated[
        int | None, Field(ge=0, le=31_536_000, description="Deletes it so long after it succeeded.")
    ] = None
    ttl_seconds_after_failure: Annotated[
        int | None, Field(ge=0, le=31_536_000, description="Deletes it so long after it failed.")
    ] = None


class ModelUsage(Wire):
    """What one candidate's model used."""

    model: Annotated[str, Field(max_length=256)]
    provider: Annotated[str, Field(max_length=253)]
    tokens: TokensStatus = TokensStatus()
    cost_usd: Decimal | None = None
    completions: Count = 0
    failures: Count = 0


class Usage(Wire):
    """What the run used so far, over all attempts."""

    tokens: TokensStatus = TokensStatus()
    cost_usd: Decimal | None = None
    cost_source: Annotated[
        CostSource,
        Field(
            description="Reported: all of the cost was told by agent CLIs. Priced: some of it was computed from price"
            " lists. Unknown: no completion had a price."
        ),
    ] = CostSource.UNKNOWN
    unpriced_completions: Annotated[
        Count, Field(description="Completions that used tokens and whose cost nobody knows: the sum leaves them out.")
    ] = 0
    completions: Count = 0
    by_model: Annotated[list[ModelUsage], Field(max_length=16, json_schema_extra=list_map("provider", "model"))] = []


class Rejection(Wire):
    """A candidate that was not chosen."""

    candidate: Name
    reason: Annotated[str, Field(max_length=64)]
    message: Message = ""


class RouteChoice(Wire):
    """Which candidate the run is on, why, and what was rejected."""

    candidate: Name
    provider: Annotated[str, Field(max_length=253)]
    model: Annotated[str, Field(max_length=256)]
    reason: Message
    rejected: Annotated[list[Rejection], Field(max_length=16, json_schema_extra=list_map("candidate"))] = []


class Reroute(Wire):
    """One move to another candidate."""

    time: Time
    depth: Literal["Request", "Run"]
    source: Annotated[Name, Field(alias="from")]
    target: Annotated[Name | None, Field(alias="to")] = None
    reason: Message


class AttemptUsage(Wire):
    """What one attempt used."""

    tokens: TokensStatus = TokensStatus()
    cost_usd: Decimal | None = None
    completions: Count = 0
    failures: Count = 0


class Attempt(Wire):
    """One pod of the run."""

    number: Annotated[int, Field(ge=1, le=1_000_000)]
    pod_name: Annotated[str, Field(max_length=63)]
    candidate: Name
    provider: Annotated[str, Field(max_length=253)]
    model: Annotated[str, Field(max_length=256)]
    agent: Annotated[str, Field(max_length=253)] = ""
    node_name: Annotated[str, Field(max_length=253)] = ""
    start_time: Time
    end_time: Time | None = None
    exit_code: Annotated[int, Field(ge=-255, le=255)] | None = None
    end_class: Annotated[
        EndClass | None, Field(alias="class", description="Set without endTime: it is being ended.")
    ] = None
    message: Message = ""
    usage: Annotated[AttemptUsage | None, Field(description="Empty while no completion of it was counted.")] = None


class Result(Wire):
    """The agent's last words."""

    text: Annotated[str, Field(max_length=4096)] = ""
    truncated: bool = False


class AgentRunStatus(Wire):
    """What became of the work."""

    observed_generation: Count | None = None
    conditions: Annotated[list[Condition], Field(max_length=8, json_schema_extra=list_map("type"))] = []
    route: RouteChoice | None = None
    attempts: Annotated[
        list[Attempt], Field(max_length=10, json_schema_extra=list_map("number"), description="The last ten.")
    ] = []
    attempt_count: Annotated[Count, Field(description="All attempts.")] = 0
    failed_count: Annotated[Count, Field(description="Attempts that counted against retry.maxAttempts.")] = 0
    limited_count: Annotated[
        Count,
        Field(
            description="Moves away from a limit, and attempts ended by an outage or a refused key; see maxReroutes."
        ),
    ] = 0
    interrupted_count: Annotated[Count, Field(description="Attempts lost to eviction or image pulls.")] = 0
    reroutes: Annotated[list[Reroute], Field(max_length=10, json_schema_extra=ATOMIC, description="The last ten.")] = []
    reroute_count: Annotated[Count, Field(description="Moves after a limit or an outage.")] = 0
    health: Health | None = None
    session_id: Annotated[str, Field(max_length=256)] = ""
    trace_id: Annotated[
        str,
        Field(
            max_length=32, description="Trace of the run; it follows from the uid, and lines of the log hold it too."
        ),
    ] = ""
    next_eligible_time: Time | None = None
    start_time: Time | None = None
    completion_time: Time | None = None
    usage: Usage = Usage()
    result: Result | None = None


class AgentRun(Resource):
    """One piece of work for an agent."""

    model_config = Wire.model_config | {"json_schema_extra": rules(name_at_most(48))}

    plural: ClassVar[str] = "agentruns"
    short_names: ClassVar[tuple[str, ...]] = ("arun",)
    columns: ClassVar = (
        column("Status", '.status.conditions[?(@.type=="Succeeded")].reason', "What it is doing, or how it ended."),
        column("Candidate", ".status.route.candidate", "Which line of its route it is on."),
        column("Model", ".status.route.model", "Which model it uses."),
        column("Attempts", ".status.attemptCount", "Pods so far.", kind="integer"),
        column("Cost", ".status.usage.costUSD", "US dollars so far."),
        column("Tokens", ".status.usage.tokens.total", "Tokens so far.", kind="integer", priority=1),
        column("Reroutes", ".status.rerouteCount", "Moves to another candidate.", kind="integer", priority=1),
        column("Why", ".status.route.reason", "Why it is on that candidate.", priority=1),
        column("Trace", ".status.traceID", "Id of its trace.", priority=1),
        column("Until", ".status.nextEligibleTime", "When it goes on by itself.", priority=1),
        column(
            "Message", '.status.conditions[?(@.type=="Succeeded")].message', "What was seen, what to do.", priority=1
        ),
        AGE,
    )

    spec: AgentRunSpec
    status: AgentRunStatus = AgentRunStatus()
