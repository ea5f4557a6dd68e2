"""Gemini: `POST /v1beta/models/{model}:generateContent`, `:streamGenerateContent`, `:countTokens`."""

import re
from datetime import datetime
from typing import Any
from urllib.parse import quote, unquote

from droveway.api.enums import Dialect, EndClass
from droveway.core.completion import TokenBreakdown
from droveway.core.verdict import Verdict
from droveway.dialects.base import Answer, DialectSpec, Operation, Reply, Request, out_message, out_seconds
from droveway.dialects.bodies import (
    BadRequest,
    count,
    dump_object,
    error_of,
    first,
    http_status,
    parse_object,
    table,
    text,
)
from droveway.dialects.judge import SUCCEEDED, Fault, balance, google_quota, said, throttled
from droveway.dialects.stream import InBandJudge, StreamReader, event_json

_PATH = re.compile(r"(/v1(?:beta|alpha)?/models/)([^:]+):(generateContent|streamGenerateContent|countTokens)")
_KEY_PARAMETER = re.compile(r"(?:^|&)key=[^&]*")
_TYPES = "type.googleapis.com/google.rpc."

_FORMS = {  # status, its name, reason
    EndClass.SUBSCRIPTION_LIMIT: (429, "RESOURCE_EXHAUSTED", ""),
    EndClass.RATE_LIMITED: (429, "RESOURCE_EXHAUSTED", ""),
    EndClass.BALANCE_EXHAUSTED: (403, "PERMISSION_DENIED", "BILLING_DISABLED"),
    EndClass.AUTH_FAILED: (400, "INVALID_ARGUMENT", "API_KEY_INVALID"),
    EndClass.PROVIDER_OUTAGE: (503, "UNAVAILABLE", ""),
    EndClass.TIMEOUT: (504, "DEADLINE_EXCEEDED", ""),
    EndClass.REQUEST_REJECTED: (400, "INVALID_ARGUMENT", ""),
}
_STATUS_OF_NAME = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}


class Gemini(DialectSpec):
    """Google's API: the model is in the path."""

    dialect = Dialect.GEMINI
    ping = b""  # its own clients take a comment for broken JSON, and some answers are one array
    output_bounds = ("maxOutputTokens",)

    def most_output_tokens(self, request: Request) -> int | None:
        """As its configuration of the generation says."""
        return self._bound(table(request.body.get("generationConfig")))

    def operation(self, path: str) -> Operation | None:
        """What the verb behind the model asks for."""
        found = _PATH.fullmatch(path)
        return None if found is None else Operation.COUNT_TOKENS if found[3] == "countTokens" else Operation.GENERATE

    def read_request(self, body: bytes, path: str, query: str = "") -> Request:
        """Read a client's request. Without `alt=sse` a stream is one JSON array: it is answered whole."""
        found = _PATH.fullmatch(path)
        operation = self.operation(path)
        if found is None or operation is None:
            raise BadRequest(f"not a path of this dialect: {path}")
        query = _KEY_PARAMETER.sub("", query).lstrip("&")
        stream = found[3] == "streamGenerateContent" and "alt=sse" in query.split("&")
        return Request(operation, unquote(found[2]), stream, path, query, body, parse_object(body))

    def rewrite(self, request: Request, model: str) -> bytes:
        """The body as it came."""
        return request.raw

    def upstream_path(self, request: Request, model: str) -> str:
        """The path with the model replaced."""
        path = _PATH.sub(lambda m: f"{m[1]}{quote(model, safe='')}:{m[3]}", request.path)
        return f"{path}?{request.query}" if request.query else path

    def auth_headers(self, key: str) -> list[tuple[str, str]]:
        """The key as x-goog-api-key."""
        return [("x-goog-api-key", key)]

    def reader(self, request: Request) -> StreamReader:
        """A reader of chunks."""
        return GeminiReader(self.judge_in_band)

    def _read_answer(self, parsed: dict[str, Any] | list[Any], now: datetime) -> Answer:
        chunks = [table(chunk) for chunk in parsed] if isinstance(parsed, list) else [parsed]
        verdict, usage, model, reason = SUCCEEDED, TokenBreakdown(), "", ""
        for chunk in chunks:
            if error := error_of(chunk):
                verdict = self.judge_in_band(error, now)
            if found := table(chunk.get("usageMetadata")):
                usage = buckets(found)
            model = text(chunk.get("modelVersion")) or model
            reason = _finish_reason(chunk) or reason
        return Answer(verdict, usage, model, reason)

    def _own(self, fault: Fault) -> Verdict | None:
        """A 429 is a day's quota or a throttle: its text always mentions plan and billing, which decides nothing (R-C41)."""
        if fault.status != 429:
            return None
        if verdict := google_quota(fault):
            return verdict
        told = None if "plan and billing" in fault.message else said(fault)
        return balance(fault) if told and told.kind is EndClass.BALANCE_EXHAUSTED else throttled(fault)

    def _status_of(self, error: dict[str, Any]) -> int | None:
        return http_status(error.get("code")) or _STATUS_OF_NAME.get(text(error.get("status")))

    def error_response(self, kind: EndClass, message: str, retry_after_seconds: int | None = None) -> Reply:
        """An error of this dialect; a spent day is told by its quota id, a throttle by RetryInfo."""
        status, name, why = _FORMS.get(kind, _FORMS[EndClass.REQUEST_REJECTED])
        headers = [("content-type", "application/json")]
        details: list[dict[str, Any]] = [{"@type": f"{_TYPES}ErrorInfo", "reason": why}] if why else []
        if retry_after_seconds is not None:
            headers.append(("retry-after", str(retry_after_seconds)))
        if kind is EndClass.SUBSCRIPTION_LIMIT:
            details = [_quota_failure("RequestsPerDay")]
        elif kind is EndClass.RATE_LIMITED:
            details = [_quota_failure("RequestsPerMinute")]
            details += [{"@type": f"{_TYPES}RetryInfo", "retryDelay": f"{retry_after_seconds or 60}s"}]
        error = {"code": status, "message": message, "status": name, "details": details}
        return Reply(status, headers, dump_object({"error": error}))

    def in_band_error(self, kind: EndClass, message: str) -> bytes:
        """A chunk with `error`: official clients raise on it."""
        return b"data: " + self.error_response(kind, message).body + b"\n\n"

    def exhausted_response(self, verdict: Verdict, now: datetime) -> Reply:
        """Any limit as the quota of a day: gemini gives up after this one call, and waits for anything shorter.

        An outage stays a 503.
        """
        kind = EndClass.SUBSCRIPTION_LIMIT if verdict.is_limit else verdict.kind
        return self.error_response(kind, out_message(verdict), out_seconds(verdict, now))


class GeminiReader(StreamReader):
    """Chunks; the last one has a finish reason, every one the usage so far."""

    __slots__ = ("_last",)

    def __init__(self, judge: InBandJudge) -> None:
        super().__init__(judge)
        self._last = b""

    @property
    def usage(self) -> TokenBreakdown:
        """Of the last chunk that came."""
        return buckets(table(event_json(self._last).get("usageMetadata")))

    def _event(self, block: bytes) -> bool:
        if b'"usageMetadata"' in block:
            self._last = block
        if self.has_content and not (b'"finishReason"' in block or b'"error"' in block or b'"blockReason"' in block):
            return True
        event = event_json(block)
        if error := error_of(event):
            self._fail(error)
            return False
        self.model = text(event.get("modelVersion")) or self.model
        parts = table(first(event.get("candidates")).get("content")).get("parts")
        self.has_content = self.has_content or any(map(_is_content, parts if isinstance(parts, list) else ()))
        if reason := _finish_reason(event):
            self.finish_reason, self.terminal = reason, True
        return True


def _is_content(part: Any) -> bool:
    """Text that is not empty (a thought is text), a function call, data; not a lone signature."""
    return any(value for name, value in table(part).items() if name not in ("thought", "thoughtSignature"))


def _finish_reason(chunk: dict[str, Any]) -> str:
    """Why the answer ended; a prompt that was blocked has no candidate to tell it."""
    blocked = text(table(chunk.get("promptFeedback")).get("blockReason"))
    return text(first(chunk.get("candidates")).get("finishReason")) or blocked


def buckets(usage: dict[str, Any]) -> TokenBreakdown:
    """The prompt includes what the cache read; thoughts come on top of the candidates (R-C32)."""
    prompt = count(usage.get("promptTokenCount")) + count(usage.get("toolUsePromptTokenCount"))
    read, output = count(usage.get("cachedContentTokenCount")), count(usage.get("candidatesTokenCount"))
    reasoning, fresh = count(usage.get("thoughtsTokenCount")), max(0, prompt - read)
    return TokenBreakdown(fresh + output + reasoning + read, fresh, output, reasoning, read, 0)


def _quota_failure(quota: str) -> dict[str, Any]:
    return {"@type": f"{_TYPES}QuotaFailure", "violations": [{"quotaId": quota}]}
