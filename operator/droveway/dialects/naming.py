"""Names of models with their vendor in front: `google/gemini-2.5-pro`. The one place that knows whose model a name means."""

from collections.abc import Mapping
from typing import NamedTuple

from droveway.api.enums import Dialect
from droveway.api.errors import UserMustAct


class Vendor(NamedTuple):
    """Whose models a prefix names.

    Attributes:
        dialects: what its API speaks, the preferred one first.
        base_url: of its public API.
        key_variable: the environment variable in which its own tools look for a key.
    """

    name: str
    dialects: tuple[Dialect, ...]
    base_url: str
    key_variable: str


class Named(NamedTuple):
    """A model and its vendor."""

    vendor: Vendor
    model: str


class UnknownVendor(UserMustAct):
    """A model's name begins with no vendor that we know."""


_ALL = (
    Vendor("anthropic", (Dialect.ANTHROPIC,), "https://api.anthropic.com", "ANTHROPIC_API_KEY"),
    Vendor("openai", (Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES), "https://api.openai.com", "OPENAI_API_KEY"),
    Vendor("google", (Dialect.GEMINI,), "https://generativelanguage.googleapis.com", "GEMINI_API_KEY"),
    Vendor("openrouter", (Dialect.OPENAI_CHAT,), "https://openrouter.ai/api", "OPENROUTER_API_KEY"),
    Vendor("mistral", (Dialect.OPENAI_CHAT,), "https://api.mistral.ai", "MISTRAL_API_KEY"),
    Vendor("deepseek", (Dialect.OPENAI_CHAT,), "https://api.deepseek.com", "DEEPSEEK_API_KEY"),
    Vendor("xai", (Dialect.OPENAI_CHAT,), "https://api.x.ai", "XAI_API_KEY"),
    Vendor("groq", (Dialect.OPENAI_CHAT,), "https://api.groq.com/openai", "GROQ_API_KEY"),
)
VENDORS: Mapping[str, Vendor] = {vendor.name: vendor for vendor in _ALL}
"""By the prefix of their models."""


def named(name: str, vendors: Mapping[str, Vendor] = VENDORS) -> Named:
    """The vendor that a model's name begins with, and the model as that vendor calls it.

    Raises:
        UnknownVendor: it begins with none.
    """
    prefix, slash, model = name.partition("/")
    if not slash or not model or prefix not in vendors:
        raise UnknownVendor(
            f"{name} names no vendor that we know; write <vendor>/<model> with one of {', '.join(vendors)}"
        )
    return Named(vendors[prefix], model)
