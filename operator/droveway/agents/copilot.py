"""GitHub Copilot CLI: `copilot -p --output-format json`. Parser only."""

from datetime import datetime
from typing import Any

from droveway.agents.lines import fields, text
from droveway.agents.stream import Completion, StreamParser, error_verdict


class CopilotParser(StreamParser):
    """It names neither tokens nor cost; `result.exitCode` decides, `session.error` says why."""

    def __init__(self, run_id: str, attempt: int, started_at: datetime) -> None:
        super().__init__(run_id, attempt, started_at)
        self._call_failure = ""

    def _read(self, line: dict[str, Any], at: datetime) -> None:
        data = fields(line, "data")
        self._seen(model=text(data, "model"))
        match text(line, "type"):
            case "assistant.message":
                self._went_on()
                if content := text(data, "content"):
                    self._keep_result(content)
            case "model.call_failure":
                self._call_failure = text(data, "errorMessage")
            case "session.error":
                message = text(data, "message")
                evidence = f"{message}\n{self._call_failure}"
                self._noted(message, error_verdict(evidence, at, self.lines.number(data, "statusCode")))
            case "result":
                self._ended_with(line, at)

    def _ended_with(self, line: dict[str, Any], at: datetime) -> None:
        self._seen(text(line, "sessionId"))
        spent = Completion(latency_ms=self.lines.number(fields(line, "usage"), "sessionDurationMs"))
        if line.get("exitCode") == 0:
            self._completed(spent, at)
            self._ended_well()
        else:
            self._failed("", None, at, [spent])
