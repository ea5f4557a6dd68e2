"""Metrics of the gateway. Labels are bounded by the configuration: never a run, a session or a prompt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter

from droveway.api.enums import Dialect
from droveway.cluster.objects import Key
from droveway.core.completion import TokenBreakdown
from droveway.core.events import TOKEN_BUCKETS
from droveway.gateway.config import Provider
from droveway.gateway.semantics import operation_name, provider_name
from droveway.observability import genai
from droveway.observability.metrics import SMALL_BUCKETS, Metrics

if TYPE_CHECKING:
    from droveway.gateway.ledger import Call

Target = tuple[str, str, str, str]
"""tenant, route, provider, model"""

_TARGET = ("tenant", "route", "provider", "model")
_CANDIDATE = ("tenant", "route", "candidate")
_SIZES = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 12.0, 16.0)


class GatewayMetrics:
    """Everything that the gateway counts."""

    def __init__(self) -> None:
        m = Metrics("droveway_gateway")
        self.expose = m.expose
        self.requests = m.counter("requests", "Requests of agents, by how they ended.", "tenant", "route", "outcome")
        self.refusals = m.counter("refusals", "Requests turned away before their route was known, by why.", "outcome")
        self.duration = m.histogram(
            "request_duration_seconds", "From the request's head to its last byte.", "tenant", "route"
        )
        self.overhead = m.plain_histogram(
            "overhead_seconds", "Of a request, what was neither waiting for a slot nor for the provider.", SMALL_BUCKETS
        )
        self.completions = m.counter("completions", "Upstream calls, by verdict.", *_TARGET, "outcome")
        self.first_content = m.histogram(
            "first_content_seconds", "From an upstream call to its first content.", *_TARGET
        )
        self.in_flight = m.gauge("in_flight", "Upstream calls under way.", "tenant", "provider")
        self.queue_wait = m.histogram(
            "queue_wait_seconds", "Waiting for a slot of a provider.", "tenant", "provider", buckets=SMALL_BUCKETS
        )
        self.waiting = m.gauge("queue_length", "Requests that wait for a slot.", "tenant", "provider")
        self.slots = m.gauge("slots", "Slots of a provider in this replica: its `maxInFlight`.", "tenant", "provider")
        self.queue_refused = m.counter(
            "queue_refused",
            "Requests that got no slot: none became free in time, or the wait would have outlasted the deadline.",
            "tenant",
            "provider",
            "reason",
        )
        self.quota_refused = m.counter(
            "quota_refused",
            "Requests beyond a TenantQuota: refused, or let through in mode Shadow.",
            "tenant",
            "quota",
            "mode",
            "window",
            "unit",
        )
        self.shared_up = m.plain_gauge(
            "shared_up", "1: Valkey answers and replicas share quotas and cache; 0: it is away, or not set up."
        )
        self.shared_failures = m.plain_counter("shared_failures", "Questions to Valkey that got no answer.")
        self.usable = m.gauge(
            "candidate_usable", "Whether a request that it can serve may go to a candidate now.", *_CANDIDATE
        )
        self.circuit_open = m.gauge(
            "candidate_circuit_open", "Whether a candidate's breaker lets nothing through, as seen here.", *_CANDIDATE
        )
        self.limited_until = m.gauge(
            "candidate_limited_until_timestamp_seconds",
            "When a candidate's spent quota is back, as known here, in Unix time; absent while it is not spent.",
            *_CANDIDATE,
        )
        self.reroutes = m.counter(
            "reroutes", "Requests moved to another candidate.", "tenant", "route", "from", "to", "reason"
        )
        self.retries = m.counter(
            "retries", "Calls of a candidate that had just failed the same request.", "tenant", "provider", "reason"
        )
        self.hedges = m.counter(
            "hedges",
            "Requests that a second candidate was asked as well, by whose answer it was.",
            "tenant",
            "route",
            "won",
        )
        self.resumes = m.counter(
            "resumes", "Streams that broke off and were handed to another candidate.", "tenant", "route", "mode"
        )
        self.fanout_calls = m.histogram("fanout_calls", "Calls of one fan-out.", "tenant", "mode", buckets=_SIZES)
        self.fanouts = m.counter("fanouts", "Fan-outs, by how they ended.", "tenant", "mode", "outcome")
        self.tokens = m.counter("tokens", "Tokens, in disjoint buckets.", *_TARGET, "type")
        self.cost = m.counter("cost_usd", "US dollars by the price list; unknown prices are left out.", *_TARGET)
        self.unpriced = m.counter(
            "unpriced_completions", "Upstream calls that used tokens and whose price nobody knows.", *_TARGET
        )
        self.price_info = m.gauge("price_info", "1 for the price table and the price list in use.", "source", "version")
        self.price_errors = m.plain_counter(
            "price_errors", "Price tables that could not be read; the last good one stays."
        )
        self.mirrored = m.counter(
            "mirror_completions",
            "Copies of requests, by verdict; `Dropped`, `Skipped`: none was made.",
            *_TARGET,
            "outcome",
        )
        self.mirror_duration = m.histogram("mirror_duration_seconds", "Duration of copies of requests.", *_TARGET)
        self.mirror_tokens = m.counter(
            "mirror_tokens", "Tokens of copies of requests, in disjoint buckets; nowhere else.", *_TARGET, "type"
        )
        self.mirror_cost = m.counter(
            "mirror_cost_usd", "US dollars for copies of requests by the price list; nowhere else.", *_TARGET
        )
        self.cache_requests = m.counter(
            "cache_requests", "Requests that opted in to the cache, by what it did.", "tenant", "route", "result"
        )
        self.cache_saved_tokens = m.counter(
            "cache_saved_tokens", "Tokens of answers that were given again; nobody pays for them.", "tenant", "route"
        )
        self.aborts = m.plain_histogram(
            "upstream_abort_seconds", "From a client's leaving to the end of its upstream call.", SMALL_BUCKETS
        )
        self.events_pending = m.plain_gauge("events_pending", "Events that the operator has not acknowledged.")
        self.events_oldest = m.plain_gauge(
            "events_oldest_seconds", "Age of the oldest event that the operator has not acknowledged; 0: there is none."
        )
        self.events_dropped = m.plain_counter(
            "events_dropped", "Events given up: too many were pending, or the operator does not understand them."
        )
        self.connections = m.plain_gauge("connections", "Connections of agents.")
        self.open_requests = m.plain_gauge("open_requests", "Requests that are not answered yet.")
        self.upstream_connections = m.plain_gauge("upstream_connections", "Connections to providers that are in use.")
        self.tasks = m.plain_gauge("tasks", "Tasks of the event loop.")
        self.refused = m.counter("refused_connections", "Connections closed to protect the process.", "reason")
        self.config_errors = m.plain_counter(
            "config_errors", "Manifests that could not be read; the last good ones serve."
        )
        self.genai = GenAiMetrics(m.registry)

    def completed(self, target: Target, call: Call, seconds: float) -> None:
        """Counts an upstream call that has its verdict."""
        kind = call.verdict.kind.value if call.verdict else ""
        self.completions(*target, kind).inc()
        self.count_tokens(self.tokens, target, call.tokens)
        first = None if call.first_content is None else call.first_content - call.started
        if first is not None:
            self.first_content(*target).observe(first)
        error = "" if call.verdict is None or call.verdict.is_success else kind
        self.genai.observe(call.provider, target[3], call.tokens, seconds, first, error)

    def answered(self, route: Key, outcome: str, seconds: float, overhead: float) -> None:
        """Counts a request that is over."""
        self.requests(route.namespace, route.name, outcome).inc()
        self.duration(route.namespace, route.name).observe(seconds)
        self.overhead.observe(overhead)

    def show_prices(self, versions: Mapping[str, str]) -> None:
        """Which prices are in use: the version by its source."""
        self.price_info.clear()
        for source, version in versions.items():
            self.price_info(source, version).set(1)

    def count_tokens(self, counter: Callable[..., Counter], target: Target, tokens: TokenBreakdown) -> None:
        """Adds the tokens of one completion."""
        for bucket, count in zip(TOKEN_BUCKETS, tokens.buckets, strict=True):
            if count:
                counter(*target, bucket).inc(count)


class GenAiMetrics:
    """The same calls by OpenTelemetry's names, for dashboards that know nothing of us.

    By that convention tokens of the input include cached ones, and those of the output the reasoning.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        m, who = Metrics("gen_ai_client", registry), (genai.OPERATION_NAME, genai.PROVIDER_NAME, genai.REQUEST_MODEL)
        labels = tuple(genai.label(name) for name in who)
        self._usage = m.histogram(
            "token_usage",
            "Tokens of one upstream call; cached ones are input, reasoning is output.",
            *labels,
            genai.label(genai.TOKEN_TYPE),
            buckets=genai.TOKEN_BUCKETS,
        )
        self._duration = m.histogram(
            "operation_duration_seconds",
            "Duration of one upstream call.",
            *labels,
            genai.label(genai.ERROR_TYPE),
            buckets=genai.SECONDS_BUCKETS,
        )
        self._first = m.histogram(
            "operation_time_to_first_chunk_seconds",
            "From an upstream call to its first content.",
            *labels,
            buckets=genai.FIRST_CHUNK_BUCKETS,
        )

    def observe(
        self,
        provider: Provider,
        model: str,
        tokens: TokenBreakdown,
        seconds: float,
        first: float | None,
        error: str,
    ) -> None:
        """Counts one upstream call."""
        labels = _labels(provider.dialect, provider.base_url, model)
        self._duration(*labels, error).observe(seconds)
        if first is not None:
            self._first(*labels).observe(first)
        if given := tokens.input + tokens.cache_read + tokens.cache_write:
            self._usage(*labels, "input").observe(given)
        if made := tokens.output + tokens.reasoning:
            self._usage(*labels, "output").observe(made)


@lru_cache(maxsize=1024)
def _labels(dialect: Dialect, base_url: str, model: str) -> tuple[str, str, str]:
    return operation_name(dialect), provider_name(dialect, base_url), model
