"""The clocks, retries and hedging of a route, as its requests need them."""

from dataclasses import dataclass, field, replace

from droveway.api.enums import MidStream
from droveway.api.v1alpha1 import ModelRouteSpec
from droveway.api.v1alpha1.timing import TimeoutsSpec
from droveway.core.deadline import NEVER, Clock, Clocks, Deadline
from droveway.core.retrying import RetryRule


@dataclass(frozen=True, slots=True)
class HedgeRule:
    """When the next candidate starts as well, in seconds, and for how many percent of the requests."""

    after: float
    percent: int


@dataclass(frozen=True, slots=True)
class Timing:
    """What a route says about time.

    Attributes:
        total: seconds of the whole request; None: no bound.
        clocks: those that the route sets itself.
    """

    total: float | None = None
    clocks: dict[str, float] = field(default_factory=dict)
    retry: RetryRule = field(default_factory=RetryRule)
    hedge: HedgeRule | None = None
    mid_stream: MidStream = MidStream.ERROR

    def clocks_over(self, defaults: Clocks) -> Clocks:
        """The process's clocks, where the route sets no other."""
        return replace(defaults, **self.clocks) if self.clocks else defaults

    def deadline(self, began: float) -> Deadline:
        """The end of a request that began then."""
        return NEVER if self.total is None else Deadline.after(self.total, began, Clock.TOTAL)


def timing_of(spec: ModelRouteSpec) -> Timing:
    """What a manifest says about time."""
    retry, hedge = spec.retry, spec.hedge
    return Timing(
        spec.timeouts.total_seconds,
        _clocks(spec.timeouts),
        RetryRule(
            retry.same_candidate,
            retry.max_candidates,
            retry.backoff_milliseconds / 1000,
            retry.max_backoff_milliseconds / 1000,
            retry.max_percent,
        ),
        HedgeRule(hedge.after_milliseconds / 1000, hedge.max_percent) if hedge else None,
        spec.mid_stream,
    )


def _clocks(given: TimeoutsSpec) -> dict[str, float]:
    told = {
        "connect": given.connect_seconds,
        "headers": given.headers_seconds,
        "first_content": given.first_content_seconds,
        "idle": given.idle_seconds,
    }
    return {name: float(seconds) for name, seconds in told.items() if seconds is not None}
