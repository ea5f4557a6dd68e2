"""Qwen Code: `qwen --output-format stream-json`."""

import json
from datetime import datetime
from typing import Any

from droveway.agents.evidence import Failure
from droveway.agents.lines import text
from droveway.agents.stream import Completion, StreamParser
from droveway.api.enums import Dialect
from droveway.core.completion import TokenBreakdown
from droveway.core.launch import Launch, LaunchRequest

_KEY = "DROVEWAY_API_KEY"
_PROTOCOLS = {
    Dialect.OPENAI_CHAT: ("openai", "/v1"),
    Dialect.OPENAI_RESPONSES: ("openai-responses", "/v1"),
    Dialect.GEMINI: ("gemini", ""),
}
"""Its name for a dialect, and what it expects after the host. To Anthropic it would call itself by another CLI's name."""

_SETTINGS = {
    "general": {"enableAutoUpdate": False},
    "memory": {"enableManagedAutoMemory": False},  # a second run over each conversation, for sessions that never come
    "privacy": {"usageStatisticsEnabled": False},
    "telemetry": {"enabled": False},
}


def launch(request: LaunchRequest) -> Launch:
    """Its endpoint comes from a file. It must not start itself again: its child would outlive a signal."""
    protocol, path = _PROTOCOLS[request.dialect]
    argv = ["qwen", "--output-format", "stream-json", "--yolo", "--auth-type", protocol, *request.args]
    argv += [f"--prompt={request.prompt}"] if request.prompt is not None else []
    model = {
        "id": request.model,
        "envKey": _KEY,
        "baseUrl": request.url.rstrip("/") + path,
        "generationConfig": {"maxRetries": 0},  # those of its HTTP client; its own seven tries have no setting
    }
    settings = _SETTINGS | {
        "modelProviders": {protocol: [model]},
        "model": {"name": request.model},
        "security": {"auth": {"selectedType": protocol}},
    }
    return Launch(
        argv=tuple(argv),
        env=(("QWEN_CODE_NO_RELAUNCH", "true"), ("QWEN_CODE_SUPPRESS_YOLO_WARNING", "1")),
        key_env=(_KEY,),
        files=((".qwen/settings.json", json.dumps(settings, ensure_ascii=False)),),
        stdin=request.prompt_file if request.prompt is None else None,
    )


class QwenParser(StreamParser):
    """Version 0.15 reports every API error as a success whose text is the error (R-C31)."""

    def _read(self, line: dict[str, Any], at: datetime) -> None:
        self._in_session(line.get("session_id"))
        match line.get("type"):
            case "system":
                self._with_model(line.get("model"))
            case "result":
                self._ended_with(line, at)

    def _ended_with(self, line: dict[str, Any], at: datetime) -> None:
        spent = Completion(self._tokens(self.lines.counts(line, "usage")), "", self.lines.number(line, "duration_ms"))
        result = text(line, "result")
        unanswered = result.startswith("[API Error") and not spent.tokens.output
        if not line.get("is_error") and text(line, "subtype") in {"", "success"} and not unanswered:
            self._completed(spent, at)
            self._ended_well(result)
        else:
            message = text(line, "error", "message") or result or text(line, "subtype")
            self._failed(Failure(message, at), [spent])

    def _tokens(self, usage: dict[str, Any]) -> TokenBreakdown:
        names = ("input_tokens", "output_tokens", "cache_read_input_tokens")
        given, out, cached = self.lines.wholes(usage, names)
        cached = min(cached, given)
        return TokenBreakdown(given + out, given - cached, out, 0, cached)
