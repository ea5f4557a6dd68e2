"""Gemini CLI: `gemini -p --output-format stream-json`."""

import json
from datetime import datetime
from typing import Any

from droveway.agents.evidence import Failure
from droveway.agents.lines import fields, text
from droveway.agents.stream import RESULT_LIMIT, Completion, StreamParser
from droveway.core.completion import TokenBreakdown
from droveway.core.launch import Launch, LaunchRequest

_STATUS_OF_EXIT = {status % 256: status for status in (400, 401, 403, 404, 408, 413, 429, 500, 502, 503, 504)}
"""The exit code is the HTTP status modulo 256."""


_SETTINGS = {
    "security": {"auth": {"selectedType": "gemini-api-key"}},
    "general": {"maxAttempts": 3, "enableAutoUpdate": False, "enableAutoUpdateNotification": False},
    "privacy": {"usageStatisticsEnabled": False},
    "telemetry": {"enabled": False},
}


def launch(request: LaunchRequest) -> Launch:
    """Without `-p` it reads the prompt from stdin. It must not start itself again: PID 1 would ignore SIGTERM."""
    argv = ["gemini", "--output-format", "stream-json", "--yolo", "-m", request.model, *request.args]
    argv += [f"--prompt={request.prompt}"] if request.prompt is not None else []
    return Launch(
        argv=tuple(argv),
        env=(
            ("GOOGLE_GEMINI_BASE_URL", request.url),
            ("GEMINI_CLI_TRUST_WORKSPACE", "true"),
            ("GEMINI_CLI_NO_RELAUNCH", "true"),
        ),
        key_env=("GEMINI_API_KEY",),
        files=((".gemini/settings.json", json.dumps(_SETTINGS)),),
        stdin=request.prompt_file if request.prompt is None else None,
    )


class GeminiParser(StreamParser):
    """`result.status` decides: a broken stream exits with 0."""

    def __init__(self, run_id: str, attempt: int, started_at: datetime) -> None:
        super().__init__(run_id, attempt, started_at)
        self._said = ""

    def _status_of_exit(self, exit_code: int) -> int | None:
        return _STATUS_OF_EXIT.get(exit_code)

    def _read(self, line: dict[str, Any], at: datetime) -> None:
        match line.get("type"):
            case "init":
                self._in_session(line.get("session_id"))
                self._with_model(line.get("model"))
            case "message" if line.get("role") == "assistant":
                self._went_on()
                before = self._said if line.get("delta") is True else ""
                self._said = (before + text(line, "content"))[:RESULT_LIMIT]
                self._keep_result(self._said)
            case "tool_use":
                self._said = ""
            case "error":
                self._noted(Failure(text(line, "message"), at))
            case "result":
                self._ended_with(line, at)

    def _ended_with(self, line: dict[str, Any], at: datetime) -> None:
        spent = self._spent(self.lines.counts(line, "stats"))
        if text(line, "status") == "success":
            for completion in spent:
                self._completed(completion, at)
            self._ended_well()
        else:
            self._failed(Failure(text(line, "error", "message"), at), spent)

    def _spent(self, stats: dict[str, Any]) -> list[Completion]:
        """One completion per model that was used: the CLI may switch by itself."""
        latency = self.lines.number(stats, "duration_ms")
        models = {name: self._tokens(self.lines.counts(told)) for name, told in fields(stats, "models").items()}
        used = [Completion(tokens, name, latency) for name, tokens in models.items() if tokens.total]
        return used or [Completion(self._tokens(stats), "", latency)]

    def _tokens(self, stats: dict[str, Any]) -> TokenBreakdown:
        """Cache is a part of input; thinking appears in the total alone (R-C32)."""
        names = ("total_tokens", "input_tokens", "output_tokens", "cached")
        total, given, out, cached = self.lines.wholes(stats, names)
        reasoning, cached = max(0, total - given - out), min(cached, given)
        return TokenBreakdown(given + out + reasoning, given - cached, out, reasoning, cached)
