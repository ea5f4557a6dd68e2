"""What a ModelRoute says about time: clocks, retries and hedging of its requests."""

from typing import Annotated

from pydantic import Field

from droveway.api.v1alpha1.common import Wire, rule, rules

_Seconds = Annotated[int, Field(ge=1, le=3600)]


class TimeoutsSpec(Wire):
    """Clocks of a request. Whichever ends first ends the call; the caller's own deadline cuts them all."""

    connect_seconds: Annotated[_Seconds | None, Field(description="Until a connection to the provider is there.")] = (
        None
    )
    headers_seconds: Annotated[_Seconds | None, Field(description="From sending a call to the head of its answer.")] = (
        None
    )
    first_content_seconds: Annotated[
        _Seconds | None, Field(description="From sending a call to its first content; pings are none.")
    ] = None
    idle_seconds: Annotated[_Seconds | None, Field(description="Between two pieces of an answer.")] = None
    total_seconds: Annotated[
        int | None,
        Field(ge=1, le=86_400, description="The whole request, whatever it waits for and whoever is asked."),
    ] = None


class RequestRetry(Wire):
    """Two budgets under one deadline: candidates that are asked, and how often one is asked again."""

    model_config = Wire.model_config | {
        "json_schema_extra": rules(
            rule(
                # Its own default, an empty object, is held to the rule before its fields have theirs.
                "!has(self.backoffMilliseconds) || !has(self.maxBackoffMilliseconds)"
                " || self.backoffMilliseconds <= self.maxBackoffMilliseconds",
                "backoffMilliseconds must not exceed maxBackoffMilliseconds; raise maxBackoffMilliseconds",
            )
        )
    }

    same_candidate: Annotated[
        int,
        Field(ge=0, le=10, description="How often a candidate that failed for a moment is asked again."),
    ] = 0
    max_candidates: Annotated[int, Field(ge=1, le=16, description="How many candidates one request may ask.")] = 16
    backoff_milliseconds: Annotated[
        int, Field(ge=1, le=60_000, description="Before the first retry; doubles, times 0.5 to 1.5 by chance.")
    ] = 250
    max_backoff_milliseconds: Annotated[
        int,
        Field(
            ge=1, le=300_000, description="Longest wait for one retry; a provider that asks for more is left instead."
        ),
    ] = 5000
    max_percent: Annotated[
        int,
        Field(
            ge=1,
            le=100,
            description="Retries per hundred calls of a provider within 30 s, so that an outage is not amplified; "
            "three are always granted.",
        ),
    ] = 20


class Hedge(Wire):
    """The next candidate is asked as well when the first one is late; whose content comes first answers."""

    after_milliseconds: Annotated[
        int, Field(ge=1, le=600_000, description="Without content for so long, the next candidate starts too.")
    ]
    max_percent: Annotated[
        int,
        Field(ge=1, le=100, description="Requests per hundred of the route that may be doubled within 30 s: the cost."),
    ] = 5
