"""Anthropic Messages: `POST /v1/messages`."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from droveway.api.enums import Dialect, EndClass
from droveway.core.completion import TokenBreakdown
from droveway.core.families import FAMILIES
from droveway.core.verdict import Scope, Verdict
from droveway.dialects.base import Answer, DialectSpec, Operation, Reply, Request, out_message, out_seconds
from droveway.dialects.bodies import count, dump_object, error_of, table, text
from droveway.dialects.judge import SUCCEEDED, Fault, limited, rate_limited
from droveway.dialects.stream import InBandJudge, StreamReader, event_json, event_kind
from droveway.dialects.times import latest, moment, retry_after

_UNIFIED = "anthropic-ratelimit-unified-"
_WINDOW_STATUS = re.compile(rf"{_UNIFIED}(.+)-status")

_FORMS = {
    EndClass.SUBSCRIPTION_LIMIT: (429, "rate_limit_error"),
    EndClass.RATE_LIMITED: (429, "rate_limit_error"),
    EndClass.BALANCE_EXHAUSTED: (402, "billing_error"),
    EndClass.AUTH_FAILED: (401, "authentication_error"),
    EndClass.PROVIDER_OUTAGE: (529, "overloaded_error"),
    EndClass.TIMEOUT: (504, "timeout_error"),
    EndClass.REQUEST_REJECTED: (400, "invalid_request_error"),
}
_STATUS_OF_TYPE = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
}


class Anthropic(DialectSpec):
    """Claude's API, and what imitates it."""

    dialect = Dialect.ANTHROPIC
    paths = {"/v1/messages": Operation.GENERATE, "/v1/messages/count_tokens": Operation.COUNT_TOKENS}
    ping = b'event: ping\ndata: {"type": "ping"}\n\n'
    output_bounds = ("max_tokens",)

    def auth_headers(self, key: str) -> list[tuple[str, str]]:
        """The key as x-api-key."""
        return [("x-api-key", key)]

    def reader(self, request: Request) -> StreamReader:
        """A reader of message events."""
        return AnthropicReader(self.judge_in_band)

    def _read_answer(self, parsed: dict[str, Any] | list[Any], now: datetime) -> Answer:
        body = table(parsed)
        if (error := error_of(body)) or body.get("type") == "error":
            return Answer(self.judge_in_band(error, now))
        return Answer(
            SUCCEEDED, buckets(table(body.get("usage"))), text(body.get("model")), text(body.get("stop_reason"))
        )

    def _own(self, fault: Fault) -> Verdict | None:
        return _subscription(fault)

    def _status_of(self, error: dict[str, Any]) -> int | None:
        return _STATUS_OF_TYPE.get(text(error.get("type")))

    def error_response(self, kind: EndClass, message: str, retry_after_seconds: int | None = None) -> Reply:
        """An error of this dialect. A spent subscription is told by the unified status, as the vendor does.

        `x-should-retry` keeps claude from trying again where it would: a 401, a 429 with a short retry-after.
        """
        status, _ = _FORMS.get(kind, _FORMS[EndClass.REQUEST_REJECTED])
        headers = [("content-type", "application/json")]
        if retry_after_seconds is not None:
            headers.append(("retry-after", str(retry_after_seconds)))
        if kind not in (EndClass.RATE_LIMITED, EndClass.PROVIDER_OUTAGE):
            headers.append(("x-should-retry", "false"))
        if kind is EndClass.SUBSCRIPTION_LIMIT:
            headers.append((f"{_UNIFIED}status", "rejected"))
        return Reply(status, headers, dump_object(_error(kind, message)))

    def in_band_error(self, kind: EndClass, message: str) -> bytes:
        """An `error` event: every client raises on it."""
        return b"event: error\ndata: " + dump_object(_error(kind, message)) + b"\n\n"

    def exhausted_response(self, verdict: Verdict, now: datetime) -> Reply:
        """A throttle comes as a spent subscription: claude would retry it ten times.

        An outage stays a retryable 529 with retry-after, which claude takes as the floor of its own few waits.
        """
        kind = EndClass.SUBSCRIPTION_LIMIT if verdict.kind is EndClass.RATE_LIMITED else verdict.kind
        return self.error_response(kind, out_message(verdict), out_seconds(verdict, now))


class AnthropicReader(StreamReader):
    """message_start … content_block_delta … message_delta, message_stop."""

    __slots__ = ("_usage",)

    def __init__(self, judge: InBandJudge) -> None:
        super().__init__(judge)
        self._usage: dict[str, Any] = {}

    @property
    def usage(self) -> TokenBreakdown:
        """`message_delta` repeats what `message_start` said and adds the final output."""
        return buckets(self._usage)

    def _event(self, block: bytes) -> bool:
        if self.has_content and block.startswith(b"event: content_block_"):
            return True
        event = event_json(block)
        kind = event_kind(block, event)
        if kind in ("content_block_start", "content_block_delta"):
            self.has_content = self.has_content or _is_content(event)
        elif kind == "message_start":
            message = table(event.get("message"))
            self.model = text(message.get("model"))
            self._add(message)
        elif kind == "message_delta":
            self.finish_reason = text(table(event.get("delta")).get("stop_reason")) or self.finish_reason
            self._add(event)
        elif kind == "message_stop":
            self.terminal = True
        elif kind == "error":
            self._fail(error_of(event))
        return not self.has_error

    def _add(self, holder: dict[str, Any]) -> None:
        self._usage |= {k: v for k, v in table(holder.get("usage")).items() if v is not None}


def _is_content(event: dict[str, Any]) -> bool:
    """A delta that says something, or the start of a block that is not mere text or thinking (a tool call)."""
    delta = table(event.get("delta"))
    if any(value for name, value in delta.items() if name != "type"):
        return True
    block = table(event.get("content_block"))
    return block.get("type") not in (None, "text", "thinking") or bool(block.get("text") or block.get("thinking"))


def buckets(usage: dict[str, Any]) -> TokenBreakdown:
    """Input excludes what the cache read and wrote; reasoning is not told apart (R-C32)."""
    fresh, output = count(usage.get("input_tokens")), count(usage.get("output_tokens"))
    read, written = count(usage.get("cache_read_input_tokens")), count(usage.get("cache_creation_input_tokens"))
    long = count(table(usage.get("cache_creation")).get("ephemeral_1h_input_tokens"))
    return TokenBreakdown(fresh + output + read + written, fresh, output, 0, read, written, min(long, written))


def _subscription(fault: Fault) -> Verdict | None:
    """The windows of a Claude subscription (R-C39)."""
    if fault.status != 429:
        return None
    overall = fault.headers.get(f"{_UNIFIED}status", "").lower()
    if overall.startswith("allowed"):
        return rate_limited(fault)
    rejected = _rejected_windows(fault.headers)
    if overall != "rejected" and not rejected:
        return None
    until = latest(moment(fault.headers.get(f"{_UNIFIED}{name}-reset")) for name in rejected)
    until = until or moment(fault.headers.get(f"{_UNIFIED}reset")) or retry_after(fault.headers, fault.now)
    spent = rejected or [fault.headers.get(f"{_UNIFIED}representative-claim", "").lower()]
    of_family = all(name.rpartition("_")[2] in FAMILIES for name in spent)
    return limited(fault, EndClass.SUBSCRIPTION_LIMIT, until, Scope.MODEL_FAMILY if of_family else Scope.QUOTA_GROUP)


def _rejected_windows(headers: Mapping[str, str]) -> list[str]:
    found = ((_WINDOW_STATUS.fullmatch(name), value) for name, value in headers.items())
    return [match[1] for match, value in found if match and value.lower() == "rejected" and match[1] != "overage"]


def _error(kind: EndClass, message: str) -> dict[str, Any]:
    _, name = _FORMS.get(kind, _FORMS[EndClass.REQUEST_REJECTED])
    return {"type": "error", "error": {"type": name, "message": message}}
