"""ModelProvider: one upstream account."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from droveway.api.enums import Access, Dialect
from droveway.api.v1alpha1.common import (
    AGE,
    ATOMIC,
    REMEDY,
    Condition,
    Count,
    KeyRef,
    Message,
    Name,
    Resource,
    Time,
    Wire,
    column,
    list_map,
    name_at_most,
    rule,
    rules,
)

Signature = Annotated[
    str,
    Field(
        min_length=3,
        max_length=256,
        json_schema_extra=rules(
            rule("''.matches(self) in [true, false]", "write a regular expression that compiles (RE2 syntax)")
        ),
    ),
]
LimitKind = Literal["SubscriptionLimit", "RateLimited", "BalanceExhausted"]


class Limits(Wire):
    """How limits of this provider are recognised beyond the built-in rules."""

    default_seconds: Annotated[
        int,
        Field(
            ge=1, le=691_200, description="How long a subscription limit lasts when the answer states no reset time."
        ),
    ] = 3600
    drain_percent: Annotated[
        int,
        Field(
            ge=1,
            le=100,
            description="From so much of a quota window on, new sessions go elsewhere if they can; running ones stay. "
            "100: the quota is used up.",
        ),
    ] = 90
    signatures: Annotated[
        list[Signature],
        Field(
            max_length=16,
            json_schema_extra=ATOMIC,
            description="Extra regular expressions over the first 4 KiB of a refusal (Direct: over the error that a CLI "
            "ended with, and the end of its stderr). A match is a subscription limit, unless a status or a code says more.",
        ),
    ] = []


class ModelProviderSpec(Wire):
    """Endpoint, dialect and credentials of one account."""

    model_config = Wire.model_config | {
        "json_schema_extra": rules(
            rule(
                "self.access == 'Direct' || (has(self.baseURL) && size(self.baseURL) > 0)",
                "a Gateway provider needs spec.baseURL: the address that the gateway sends requests to",
                ".baseURL",
            ),
            rule(
                "self.access == 'Gateway' || self.dialect == 'Anthropic'",
                "access Direct is for logins that do not rotate: today only dialect Anthropic (claude)",
                ".access",
            ),
            rule(
                "self.access == 'Gateway' || has(self.credentialsRef)",
                "a Direct provider needs spec.credentialsRef: the Secret that holds the CLI's login",
                ".credentialsRef",
            ),
        )
    }

    dialect: Annotated[Dialect, Field(description="Which LLM API it speaks.")]
    access: Annotated[
        Access,
        Field(
            description="Gateway: our gateway holds the key and calls. Direct: the official CLI "
            "uses its own subscription login, and is only observed."
        ),
    ] = Access.GATEWAY
    base_url: Annotated[
        str,
        Field(
            max_length=512,
            pattern=r"^$|^https?://[^\s?#@]+$",
            json_schema_extra={
                REMEDY: "write an http:// or https:// address without credentials, query and fragment, "
                "such as https://api.anthropic.com"
            },
            description="Without the version path (`/v1`, `/v1beta`). No credentials in it.",
        ),
    ] = ""
    credentials_ref: Annotated[
        KeyRef | None,
        Field(description="Gateway: the API key. Direct: the login, mounted only into the official CLI's pod."),
    ] = None
    quota_group: Annotated[
        Name | None,
        Field(description="Providers that share one limit share this name. Default: the provider's own name."),
    ] = None
    max_in_flight: Annotated[
        int,
        Field(
            ge=1,
            le=10_000,
            description="Gateway: concurrent upstream requests per gateway replica. Direct: concurrent pods.",
        ),
    ] = 32
    quota_group_max_in_flight: Annotated[
        int | None,
        Field(
            ge=1,
            le=10_000,
            description="Gateway: concurrent upstream requests per gateway replica to all providers of the quota group together. "
            "Where several of them say it, the smallest number counts. Default: no bound but each one's maxInFlight.",
        ),
    ] = None
    limits: Annotated[Limits, Field(description="How limits are recognised.")] = Limits()


class LimitStatus(Wire):
    """A quota that is spent until a known time."""

    quota_group: Annotated[str, Field(max_length=317)]
    model: Annotated[
        str, Field(max_length=256, description="The model, or the family of models (opus), that alone is limited.")
    ] = ""
    kind: LimitKind
    set_time: Time
    until_time: Time
    source: Annotated[str, Field(max_length=64)] = ""
    message: Message = ""


class UtilizationStatus(Wire):
    """How much of a quota window is used."""

    window: Annotated[str, Field(max_length=33, description="5h, 7d, or of one family of models: 7d_opus.")]
    used_percent: Annotated[int, Field(ge=0, le=1000, description="More than 100 is overdrawn.")]
    reset_time: Annotated[Time | None, Field(description="When the window begins anew.")] = None
    spent_time: Annotated[
        Time | None,
        Field(description="When it is spent at the pace since it began. Empty: not before it begins anew."),
    ] = None
    observed_time: Annotated[Time, Field(description="When an answer told it first.")]


class ModelProviderStatus(Wire):
    """What is known of the account."""

    observed_generation: Count | None = None
    conditions: Annotated[list[Condition], Field(max_length=8, json_schema_extra=list_map("type"))] = []
    limits: Annotated[list[LimitStatus], Field(max_length=32, json_schema_extra=list_map("quotaGroup", "model"))] = []
    utilization: Annotated[
        list[UtilizationStatus],
        Field(
            max_length=8,
            json_schema_extra=list_map("window"),
            description="The subscription's windows, as the latest answers told them.",
        ),
    ] = []
    used_summary: Annotated[str, Field(max_length=256, description="The same in one line.")] = ""


class ModelProvider(Resource):
    """One upstream account."""

    model_config = Wire.model_config | {"json_schema_extra": rules(name_at_most(63))}

    plural: ClassVar[str] = "modelproviders"
    short_names: ClassVar[tuple[str, ...]] = ("mprov",)
    columns: ClassVar = (
        column("Dialect", ".spec.dialect", "Which LLM API it speaks."),
        column("Access", ".spec.access", "Through the gateway, or by the CLI's own login."),
        column("Ready", '.status.conditions[?(@.type=="Ready")].status', "Whether it can be used."),
        column("Reason", '.status.conditions[?(@.type=="Ready")].reason', "Why it can or cannot be used."),
        column("Used", ".status.usedSummary", "How much of its quota windows is used."),
        column("Limited-Until", ".status.limits[0].untilTime", "Until when its quota is spent."),
        column("Message", '.status.conditions[?(@.type=="Ready")].message', "What to do.", priority=1),
        AGE,
    )

    spec: ModelProviderSpec
    status: ModelProviderStatus = ModelProviderStatus()
