"""Enumerations of the contract. Values are what appears in manifests, status, metrics and logs."""

from enum import StrEnum


class EndClass(StrEnum):
    """Why an attempt or a run ended."""

    SUCCEEDED = "Succeeded"
    AGENT_FAILED = "AgentFailed"
    SUBSCRIPTION_LIMIT = "SubscriptionLimit"
    RATE_LIMITED = "RateLimited"
    BALANCE_EXHAUSTED = "BalanceExhausted"
    AUTH_FAILED = "AuthFailed"
    PROVIDER_OUTAGE = "ProviderOutage"
    REQUEST_REJECTED = "RequestRejected"
    BUDGET_EXCEEDED = "BudgetExceeded"
    TIMEOUT = "Timeout"
    STALLED = "Stalled"
    OUT_OF_MEMORY = "OutOfMemory"
    EVICTED = "Evicted"
    IMAGE_PULL = "ImagePull"
    CANCELLED = "Cancelled"
    SUSPENDED = "Suspended"
    UNKNOWN = "Unknown"


LIMIT_CLASSES = frozenset({EndClass.SUBSCRIPTION_LIMIT, EndClass.RATE_LIMITED, EndClass.BALANCE_EXHAUSTED})
"""A quota that is spent until a known time. Not a failure (R-B7)."""


class Cli(StrEnum):
    """Which agent command line an Agent runs."""

    CLAUDE = "claude"
    CODEX = "codex"
    OPENCODE = "opencode"
    GEMINI = "gemini"
    QWEN = "qwen"
    PI = "pi"
    COPILOT = "copilot"
    CUSTOM = "custom"


class Dialect(StrEnum):
    """Which LLM API a provider speaks."""

    ANTHROPIC = "Anthropic"
    OPENAI_CHAT = "OpenAIChat"
    OPENAI_RESPONSES = "OpenAIResponses"
    GEMINI = "Gemini"


class Access(StrEnum):
    """Whether the pod talks to our gateway, or the official CLI to its vendor with its own login."""

    GATEWAY = "Gateway"
    DIRECT = "Direct"


class Strategy(StrEnum):
    """How the eligible candidates of a route are ranked."""

    PRIORITY = "Priority"
    WEIGHTED = "Weighted"
    LOWEST_LATENCY = "LowestLatency"
    LOWEST_COST = "LowestCost"


class CacheMode(StrEnum):
    """Whose requests are answered from the cache."""

    NEVER = "Never"
    ON_REQUEST = "OnRequest"
    DETERMINISTIC = "Deterministic"
    ALWAYS = "Always"


class CostSource(StrEnum):
    """Who says what a completion cost."""

    REPORTED = "Reported"
    PRICED = "Priced"
    UNKNOWN = "Unknown"


class OnExhausted(StrEnum):
    """What a run does when no candidate of its route is eligible."""

    WAIT = "Wait"
    FAIL = "Fail"


class OnLimit(StrEnum):
    """What a run does when its attempt ended at a limit."""

    REROUTE = "Reroute"
    WAIT = "Wait"
    FAIL = "Fail"


class QuotaMode(StrEnum):
    """Whether a TenantQuota refuses, or only shows what it would refuse."""

    ENFORCE = "Enforce"
    SHADOW = "Shadow"


class QuotaWindow(StrEnum):
    """Over which time a quota counts. A minute rolls; the others are the calendar's, in UTC."""

    MINUTE = "Minute"
    HOUR = "Hour"
    DAY = "Day"
    MONTH = "Month"


class QuotaUnit(StrEnum):
    """What a quota counts."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    COST = "US dollars"
    IN_FLIGHT = "requests at once"


class CircuitName(StrEnum):
    """State of a candidate's circuit breaker as the CRD spells it."""

    CLOSED = "Closed"
    OPEN = "Open"
    HALF_OPEN = "HalfOpen"


class CanaryPhase(StrEnum):
    """What has become of a canary."""

    PROGRESSING = "Progressing"
    PROMOTED = "Promoted"
    ROLLED_BACK = "RolledBack"


class TransitionReason(StrEnum):
    """Why a circuit breaker changed its state (R-B9)."""

    FAILURES = "Failures"
    COOLDOWN_OVER = "CooldownOver"
    PROBE_FAILED = "ProbeFailed"
    PROBE_SUCCEEDED = "ProbeSucceeded"
    RESET = "Reset"


class Health(StrEnum):
    """Health of a run (S1-01)."""

    HEALTHY = "Healthy"
    DEGRADED = "Degraded"
    UNHEALTHY = "Unhealthy"
    TIMEOUT = "Timeout"
    TERMINATED = "Terminated"


class MidStream(StrEnum):
    """What becomes of a streamed answer whose provider fails after its first content."""

    ERROR = "Error"
    CONTINUE = "Continue"
    RESTART = "Restart"


class EarlierThoughts(StrEnum):
    """What becomes of thoughts in a conversation that goes to another vendor, where nobody can read them."""

    REFUSE = "Refuse"
    DROP = "Drop"


class ConditionType(StrEnum):
    """Types of conditions on our resources."""

    ACCEPTED = "Accepted"
    ROUTED = "Routed"
    RUNNING = "Running"
    HEALTHY = "Healthy"
    SUCCEEDED = "Succeeded"
    READY = "Ready"
    LIMITED = "Limited"
    TELEMETRY_FRESH = "TelemetryFresh"
    CANARY = "Canary"
    WARNING = "Warning"
    EXCEEDED = "Exceeded"


class Reason(StrEnum):
    """Reasons of conditions and Events that are not end classes."""

    # Accepted
    VALID = "Valid"
    AGENT_NOT_FOUND = "AgentNotFound"
    AGENT_INVALID = "AgentInvalid"
    ROUTE_NOT_FOUND = "RouteNotFound"
    PROVIDER_NOT_FOUND = "ProviderNotFound"
    PROVIDER_INVALID = "ProviderInvalid"
    SECRET_NOT_FOUND = "SecretNotFound"  # noqa: S105 - a condition's reason
    SECRET_KEY_MISSING = "SecretKeyMissing"  # noqa: S105 - a condition's reason
    PROMPT_NOT_FOUND = "PromptNotFound"
    POD_REFUSED = "PodRefused"
    # Routed
    CANDIDATE_CHOSEN = "CandidateChosen"
    WAITING_FOR_CAPACITY = "WaitingForCapacity"
    NO_ELIGIBLE_CANDIDATE = "NoEligibleCandidate"
    # Running and Succeeded
    PENDING = "Pending"
    POD_CREATED = "PodCreated"
    RUNNING = "Running"
    STOPPING = "Stopping"
    BACKING_OFF = "BackingOff"
    REROUTING = "Rerouting"
    SUSPENDED = "Suspended"
    FINISHED = "Finished"
    REROUTES_EXHAUSTED = "ReroutesExhausted"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    # Events
    REROUTED = "Rerouted"
    RETRYING = "Retrying"
    LIMIT_REACHED = "LimitReached"
    LIMIT_CLEARED = "LimitCleared"
    CIRCUIT_OPENED = "CircuitOpened"
    CIRCUIT_CLOSED = "CircuitClosed"
    CANARY_STARTED = "CanaryStarted"
    CANARY_PROMOTED = "CanaryPromoted"
    CANARY_ROLLED_BACK = "CanaryRolledBack"
    WORKSPACE_LOST = "WorkspaceLost"
    TELEMETRY_DISCARDED = "TelemetryDiscarded"
    # Routes and providers
    NO_LIMIT = "NoLimit"
    AUTH_FAILED = "AuthFailed"
    FRESH = "Fresh"
    STALE = "Stale"
    BASE_URL_REFUSED = "BaseURLRefused"
    # Quotas
    WITHIN_QUOTA = "WithinQuota"
    NEAR_QUOTA = "NearQuota"
    QUOTA_EXCEEDED = "QuotaExceeded"
    QUOTA_RESET = "QuotaReset"
    SETSID_MISSING = "SetsidMissing"
