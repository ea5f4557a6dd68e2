"""TenantQuota: what the runs of one namespace may use together."""

from typing import Annotated, ClassVar

from pydantic import Field

from droveway.api.enums import QuotaMode, QuotaWindow
from droveway.api.v1alpha1.common import (
    AGE,
    Condition,
    Count,
    Decimal,
    Resource,
    Time,
    Wire,
    column,
    list_map,
    name_at_most,
    rule,
    rules,
)

_NO_EMPTY = "name a limit in it, or leave it out"
_Tokens = Annotated[
    int | None, Field(ge=1, le=1_000_000_000_000_000, description="Tokens of all kinds, those of caches included.")
]


class MinuteLimits(Wire):
    """Limits over the last 60 seconds."""

    model_config = Wire.model_config | {
        "json_schema_extra": rules(rule("has(self.maxRequests) || has(self.maxTokens)", _NO_EMPTY))
    }

    max_requests: Annotated[
        int | None, Field(ge=1, le=1_000_000_000, description="Requests of agents; tries upstream do not count.")
    ] = None
    max_tokens: _Tokens = None


class SpendLimits(Wire):
    """Limits over an hour, a day or a month of the calendar, in UTC."""

    model_config = Wire.model_config | {
        "json_schema_extra": rules(rule("has(self.maxTokens) || has(self.maxCostUSD)", _NO_EMPTY))
    }

    max_tokens: _Tokens = None
    max_cost_usd: Annotated[
        Decimal | None, Field(description="US dollars by the price list. Calls of unknown price do not count.")
    ] = None


class TenantQuotaSpec(Wire):
    """Limits of one namespace. Several TenantQuotas in it all apply."""

    model_config = Wire.model_config | {
        "json_schema_extra": rules(
            rule(
                "has(self.maxInFlight) || has(self.perMinute) || has(self.perHour) || has(self.perDay) || has(self.perMonth)",
                "a TenantQuota needs a limit: set maxInFlight, perMinute, perHour, perDay or perMonth",
            )
        )
    }

    mode: Annotated[
        QuotaMode, Field(description="Enforce: requests beyond it are refused. Shadow: they are only counted and told.")
    ] = QuotaMode.ENFORCE
    warn_percent: Annotated[
        int,
        Field(
            ge=1,
            le=100,
            description="From so much of a limit per hour, day or month on, a condition and an Event warn.",
        ),
    ] = 80
    max_in_flight: Annotated[
        int | None,
        Field(
            ge=1,
            le=100_000,
            description="Requests at once. More wait, then are refused. Per gateway replica, unless replicas share Valkey.",
        ),
    ] = None
    per_minute: Annotated[
        MinuteLimits | None,
        Field(
            description="A window that rolls. Per gateway replica, unless replicas share Valkey; begins empty with it."
        ),
    ] = None
    per_hour: Annotated[SpendLimits | None, Field(description="From hh:00 to the next, UTC.")] = None
    per_day: Annotated[SpendLimits | None, Field(description="From midnight to midnight, UTC.")] = None
    per_month: Annotated[SpendLimits | None, Field(description="From the first of a month, UTC.")] = None


class QuotaUse(Wire):
    """What was used since a window began."""

    window: QuotaWindow
    start_time: Time
    reset_time: Annotated[Time, Field(description="When it begins anew.")]
    tokens: Count = 0
    cost_usd: Decimal = "0"
    unpriced: Annotated[Count, Field(description="Calls whose price nobody knows; they are not in costUSD.")] = 0


class TenantQuotaStatus(Wire):
    """How much is used, from the operator's record."""

    observed_generation: Count | None = None
    conditions: Annotated[list[Condition], Field(max_length=8, json_schema_extra=list_map("type"))] = []
    used: Annotated[
        list[QuotaUse],
        Field(max_length=4, json_schema_extra=list_map("window"), description="Of the namespace, whatever is limited."),
    ] = []
    used_summary: Annotated[str, Field(max_length=256, description="How much of its limits, in one line.")] = ""
    reset_time: Annotated[Time | None, Field(description="When all windows that are used up have begun anew.")] = None


class TenantQuota(Resource):
    """What the runs of one namespace may use together."""

    model_config = Wire.model_config | {"json_schema_extra": rules(name_at_most(63))}

    plural: ClassVar[str] = "tenantquotas"
    short_names: ClassVar[tuple[str, ...]] = ("tquota",)
    columns: ClassVar = (
        column("Mode", ".spec.mode", "Whether it refuses."),
        column("Used", ".status.usedSummary", "How much of its limits is used."),
        column("Exceeded", '.status.conditions[?(@.type=="Exceeded")].status', "Whether a limit is used up."),
        column("Warning", '.status.conditions[?(@.type=="Warning")].status', "Whether a limit is nearly used up."),
        column("Resets", ".status.resetTime", "When what is used up begins anew."),
        column("Message", '.status.conditions[?(@.type=="Exceeded")].message', "Which limit.", priority=1),
        AGE,
    )

    spec: TenantQuotaSpec
    status: TenantQuotaStatus = TenantQuotaStatus()
