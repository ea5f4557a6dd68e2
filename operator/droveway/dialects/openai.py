"""What OpenAI's two APIs share: keys, errors, limits of a ChatGPT plan, token counts."""

import re
from datetime import datetime, timedelta
from typing import Any

from droveway.api.enums import EndClass
from droveway.core.completion import TokenBreakdown
from droveway.core.resets import from_seconds
from droveway.core.verdict import Verdict
from droveway.dialects.base import DialectSpec, Reply, out_message, out_seconds
from droveway.dialects.bodies import count, dump_object, http_status, table
from droveway.dialects.judge import Fault, limited, stated, stated_inside
from droveway.dialects.times import latest, moment

_PLAN_CODES = {"usage_limit_reached", "usage_limit_exceeded"}
_OTHER_LIMITS = {"rate_limit_exceeded", "insufficient_quota"}
_CODEX_WINDOW = re.compile(r"(x-codex-.+)-used-percent")

_FORMS = {  # status, type, code
    EndClass.SUBSCRIPTION_LIMIT: (429, "usage_limit_reached", "usage_limit_reached"),
    EndClass.RATE_LIMITED: (429, "requests", "rate_limit_exceeded"),
    EndClass.BALANCE_EXHAUSTED: (429, "insufficient_quota", "insufficient_quota"),
    EndClass.AUTH_FAILED: (401, "invalid_request_error", "invalid_api_key"),
    EndClass.PROVIDER_OUTAGE: (503, "server_error", "server_is_overloaded"),
    EndClass.TIMEOUT: (504, "server_error", "timeout"),
    EndClass.REQUEST_REJECTED: (400, "invalid_request_error", "invalid_request"),
}
_STATUS_OF_CODE = {
    "invalid_api_key": 401,
    "authentication_error": 401,
    "permission_error": 403,
    "model_not_found": 404,
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "insufficient_quota": 429,
    "usage_limit_reached": 429,
    "context_length_exceeded": 400,
    "content_policy_violation": 400,
    "invalid_prompt": 400,
    "invalid_request": 400,
    "server_is_overloaded": 503,
    "server_error": 500,
    "invalid_request_error": 400,  # last: the type of several errors above
}


class OpenAI(DialectSpec):
    """The parts of the Chat and Responses APIs that are one."""

    def auth_headers(self, key: str) -> list[tuple[str, str]]:
        """The key as a bearer token."""
        return [("authorization", f"Bearer {key}")]

    def _own(self, fault: Fault) -> Verdict | None:
        return _plan(fault)

    def _status_of(self, error: dict[str, Any]) -> int | None:
        names = (error.get("code"), error.get("type"))
        found = (status for name, status in _STATUS_OF_CODE.items() if name in names)
        return http_status(error.get("code")) or next(found, None)

    def error_response(self, kind: EndClass, message: str, retry_after_seconds: int | None = None) -> Reply:
        """An error of this dialect."""
        status, _, _ = _FORMS.get(kind, _FORMS[EndClass.REQUEST_REJECTED])
        headers = [("content-type", "application/json")]
        if retry_after_seconds is not None:
            headers.append(("retry-after", str(retry_after_seconds)))
        if kind is EndClass.TIMEOUT:
            headers.append(("x-should-retry", "false"))
        return Reply(status, headers, dump_object({"error": error_object(kind, message)}))


def error_object(kind: EndClass, message: str) -> dict[str, Any]:
    """The error as both APIs carry it."""
    _, name, code = _FORMS.get(kind, _FORMS[EndClass.REQUEST_REJECTED])
    return {"message": message, "type": name, "param": None, "code": code}


def plan_limit(verdict: Verdict, now: datetime, status: int) -> Reply:
    """A spent limit as a ChatGPT plan tells it, whatever kind of limit it is."""
    kind = verdict.kind if verdict.kind is EndClass.BALANCE_EXHAUSTED else EndClass.SUBSCRIPTION_LIMIT
    seconds = out_seconds(verdict, now)
    resets_at = round((now + timedelta(seconds=seconds)).timestamp())
    error = error_object(kind, out_message(verdict)) | {"resets_at": resets_at, "resets_in_seconds": seconds}
    headers = [("content-type", "application/json"), ("x-should-retry", "false"), ("retry-after", str(seconds))]
    return Reply(status, headers, dump_object({"error": error}))


def buckets(usage: dict[str, Any], words: tuple[str, str]) -> TokenBreakdown:
    """Input includes what the cache read and wrote, output includes reasoning; here they are disjoint (R-C32).

    Args:
        usage: the provider's object.
        words: `("prompt", "completion")` or `("input", "output")`.
    """
    into, out = words
    asked, answered = count(usage.get(f"{into}_tokens")), count(usage.get(f"{out}_tokens"))
    details = table(usage.get(f"{into}_tokens_details"))
    read, written = count(details.get("cached_tokens")), count(details.get("cache_write_tokens"))
    reasoning = count(table(usage.get(f"{out}_tokens_details")).get("reasoning_tokens"))
    # Some providers count reasoning beside the output; their total gives it away.
    beside = reasoning and count(usage.get("total_tokens")) == asked + answered + reasoning
    fresh, output = max(0, asked - read - written), answered if beside else max(0, answered - reasoning)
    return TokenBreakdown(fresh + output + reasoning + read + written, fresh, output, reasoning, read, written)


def _plan(fault: Fault) -> Verdict | None:
    """The usage limit of a ChatGPT plan (R-C40). The code counts with any 4xx: our own refusal comes as 400."""
    named = _PLAN_CODES.intersection(fault.codes)
    full = [m[1] for name, value in fault.headers.items() if (m := _CODEX_WINDOW.fullmatch(name)) and _is_full(value)]
    if not named and not (full and fault.status == 429 and not _OTHER_LIMITS.intersection(fault.codes)):
        return None
    until = stated_inside(fault) or latest(_window_reset(fault, name) for name in full) or stated(fault)
    return limited(fault, EndClass.SUBSCRIPTION_LIMIT, until)


def _window_reset(fault: Fault, name: str) -> datetime | None:
    return moment(fault.headers.get(f"{name}-reset-at")) or from_seconds(
        fault.headers.get(f"{name}-reset-after-seconds"), fault.now
    )


def _is_full(percent: str) -> bool:
    try:
        return float(percent) >= 100
    except ValueError:
        return False
