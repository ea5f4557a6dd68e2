"""What a provider's answer means, rule by rule."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from droveway.api.enums import EndClass
from droveway.core.verdict import Scope
from droveway.dialects import classify_response
from helpers.mock_answers import ask

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
EPOCH = int(NOW.timestamp())
DIALECTS = ["Anthropic", "OpenAIChat", "OpenAIResponses", "Gemini"]
OPENAI = ["OpenAIChat", "OpenAIResponses"]
UNIFIED = "anthropic-ratelimit-unified-"

SUCCESS, SUBSCRIPTION, RATE, BALANCE, AUTH, OUTAGE, REJECTED = (
    EndClass.SUCCEEDED,
    EndClass.SUBSCRIPTION_LIMIT,
    EndClass.RATE_LIMITED,
    EndClass.BALANCE_EXHAUSTED,
    EndClass.AUTH_FAILED,
    EndClass.PROVIDER_OUTAGE,
    EndClass.REQUEST_REJECTED,
)
SCENARIOS = {
    "ok": SUCCESS, "tool": SUCCESS, "refusal": SUCCESS, "rate_limit": RATE, "usage_limit": SUBSCRIPTION,
    "billing": BALANCE, "overloaded": OUTAGE, "auth": AUTH, "context": REJECTED, "model_404": REJECTED,
    "server_error": OUTAGE, "html": OUTAGE, "stream_error": OUTAGE, "disconnect": OUTAGE,
}  # fmt: skip


def classify(
    dialect: str, status: int, error: Any = None, headers: dict[str, str] | None = None, **fields: Any
) -> tuple[EndClass, float | None]:
    """Kind, and seconds until; the error is an object, or the text of its message."""
    body = json.dumps({"error": (error if isinstance(error, dict) else {"message": error or ""}) | fields}).encode()
    verdict = classify_response(dialect, status, headers or {}, body, NOW)
    return verdict.kind, (verdict.until - NOW).total_seconds() if verdict.until else None


def google(*details: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**detail, "@type": "type.googleapis.com/google.rpc." + detail["@type"]} for detail in details]


def quota(name: str) -> dict[str, Any]:
    return {"@type": "QuotaFailure", "violations": [{"quotaId": name}]}


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_answer_of_the_mock_is_understood(dialect: str, scenario: str) -> None:
    said = ask(dialect, scenario)
    expected = SUBSCRIPTION if (dialect, scenario) == ("Gemini", "billing") else SCENARIOS[scenario]
    now = datetime.now(UTC)
    verdict = classify_response(dialect, said.status, said.headers, said.body, now)
    assert verdict.kind is expected
    seconds = {RATE: 2, SUBSCRIPTION: 3600 if dialect == "Gemini" else 9000, BALANCE: 6 * 3600}.get(expected)
    if seconds is None:
        assert verdict.until is None
    else:
        assert verdict.until is not None
        assert (verdict.until - now).total_seconds() == pytest.approx(seconds, abs=60 if seconds > 60 else 0.1)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("status", [100, 200, 204, 302, 399])
def test_below_400_nothing_is_wrong(dialect: str, status: int) -> None:
    """R-C3, R-C39: also with a warning, and whatever the body says."""
    headers = {UNIFIED + "status": "allowed_warning", UNIFIED + "7d-status": "rejected"}
    assert classify(dialect, status, "usage limit reached", headers) == (SUCCESS, None)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, AUTH), (402, BALANCE), (403, AUTH), (429, RATE),
        (400, REJECTED), (404, REJECTED), (405, REJECTED), (413, REJECTED), (418, REJECTED), (422, REJECTED),
        (408, OUTAGE), (500, OUTAGE), (502, OUTAGE), (503, OUTAGE), (504, OUTAGE), (520, OUTAGE), (529, OUTAGE),
    ],
)  # fmt: skip
@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b"<html>x</html>", b"\xff\x00", b"no"], ids=repr)
def test_a_bare_status_is_enough(dialect: str, status: int, kind: EndClass, body: bytes) -> None:
    assert classify_response(dialect, status, {}, body, NOW).kind is kind


@pytest.mark.parametrize(
    ("kind", "scope", "status"),
    [
        (RATE, Scope.QUOTA_GROUP, 429),
        (OUTAGE, Scope.PROVIDER, 500),
        (AUTH, Scope.PROVIDER, 401),
        (REJECTED, Scope.REQUEST, 400),
        (REJECTED, Scope.MODEL, 404),
    ],
)
def test_a_verdict_says_what_it_speaks_for(kind: EndClass, scope: Scope, status: int) -> None:
    verdict = classify_response("Anthropic", status, {}, b"", NOW)
    assert (verdict.kind, verdict.scope) == (kind, scope)


# ------------------------------------------------------------------------------------------------- R-C38
@pytest.mark.parametrize("dialect", DIALECTS)
def test_overload_as_429_is_an_outage(dialect: str) -> None:
    assert classify(dialect, 429, {"type": "overloaded_error"}) == (OUTAGE, None)
    assert classify(dialect, 429, {"type": "overloaded_error"}, {"Retry-After": "7"}) == (OUTAGE, 7)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("status", [500, 502, 503, 529])
def test_an_outage_says_when_to_come_again_if_the_provider_did(dialect: str, status: int) -> None:
    page = classify_response(dialect, status, {"retry-after": "30"}, b"<html>429 usage limit reached</html>", NOW)
    assert (page.kind, page.until) == (OUTAGE, NOW + timedelta(seconds=30))
    assert classify(dialect, status, "Your credit balance is too low") == (OUTAGE, None)


def test_gemini_states_the_pause_of_an_outage_in_its_details() -> None:
    assert classify("Gemini", 503, details=google({"@type": "RetryInfo", "retryDelay": "12s"})) == (OUTAGE, 12)


# ------------------------------------------------------------------------------------------------- R-C39
@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"status": "rejected", "reset": EPOCH + 50, "5h-status": "rejected", "5h-reset": EPOCH + 100}, (SUBSCRIPTION, 100)),
        (
            {
                "status": "rejected", "reset": EPOCH + 50, "5h-status": "rejected", "5h-reset": EPOCH + 100,
                "7d-status": "rejected", "7d-reset": EPOCH + 900, "7d_opus-status": "allowed", "7d_opus-reset": EPOCH + 5000,
            },
            (SUBSCRIPTION, 900),
        ),
        ({"status": "rejected", "reset": EPOCH + 50, "5h-status": "allowed", "5h-reset": EPOCH + 100}, (SUBSCRIPTION, 50)),
        ({"status": "rejected", "reset": EPOCH + 50, "5h-status": "rejected"}, (SUBSCRIPTION, 50)),
        ({"status": "rejected", "5h-status": "rejected", "5h-reset": "soon", "reset": "-1"}, (SUBSCRIPTION, 40)),
        ({"5h-status": "rejected", "5h-reset": EPOCH + 100}, (SUBSCRIPTION, 100)),
        ({"status": "REJECTED", "reset": (EPOCH + 50) * 1000}, (SUBSCRIPTION, 50)),
        ({"status": "allowed", "5h-status": "allowed", "5h-reset": EPOCH + 100, "reset": EPOCH + 100}, (RATE, 40)),
        ({"status": "allowed_warning", "7d-status": "allowed_warning", "reset": EPOCH + 100}, (RATE, 40)),
        ({"status": "allowed", "overage-status": "rejected", "overage-reset": EPOCH + 100}, (RATE, 40)),
        ({"overage-status": "rejected", "overage-reset": EPOCH + 100}, (RATE, 40)),
    ],
    ids=["window-beats-reset", "latest-rejected", "no-window", "no-window-reset", "garbage", "no-overall", "ms", "allowed",
         "warning", "overage", "overage-alone"],
)  # fmt: skip
def test_windows_of_a_claude_subscription(headers: dict[str, Any], expected: tuple[EndClass, float]) -> None:
    sent = {UNIFIED.title() + name: str(value) for name, value in headers.items()} | {"Retry-After": "40"}
    assert classify("Anthropic", 429, {"type": "rate_limit_error"}, sent) == expected


@pytest.mark.parametrize("overall", ["allowed", "allowed_warning"])
def test_a_subscription_that_allows_is_throttled_whatever_the_words_say(overall: str) -> None:
    said, headers = "You've hit your usage limit", {UNIFIED + "status": overall, UNIFIED + "7d_opus-status": "rejected"}
    assert classify("Anthropic", 429, said, headers) == (RATE, 60)


def test_a_rejected_subscription_without_any_time_lasts_an_hour() -> None:
    assert classify("Anthropic", 429, headers={UNIFIED + "status": "rejected"}) == (SUBSCRIPTION, 3600)


@pytest.mark.parametrize(
    ("windows", "scope"),
    [
        (["7d_opus"], Scope.MODEL_FAMILY),
        (["7d_opus", "7d_sonnet"], Scope.MODEL_FAMILY),
        (["7d_opus", "5h"], Scope.QUOTA_GROUP),
        (["7d"], Scope.QUOTA_GROUP),
        (["7d_oi"], Scope.QUOTA_GROUP),
        ([], Scope.QUOTA_GROUP),
    ],
)
def test_r_c39_a_window_of_one_family_of_models_speaks_for_that_family(windows: list[str], scope: Scope) -> None:
    headers = {f"{UNIFIED}{window}-status": "rejected" for window in windows} | {UNIFIED + "status": "rejected"}
    assert classify_response("Anthropic", 429, headers, b"", NOW).scope is scope


@pytest.mark.parametrize(("claim", "scope"), [("seven_day_opus", Scope.MODEL_FAMILY), ("five_hour", Scope.QUOTA_GROUP)])
def test_r_c39_without_windows_the_claim_says_whom_it_concerns(claim: str, scope: Scope) -> None:
    headers = {UNIFIED + "status": "rejected", UNIFIED + "representative-claim": claim}
    assert classify_response("Anthropic", 429, headers, b"", NOW).scope is scope


@pytest.mark.parametrize("status", [400, 401, 404, 529])
def test_unified_headers_matter_only_with_429(status: int) -> None:
    headers = {UNIFIED + "status": "rejected", UNIFIED + "reset": str(EPOCH + 50)}
    assert classify("Anthropic", status, headers=headers)[0] is not SUBSCRIPTION


# ------------------------------------------------------------------------------------------------- R-C40
CODEX = {
    "x-codex-primary-used-percent": "100", "x-codex-primary-reset-at": str(EPOCH + 300),
    "x-codex-secondary-used-percent": "100.0", "x-codex-secondary-reset-at": str(EPOCH + 900),
    "x-codex-tertiary-used-percent": "80", "x-codex-tertiary-reset-at": str(EPOCH + 5000),
}  # fmt: skip


@pytest.mark.parametrize("dialect", OPENAI)
@pytest.mark.parametrize(
    ("fields", "headers", "seconds"),
    [
        ({"resets_at": EPOCH + 100, "resets_in_seconds": 200}, CODEX, 100),
        ({"resets_at": str(EPOCH + 100)}, {}, 100),
        ({"resets_at": (EPOCH + 100) * 1000}, {}, 100),
        ({"resets_in_seconds": 200}, CODEX, 200),
        ({"resets_at": None, "resets_in_seconds": 0}, CODEX, 900),
        ({}, CODEX | {"x-codex-secondary-used-percent": "99.9"}, 300),
        ({}, {"x-codex-primary-used-percent": "100", "x-codex-primary-reset-after-seconds": "70"}, 70),
        ({}, {"retry-after": "80"}, 80),
        ({}, {}, 3600),
    ],
    ids=["body-at", "string", "ms", "body-in", "headers-latest", "only-full", "reset-after", "retry-after", "default"],
)
def test_when_a_chatgpt_plan_resets(
    dialect: str, fields: dict[str, Any], headers: dict[str, str], seconds: int
) -> None:
    assert classify(dialect, 429, {"type": "usage_limit_reached"}, headers, **fields) == (SUBSCRIPTION, seconds)


@pytest.mark.parametrize("dialect", OPENAI)
def test_a_full_window_makes_a_nameless_429_a_subscription_limit(dialect: str) -> None:
    assert classify(dialect, 429, headers=CODEX) == (SUBSCRIPTION, 900)
    assert classify(dialect, 429, {"code": "rate_limit_exceeded"}, CODEX)[0] is RATE
    assert classify(dialect, 429, {"code": "insufficient_quota"}, CODEX)[0] is BALANCE
    assert classify(dialect, 200, headers=CODEX) == (SUCCESS, None)


# ------------------------------------------------------------------------------------------------- R-C41
RETRY = {"@type": "RetryInfo", "retryDelay": "34.5s"}
DAY, MINUTE = quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier"), quota("GenerateRequestsPerMinutePerProject")
QUOTA_TEXT = "You exceeded your current quota, please check your plan and billing details."


@pytest.mark.parametrize("as_list", [False, True], ids=["object", "list-of-one"])
@pytest.mark.parametrize(
    ("details", "expected"),
    [
        (google(MINUTE, RETRY), (RATE, 34.5)),
        (google(DAY, RETRY), (RATE, 34.5)),
        (google(RETRY), (RATE, 34.5)),
        (google({"@type": "RetryInfo", "retryDelay": "soon"}), (RATE, 60)),
        (google(DAY), (SUBSCRIPTION, 3600)),
        (google(MINUTE, DAY), (SUBSCRIPTION, 3600)),
        (google(MINUTE), (RATE, 60)),
        ([], (RATE, 60)),
    ],
    ids=["minute", "day-with-retry", "retry-alone", "bad-delay", "day", "both", "minute-alone", "neither"],
)
def test_geminis_quotas(details: list[dict[str, Any]], expected: tuple[EndClass, float], *, as_list: bool) -> None:
    error = {"error": {"code": 429, "message": QUOTA_TEXT, "status": "RESOURCE_EXHAUSTED", "details": details}}
    verdict = classify_response("Gemini", 429, {}, json.dumps([error] if as_list else error).encode(), NOW)
    assert (verdict.kind, verdict.until) == (expected[0], NOW + timedelta(seconds=expected[1]))


def test_googles_details_beat_its_words_behind_other_dialects_too() -> None:
    assert classify("OpenAIChat", 429, {"message": QUOTA_TEXT}, details=google(RETRY)) == (RATE, 34.5)


def test_a_quota_per_model_speaks_for_the_model() -> None:
    body = json.dumps({"error": {"details": google(DAY)}}).encode()
    assert classify_response("Gemini", 429, {}, body, NOW).scope is Scope.MODEL


def test_a_bad_key_comes_from_google_as_400() -> None:
    bad = google({"@type": "ErrorInfo", "reason": "API_KEY_INVALID"})
    assert classify("Gemini", 400, "API key not valid.", details=bad) == (AUTH, None)
    assert classify("Gemini", 400, {"status": "INVALID_ARGUMENT"}) == (REJECTED, None)


# ------------------------------------------------------------------------------------------------- R-C19
@pytest.mark.parametrize(
    ("dialect", "status", "error"),
    [
        ("OpenAIChat", 429, {"code": "insufficient_quota"}),
        ("OpenAIResponses", 429, {"type": "insufficient_quota"}),
        ("OpenAIChat", 403, {"code": "insufficient_quota"}),
        ("OpenAIChat", 429, {"code": "project_spend_limit_exceeded"}),
        ("OpenAIChat", 429, {"code": "credit_balance_exhausted"}),
        ("OpenAIChat", 429, {"code": "billing_hard_limit_reached"}),
        ("OpenAIChat", 429, {"message": QUOTA_TEXT}),
        ("Anthropic", 400, {"message": "Your credit balance is too low to access the Anthropic API."}),
        ("Anthropic", 402, {"type": "billing_error"}),
        ("OpenAIChat", 402, {"message": "anything"}),
        ("Gemini", 402, {}),
        ("OpenAIChat", 403, {"message": "Your team has used all available credits or reached its limit"}),
        ("OpenAIChat", 403, {"code": "personal-team-blocked:spending-limit"}),
    ],
    ids=str,
)
def test_money_is_a_balance(dialect: str, status: int, error: dict[str, Any]) -> None:
    """A retry-after does not shorten it: only a human does (R-C14)."""
    assert classify(dialect, status, error, {"retry-after": "1"}) == (BALANCE, 6 * 3600)


def test_xai_writes_code_and_error_side_by_side() -> None:
    body = b'{"code":"forbidden","error":"Your team has used all available credits"}'
    assert classify_response("OpenAIChat", 403, {}, body, NOW).kind is BALANCE
    body = b'{"code":"invalid","error":"Incorrect API key provided: xx"}'
    assert classify_response("OpenAIChat", 400, {}, body, NOW).kind is AUTH


def test_a_spend_limit_that_names_its_day_lasts_till_then() -> None:
    sentence = "You have reached your specified API usage limits. You will regain access on 2026-11-22 at 00:00 UTC."
    assert classify("Anthropic", 400, {"message": sentence}) == (BALANCE, 12 * 3600)


@pytest.mark.parametrize(
    ("metric", "kind"),
    [("GenerateRequestsPerMinute", RATE), ("GenerateRequestsPerDay", SUBSCRIPTION), ("other", BALANCE)],
)
def test_a_metric_in_the_text_is_stronger_than_plan_and_billing(metric: str, kind: EndClass) -> None:
    assert classify("OpenAIChat", 429, f"{QUOTA_TEXT}\n* Quota exceeded for metric: {metric}")[0] is kind


@pytest.mark.parametrize("status", [400, 404, 422])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_words_in_a_refused_request_are_no_limit(dialect: str, status: int) -> None:
    """R-P10: such a message quotes what the agent sent."""
    assert classify(dialect, status, "tools.0: 'usage limit reached, 429, spending limit' is not a name")[0] is REJECTED


# ------------------------------------------------------------------------------------------------- R-C42, R-C18
@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"RETRY-AFTER": " 7.5 "}, 7.5),
        ({"retry-after": "7", "retry-after-ms": "2500"}, 2.5),
        ({"retry-after": "7", "retry-after-ms": "x"}, 7),
        ({"retry-after-ms": "10"}, 1),
        ({"retry-after": "0.2"}, 1),
        ({"retry-after": format_datetime(NOW + timedelta(seconds=90), usegmt=True)}, 90),
        ({"retry-after": "99999999999"}, 8 * 86400),
        ({"retry-after": "1e400"}, 60),
        ({"retry-after": "0"}, 60),
        ({"retry-after": "-5"}, 60),
        ({"retry-after": "nan"}, 60),
        ({"retry-after": "soon"}, 60),
        ({"retry-after": format_datetime(NOW - timedelta(seconds=90), usegmt=True)}, 60),
        ({"x-ratelimit-reset-tokens": "1m2.5s", "x-ratelimit-remaining-tokens": "0"}, 62.5),
        ({"x-ratelimit-reset-tokens": "1m2.5s"}, 62.5),
        ({"x-ratelimit-reset-tokens": "1500ms", "x-ratelimit-reset-requests": "1h0m3s"}, 3603),
        (
            {
                "x-ratelimit-reset-tokens": "12s", "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-requests": "1h", "x-ratelimit-remaining-requests": "9",
            },
            12,
        ),
        ({"x-ratelimit-reset-tokens": "12ms", "x-ratelimit-remaining-tokens": "0"}, 1),
        ({"x-ratelimit-reset-tokens": "banana", "x-ratelimit-remaining-tokens": "0"}, 60),
        ({"x-ratelimit-reset": str(EPOCH + 77), "x-ratelimit-remaining": "0"}, 77),
        ({"x-ratelimit-reset-tokens-minute": "11.5"}, 11.5),
        (
            {
                "anthropic-ratelimit-tokens-reset": "2026-11-21T12:00:45Z", "anthropic-ratelimit-tokens-remaining": "0",
                "anthropic-ratelimit-requests-reset": "2026-11-21T13:00:00Z", "anthropic-ratelimit-requests-remaining": "3",
            },
            45,
        ),
        ({"anthropic-ratelimit-tokens-reset": "2026-11-21T12:00:45Z"}, 60),
        ({"retry-after": "7", "x-ratelimit-reset-tokens": "1m", "x-ratelimit-remaining-tokens": "0"}, 7),
    ],
    ids=lambda value: ",".join(value.values()) if isinstance(value, dict) else str(value),
)  # fmt: skip
def test_when_a_throttle_ends(dialect: str, headers: dict[str, str], seconds: float) -> None:
    assert classify(dialect, 429, headers=headers) == (RATE, seconds)


@pytest.mark.parametrize(("reset", "seconds"), [(EPOCH - 5, 1), (EPOCH, 1), (EPOCH + 10**7, 8 * 86400)])
def test_every_time_is_clamped(reset: int, seconds: int) -> None:
    assert (
        classify("Anthropic", 429, headers={UNIFIED + "status": "rejected", UNIFIED + "reset": str(reset)})[1]
        == seconds
    )
    assert classify("OpenAIResponses", 429, {"type": "usage_limit_reached", "resets_at": reset})[1] == seconds


def test_the_text_of_a_throttle_tells_its_time_when_no_header_does() -> None:
    text = "Rate limit reached for m1 on tokens per min (TPM): Limit 30000, Used 29800. Please try again in 20s."
    error = {"message": text, "type": "tokens", "code": "rate_limit_exceeded"}
    assert classify("OpenAIChat", 429, error) == (RATE, 20)
    assert classify("OpenAIChat", 429, error, {"retry-after": "3"}) == (RATE, 3)


@pytest.mark.parametrize("dialect", ["Anthropic", *OPENAI])
def test_the_text_of_a_429_tells_a_plan_from_a_throttle(dialect: str) -> None:
    """Plans of other vendors imitate the dialect but not the headers."""
    assert classify(dialect, 429, "Usage limit reached for 5 hour.", {"retry-after": "50"}) == (SUBSCRIPTION, 50)
    assert classify(dialect, 429, "This request would exceed your organization's rate limit")[0] is RATE


# ------------------------------------------------------------------------------------------------- R-C4, R-C37
@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_reason_is_one_line_without_secrets(dialect: str) -> None:
    said = "Incorrect API key provided: sk-abcdef123456.\nSee Bearer abcdef0123456789 " + "x" * 500
    verdict = classify_response(dialect, 401, {}, json.dumps({"error": {"message": said}}).encode(), NOW)
    assert verdict.reason.startswith("HTTP 401: Incorrect API key provided")
    assert "abcdef" not in verdict.reason
    assert "\n" not in verdict.reason
    assert len(verdict.reason) <= 256


def test_an_unknown_dialect_is_judged_all_the_same() -> None:
    assert classify_response("Klingon", 429, {"retry-after": "7"}, b"", NOW).kind is RATE
    assert classify_response("", 200, {}, b"", NOW).kind is SUCCESS


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20)
    | st.sampled_from(["rate_limit_error", "usage_limit_reached", "insufficient_quota", "google.rpc.QuotaFailure", "9s"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["error", "type", "code", "status", "message", "details", "@type", "violations", "quotaId",
                         "retryDelay", "resets_at", "resets_in_seconds", "reason"]),
        inner, max_size=5,
    ),
    max_leaves=12,
)  # fmt: skip
HEADERS = st.dictionaries(
    st.sampled_from(["Retry-After", "retry-after-ms", "x-ratelimit-reset-tokens", "x-ratelimit-remaining-tokens",
                     "anthropic-ratelimit-unified-status", "anthropic-ratelimit-unified-5h-status",
                     "anthropic-ratelimit-unified-5h-reset", "x-codex-primary-used-percent", "x-codex-primary-reset-at"]),
    st.text(max_size=12) | st.integers().map(str) | st.sampled_from(["rejected", "allowed", "100", "1e308", "-0", "∞", "٣"]),
)  # fmt: skip


@given(
    st.sampled_from([*DIALECTS, "?"]),
    st.sampled_from([0, 200, 400, 401, 402, 403, 404, 429, 500, 529, 999]),
    HEADERS,
    st.binary(max_size=40) | JSON.map(lambda value: json.dumps(value).encode()),
)
def test_nothing_makes_it_raise(dialect: str, status: int, headers: dict[str, str], body: bytes) -> None:
    verdict = classify_response(dialect, status, headers, body, NOW)
    assert verdict.kind in (SUCCESS, SUBSCRIPTION, RATE, BALANCE, AUTH, OUTAGE, REJECTED)
    assert not verdict.is_limit or verdict.until
    assert verdict.until is None or NOW + timedelta(seconds=1) <= verdict.until <= NOW + timedelta(days=8)


@pytest.mark.parametrize("body", [b'{"error":' * 20_000, b"[" * 100_000, b'{"error":{"details":[[[[]]]]}}'], ids=len)
def test_nested_bodies_are_survived(body: bytes) -> None:
    assert classify_response("Gemini", 429, {}, body, NOW).kind is RATE
