"""What agent CLIs print, recorded and made up, and parsers to read it."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from droveway.agents import Outcome, stream_parser
from droveway.agents.stream import StreamParser
from droveway.core.completion import CompletionEvent

RECORDINGS = Path(__file__).parents[1] / "fixtures" / "cli"
CLIS = ["claude", "codex", "opencode", "gemini", "qwen", "pi", "copilot"]
AT = datetime(2026, 11, 21, 11, 30, tzinfo=UTC)

Line = str | dict[str, Any]


def parser_of(cli: str, run: str = "run-1", attempt: int = 1) -> StreamParser:
    parser = stream_parser(cli, run, attempt, AT)
    assert isinstance(parser, StreamParser)
    return parser


def text_of(line: Line) -> str:
    return line if isinstance(line, str) else json.dumps(line)


def play(cli: str, *lines: Line, exit_code: int | None = 0) -> tuple[Outcome, list[CompletionEvent]]:
    """The outcome and all completions of these lines."""
    parser = parser_of(cli)
    events = [event for line in lines for event in parser.feed(text_of(line), AT)]
    outcome = parser.finish(exit_code, AT)
    return outcome, events + outcome.events


def recordings(cli: str) -> dict[str, list[str]]:
    """The lines that a CLI printed, by scenario."""
    streams = sorted(RECORDINGS.glob(f"{cli}/*/stdout.jsonl"))
    return {stream.parent.name: stream.read_text().splitlines(keepends=True) for stream in streams}


def claude_result(**changes: Any) -> dict[str, Any]:
    """A good result of 20 tokens, with these changes."""
    usage = {"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 2}
    result = {"type": "result", "subtype": "success", "is_error": False, "result": "done", "session_id": "s-1"}
    return result | {"usage": usage, "duration_ms": 900, "total_cost_usd": 0.5} | changes


def opencode_step(reason: str = "stop", **tokens: int) -> dict[str, Any]:
    return {"type": "step_finish", "sessionID": "ses_1", "part": {"reason": reason, "tokens": tokens, "cost": 0.1}}


def codex_turn(given: int, out: int) -> dict[str, Any]:
    return {"type": "turn.completed", "usage": {"input_tokens": given, "output_tokens": out}}


def pi_turn(reason: str = "stop", error: str = "", **usage: Any) -> dict[str, Any]:
    return {"type": "turn_end", "message": {"stopReason": reason, "errorMessage": error, "usage": usage}}
