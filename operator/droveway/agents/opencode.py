"""opencode: `opencode run --format json`."""

import json
from datetime import datetime
from typing import Any

from droveway.agents.evidence import Failure
from droveway.agents.lines import fields, text
from droveway.agents.stream import RESULT_LIMIT, Completion, StreamParser, known_cost
from droveway.api.enums import Dialect, EndClass
from droveway.core.completion import TokenBreakdown
from droveway.core.launch import Launch, LaunchRequest
from droveway.core.verdict import Scope, Verdict

_NORMAL = frozenset({"stop", "end_turn", "tool-calls", "tool_use", "toolUse"})  # R-P7


_KEY = "DROVEWAY_API_KEY"
_ADAPTERS = {
    Dialect.ANTHROPIC: "@ai-sdk/anthropic",
    Dialect.OPENAI_CHAT: "@ai-sdk/openai-compatible",
    Dialect.OPENAI_RESPONSES: "@ai-sdk/openai",
}


def launch(request: LaunchRequest) -> Launch:
    """All of its configuration fits into one variable. A given title saves the call that would invent one."""
    argv = ["opencode", "run", "--format", "json", "--title", "droveway", *request.args]
    argv += ["--", request.prompt] if request.prompt is not None else []
    model = f"droveway/{request.model}"
    options = {"baseURL": f"{request.url.rstrip('/')}/v1", "apiKey": f"{{env:{_KEY}}}"}
    provider = {
        "npm": _ADAPTERS[request.dialect],
        "name": "droveway",
        "options": options,
        "models": {request.model: {}},
    }
    config = {
        "model": model,
        "small_model": model,
        "permission": "allow",
        "autoupdate": False,
        "share": "disabled",
        "provider": {"droveway": provider},
    }
    return Launch(
        argv=tuple(argv),
        env=(
            ("OPENCODE_CONFIG_CONTENT", json.dumps(config, ensure_ascii=False)),
            ("OPENCODE_DISABLE_MODELS_FETCH", "1"),
            ("OPENCODE_DISABLE_AUTOUPDATE", "1"),
            ("OPENCODE_DISABLE_LSP_DOWNLOAD", "1"),
        ),
        key_env=(_KEY,),
        stdin=request.prompt_file if request.prompt is None else None,
    )


class OpencodeParser(StreamParser):
    """There is no final event and no model: every step is a completion, and the last one decides with the exit code."""

    needs_exit_code = True

    def __init__(self, run_id: str, attempt: int, started_at: datetime) -> None:
        super().__init__(run_id, attempt, started_at)
        self._step_started: float | None = None
        self._steps = 0
        self._message = ""
        self._answer = ""

    def _read(self, line: dict[str, Any], at: datetime) -> None:
        self._in_session(line.get("sessionID"))
        match line.get("type"):
            case "step_start":
                self._step_started = self.lines.number(line, "timestamp")
            case "text":
                self._said(fields(line, "part"))
            case "step_finish":
                self._step(line, at)
            case "error":
                self._error(fields(line, "error"), at)

    def _said(self, part: dict[str, Any]) -> None:
        """A message may come in several parts."""
        if (message := text(part, "messageID")) != self._message:
            self._message, self._answer = message, ""
        more = text(part, "text")
        self._answer = f"{self._answer}\n{more}"[:RESULT_LIMIT] if self._answer else more[:RESULT_LIMIT]
        self._keep_result(self._answer)
        if not self._steps and self._answer:
            self._ended_well()  # the last step_finish can be missing: R-C29

    def _step(self, line: dict[str, Any], at: datetime) -> None:
        self._steps += 1
        part = fields(line, "part")
        tokens, cost = self._tokens(part), self.lines.number(part if "cost" in part else line, "cost")
        spent = Completion(tokens, "", self._latency(line), known_cost(cost, tokens))
        reason = text(part, "reason") or "stop"
        if reason in _NORMAL or (reason in {"length", "max_tokens"} and spent.tokens.output > 0):
            self._completed(spent, at)
            self._ended_well()
            return
        message = f"the last step ended with reason {reason}"
        refused = reason in {"content-filter", "refusal"}
        verdict = Verdict(EndClass.REQUEST_REJECTED, None, Scope.REQUEST, message) if refused else None
        self._failed(Failure(message, at, known=verdict), [spent])

    def _error(self, error: dict[str, Any], at: datetime) -> None:
        data = fields(error, "data")
        headers = fields(data, "responseHeaders")
        message = text(data, "message") or text(error, "message") or text(error, "name")
        retry = f"retry-after: {text(headers, 'retry-after')}" if "retry-after" in headers else ""
        beside = "\n".join((text(error, "name"), text(data, "responseBody"), retry))
        self._failed(Failure(message, at, beside, self.lines.number(data, "statusCode")))

    def _latency(self, line: dict[str, Any]) -> float | None:
        ended, began = self.lines.number(line, "timestamp"), self._step_started
        return ended - began if ended and began and ended > began else None

    def _tokens(self, part: dict[str, Any]) -> TokenBreakdown:
        tokens = self.lines.counts(part, "tokens")
        cache = self.lines.counts(tokens, "cache")
        counts = self.lines.wholes(tokens, ("input", "output", "reasoning"))
        counts += self.lines.wholes(cache, ("read", "write"))
        return TokenBreakdown(sum(counts), *counts)
