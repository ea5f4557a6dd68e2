"""Metrics of the gateway. Labels are bounded by the configuration: never a run, a session or a prompt."""

from droveway.core.completion import TokenBreakdown
from droveway.core.events import TOKEN_BUCKETS
from droveway.observability.metrics import SMALL_BUCKETS, Metrics

Target = tuple[str, str, str, str]
"""tenant, route, provider, model"""

_TARGET = ("tenant", "route", "provider", "model")


class GatewayMetrics:
    """Everything that the gateway counts."""

    def __init__(self) -> None:
        m = Metrics("droveway_gateway")
        self.expose = m.expose
        self.requests = m.counter("requests", "Requests of agents, by how they ended.", "tenant", "route", "outcome")
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
        self.shared_up = m.plain_gauge(
            "shared_up", "1: Valkey answers and replicas share quotas and cache; 0: it is away, or not set up."
        )
        self.shared_failures = m.plain_counter("shared_failures", "Questions to Valkey that got no answer.")
        self.reroutes = m.counter(
            "reroutes", "Requests moved to another candidate.", "tenant", "route", "from", "to", "reason"
        )
        self.tokens = m.counter("tokens", "Tokens, in disjoint buckets.", *_TARGET, "type")
        self.cost = m.counter("cost_usd", "US dollars by the price list; unknown prices are left out.", *_TARGET)
        self.aborts = m.plain_histogram(
            "upstream_abort_seconds", "From a client's leaving to the end of its upstream call.", SMALL_BUCKETS
        )
        self.events_pending = m.plain_gauge("events_pending", "Events that the operator has not acknowledged.")
        self.events_dropped = m.plain_counter("events_dropped", "Events given up because too many were pending.")
        self.connections = m.plain_gauge("connections", "Connections of agents.")
        self.open_requests = m.plain_gauge("open_requests", "Requests that are not answered yet.")
        self.upstream_connections = m.plain_gauge("upstream_connections", "Connections to providers that are in use.")
        self.tasks = m.plain_gauge("tasks", "Tasks of the event loop.")
        self.refused = m.counter("refused_connections", "Connections closed to protect the process.", "reason")
        self.config_errors = m.plain_counter(
            "config_errors", "Manifests that could not be read; the last good ones serve."
        )

    def count_tokens(self, target: Target, tokens: TokenBreakdown) -> None:
        """Adds the tokens of one completion."""
        for bucket in TOKEN_BUCKETS:
            if count := getattr(tokens, bucket):
                self.tokens(*target, bucket).inc(count)
