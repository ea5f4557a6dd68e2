"""The words of OpenTelemetry's conventions for generative AI, in one place: they are still being written.

Names of attributes are those of https://opentelemetry.io/docs/specs/semconv/gen-ai/; as names of metrics and labels their dots
become underscores, as Prometheus' exporters do it.
"""

OPERATION_NAME = "gen_ai.operation.name"
PROVIDER_NAME = "gen_ai.provider.name"
CONVERSATION_ID = "gen_ai.conversation.id"
AGENT_NAME = "gen_ai.agent.name"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_STREAM = "gen_ai.request.stream"
RESPONSE_MODEL = "gen_ai.response.model"
TIME_TO_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHE_READ_TOKENS = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE_TOKENS = "gen_ai.usage.cache_creation.input_tokens"
REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens"
TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105 - the name of a label
ERROR_TYPE = "error.type"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"

TOKEN_USAGE = "gen_ai.client.token.usage"  # noqa: S105 - the name of a metric
OPERATION_DURATION = "gen_ai.client.operation.duration"
FIRST_CHUNK = "gen_ai.client.operation.time_to_first_chunk"

INVOKE_AGENT = "invoke_agent"

TOKEN_BUCKETS = tuple(float(4**n) for n in range(14))
SECONDS_BUCKETS = tuple(0.01 * 2**n for n in range(14))
FIRST_CHUNK_BUCKETS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)


def label(attribute: str) -> str:
    """An attribute or metric as Prometheus names it."""
    return attribute.replace(".", "_")
