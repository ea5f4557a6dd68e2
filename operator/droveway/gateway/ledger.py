"""The account of every request and every upstream call: an event to the operator, metrics, and one line in the log."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from droveway.api.enums import CostSource, EndClass
from droveway.core.completion import TokenBreakdown
from droveway.core.events import Record, RecordKind
from droveway.core.utilization import Reading
from droveway.core.verdict import Verdict
from droveway.gateway import requestlog
from droveway.gateway.client import Asked, Origin
from droveway.gateway.config import Candidate, Provider
from droveway.gateway.metrics import GatewayMetrics, Target
from droveway.gateway.prices import PricedModel
from droveway.gateway.reporter import Reporter
from droveway.gateway.traces import RequestTrace, RequestTraces

_LONGEST_ERROR = 256


@dataclass(slots=True)
class Call:
    """One upstream call. Instants named `…_at` are wall clock, the others monotonic seconds.

    Attributes:
        headed: the head of the answer was there.
        ended: it was over, with this verdict.
        cost_usd: None: nobody knows its price, or not yet.
        number: of this request's calls, from 1.
        utilization: news of the account's quota windows.
        answered: the explicit end of the provider's stream has reached the agent. Some hang up then, before the connection ends.
    """

    candidate: Candidate
    provider: Provider
    started_at: datetime
    started: float
    headed: float | None = None
    number: int = 1
    first_content: float | None = None
    ended: float | None = None
    verdict: Verdict | None = None
    tokens: TokenBreakdown = field(default_factory=TokenBreakdown)
    cost_usd: float | None = None
    utilization: Sequence[Reading] = ()
    answered: bool = False


@dataclass(slots=True)
class Phases:
    """Where the time of a request went, in seconds; what is left is our own.

    Attributes:
        queue: waiting for slots of providers.
        headers: from sending upstream until the head of the answer was there; connecting included.
        first_content: from then until the first content.
        stream: from then until the end of the call.
        pause: sitting out a short limit or a pause between tries, or waiting for the answer to a request just like it.
    """

    queue: float = 0.0
    headers: float = 0.0
    first_content: float = 0.0
    stream: float = 0.0
    pause: float = 0.0

    def add(self, call: Call, ended: float) -> None:
        """Adds the phases that a call has reached."""
        headed = ended if call.headed is None else call.headed
        first = ended if call.first_content is None else call.first_content
        self.headers += headed - call.started
        self.first_content += first - headed
        self.stream += ended - first

    @property
    def foreign(self) -> float:
        """Seconds that are not ours."""
        return self.queue + self.headers + self.first_content + self.stream + self.pause


@dataclass(slots=True)
class Account:
    """What one request has come to so far.

    Attributes:
        began: monotonic seconds.
        phases: where its time went.
        calls: upstream calls so far.
        candidate: whose turn it is.
        outcome: of the latest upstream call.
        answered: the agent has all of its answer.
        ended: the upstream calls that are over.
        cache: `hit`, `miss`, `coalesced` or `bypassed`; "" for a request that has not opted in.
        trace: its spans to be, when traces are on.
        broken: tokens of calls that failed when the agent had a part of their answer.
        spent: is told of every call that is over, its cost included; None: nobody counts.
    """

    began: float
    phases: Phases = field(default_factory=Phases)
    calls: int = 0
    candidate: str = ""
    outcome: EndClass = EndClass.SUCCEEDED
    answered: bool = False
    ended: list[Call] = field(default_factory=list)
    cache: str = ""
    trace: RequestTrace | None = None
    broken: TokenBreakdown = field(default_factory=TokenBreakdown)
    spent: Callable[[Call], None] | None = None

    def end(self, call: Call, verdict: Verdict) -> None:
        """A call is over."""
        call.ended, call.verdict = time.monotonic(), verdict
        self.phases.add(call, call.ended)
        self.outcome = verdict.kind
        self.ended.append(call)


class Ledger:
    """Writes accounts down.

    Attributes:
        traces: None: traces are off.
    """

    _kind = RecordKind.COMPLETION

    def __init__(self, metrics: GatewayMetrics, reporter: Reporter, traces: RequestTraces | None = None) -> None:
        self._metrics, self._reporter, self.traces = metrics, reporter, traces

    def call_ended(self, asked: Asked, account: Account, call: Call, verdict: Verdict) -> None:
        """An upstream call that counts has ended, well or badly."""
        run, route, candidate, provider = asked.caller.run, asked.route.key, call.candidate, call.provider
        duration = (time.monotonic() if call.ended is None else call.ended) - call.started
        target: Target = (route.namespace, route.name, provider.name, candidate.model)
        self._count(target, call, duration)
        priced = PricedModel(provider.base_url, provider.dialect, candidate.model)
        cost = self._reporter.cost(priced, call.tokens)
        call.cost_usd = self._reporter.tell(
            route,
            Record(
                number=self._reporter.next_number(route),
                kind=self._kind,
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
                cost_usd=cost,
                cost_source=None if cost is None else CostSource.PRICED,
                error=None if verdict.is_success else verdict.reason[:_LONGEST_ERROR],
                id=f"{asked.id}-{call.number}",
                verdict=None if verdict.is_success else verdict,
                utilization=tuple(call.utilization),
                aside=asked.aside,
            ),
            priced,
        )
        if account.spent:
            account.spent(call)

    def _count(self, target: Target, call: Call, seconds: float) -> None:
        self._metrics.completed(target, call, seconds)

    def exhausted(self, asked: Asked, verdict: Verdict) -> None:
        """No candidate was left for a request."""
        if asked.aside:
            return
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
        duration = time.monotonic() - account.began
        overhead = max(0.0, duration - account.phases.foreign)
        self._metrics.answered(asked.route.key, outcome.value, duration, overhead)
        requestlog.served(asked, account, outcome, duration, overhead)
        if self.traces:
            self.traces.ended(asked, account, outcome)

    def refused(self, origin: Origin, path: str, outcome: EndClass, reason: str) -> None:
        """A request was turned away before anybody knew whose it is or where it should go."""
        self._metrics.refusals(outcome.value).inc()
        requestlog.refused(origin, path, outcome, reason[:_LONGEST_ERROR])


class MirrorLedger(Ledger):
    """The account of copies, apart from what agents asked for."""

    _kind = RecordKind.MIRROR

    def _count(self, target: Target, call: Call, seconds: float) -> None:
        self._metrics.mirrored(*target, call.verdict.kind.value if call.verdict else "").inc()
        self._metrics.mirror_duration(*target).observe(seconds)
        self._metrics.count_tokens(self._metrics.mirror_tokens, target, call.tokens)
