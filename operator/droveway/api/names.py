"""Every name that crosses a process boundary: labels, annotations, headers, paths in a pod, environment variables."""

GROUP = "droveway.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
CATEGORY = "droveway"

AGENTS = "agents"
AGENT_RUNS = "agentruns"
MODEL_PROVIDERS = "modelproviders"
MODEL_ROUTES = "modelroutes"
TENANT_QUOTAS = "tenantquotas"

# Labels of the pods (and claims) that the operator makes. The informer's selector is `managed-by`.
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGED_BY = "droveway"
LABEL_RUN = f"{GROUP}/run"
LABEL_RUN_UID = f"{GROUP}/run-uid"
LABEL_ATTEMPT = f"{GROUP}/attempt"
LABEL_PROVIDER = f"{GROUP}/provider"
LABEL_PROBE = f"{GROUP}/probe"  # "true": of a half-open breaker's probe, or of the first attempt after a limit

# Annotations. The candidate is here so that an attempt can be read back from its pod alone after a lost status write.
ANNOTATION_CANDIDATE = f"{GROUP}/candidate"
ANNOTATION_MODEL = f"{GROUP}/model"
ANNOTATION_REASON = f"{GROUP}/reason"
ANNOTATION_ROUTE = f"{GROUP}/route"
ANNOTATION_RESET_CIRCUIT = f"{GROUP}/reset-circuit"

# Field managers of server-side apply. Renaming one orphans the fields it owns.
MANAGER_STATUS = "droveway-status"
MANAGER_WORKLOAD = "droveway-workload"

# Containers of an attempt's pod.
CONTAINER_SETUP = "setup"
CONTAINER_SIDECAR = "sidecar"
CONTAINER_AGENT = "agent"

# Paths in an attempt's pod.
PATH_BIN = "/droveway/bin"  # wrapper; read-only for the agent
PATH_RUN = "/droveway/run"  # run key and files of the launch; read-only for the agent
PATH_STREAM = "/droveway/stream"  # what the agent printed; written by the wrapper, read by the sidecar
PATH_SIDECAR = "/droveway/sidecar"  # token and buffer of the sidecar; not mounted in the agent
PATH_HOME = "/home/agent"
PATH_WORKSPACE = "/workspace"
PATH_PROMPT = "/droveway/prompt"  # mounted `promptFrom`
PATH_NAMESPACE_KEY = "/droveway/namespace-key"  # init container only
PATH_LOGIN = "/droveway/login"  # subscription login of a Direct provider; official CLI only

# The Secret of a namespace from which the keys of its runs are derived; `current` and `previous` generation.
SECRET_NAMESPACE_KEY = "droveway-run-keys"  # noqa: S105 - the name of a Secret, not a secret
KEY_CURRENT = "current"
KEY_PREVIOUS = "previous"

# The telemetry of one route, owned by it.
CONFIGMAP_TELEMETRY_PREFIX = "droveway-telemetry-"

# Response headers of the gateway.
HEADER_ROUTE = "X-Droveway-Route"
HEADER_CANDIDATE = "X-Droveway-Candidate"
HEADER_ATTEMPTS = "X-Droveway-Attempts"
HEADER_REQUEST_ID = "X-Droveway-Request-Id"  # `x-request-id` of an answer is the provider's own

# Request header: whether the cache may answer. Response header: whether it did.
HEADER_CACHE = "X-Droveway-Cache"

# Request header, in and on to whoever is asked next: milliseconds that the caller still waits.
HEADER_DEADLINE = "X-Droveway-Deadline-Ms"

OPERATOR_PORT = 8000
GATEWAY_PORT = 8099

# Scheme of the run key that an agent presents to the gateway: `dwk-<run uid>-<attempt>-<mac>`.
RUN_KEY_PREFIX = "dwk-"
