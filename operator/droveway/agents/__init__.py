"""What each agent command line speaks: how it is started, and what its output means (one file per CLI)."""

from collections.abc import Callable
from datetime import datetime

from droveway.agents import claude, codex, copilot, custom, gemini, opencode, pi, qwen
from droveway.agents.custom import CustomParser
from droveway.agents.stream import Outcome, StreamParser
from droveway.api.enums import Access, Cli, Dialect
from droveway.api.errors import UserMustAct
from droveway.core.launch import Launch, LaunchRequest

__all__ = ["Outcome", "Parser", "dialect_towards", "launch", "speaks", "stream_parser"]

_PARSERS: dict[str, type[StreamParser]] = {
    "claude": claude.ClaudeParser,
    "codex": codex.CodexParser,
    "opencode": opencode.OpencodeParser,
    "gemini": gemini.GeminiParser,
    "qwen": qwen.QwenParser,
    "pi": pi.PiParser,
    "copilot": copilot.CopilotParser,
}

_LAUNCHES: dict[Cli, Callable[[LaunchRequest], Launch]] = {
    Cli.CLAUDE: claude.launch,
    Cli.CODEX: codex.launch,
    Cli.OPENCODE: opencode.launch,
    Cli.GEMINI: gemini.launch,
    Cli.QWEN: qwen.launch,
    Cli.PI: pi.launch,
    Cli.COPILOT: copilot.launch,
    Cli.CUSTOM: custom.launch,
}

_DIALECTS = {
    Cli.CLAUDE: (Dialect.ANTHROPIC,),
    Cli.CODEX: (Dialect.OPENAI_RESPONSES,),
    Cli.OPENCODE: (Dialect.OPENAI_CHAT, Dialect.ANTHROPIC, Dialect.OPENAI_RESPONSES),
    Cli.GEMINI: (Dialect.GEMINI,),
    Cli.QWEN: (Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES, Dialect.GEMINI),
    Cli.PI: tuple(Dialect),
    Cli.COPILOT: (Dialect.OPENAI_CHAT, Dialect.ANTHROPIC, Dialect.OPENAI_RESPONSES),
    Cli.CUSTOM: tuple(Dialect),
}
"""What each can be pointed at; the first is for providers that speak none of them."""

_LOGS_IN = frozenset({Cli.CLAUDE})
"""CLIs whose subscription login fits into one variable."""

Parser = StreamParser | CustomParser


def stream_parser(cli: str, run_id: str, attempt: int, started_at: datetime) -> Parser:
    """The parser of one attempt's stdout. `started_at`: when the attempt began, for durations that the CLI leaves out.

    Raises:
        UserMustAct: nobody knows this CLI's stream.
    """
    if cli == Cli.CUSTOM:
        return CustomParser()
    if cli not in _PARSERS:
        raise UserMustAct(f"the stream of cli {cli!r} is not known: use one of {', '.join(_PARSERS)}, custom")
    return _PARSERS[cli](run_id, attempt, started_at)


def speaks(cli: Cli) -> frozenset[Dialect]:
    """The LLM APIs that a command line can be pointed at. A custom one is taken at its user's word: all."""
    return frozenset(_DIALECTS[cli])


def dialect_towards(cli: Cli, provider: Dialect) -> Dialect:
    """What a command line speaks to the gateway in front of a provider: the same if it can; else the gateway converts."""
    return provider if provider in _DIALECTS[cli] else _DIALECTS[cli][0]


def launch(request: LaunchRequest) -> Launch:
    """How to start a command line so that it talks to the given endpoint and to nobody else.

    Raises:
        UserMustAct: the CLI cannot speak the dialect, cannot log in by itself, or there is no prompt.
    """
    if request.dialect not in speaks(request.cli):
        spoken = ", ".join(sorted(speaks(request.cli)))
        raise UserMustAct(
            f"{request.cli} does not speak {request.dialect}: use a provider whose dialect is {spoken}, or another agent"
        )
    if request.access is Access.DIRECT and request.cli not in _LOGS_IN:
        raise UserMustAct(f"{request.cli} cannot use access Direct, only {', '.join(_LOGS_IN)} can: use access Gateway")
    if request.prompt is None and request.prompt_file is None:
        raise UserMustAct("the run has no prompt: set spec.prompt or spec.promptFrom")
    return _LAUNCHES[request.cli](request)
