"""OpenAI Responses: `POST /v1/responses`."""

from datetime import datetime
from typing import Any

from droveway.api.enums import Dialect, EndClass
from droveway.core.completion import TokenBreakdown
from droveway.core.verdict import Verdict
from droveway.dialects.base import Answer, Operation, Reply, Request, out_message, out_seconds
from droveway.dialects.bodies import dump_object, error_of, table, text
from droveway.dialects.judge import SUCCEEDED
from droveway.dialects.openai import OpenAI, buckets, error_object, plan_limit
from droveway.dialects.stream import InBandJudge, StreamReader, event_json, event_kind

_WORDS = ("input", "output")
_LAST = (b"event: response.completed", b"event: response.incomplete", b"event: response.failed", b"event: error")


class OpenAIResponses(OpenAI):
    """The API that codex needs."""

    dialect = Dialect.OPENAI_RESPONSES
    paths = {"/v1/responses": Operation.GENERATE}
    output_bounds = ("max_output_tokens",)

    def reader(self, request: Request) -> StreamReader:
        """A reader of response events."""
        return ResponsesReader(self.judge_in_band)

    def _read_answer(self, parsed: dict[str, Any] | list[Any], now: datetime) -> Answer:
        body = table(parsed)
        error = error_of(body)
        verdict = self.judge_in_band(error, now) if error or body.get("status") == "failed" else SUCCEEDED
        return Answer(verdict, buckets(table(body.get("usage")), _WORDS), text(body.get("model")), finish_reason(body))

    def in_band_error(self, kind: EndClass, message: str) -> bytes:
        """`response.failed`, which codex ends on; the outer `error` makes the official libraries raise."""
        error = error_object(kind, message)
        response = {"id": "", "object": "response", "status": "failed", "output": [], "error": error}
        event = {"type": "response.failed", "sequence_number": 0, "response": response, "error": error}
        return b"event: response.failed\ndata: " + dump_object(event) + b"\n\n"

    def exhausted_response(self, verdict: Verdict, now: datetime) -> Reply:
        """A limit as 429 `usage_limit_reached` with resets_at: codex gives up after this one call and says when to return.

        An outage stays a 503 with retry-after, which codex tries five times in four seconds.
        """
        if verdict.is_limit:
            return plan_limit(verdict, now, 429)
        return self.error_response(verdict.kind, out_message(verdict), out_seconds(verdict, now))


class ResponsesReader(StreamReader):
    """response.created … deltas … response.completed, .incomplete or .failed."""

    __slots__ = ("_usage",)

    def __init__(self, judge: InBandJudge) -> None:
        super().__init__(judge)
        self._usage: dict[str, Any] = {}

    @property
    def usage(self) -> TokenBreakdown:
        """Of the last event alone: a stream that broke tells nothing."""
        return buckets(self._usage, _WORDS)

    def _event(self, block: bytes) -> bool:
        if self.has_content and block.startswith(b"event: ") and not block.startswith(_LAST):
            return True
        event = event_json(block)
        kind, response = event_kind(block, event), table(event.get("response"))
        self.model = text(response.get("model")) or self.model
        self._usage = table(response.get("usage")) or self._usage
        if kind in ("response.completed", "response.incomplete"):
            self.terminal, self.finish_reason = True, finish_reason(response)
        elif kind == "response.failed":
            self._fail(error_of(response))
        elif kind == "error":
            self._fail(error_of(event) or event)
        elif _is_content(kind, event):
            self.has_content = True
        return not self.has_error


def finish_reason(response: dict[str, Any]) -> str:
    """`completed`, or why the response is incomplete."""
    return text(table(response.get("incomplete_details")).get("reason")) or text(response.get("status"))


def _is_content(kind: str, event: dict[str, Any]) -> bool:
    """A delta that says something, something that is done, or the start of an item that is a tool call."""
    if kind == "response.output_item.added":
        return table(event.get("item")).get("type") not in (None, "message", "reasoning")
    return kind.endswith(".done") or (kind.endswith(".delta") and bool(event.get("delta")))
