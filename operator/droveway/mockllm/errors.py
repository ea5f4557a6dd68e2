"""HTTP errors of the vendors, per scenario: modelled on public reports and documentation, not recorded."""

import time
import uuid
from typing import Any, NamedTuple

from droveway.mockllm.scenario import Call, Json


class Failure(NamedTuple):
    """An answer that is not 200; a body of type `str` is a page."""

    status: int
    body: Json | str
    headers: dict[str, str]


def failure(call: Call) -> Failure | None:
    """The scenario's error in the dialect of the call, or None when the scenario answers 200."""
    name = call.scenario.name
    if name in ("disconnect", "stream_error") and not call.stream:
        name = "server_error"
    if name == "html":
        return Failure(502, "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>", {})
    retry_after = round(call.scenario.number("retry_after", 2))
    resets_in = round(call.scenario.number("resets_in", 9000))
    match call.api:
        case "anthropic":
            return _anthropic(name, call, retry_after, resets_in)
        case "gemini":
            return _gemini(name, call.model, retry_after)
        case _:
            return _codex_plan(call.now, resets_in) if name == "usage_limit" else _openai(name, call.model, retry_after)


def claude_windows(now: int, resets_in: int, status: str = "allowed") -> dict[str, str]:
    """Headers of a Claude subscription: its five-hour and seven-day windows."""
    reset, used = str(now + resets_in), "0.2" if status == "allowed" else "1.0"
    windows = {
        "status": status,
        "reset": reset,
        "representative-claim": "five_hour",
        "5h-status": status,
        "5h-reset": reset,
        "5h-utilization": used,
        "7d-status": "allowed",
        "7d-reset": str(now + 5 * 86400),
        "7d-utilization": "0.6",
        "fallback-percentage": "0.5",
        "overage-status": "rejected",
        "overage-disabled-reason": "org_level_disabled",
    }
    return {f"anthropic-ratelimit-unified-{name}": value for name, value in windows.items()}


def request_id() -> str:
    """A request id in the vendors' form."""
    return "req_" + uuid.uuid4().hex[:24]


def _anthropic(name: str, call: Call, retry_after: int, resets_in: int) -> Failure | None:
    spent = claude_windows(call.now, resets_in, "rejected") | {"retry-after": str(resets_in)}
    busy = {
        "retry-after": str(retry_after),
        "anthropic-ratelimit-input-tokens-limit": "30000",
        "anthropic-ratelimit-input-tokens-remaining": "0",
        "anthropic-ratelimit-input-tokens-reset": time.strftime(
            "%Y-%m-%dT%H:%M:%SZ", time.gmtime(call.now + retry_after)
        ),
    }
    per_minute = (
        "This request would exceed your organization's rate limit of 30,000 input tokens per minute. "
        "For details, refer to: https://docs.claude.com/en/api/rate-limits."
    )
    no_money = (
        "Your credit balance is too low to access the Anthropic API. "
        "Please go to Plans & Billing to upgrade or purchase credits."
    )
    window = "This request would exceed your account's rate limit. Please try again later."
    too_long = "prompt is too long: 215000 tokens > 200000 maximum"
    again, never = {"x-should-retry": "true"}, {"x-should-retry": "false"}
    table: dict[str, tuple[int, str, str, dict[str, str]]] = {
        "rate_limit": (429, "rate_limit_error", per_minute, busy),
        "usage_limit": (429, "rate_limit_error", window, spent),
        "overloaded": (529, "overloaded_error", "Overloaded", again),
        "auth": (401, "authentication_error", "invalid x-api-key", never),
        "context": (400, "invalid_request_error", too_long, {}),
        "billing": (400, "invalid_request_error", no_money, {}),
        "model_404": (404, "not_found_error", f"model: {call.model}", {}),
        "server_error": (500, "api_error", "Internal server error", again),
    }
    if name not in table:
        return None
    status, kind, message, headers = table[name]
    request = request_id()
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": request}
    return Failure(status, body, headers | {"request-id": request})


def _codex_plan(now: int, resets_in: int) -> Failure:
    """What a ChatGPT plan answers to codex once its five-hour window is spent."""
    headers = {
        "active-limit": "premium",
        "plan-type": "plus",
        "primary-used-percent": "100",
        "primary-window-minutes": "300",
        "primary-reset-after-seconds": str(resets_in),
        "primary-reset-at": str(now + resets_in),
        "secondary-used-percent": "80",
        "secondary-window-minutes": "10080",
        "secondary-reset-after-seconds": "316705",
    }
    error = {
        "type": "usage_limit_reached",
        "message": "The usage limit has been reached",
        "plan_type": "plus",
        "resets_at": now + resets_in,
        "resets_in_seconds": resets_in,
    }
    return Failure(429, {"error": error}, {f"x-codex-{name}": value for name, value in headers.items()})


def _openai(name: str, model: str, retry_after: int) -> Failure | None:
    """Chat and Responses share their errors."""
    invalid = "invalid_request_error"
    busy = (
        f"Rate limit reached for {model} in organization org-mock on tokens per min (TPM): Limit 30000, Used 29800, "
        f"Requested 900. Please try again in {retry_after}s."
    )
    key = "Incorrect API key provided: sk-mock. You can find your API key at https://platform.openai.com/account/api-keys."
    too_long = (
        "This model's maximum context length is 128000 tokens. However, your messages resulted in 215000 tokens. "
        "Please reduce the length of the messages."
    )
    no_money = (
        "You exceeded your current quota, please check your plan and billing details. For more information on this "
        "error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors."
    )
    overloaded = "The engine is currently overloaded, please try again later."
    missing = f"The model `{model}` does not exist or you do not have access to it."
    broken = "The server had an error while processing your request. Sorry about that!"
    table: dict[str, tuple[int, str, str, str | None]] = {
        "rate_limit": (429, "tokens", busy, "rate_limit_exceeded"),
        "overloaded": (503, "server_error", overloaded, "server_is_overloaded"),
        "auth": (401, invalid, key, "invalid_api_key"),
        "context": (400, invalid, too_long, "context_length_exceeded"),
        "billing": (429, "insufficient_quota", no_money, "insufficient_quota"),
        "model_404": (404, invalid, missing, "model_not_found"),
        "server_error": (500, "server_error", broken, None),
    }
    if name not in table:
        return None
    status, kind, message, code = table[name]
    headers = {
        "retry-after": str(retry_after),
        "retry-after-ms": str(retry_after * 1000),
        "x-ratelimit-limit-tokens": "30000",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": f"{retry_after}s",
    }
    body = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    return Failure(status, body, headers if name == "rate_limit" else {})


def _gemini(name: str, model: str, retry_after: int) -> Failure | None:
    """Google's error envelope, with the details its clients read."""
    requests = "GenerateRequestsPer{}PerProjectPerModel{}".format
    match name:
        case "rate_limit":
            return _google_quota(requests("Minute", ""), model, f"{retry_after}s")
        case "usage_limit":
            return _google_quota(requests("Day", ""), model, None)
        case "billing":
            return _google_quota(requests("Day", "-FreeTier"), model, None)
    bad_key = {
        **_google("ErrorInfo"),
        "reason": "API_KEY_INVALID",
        "domain": "googleapis.com",
        "metadata": {"service": "generativelanguage.googleapis.com"},
    }
    too_long = "The input token count (1215000) exceeds the maximum number of tokens allowed (1048576)."
    table: dict[str, tuple[int, str, str, list[Json]]] = {
        "overloaded": (503, "UNAVAILABLE", "The model is overloaded. Please try again later.", []),
        "auth": (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", [bad_key]),
        "context": (400, "INVALID_ARGUMENT", too_long, []),
        "model_404": (404, "NOT_FOUND", f"models/{model} is not found for API version v1beta.", []),
        "server_error": (500, "INTERNAL", "An internal error has occurred. Please retry.", []),
    }
    return _google_error(*table[name]) if name in table else None


def _google_quota(quota: str, model: str, retry_delay: str | None) -> Failure:
    violation = {
        "quotaMetric": "generativelanguage.googleapis.com/generate_content_requests",
        "quotaId": quota,
        "quotaDimensions": {"model": model, "location": "global"},
        "quotaValue": "250",
    }
    details: list[Json] = [{**_google("QuotaFailure"), "violations": [violation]}]
    if retry_delay:
        details.append({**_google("RetryInfo"), "retryDelay": retry_delay})
    message = (
        "You exceeded your current quota, please check your plan and billing details.\n"
        f"* Quota exceeded for metric: {quota}, limit: 250, model: {model}"
    )
    return _google_error(429, "RESOURCE_EXHAUSTED", message, details)


def _google(kind: str) -> dict[str, Any]:
    return {"@type": f"type.googleapis.com/google.rpc.{kind}"}


def _google_error(code: int, status: str, message: str, details: list[Json]) -> Failure:
    return Failure(code, {"error": {"code": code, "message": message, "status": status, "details": details}}, {})
