"""pi: `pi -p --mode json`."""

import json
from datetime import datetime
from typing import Any

from droveway.agents.evidence import Failure
from droveway.agents.lines import fields, items, text
from droveway.agents.stream import Completion, StreamParser, known_cost
from droveway.api.enums import Dialect
from droveway.core.completion import TokenBreakdown
from droveway.core.launch import Launch, LaunchRequest

_NORMAL = frozenset({"stop", "end_turn", "toolUse", "tool_use", "tool-calls"})  # R-P7

_KEY = "DROVEWAY_API_KEY"
_APIS = {
    Dialect.OPENAI_CHAT: ("openai-completions", "/v1"),
    Dialect.OPENAI_RESPONSES: ("openai-responses", "/v1"),
    Dialect.ANTHROPIC: ("anthropic-messages", ""),
    Dialect.GEMINI: ("google-generative-ai", "/v1beta"),
}
"""Its name for a dialect, and what it expects after the host."""

_SETTINGS = {
    "retry": {"maxRetries": 2, "provider": {"maxRetries": 0}},
    "enableInstallTelemetry": False,
}


def launch(request: LaunchRequest) -> Launch:
    """Its endpoint comes from a file. What begins with `-` or `@` it takes for an option or a file, not for a prompt."""
    api, path = _APIS[request.dialect]
    argv = ["pi", "-p", "--mode", "json", *request.args, "--provider", "droveway", "--model", request.model]
    if request.prompt is not None:
        argv.append(f"\n{request.prompt}" if request.prompt.startswith(("-", "@")) else request.prompt)
    provider = {
        "baseUrl": request.url.rstrip("/") + path,
        "api": api,
        "apiKey": _KEY,
        "models": [{"id": request.model}],
    }
    return Launch(
        argv=tuple(argv),
        env=(("PI_OFFLINE", "1"), ("PI_TELEMETRY", "0")),
        key_env=(_KEY,),
        files=(
            (".pi/agent/models.json", json.dumps({"providers": {"droveway": provider}}, ensure_ascii=False)),
            (".pi/agent/settings.json", json.dumps(_SETTINGS)),
        ),
        stdin=request.prompt_file if request.prompt is None else None,
    )


class PiParser(StreamParser):
    """It exits with 0 whatever happened: the last turn decides."""

    def __init__(self, run_id: str, attempt: int, started_at: datetime) -> None:
        super().__init__(run_id, attempt, started_at)
        self._turn_started = started_at

    def _read(self, line: dict[str, Any], at: datetime) -> None:
        match line.get("type"):
            case "session":
                self._in_session(line.get("id"))
            case "turn_start":
                self._turn_started = at
            case "turn_end":
                self._turn(fields(line, "message"), at)
            case "auto_retry_end" if line.get("success") is False and self._ended is not False:
                self._failed(Failure(text(line, "finalError"), at))

    def _turn(self, message: dict[str, Any], at: datetime) -> None:
        self._with_model(message.get("model"))
        usage = self.lines.counts(message, "usage")
        latency = max(0.0, (at - self._turn_started).total_seconds() * 1000)
        tokens, cost = self._tokens(usage), self.lines.number(self.lines.counts(usage, "cost"), "total")
        spent = Completion(tokens, "", latency, known_cost(cost, tokens))
        reason = text(message, "stopReason")
        if reason in _NORMAL or (reason in {"length", "max_tokens"} and spent.tokens.output > 0):
            self._completed(spent, at)
            said = [text(part, "text") for part in items(message, "content") if text(part, "type") == "text"]
            self._ended_well("".join(said) if said else None)
        else:
            error = text(message, "errorMessage") or f"the last turn ended with reason {reason or 'unknown'}"
            self._failed(Failure(error, at), [spent])

    def _tokens(self, usage: dict[str, Any]) -> TokenBreakdown:
        names = ("input", "output", "cacheRead", "cacheWrite")
        read_in, out, cached, written = self.lines.wholes(usage, names)
        return TokenBreakdown(read_in + out + cached + written, read_in, out, 0, cached, written)
