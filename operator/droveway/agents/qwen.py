"""Qwen Code: `qwen -p --output-format stream-json`. Parser only."""

from datetime import datetime
from typing import Any

from droveway.agents.lines import fields, text
from droveway.agents.stream import Completion, StreamParser, error_verdict
from droveway.core.completion import TokenBreakdown


class QwenParser(StreamParser):
    """Version 0.15 reports every API error as a success whose text is the error (R-C31)."""

    def _read(self, line: dict[str, Any], at: datetime) -> None:
        self._seen(text(line, "session_id"))
        match text(line, "type"):
            case "system":
                self._seen(model=text(line, "model"))
            case "result":
                self._ended_with(line, at)

    def _ended_with(self, line: dict[str, Any], at: datetime) -> None:
        spent = Completion(self._tokens(fields(line, "usage")), "", self.lines.number(line, "duration_ms"))
        result = text(line, "result")
        unanswered = result.startswith("[API Error") and not spent.tokens.output
        if line.get("is_error") is not True and not unanswered:
            self._completed(spent, at)
            self._ended_well(result)
        else:
            message = text(line, "error", "message") or result or text(line, "subtype")
            self._failed(message, error_verdict(message, at), at, [spent])

    def _tokens(self, usage: dict[str, Any]) -> TokenBreakdown:
        names = ("input_tokens", "output_tokens", "cache_read_input_tokens")
        given, out, cached = (self.lines.whole(usage, name) for name in names)
        read_in = max(0, given - cached)
        return TokenBreakdown(read_in + out + cached, read_in, out, 0, cached)
