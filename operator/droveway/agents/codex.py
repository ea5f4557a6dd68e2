"""Codex: `codex exec --json`."""

import json
from datetime import datetime
from typing import Any

from droveway.agents.evidence import Failure
from droveway.agents.lines import fields, text
from droveway.agents.stream import NO_TOKENS, Completion, StreamParser
from droveway.core.completion import TokenBreakdown
from droveway.core.launch import Launch, LaunchRequest

_USAGE = (
    "input_tokens",
    "cached_input_tokens",
    "cache_write_input_tokens",
    "output_tokens",
    "reasoning_output_tokens",
)


_KEY = "DROVEWAY_API_KEY"


def launch(request: LaunchRequest) -> Launch:
    """Its endpoint comes from a file; `-` makes it read the prompt from stdin."""
    argv = ["codex", "exec", "--json", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]
    argv += [*request.args, "--", request.prompt] if request.prompt is not None else [*request.args, "-"]
    search = 'web_search = "disabled"\n' if request.portable else ""  # OpenAI itself would search
    config = f"""\
model = {_toml(request.model)}
model_provider = "droveway"
check_for_update_on_startup = false
{search}
[model_providers.droveway]
name = "droveway"
base_url = {_toml(request.url.rstrip("/") + "/v1")}
env_key = "{_KEY}"
wire_api = "responses"
request_max_retries = 2
stream_max_retries = 2

[analytics]
enabled = false
"""
    return Launch(
        argv=tuple(argv),
        env=(),
        key_env=(_KEY,),
        files=((".codex/config.toml", config),),
        stdin=request.prompt_file if request.prompt is None else None,
    )


def _toml(value: str) -> str:
    """A JSON string is a TOML string, too."""
    return json.dumps(value, ensure_ascii=False)


class CodexParser(StreamParser):
    """Only `turn.failed` decides: an `error` line is printed for every reconnect of a run that then succeeds."""

    def __init__(self, run_id: str, attempt: int, started_at: datetime) -> None:
        super().__init__(run_id, attempt, started_at)
        self._turn_started = started_at
        self._counted = [0] * len(_USAGE)
        self._items = 0

    def _read(self, line: dict[str, Any], at: datetime) -> None:
        match line.get("type"):
            case "thread.started":
                self._in_session(line.get("thread_id"))
                self._counted = [0] * len(_USAGE)
            case "turn.started":
                self._turn_started, self._items = at, 0
            case "item.completed" | "item.started" if text(line, "item", "type") != "error":
                self._item(fields(line, "item"))
            case "error":
                self._noted(Failure(text(line, "message"), at))
            case "turn.completed":
                self._turn(line, at)
            case "turn.failed":
                spent = Completion(self._tokens(line), latency_ms=self._latency(at))
                self._failed(Failure(text(line, "error", "message"), at), [spent])

    def _item(self, item: dict[str, Any]) -> None:
        self._went_on()
        self._items += 1
        if text(item, "type") == "agent_message":
            self._keep_result(text(item, "text"))

    def _turn(self, line: dict[str, Any], at: datetime) -> None:
        """A spent quota can look like a turn that ended well, without a word and without a token."""
        spent = Completion(self._tokens(line), latency_ms=self._latency(at))
        if fields(line, "usage") and not spent.tokens.total and not self._items:
            self._failed(Failure("the turn ended without any output", at), [spent])
        else:
            self._completed(spent, at)
            self._ended_well()

    def _latency(self, at: datetime) -> float:
        return max(0.0, (at - self._turn_started).total_seconds() * 1000)

    def _tokens(self, line: dict[str, Any]) -> TokenBreakdown:
        """Usage counts up over a thread: the difference is this turn's. Cache is a part of input, reasoning of output."""
        usage = self.lines.counts(line, "usage")
        if not usage:
            return NO_TOKENS
        counts = self.lines.wholes(usage, _USAGE)
        before = self._counted if all(map(int.__ge__, counts, self._counted)) else [0] * len(_USAGE)
        self._counted = counts
        given, cached, written, out, reasoning = map(int.__sub__, counts, before)
        cached, reasoning = min(cached, given), min(reasoning, out)
        written = min(written, given - cached)
        return TokenBreakdown(given + out, given - cached - written, out - reasoning, reasoning, cached, written)
