"""Metrics of the operator. Labels are bounded: never a run, a session or a prompt."""

from prometheus_client import Counter, Gauge, Histogram

PASS_SECONDS = Histogram(
    "droveway_reconcile_seconds",
    "Duration of one pass over one object.",
    ["kind"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
)
PASS_FAILURES = Counter("droveway_reconcile_failures_total", "Passes that will be tried again.", ["kind", "reason"])
RESYNC_DRIFT = Counter(
    "droveway_resync_drift_total", "Objects whose change the resync found and the watch had missed.", ["kind"]
)
RESYNC_TIME = Gauge("droveway_resync_last_success_timestamp_seconds", "When the last resync ended well.")
RUNS_FINISHED = Counter("droveway_runs_finished_total", "Runs that ended.", ["tenant", "reason"])
ATTEMPTS = Counter("droveway_attempts_total", "Pods created.", ["tenant", "provider", "model"])
STATUS_WRITES = Counter("droveway_status_writes_total", "Status writes.", ["kind"])
SEEN_TO_POD = Histogram(
    "droveway_run_seen_to_pod_seconds",
    "From the first sight of a new run to its pod.",
    buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30),
)
EVENTS = Counter("droveway_events_total", "Records of gateways and sidecars.", ["source", "outcome"])
CLOCK_CLAMPED = Counter("droveway_clock_clamped_total", "Records that claimed to come from the future.")
VALUES_REJECTED = Counter(
    "droveway_values_rejected_total",
    "Costs and latencies of completions that can be none; they count as unknown.",
    ["field"],
)
DIRECT_TOKENS = Counter(
    "droveway_direct_tokens_total",
    "Tokens of Direct providers, in disjoint buckets, as their CLIs tell them.",
    ["tenant", "route", "provider", "model", "type"],
)
DIRECT_COST = Counter(
    "droveway_direct_cost_usd_total",
    "US dollars of Direct providers, as their CLIs tell them; unknown costs are left out.",
    ["tenant", "route", "provider", "model"],
)
TOKEN_DRIFT = Counter("droveway_token_drift_total", "Tokens by which sidecars and gateways disagreed over a run.")
CIRCUIT_TRANSITIONS = Counter(
    "droveway_circuit_transitions_total",
    "Changes of circuit breakers.",
    ["tenant", "route", "provider", "model", "from", "to", "reason"],
)
LEDGER_WRITES = Counter("droveway_ledger_writes_total", "Writes of telemetry ConfigMaps.", ["outcome"])
