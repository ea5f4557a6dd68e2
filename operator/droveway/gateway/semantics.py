"""What OpenTelemetry calls our dialects and the vendors behind them."""

from functools import lru_cache
from urllib.parse import urlsplit

from droveway.api.enums import Dialect

_BY_DIALECT = {
    Dialect.ANTHROPIC: "anthropic",
    Dialect.GEMINI: "gcp.gemini",
    Dialect.OPENAI_CHAT: "openai",
    Dialect.OPENAI_RESPONSES: "openai",
}
_BY_HOST = {
    "amazonaws.com": "aws.bedrock",
    "openai.azure.com": "azure.ai.openai",
    "services.ai.azure.com": "azure.ai.inference",
    "aiplatform.googleapis.com": "gcp.vertex_ai",
    "cohere.com": "cohere",
    "deepseek.com": "deepseek",
    "groq.com": "groq",
    "mistral.ai": "mistral_ai",
    "moonshot.ai": "moonshot_ai",
    "perplexity.ai": "perplexity",
    "x.ai": "x_ai",
}


def operation_name(dialect: Dialect) -> str:
    """`gen_ai.operation.name` of a completion in a dialect."""
    return "generate_content" if dialect is Dialect.GEMINI else "chat"


@lru_cache(maxsize=256)
def provider_name(dialect: Dialect, base_url: str) -> str:
    """`gen_ai.provider.name`: the vendor by the host's name, else the one whose API it speaks, as the convention wants it."""
    host, _ = server(base_url)
    known = (name for end, name in _BY_HOST.items() if host == end or host.endswith((f".{end}", f"-{end}")))
    return next(known, _BY_DIALECT[dialect])


@lru_cache(maxsize=256)
def server(base_url: str) -> tuple[str, int]:
    """Host and port of an upstream account."""
    parts = urlsplit(base_url)
    return parts.hostname or "", parts.port or (80 if parts.scheme == "http" else 443)
