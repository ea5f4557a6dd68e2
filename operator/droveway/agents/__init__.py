"""What each agent command line speaks: how it is started, and what its output means (one file per CLI)."""

from droveway.agents.launch import Launch, LaunchRequest
from droveway.api.enums import Cli, Dialect

__all__ = ["Launch", "LaunchRequest", "speaks"]

_DIALECTS = {
    Cli.CLAUDE: frozenset({Dialect.ANTHROPIC}),
    Cli.CODEX: frozenset({Dialect.OPENAI_RESPONSES}),
    Cli.OPENCODE: frozenset({Dialect.ANTHROPIC, Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES}),
    Cli.GEMINI: frozenset({Dialect.GEMINI}),
    Cli.CUSTOM: frozenset(Dialect),
}


def speaks(cli: Cli) -> frozenset[Dialect]:
    """The LLM APIs that a command line can be pointed at. A custom one is taken at its user's word: all."""
    return _DIALECTS[cli]
