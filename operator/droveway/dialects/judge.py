"""What an answer means: the order of evidence that all dialects share (R-C38 to R-C42)."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from droveway.api.enums import EndClass
from droveway.core.limits import classify_text, speaks_of_overload
from droveway.core.redaction import one_line
from droveway.core.resets import clamp, find_reset, from_duration, from_seconds
from droveway.core.verdict import Scope, Verdict
from droveway.dialects.bodies import first, parse_error, table, text
from droveway.dialects.times import moment, retry_after, spent_resets

SUCCEEDED = Verdict(EndClass.SUCCEEDED, scope=Scope.REQUEST)

_LONGEST_TEXT = 4096  # of a message that is searched; providers' own are a few hundred

_OVERLOADED = {
    "overloaded_error", "server_is_overloaded", "engine_overloaded", "engine_overloaded_error", "service_tier_capacity_exceeded",
    "model_capacity_exhausted",
}  # fmt: skip
_MONEY_CODE = re.compile(
    r"insufficient[_-]?(?:quota|balance|funds|credits?)|spend(?:ing)?[_-](?:limit|cap)|credit[_-]balance|exceeded_current_quota"
    r"|credits?[_-](?:depleted|exhausted)|billing[_-](?:error|hard|not|disabled)|payment[_-]required|usage_not_included|arrearage"
)
# Words of a request that was refused mean nothing: they quote it (R-P10). These sentences are providers' own.
_MONEY_SENTENCE = re.compile(
    r"credit balance is too low|reached your specified (?:workspace )?api usage limits|\Ainsufficient (?:account )?balance\b"
    r"|\Aaccount [\w. -]{1,64}is suspended\b",
    re.IGNORECASE,
)
_PLAN_SENTENCE = re.compile(r"\Ayou(?:'re| are) out of extra usage\b", re.IGNORECASE)
_BAD_KEY = re.compile(r"invalid_api_key|api_key_invalid|incorrect api key provided", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Fault:
    """One answer, read.

    Attributes:
        headers: names in lower case.
        error: the innermost error object; empty when the body has none.
        codes: its type, code and status, and the reasons of Google's details, in lower case.
        message: its text; also of a body that is plain text.
        details: Google's `error.details`.
    """

    status: int
    headers: Mapping[str, str]
    now: datetime
    error: dict[str, Any]
    codes: tuple[str, ...]
    message: str
    details: tuple[dict[str, Any], ...]


Hook = Callable[[Fault], Verdict | None]
"""What only one dialect knows; None: nothing special."""


def read_fault(status: int, headers: Mapping[str, str], body: bytes, now: datetime) -> Fault:
    """Read an answer, whatever it is."""
    parsed = parse_error(body)
    outer = first(parsed) if isinstance(parsed, list) else table(parsed)
    error = _innermost(outer)
    metadata = table(error.get("metadata"))  # a router's, with what the provider behind it said
    wrapped = {**table(metadata.get("headers")), **headers}
    raw = error.get("details")
    details = tuple(map(table, raw)) if isinstance(raw, list) else ()
    named = (*map(error.get, ("type", "code", "status")), *(detail.get("reason") for detail in details))
    said = (error.get("message"), error.get("detail"), metadata.get("raw"))
    message = " ".join(filter(None, map(text, said))) or (_plain(body) if parsed is None else "")
    return Fault(
        status,
        {str(name).lower(): str(value).strip() for name, value in wrapped.items()},
        now,
        error,
        tuple(str(name).lower() for name in named if isinstance(name, str | int)),
        message[:_LONGEST_TEXT],
        details,
    )


def judge(fault: Fault, own: Hook) -> Verdict:
    """The verdict, from the strongest evidence down: status, structure of this dialect, codes, text of a 403 or 429."""
    if fault.status >= 500 or fault.status in (408, 425) or _OVERLOADED.intersection(fault.codes):
        return _outage(fault)
    if verdict := own(fault):
        return verdict
    if fault.status == 402 or any(map(_MONEY_CODE.search, fault.codes)) or _MONEY_SENTENCE.search(fault.message):
        return balance(fault)
    if fault.status == 429 and (verdict := google_quota(fault)):
        return verdict
    if verdict := _by_words(fault):
        return verdict
    if fault.status in (401, 403) or (fault.status == 400 and _BAD_KEY.search(" ".join((*fault.codes, fault.message)))):
        return Verdict(EndClass.AUTH_FAILED, scope=Scope.PROVIDER, reason=reason(fault))
    if fault.status == 429:
        return throttled(fault)
    return Verdict(
        EndClass.REQUEST_REJECTED, scope=Scope.MODEL if fault.status == 404 else Scope.REQUEST, reason=reason(fault)
    )


def limited(fault: Fault, kind: EndClass, until: datetime | None, scope: Scope = Scope.QUOTA_GROUP) -> Verdict:
    """A limit until then; None leaves its length to who keeps the book of limits."""
    return Verdict(kind, until and clamp(until, fault.now), scope, reason(fault))


def rate_limited(fault: Fault, scope: Scope = Scope.QUOTA_GROUP) -> Verdict:
    """A short throttle, until the time that the headers state, else the text."""
    return limited(fault, EndClass.RATE_LIMITED, stated(fault) or find_reset(fault.message, fault.now), scope)


def throttled(fault: Fault) -> Verdict:
    """A 429 that names no quota: a throttle of the caller, unless its words say that the provider has too much to do."""
    return _outage(fault) if speaks_of_overload(fault.message) else rate_limited(fault)


def stated(fault: Fault) -> datetime | None:
    """When to come again, by fields of the body, else by the headers."""
    return stated_inside(fault) or retry_after(fault.headers, fault.now) or spent_resets(fault.headers, fault.now)


def stated_inside(fault: Fault) -> datetime | None:
    """When to come again, by fields of the body. A time that is past, by a clock that is wrong, is the last resort."""
    at = moment(fault.error.get("resets_at"))
    if at and at > fault.now:
        return at
    return from_seconds(fault.error.get("resets_in_seconds"), fault.now) or at


def reason(fault: Fault) -> str:
    """One redacted line for people."""
    said = fault.message or ("an HTML page" if "html" in fault.headers.get("content-type", "") else "")
    return one_line(f"HTTP {fault.status}: {said}" if said else f"HTTP {fault.status}")


def google_retry(fault: Fault) -> datetime | None:
    """RetryInfo of Google's error details, if it states a time."""
    for detail in fault.details:
        if text(detail.get("@type")).endswith("google.rpc.RetryInfo"):
            return from_duration(text(detail.get("retryDelay")), fault.now)
    return None


def _outage(fault: Fault) -> Verdict:
    until = retry_after(fault.headers, fault.now) or google_retry(fault)
    return Verdict(EndClass.PROVIDER_OUTAGE, clamp(until, fault.now) if until else None, Scope.PROVIDER, reason(fault))


def balance(fault: Fault) -> Verdict:
    """A human must act; a retry-after would only make us ask again in vain (R-C14). Only a spend limit names its day."""
    until = find_reset(fault.message, fault.now) if "regain access" in fault.message else None
    return limited(fault, EndClass.BALANCE_EXHAUSTED, until)


def google_quota(fault: Fault) -> Verdict | None:
    """Google's quota details, also behind its OpenAI-compatible endpoint (R-C41)."""
    if "quota_exhausted" in fault.codes:  # of a plan: its RetryInfo is the end of a window, hours or days away
        return limited(
            fault, EndClass.SUBSCRIPTION_LIMIT, google_retry(fault) or _google_reset(fault), _google_scope(fault)
        )
    if any(text(d.get("@type")).endswith("google.rpc.RetryInfo") for d in fault.details):
        return limited(fault, EndClass.RATE_LIMITED, google_retry(fault) or stated(fault), _google_scope(fault))
    if any("perday" in quota.lower() for quota in _google_quotas(fault)):
        return limited(fault, EndClass.SUBSCRIPTION_LIMIT, stated(fault), _google_scope(fault))
    return None


def _google_reset(fault: Fault) -> datetime | None:
    """When a plan's quota is back, by the details that name the plan, else by the text."""
    for told in (table(detail.get("metadata")) for detail in fault.details):
        at = moment(told.get("quotaResetTimeStamp")) or from_duration(text(told.get("quotaResetDelay")), fault.now)
        if at:
            return at
    return find_reset(fault.message, fault.now)


def _google_quotas(fault: Fault) -> list[str]:
    lists = (d.get("violations") for d in fault.details if text(d.get("@type")).endswith("google.rpc.QuotaFailure"))
    return [text(table(v).get("quotaId")) for found in lists if isinstance(found, list) for v in found]


def _google_scope(fault: Fault) -> Scope:
    quotas = _google_quotas(fault)
    per_model = quotas and all("permodel" in quota.lower() for quota in quotas)
    named = any(text(table(detail.get("metadata")).get("model")) for detail in fault.details)
    return Scope.MODEL if per_model or named else Scope.QUOTA_GROUP


def said(fault: Fault) -> Verdict | None:
    """The limit that the words speak of, where they are the provider's own. A code is stronger than words (R-L2)."""
    if fault.status not in (403, 429) or "rate_limit_exceeded" in fault.codes:
        return None
    return classify_text(fault.message, fault.now)


def _by_words(fault: Fault) -> Verdict | None:
    if _PLAN_SENTENCE.search(fault.message):
        return limited(fault, EndClass.SUBSCRIPTION_LIMIT, find_reset(fault.message, fault.now))
    told = said(fault)
    if told is None or (told.kind is EndClass.RATE_LIMITED and fault.status == 429):
        return None
    if told.kind is EndClass.BALANCE_EXHAUSTED:
        return balance(fault)
    return limited(fault, told.kind, stated(fault) or told.until, told.scope)


def _innermost(outer: dict[str, Any]) -> dict[str, Any]:
    """The error object, wherever a provider puts it: `error`, the first of `errors`, `detail`, or the body itself."""
    for name in ("error", "errors", "detail"):
        held = first(outer[name]) if isinstance(outer.get(name), list) else table(outer.get(name))
        if held:
            return held
    error = outer.get("error")
    return {**outer, "message": error} if isinstance(error, str) else outer  # {"error": "text", "code": …}


def _plain(body: bytes) -> str:
    start = body[:_LONGEST_TEXT].decode("utf-8", "replace").strip("\ufeff \t\r\n")
    return "" if start.startswith("<") else start
