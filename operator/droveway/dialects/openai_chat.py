"""OpenAI Chat Completions, and what imitates it: `POST /v1/chat/completions`."""

from datetime import datetime
from typing import Any

from droveway.api.enums import Dialect, EndClass
from droveway.core.completion import TokenBreakdown
from droveway.core.verdict import Verdict
from droveway.dialects.base import Answer, Operation, Reply, Request, out_message, out_seconds
from droveway.dialects.bodies import dump_object, error_of, first, table, text
from droveway.dialects.judge import SUCCEEDED
from droveway.dialects.openai import OpenAI, buckets, error_object, plan_limit
from droveway.dialects.stream import DONE, InBandJudge, StreamReader, event_data, event_json

_WORDS = ("prompt", "completion")


class OpenAIChat(OpenAI):
    """The API that most providers and CLIs have in common."""

    dialect = Dialect.OPENAI_CHAT
    paths = {"/v1/chat/completions": Operation.GENERATE}
    output_bounds = ("max_completion_tokens", "max_tokens")

    def _wants_usage(self, body: dict[str, Any], *, stream: bool) -> bool:
        return not stream or table(body.get("stream_options")).get("include_usage") is True

    def rewrite(self, request: Request, model: str) -> bytes:
        """The body for upstream. A stream is always asked for its usage: we must know what it cost."""
        if request.wants_usage:
            return super().rewrite(request, model)
        options = {**table(request.body.get("stream_options")), "include_usage": True}
        return dump_object({**request.body, "model": model, "stream_options": options})

    def reader(self, request: Request) -> StreamReader:
        """A reader of chunks that hides the usage from a client that did not ask for it."""
        return ChatReader(self.judge_in_band, hide_usage=not request.wants_usage)

    def _read_answer(self, parsed: dict[str, Any] | list[Any], now: datetime) -> Answer:
        body = table(parsed)
        if error := error_of(body):
            return Answer(self.judge_in_band(error, now))
        usage = buckets(table(body.get("usage")), _WORDS)
        reason = text(first(body.get("choices")).get("finish_reason"))
        return Answer(SUCCEEDED, usage, text(body.get("model")), reason)

    def in_band_error(self, kind: EndClass, message: str) -> bytes:
        """A chunk with `error`, and no [DONE]: official clients raise on it."""
        return b"data: " + dump_object({"error": error_object(kind, message)}) + b"\n\n"

    def exhausted_response(self, verdict: Verdict, now: datetime) -> Reply:
        """A limit comes as 400: opencode, qwen, pi and copilot retry every 429, some of them for ever.

        The code inside still says what it is. An outage stays a 503 with retry-after.
        """
        if verdict.is_limit:
            return plan_limit(verdict, now, 400)
        return self.error_response(verdict.kind, out_message(verdict), out_seconds(verdict, now))


class ChatReader(StreamReader):
    """Chunks of choices, a chunk of usage, [DONE]."""

    __slots__ = ("_hide_usage", "_usage")

    def __init__(self, judge: InBandJudge, *, hide_usage: bool) -> None:
        super().__init__(judge)
        self._hide_usage = hide_usage
        self._usage: dict[str, Any] = {}

    @property
    def usage(self) -> TokenBreakdown:
        """Of the usage chunk; some providers send a running count in every chunk."""
        return buckets(self._usage, _WORDS)

    def _event(self, block: bytes) -> bool:
        if self.has_content and _is_plain(block):
            return True
        event = event_json(block)
        if not event:
            self.terminal = self.terminal or event_data(block).strip() == DONE
            return True
        if error := error_of(event):
            self._fail(error)
            return False
        usage = table(event.get("usage"))
        self._usage = usage or self._usage
        self.model = self.model or text(event.get("model"))
        choice = first(event.get("choices"))
        self._choice(choice)
        return not (self._hide_usage and usage and not choice)

    def _choice(self, choice: dict[str, Any]) -> None:
        delta = table(choice.get("delta"))
        self.has_content = self.has_content or any(value for name, value in delta.items() if name != "role")
        if reason := text(choice.get("finish_reason")):
            # Not every imitation sends [DONE]: a finish reason is as explicit an end.
            self.finish_reason, self.terminal = reason, True


def _is_plain(block: bytes) -> bool:
    """One more piece of content: unfinished, without usage or error. Quotes inside content are escaped."""
    return (
        (b'"finish_reason":null' in block or b'"finish_reason": null' in block)
        and b'"error"' not in block
        and (b'"usage"' not in block or b'"usage":null' in block or b'"usage": null' in block)
    )
