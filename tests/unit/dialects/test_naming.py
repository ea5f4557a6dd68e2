"""Whose model a name means."""

import pytest

from droveway.api.enums import Dialect
from droveway.dialects.naming import UnknownVendor, named


@pytest.mark.parametrize(
    ("name", "vendor", "dialect", "model"),
    [
        ("google/gemini-2.5-pro", "google", Dialect.GEMINI, "gemini-2.5-pro"),
        ("google/gemini-2.5-flash", "google", Dialect.GEMINI, "gemini-2.5-flash"),
        ("anthropic/claude-sonnet-4-5", "anthropic", Dialect.ANTHROPIC, "claude-sonnet-4-5"),
        ("openai/gpt-5.1", "openai", Dialect.OPENAI_CHAT, "gpt-5.1"),
        ("openrouter/google/gemini-2.5-pro", "openrouter", Dialect.OPENAI_CHAT, "google/gemini-2.5-pro"),
        ("mistral/mistral-large", "mistral", Dialect.OPENAI_CHAT, "mistral-large"),
        ("deepseek/deepseek-chat", "deepseek", Dialect.OPENAI_CHAT, "deepseek-chat"),
        ("xai/grok-4", "xai", Dialect.OPENAI_CHAT, "grok-4"),
        ("groq/llama-3.3-70b", "groq", Dialect.OPENAI_CHAT, "llama-3.3-70b"),
    ],
)
def test_a_name_with_a_vendor(name: str, vendor: str, dialect: Dialect, model: str) -> None:
    found = named(name)
    assert (found.vendor.name, found.vendor.dialects[0], found.model) == (vendor, dialect, model)


@pytest.mark.parametrize("name", ["acme/model", "gemini-2.5-pro", "google/", "/gemini", "", "Google/gemini-2.5-pro"])
def test_any_other_name_is_an_error_that_lists_the_vendors(name: str) -> None:
    with pytest.raises(UnknownVendor, match="anthropic, openai, google"):
        named(name)
