"""GitHub Copilot CLI: `copilot -p --output-format json`."""

from datetime import datetime
from typing import Any

from droveway.agents.evidence import Failure
from droveway.agents.lines import fields, text
from droveway.agents.stream import Completion, StreamParser
from droveway.api.enums import Dialect
from droveway.core.launch import Launch, LaunchRequest

_WIRES = {
    Dialect.OPENAI_CHAT: ("openai", "completions", "/v1"),
    Dialect.OPENAI_RESPONSES: ("openai", "responses", "/v1"),
    Dialect.ANTHROPIC: ("anthropic", "completions", ""),
}
"""Its names for a dialect, and what it expects after the host."""


def launch(request: LaunchRequest) -> Launch:
    """With a provider of one's own and offline it needs no login and asks nobody else."""
    kind, wire, path = _WIRES[request.dialect]
    argv = ["copilot", "--output-format", "json", "--yolo", "--no-ask-user", "--no-auto-update", *request.args]
    argv += [f"--prompt={request.prompt}"] if request.prompt is not None else []
    return Launch(
        argv=tuple(argv),
        env=(
            ("COPILOT_PROVIDER_BASE_URL", request.url.rstrip("/") + path),
            ("COPILOT_PROVIDER_TYPE", kind),
            ("COPILOT_PROVIDER_WIRE_API", wire),
            ("COPILOT_MODEL", request.model),
            ("COPILOT_OFFLINE", "true"),
        ),
        key_env=("COPILOT_PROVIDER_API_KEY",),
        stdin=request.prompt_file if request.prompt is None else None,
    )


class CopilotParser(StreamParser):
    """It names neither tokens nor cost; `result.exitCode` decides, `session.error` says why."""

    def __init__(self, run_id: str, attempt: int, started_at: datetime) -> None:
        super().__init__(run_id, attempt, started_at)
        self._call_failure = ""

    def _read(self, line: dict[str, Any], at: datetime) -> None:
        data = fields(line, "data")
        self._with_model(data.get("model"))
        match line.get("type"):
            case "assistant.message":
                self._went_on()
                self._call_failure = ""
                if content := text(data, "content"):
                    self._keep_result(content)
            case "model.call_failure":
                self._call_failure = text(data, "errorMessage")
            case "session.error":
                status = self.lines.number(data, "statusCode")
                self._noted(Failure(text(data, "message"), at, self._call_failure, status))
            case "result":
                self._ended_with(line, at)

    def _ended_with(self, line: dict[str, Any], at: datetime) -> None:
        self._in_session(line.get("sessionId"))
        spent = Completion(latency_ms=self.lines.number(fields(line, "usage"), "sessionDurationMs"))
        if self.lines.number(line, "exitCode") == 0:
            self._completed(spent, at)
            self._ended_well()
        else:
            self._failed(Failure("", at), [spent])
