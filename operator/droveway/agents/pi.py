"""pi: `pi -p --mode json`. Parser only."""

from datetime import datetime
from typing import Any

from droveway.agents.lines import fields, items, text
from droveway.agents.stream import Completion, StreamParser, error_verdict
from droveway.core.completion import TokenBreakdown

_NORMAL = frozenset({"stop", "end_turn", "toolUse", "tool_use", "tool-calls"})  # R-P7


class PiParser(StreamParser):
    """It exits with 0 whatever happened: the last turn decides."""

    def __init__(self, run_id: str, attempt: int, started_at: datetime) -> None:
        super().__init__(run_id, attempt, started_at)
        self._turn_started = started_at

    def _read(self, line: dict[str, Any], at: datetime) -> None:
        match text(line, "type"):
            case "session":
                self._seen(text(line, "id"))
            case "turn_start":
                self._turn_started = at
            case "turn_end":
                self._turn(fields(line, "message"), at)
            case "auto_retry_end" if line.get("success") is False:
                message = text(line, "finalError")
                self._failed(message, error_verdict(message, at), at)

    def _turn(self, message: dict[str, Any], at: datetime) -> None:
        self._seen(model=text(message, "model"))
        usage = fields(message, "usage")
        latency = max(0.0, (at - self._turn_started).total_seconds() * 1000)
        spent = Completion(self._tokens(usage), "", latency, self.lines.number(fields(usage, "cost"), "total"))
        reason = text(message, "stopReason")
        if reason in _NORMAL or (reason in {"length", "max_tokens"} and spent.tokens.output > 0):
            self._completed(spent, at)
            said = [text(part, "text") for part in items(message, "content") if text(part, "type") == "text"]
            self._ended_well("".join(said) if said else None)
        else:
            error = text(message, "errorMessage") or f"the last turn ended with reason {reason or 'unknown'}"
            self._failed(error, error_verdict(error, at), at, [spent])

    def _tokens(self, usage: dict[str, Any]) -> TokenBreakdown:
        names = ("input", "output", "cacheRead", "cacheWrite")
        read_in, out, cached, written = (self.lines.whole(usage, name) for name in names)
        return TokenBreakdown(read_in + out + cached + written, read_in, out, 0, cached, written)
