"""Whom OpenTelemetry's conventions take a provider for."""

import pytest

from droveway.api.enums import Dialect
from droveway.gateway.semantics import operation_name, provider_name, server


@pytest.mark.parametrize(
    ("dialect", "url", "name"),
    [
        (Dialect.ANTHROPIC, "https://api.anthropic.com", "anthropic"),
        (Dialect.ANTHROPIC, "https://api.deepseek.com/anthropic", "deepseek"),
        (Dialect.ANTHROPIC, "https://bedrock-runtime.us-east-1.amazonaws.com", "aws.bedrock"),
        (Dialect.OPENAI_CHAT, "https://api.groq.com/openai", "groq"),
        (Dialect.OPENAI_CHAT, "https://team.openai.azure.com", "azure.ai.openai"),
        (Dialect.OPENAI_CHAT, "https://max.ai", "openai"),
        (Dialect.OPENAI_RESPONSES, "http://10.0.0.1:8080", "openai"),
        (Dialect.GEMINI, "https://generativelanguage.googleapis.com", "gcp.gemini"),
        (Dialect.GEMINI, "https://us-central1-aiplatform.googleapis.com", "gcp.vertex_ai"),
        (Dialect.GEMINI, "", "gcp.gemini"),
    ],
)
def test_a_vendor_is_known_by_its_host_else_by_the_api(dialect: Dialect, url: str, name: str) -> None:
    assert provider_name(dialect, url) == name


def test_gemini_generates_and_the_others_chat() -> None:
    assert {d: operation_name(d) for d in Dialect if operation_name(d) != "chat"} == {
        Dialect.GEMINI: "generate_content"
    }


def test_a_port_that_is_not_named_is_the_schemes() -> None:
    assert server("https://api.x.ai/v1") == ("api.x.ai", 443)
    assert server("http://mock") == ("mock", 80)
    assert server("http://127.0.0.1:9100/s/ok") == ("127.0.0.1", 9100)
