"""The account of every request and every upstream call: an event to the operator, metrics, and one line in the log."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from droveway.api.enums import EndClass
from droveway.core.completion import TokenBreakdown
from droveway.core.events import Record, RecordKind
from droveway.core.utilization import Reading
from droveway.core.verdict import Verdict
from droveway.gateway.client import Asked
from droveway.gateway.config import Candidate, Provider
from droveway.gateway.metrics import GatewayMetrics, Target
from droveway.gateway.prices import PricedModel
from droveway.gateway.reporter import Reporter

log = logging.getLogger("droveway.gateway.requests")

_LONGEST_ERROR = 256


@dataclass(slots=True)
class Call:
    """One upstream call. Instants named `…_at` are wall clock, the others monotonic seconds.

    Attributes:
        utilization: news of the account's quota windows.
        answered: the explicit end of the provider's stream has reached the agent. Some hang up then, before the connection ends.
    """

    candidate: Candidate
    provider: Provider
    started_at: datetime
    started: float
    first_content: float | None = None
    tokens: TokenBreakdown = field(default_factory=TokenBreakdown)
    utilization: Sequence[Reading] = ()
    answered: bool = False

    @property
    def age(self) -> float:
        """Seconds since it was sent."""
        return time.monotonic() - self.started


@dataclass(slots=True)
class Account:
    """What one request has come to so far.

    Attributes:
        began: monotonic seconds.
        foreign: seconds that were spent waiting for slots and providers.
        calls: upstream calls so far.
        candidate: whose turn it is.
        outcome: of the latest upstream call.
        answered: the agent has all of its answer.
        tried: (candidate, verdict) of every upstream call.
    """

    began: float
    foreign: float = 0.0
    calls: int = 0
    candidate: str = ""
    outcome: EndClass = EndClass.SUCCEEDED
    answered: bool = False
    tried: list[tuple[str, str]] = field(default_factory=list)


class Ledger:
    """Writes accounts down."""

    def __init__(self, metrics: GatewayMetrics, reporter: Reporter) -> None:
        self._metrics, self._reporter = metrics, reporter

    def call_ended(self, asked: Asked, account: Account, call: Call, verdict: Verdict) -> None:
        """An upstream call has ended, well or badly."""
        run, route, candidate, provider = asked.caller.run, asked.route.key, call.candidate, call.provider
        duration = call.age
        account.foreign += duration
        account.outcome = verdict.kind
        account.tried.append((candidate.name, verdict.kind.value))
        target: Target = (route.namespace, route.name, provider.name, candidate.model)
        self._metrics.completions(*target, verdict.kind.value).inc()
        self._metrics.count_tokens(target, call.tokens)
        if call.first_content is not None:
            self._metrics.first_content(*target).observe(call.first_content - call.started)
        self._reporter.tell(
            route,
            Record(
                number=self._reporter.next_number(route),
                kind=RecordKind.COMPLETION,
                at=datetime.now(UTC),
                run=run.name,
                run_uid=run.uid,
                attempt=asked.caller.attempt,
                candidate=candidate.name,
                provider=provider.name,
                model=candidate.model,
                session_id=asked.session_id,
                started_at=call.started_at,
                latency_ms=duration * 1000,
                success=verdict.is_success,
                tokens=call.tokens,
                error=None if verdict.is_success else verdict.reason[:_LONGEST_ERROR],
                id=f"{asked.id}-{account.calls}",
                verdict=None if verdict.is_success else verdict,
                utilization=tuple(call.utilization),
            ),
            PricedModel(provider.base_url, provider.dialect, candidate.model),
        )

    def exhausted(self, asked: Asked, verdict: Verdict) -> None:
        """No candidate was left for a request."""
        run = asked.caller.run
        self._reporter.tell(
            asked.route.key,
            Record(
                self._reporter.next_number(asked.route.key),
                RecordKind.EXHAUSTED,
                datetime.now(UTC),
                run.name,
                run.uid,
                asked.caller.attempt,
                session_id=asked.session_id,
                success=False,
                error=verdict.reason[:_LONGEST_ERROR],
                verdict=verdict,
            ),
            None,
        )

    def rerouted(self, asked: Asked, source: str, target: str, verdict: Verdict) -> None:
        """A request moves to another candidate."""
        route = asked.route.key
        self._metrics.reroutes(route.namespace, route.name, source, target, verdict.kind.value).inc()

    def request_ended(self, asked: Asked, account: Account, outcome: EndClass) -> None:
        """The last byte of an answer is out, or nobody waits for it any more."""
        run, route = asked.caller.run, asked.route.key
        duration = time.monotonic() - account.began
        overhead = max(0.0, duration - account.foreign)
        self._metrics.requests(route.namespace, route.name, outcome.value).inc()
        self._metrics.duration(route.namespace, route.name).observe(duration)
        self._metrics.overhead.observe(overhead)
        log.info(
            "request",
            extra={
                "fields": {
                    "request": asked.id,
                    "namespace": run.namespace,
                    "run": run.name,
                    "attempt": asked.caller.attempt,
                    "route": route.name,
                    "candidate": account.candidate,
                    "dialect": asked.spec.dialect.value,
                    "operation": asked.request.operation.value,
                    "stream": asked.request.stream,
                    "attempts": account.tried,
                    "outcome": outcome.value,
                    "milliseconds": round(duration * 1000, 1),
                    "overhead_milliseconds": round(overhead * 1000, 2),
                }
            },
        )
