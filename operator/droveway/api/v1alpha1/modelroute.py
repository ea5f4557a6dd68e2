"""ModelRoute: candidates in order, and the rules by which one is chosen."""

from typing import Annotated, ClassVar

from pydantic import Field

from droveway.api.enums import CacheMode, CircuitName, EarlierThoughts, MidStream, OnExhausted, Strategy
from droveway.api.v1alpha1.common import (
    AGE,
    REMEDY,
    Condition,
    Count,
    Decimal,
    LocalRef,
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
from droveway.api.v1alpha1.rollout import CanarySpec, CanaryStatus, MirrorSpec, MirrorStatus
from droveway.api.v1alpha1.timing import Hedge, RequestRetry, TimeoutsSpec


class Candidate(Wire):
    """One line of a route: a provider, a model, and perhaps the Agent that can use it."""

    name: Name
    provider_ref: LocalRef
    model: Annotated[
        str,
        Field(
            min_length=1,
            max_length=256,
            pattern=r"^[^\s]+$",
            json_schema_extra={REMEDY: "write the model's name as its provider spells it, without spaces"},
            description="As the provider spells it; replaces the model of the request.",
        ),
    ]
    weight: Annotated[int, Field(ge=0, le=1000, description="Share under strategy Weighted; 0 takes no share.")] = 1
    priority: Annotated[int, Field(ge=0, le=1000, description="Lower comes first; ties keep the list's order.")] = 0
    agent_ref: Annotated[LocalRef | None, Field(description="Agent that can use this model. Default: the run's.")] = (
        None
    )


class CircuitBreakerSpec(Wire):
    """When a failing candidate is left alone (R-B1 to R-B9)."""

    failure_threshold: Annotated[int, Field(ge=1, le=1000, description="Outages in a row that open the breaker.")] = 3
    cooldown_seconds: Annotated[int, Field(ge=1, le=86_400, description="How long it stays open.")] = 30
    success_threshold: Annotated[int, Field(ge=1, le=1000, description="Probes that must succeed to close it.")] = 1
    half_open_max_probes: Annotated[
        int, Field(ge=1, le=100, description="Requests or runs at once while half-open.")
    ] = 1


class TelemetrySpec(Wire):
    """What the per-model summaries cover."""

    window_seconds: Annotated[int, Field(ge=60, le=604_800, description="Length of the sliding window.")] = 3600
    stale_seconds: Annotated[int, Field(ge=1, le=604_800, description="Age from which telemetry no longer ranks.")] = (
        600
    )


class CacheSpec(Wire):
    """When an earlier answer may be given again. Errors, incomplete answers and tool turns are never kept."""

    mode: Annotated[
        CacheMode,
        Field(
            description="Never: nobody. OnRequest: requests with X-Droveway-Cache. Deterministic: all but those with a"
            " temperature above 0. Always: these too."
        ),
    ] = CacheMode.ON_REQUEST
    ttl_seconds: Annotated[int, Field(ge=1, le=2_592_000, description="How long an answer is kept.")] = 86_400


def _names_a_candidate(part: str) -> dict[str, str]:
    message = f"spec.{part}.candidate is none of spec.candidates; write the name of one of them"
    return rule(
        f"!has(self.{part}) || self.candidates.exists(c, c.name == self.{part}.candidate)",
        message,
        f".{part}.candidate",
    )


class ModelRouteSpec(Wire):
    """The choice."""

    model_config = Wire.model_config | {
        "json_schema_extra": rules(
            _names_a_candidate("canary"),
            _names_a_candidate("mirror"),
            rule(
                "!has(self.canary) || !has(self.mirror) || self.canary.candidate != self.mirror.candidate",
                "a mirror gets no work of its own, so it cannot be the canary; name another candidate",
                ".mirror.candidate",
            ),
            rule(
                "size(self.candidates) > (has(self.canary) ? 1 : 0) + (has(self.mirror) ? 1 : 0)",
                "spec.candidates needs one that is neither the canary nor the mirror; add it",
                ".candidates",
            ),
        )
    }

    strategy: Annotated[Strategy, Field(description="How eligible candidates are ranked.")] = Strategy.PRIORITY
    candidates: Annotated[
        list[Candidate],
        Field(
            min_length=1,
            max_length=16,
            json_schema_extra=list_map("name"),
            description="Where work may go; the order settles ties.",
        ),
    ]
    circuit_breaker: Annotated[CircuitBreakerSpec, Field(description="One breaker per candidate.")] = (
        CircuitBreakerSpec()
    )
    telemetry: Annotated[TelemetrySpec, Field(description="Window of the summaries.")] = TelemetrySpec()
    cache: Annotated[CacheSpec, Field(description="Answers that are given again.")] = CacheSpec()
    timeouts: Annotated[TimeoutsSpec, Field(description="Clocks of a request; the gateway's own where not given.")] = (
        TimeoutsSpec()
    )
    retry: Annotated[RequestRetry, Field(description="How persistent a request is within its deadline.")] = (
        RequestRetry()
    )
    hedge: Annotated[
        Hedge | None, Field(description="Ask the next candidate as well when the first one is late. Default: never.")
    ] = None
    earlier_thoughts: Annotated[
        EarlierThoughts,
        Field(
            description="A conversation holds thoughts, signed or encrypted for their own vendor, and the candidate speaks "
            "another dialect: leave the candidate out for this request, or drop the thoughts. See docs/conversion.md."
        ),
    ] = EarlierThoughts.REFUSE
    mid_stream: Annotated[
        MidStream,
        Field(
            description="A provider fails after the first content of a stream: end it with an error, let the next "
            "candidate continue the text, or declare it void and start again. See docs/streams.md."
        ),
    ] = MidStream.ERROR
    on_exhausted: Annotated[
        OnExhausted, Field(description="Nothing eligible: wait for the earliest reset, or fail.")
    ] = OnExhausted.WAIT
    canary: Annotated[CanarySpec | None, Field(description="A candidate that is tried on a share of the sessions.")] = (
        None
    )
    mirror: Annotated[MirrorSpec | None, Field(description="A candidate that gets copies of requests.")] = None


class CircuitStatus(Wire):
    """Breaker of record of one candidate."""

    state: CircuitName = CircuitName.CLOSED
    failures: Count = 0
    successes: Count = 0
    opened_time: Time | None = None
    open_until_time: Time | None = None
    probe_times: Annotated[
        list[Time], Field(max_length=100, json_schema_extra={"x-kubernetes-list-type": "atomic"})
    ] = []


class TokensStatus(Wire):
    """Tokens in disjoint buckets, and their sum."""

    input: Count = 0
    output: Count = 0
    reasoning: Count = 0
    cache_read: Count = 0
    cache_write: Count = 0
    total: Count = 0


class TelemetryStatus(Wire):
    """Aggregates over the route's window."""

    succeeded: Count = 0
    failed: Count = 0
    samples: Count = 0
    success_rate: Decimal | None = None
    throughput: Decimal | None = None
    average_latency_milliseconds: Count | None = None
    last_event_time: Time | None = None
    tokens: TokensStatus = TokensStatus()
    cost_usd: Decimal | None = None


class CandidateStatus(Wire):
    """Whether a candidate can be chosen now, and why."""

    name: Name
    eligible: bool
    reason: Annotated[str, Field(max_length=64)]
    message: Message = ""
    circuit: CircuitStatus = CircuitStatus()
    limited_until_time: Time | None = None
    share_percent: Annotated[
        int,
        Field(ge=0, le=100, description="Share of the sessions that it may take: less than all while it comes back."),
    ] = 100
    recovered_time: Annotated[
        Time | None, Field(description="Since when it comes back in steps, after an outage or a limit.")
    ] = None
    telemetry: TelemetryStatus = TelemetryStatus()


class ModelRouteStatus(Wire):
    """State of the candidates."""

    observed_generation: Count | None = None
    conditions: Annotated[list[Condition], Field(max_length=8, json_schema_extra=list_map("type"))] = []
    candidates: Annotated[list[CandidateStatus], Field(max_length=16, json_schema_extra=list_map("name"))] = []
    canary: CanaryStatus | None = None
    mirror: MirrorStatus | None = None
    eligible_summary: Annotated[str, Field(max_length=16)] = ""
    candidate_summary: Annotated[
        str,
        Field(
            max_length=2048,
            description="Each candidate in a few words: breaker, success rate, latency, and until when it is limited.",
        ),
    ] = ""


class ModelRoute(Resource):
    """Where the requests of a run may go."""

    model_config = Wire.model_config | {"json_schema_extra": rules(name_at_most(63))}

    plural: ClassVar[str] = "modelroutes"
    short_names: ClassVar[tuple[str, ...]] = ("mroute",)
    columns: ClassVar = (
        column("Strategy", ".spec.strategy", "How candidates are ranked."),
        column("Ready", '.status.conditions[?(@.type=="Ready")].status', "Whether a candidate can be chosen."),
        column("Eligible", ".status.eligibleSummary", "Candidates that can be chosen now, of all."),
        column("Limited", '.status.conditions[?(@.type=="Limited")].status', "Whether a quota of it is spent."),
        column(
            "Candidates", ".status.candidateSummary", "Breaker, success rate, latency and limit of each.", priority=1
        ),
        column("Message", '.status.conditions[?(@.type=="Ready")].message', "What to do.", priority=1),
        AGE,
    )

    spec: ModelRouteSpec
    status: ModelRouteStatus = ModelRouteStatus()
