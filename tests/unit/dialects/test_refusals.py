"""Refusals as they really come: of routers and proxies, in odd bodies, with odd names, inside a 200 (R-C38..R-C42, R-L2)."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from droveway.api.enums import Dialect, EndClass
from droveway.core.verdict import Retry, Scope, Verdict
from droveway.dialects import SPECS, classify_response

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
EPOCH = int(NOW.timestamp())
DIALECTS = ["Anthropic", "OpenAIChat", "OpenAIResponses", "Gemini"]
OPENAI = ["OpenAIChat", "OpenAIResponses"]

SUCCESS, SUBSCRIPTION, RATE, BALANCE, AUTH, OUTAGE, REJECTED = (
    EndClass.SUCCEEDED,
    EndClass.SUBSCRIPTION_LIMIT,
    EndClass.RATE_LIMITED,
    EndClass.BALANCE_EXHAUSTED,
    EndClass.AUTH_FAILED,
    EndClass.PROVIDER_OUTAGE,
    EndClass.REQUEST_REJECTED,
)


def judged(spoken: str, status: int, body: Any, headers: dict[str, str] | None = None) -> Verdict:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return classify_response(spoken, status, headers or {}, raw, NOW)


def ends(verdict: Verdict) -> tuple[EndClass, float | None]:
    """Kind, and seconds until."""
    return verdict.kind, (verdict.until - NOW).total_seconds() if verdict.until else None


def google(**fields: Any) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc." + fields.pop("kind"), **fields}


# ------------------------------------------------------------------------------------------- the four meanings of 429
@pytest.mark.parametrize("spoken", DIALECTS)
@pytest.mark.parametrize(
    ("message", "kind", "retry"),
    [
        ("Rate limit reached on requests per min. Try again in 20s.", RATE, Retry.SAME_CANDIDATE),
        ("Your credit balance is too low to access the API.", BALANCE, Retry.OTHER_CANDIDATE),
        ("The engine is currently overloaded, please try again later", OUTAGE, Retry.OTHER_CANDIDATE),
        ("No capacity available for model gemini-3-pro on the server", OUTAGE, Retry.OTHER_CANDIDATE),
    ],
)
def test_r_c38_a_429_says_in_words_what_it_means(spoken: str, message: str, kind: EndClass, retry: Retry) -> None:
    verdict = judged(spoken, 429, {"error": {"message": message}})
    assert (verdict.kind, verdict.retry) == (kind, retry)


@pytest.mark.parametrize("spoken", ["Anthropic", *OPENAI])
def test_r_l2_a_429_of_a_plan_lasts_as_long_as_its_words_say(spoken: str) -> None:
    verdict = judged(spoken, 429, {"error": {"message": "5-hour usage limit reached, resets 1:46pm (UTC)"}})
    assert ends(verdict) == (SUBSCRIPTION, 106 * 60)
    assert verdict.retry is Retry.OTHER_CANDIDATE


@pytest.mark.parametrize("spoken", DIALECTS)
@pytest.mark.parametrize(
    "code",
    [
        "overloaded_error",
        "server_is_overloaded",
        "engine_overloaded_error",
        "service_tier_capacity_exceeded",
        "MODEL_CAPACITY_EXHAUSTED",
    ],
)
@pytest.mark.parametrize("field", ["type", "code"])
@pytest.mark.parametrize("status", [400, 429, 500])
def test_r_c38_a_code_of_overload_is_an_outage_with_any_status(spoken: str, code: str, field: str, status: int) -> None:
    verdict = judged(spoken, status, {"error": {field: code, "message": "later"}}, {"retry-after": "3"})
    assert (ends(verdict), verdict.retry) == ((OUTAGE, 3), Retry.SAME_CANDIDATE)


@pytest.mark.parametrize("spoken", ["Anthropic", *OPENAI])
def test_r_l2_the_code_of_a_throttle_is_stronger_than_its_words(spoken: str) -> None:
    error = {"code": "rate_limit_exceeded", "message": "usage limit reached"}
    assert judged(spoken, 429, {"error": error}).kind is RATE


# ---------------------------------------------------------------------------------------------------------- 400 and 403
@pytest.mark.parametrize("spoken", DIALECTS)
@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("You're out of extra usage. Add more at claude.ai/settings/usage and keep going.", SUBSCRIPTION),
        ("Insufficient Balance", BALANCE),
        ("Account org-1 is suspended, please check your billing", BALANCE),
        ("You have reached your specified workspace API usage limits.", BALANCE),
        ("messages.3: 'You're out of extra usage' is no role", REJECTED),
        ("tool result: Insufficient Balance", REJECTED),
        ("prompt: the account org-1 is suspended", REJECTED),
        ("rate limit exceeded", REJECTED),
    ],
)
def test_r_p10_only_a_providers_own_sentence_makes_a_400_a_limit(spoken: str, message: str, kind: EndClass) -> None:
    assert judged(spoken, 400, {"error": {"message": message}}).kind is kind


@pytest.mark.parametrize("spoken", DIALECTS)
@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("You've reached your weekly usage limit", SUBSCRIPTION),
        ("rate limit exceeded, try again in 5s", RATE),
        ("You have no credits left", BALANCE),
        ("Your organization may not use this model", AUTH),
        ("Request not allowed", AUTH),
    ],
)
def test_r_c40_a_403_may_be_a_limit_in_its_own_words(spoken: str, message: str, kind: EndClass) -> None:
    assert judged(spoken, 403, {"error": {"message": message}}).kind is kind


@pytest.mark.parametrize(
    "code", ["exceeded_current_quota_error", "Arrearage", "usage_not_included", "billing_not_active"]
)
def test_r_c19_codes_that_mean_money(code: str) -> None:
    assert judged("OpenAIChat", 403, {"error": {"type": code}}).kind is BALANCE


# ---------------------------------------------------------------------------------------------------------- ends
@pytest.mark.parametrize("spoken", OPENAI)
@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({"resets_at": EPOCH - 50, "resets_in_seconds": 200}, 200),
        ({"resets_at": EPOCH - 50}, 1),
        ({"resets_at": "2026-11-21T12:01:40Z"}, 100),
        ({"resets_at": "1e12"}, 3600),
        ({"resets_at": [EPOCH + 9]}, 3600),
        ({"resets_at": True, "resets_in_seconds": "200"}, 200),
        ({"resets_at": {}, "resets_in_seconds": None}, 3600),
        ({"resets_at": 90, "resets_in_seconds": -3}, 3600),
        ({"resets_at": 10**400}, 3600),
        ({"resets_in_seconds": 10**15}, 8 * 86_400),
    ],
    ids=str,
)
def test_r_c40_a_reset_of_any_type_is_read_or_left(spoken: str, fields: dict[str, Any], seconds: float) -> None:
    verdict = judged(spoken, 429, {"error": {"type": "usage_limit_reached", **fields}})
    assert ends(verdict) == (SUBSCRIPTION, seconds)


@pytest.mark.parametrize("spoken", DIALECTS)
@pytest.mark.parametrize(
    "value",
    [
        format_datetime(NOW + timedelta(seconds=90), usegmt=True),
        "Saturday, 21-Nov-26 12:01:30 GMT",
        "Sat Nov 21 12:01:30 2026",
    ],
)
def test_r_c18_every_form_of_a_date_in_http_is_read(spoken: str, value: str) -> None:
    assert ends(judged(spoken, 429, b"", {"Retry-After": value})) == (RATE, 90)


@pytest.mark.parametrize("name", ["retry-after", "Retry-After", "RETRY-AFTER", "rEtRy-AfTeR"])
@pytest.mark.parametrize("spoken", DIALECTS)
def test_r_c42_names_of_headers_have_no_case(spoken: str, name: str) -> None:
    assert ends(judged(spoken, 429, b"", {name: "9"})) == (RATE, 9)


# ---------------------------------------------------------------------------------------------------------- R-C41
EXHAUSTED = google(kind="ErrorInfo", reason="QUOTA_EXHAUSTED", metadata={"model": "gemini-3-pro"})


@pytest.mark.parametrize(
    ("details", "message", "seconds"),
    [
        ([google(kind="RetryInfo", retryDelay="9000s"), EXHAUSTED], "", 9000),
        ([EXHAUSTED | {"metadata": {"quotaResetTimeStamp": "2026-11-21T13:00:00Z"}}], "", 3600),
        ([EXHAUSTED | {"metadata": {"quotaResetDelay": "2h0m5s"}}], "", 7205),
        ([EXHAUSTED], "You have exhausted your capacity on this model. Your quota will reset after 5h2m.", 18_120),
        ([EXHAUSTED | {"metadata": {"quotaResetDelay": 5}}], "", 3600),
        ([EXHAUSTED | {"metadata": "none"}, google(kind="RetryInfo", retryDelay={"seconds": 5})], "", 3600),
    ],
    ids=["retry-info", "timestamp", "delay", "text", "wrong-type", "wrong-types"],
)
def test_r_c41_a_plan_of_google_says_when_its_quota_is_back(
    details: list[dict[str, Any]], message: str, seconds: float
) -> None:
    error = {"code": 429, "message": message, "status": "RESOURCE_EXHAUSTED", "details": details}
    assert ends(judged("Gemini", 429, [{"error": error}])) == (SUBSCRIPTION, seconds)


def test_r_c41_a_plans_quota_for_a_model_speaks_for_that_model() -> None:
    assert judged("Gemini", 429, {"error": {"details": [EXHAUSTED]}}).scope is Scope.MODEL
    assert judged("Gemini", 429, {"error": {"details": [google(kind="RetryInfo")]}}).scope is Scope.QUOTA_GROUP


def test_r_c41_money_in_a_429_of_gemini_is_money_all_the_same() -> None:
    said = "Your project has exceeded its monthly spending cap. Increase it to continue."
    assert (
        judged("Gemini", 429, {"error": {"code": 429, "message": said, "status": "RESOURCE_EXHAUSTED"}}).kind is BALANCE
    )


# ---------------------------------------------------------------------------------------------------------- bodies
@pytest.mark.parametrize("spoken", ["Anthropic", *OPENAI])
@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "usage limit reached"}},
        {"error": [{"message": "usage limit reached"}]},
        {"errors": [{"message": "usage limit reached"}, {"message": "other"}]},
        {"detail": {"message": "usage limit reached"}},
        {"detail": "usage limit reached"},
        {"error": "usage limit reached"},
        {"message": "usage limit reached"},
        [{"error": {"message": "usage limit reached"}}],
        {"error": {"message": "Provider returned error", "metadata": {"raw": '{"error":"usage limit reached"}'}}},
        b"usage limit reached",
        b"\xef\xbb\xbfusage limit reached",
        b'\xef\xbb\xbf{"error":{"message":"usage limit reached"}}',
        b'{"error":{"message":"usage limit reached \xff\xfe"}}',
        b'{"error":{"message":"usage limit reached \\ud800","left":NaN}}',
        b'{"error":{"message":"usage limit reached',
    ],
    ids=lambda body: body.decode("utf-8", "replace") if isinstance(body, bytes) else json.dumps(body),
)
def test_r_c4_the_text_is_found_wherever_it_stands(spoken: str, body: Any) -> None:
    assert judged(spoken, 429, body).kind is SUBSCRIPTION


@pytest.mark.parametrize("spoken", DIALECTS)
def test_r_c42_a_router_repeats_the_headers_of_the_provider_behind_it(spoken: str) -> None:
    metadata = {"headers": {"Retry-After": "33", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(EPOCH + 77)}}
    body = {"error": {"code": 429, "message": "Provider returned error", "metadata": metadata}}
    assert ends(judged(spoken, 429, body)) == (RATE, 33)
    assert ends(judged(spoken, 429, body, {"retry-after": "5"})) == (RATE, 5), "its own are nearer"


@pytest.mark.parametrize("spoken", DIALECTS)
def test_a_page_of_html_has_no_words_of_its_own(spoken: str) -> None:
    verdict = judged(spoken, 429, b"\n <html>usage limit reached</html>", {"Content-Type": "text/html"})
    assert (verdict.kind, verdict.reason) == (RATE, "HTTP 429: an HTML page")


@pytest.mark.parametrize("spoken", DIALECTS)
@pytest.mark.parametrize(
    "body",
    [b"x" * 2**21, b'{"error":{"message":"' + b"x" * 2**21 + b'"}}', b'{"a":' * 20_000, b"[" * 20_000 + b"]" * 20_000],
    ids=["text", "message", "nested-open", "nested"],
)
def test_bodies_without_measure_are_survived(spoken: str, body: bytes) -> None:
    verdict = judged(spoken, 429, body)
    assert verdict.kind is RATE
    assert len(verdict.reason) <= 256


# ---------------------------------------------------------------------------------------------------------- inside a 200
@pytest.mark.parametrize(
    ("spoken", "error", "kind"),
    [
        ("OpenAIChat", {"code": 429, "message": "slow down"}, RATE),
        ("OpenAIChat", {"code": "429", "message": "slow down"}, RATE),
        ("OpenAIChat", {"code": "insufficient_quota"}, BALANCE),
        ("OpenAIChat", "usage limit reached", SUBSCRIPTION),
        ("OpenAIChat", {"code": "odd", "message": "You've hit your usage limit"}, SUBSCRIPTION),
        ("OpenAIChat", {"code": "odd", "message": "rate limit exceeded"}, RATE),
        ("OpenAIChat", {"code": "odd", "message": "broken"}, OUTAGE),
        ("OpenAIResponses", {"code": "server_is_overloaded"}, OUTAGE),
        ("OpenAIResponses", {"code": 1234, "message": "broken"}, OUTAGE),
        ("Gemini", {"status": "RESOURCE_EXHAUSTED", "message": "slow down"}, RATE),
        ("Gemini", {"status": "UNAUTHENTICATED"}, AUTH),
        ("Gemini", {"status": "NOT_FOUND"}, REJECTED),
        ("Gemini", {"status": "ODD"}, OUTAGE),
        ("Gemini", "usage limit reached", RATE),
        ("Anthropic", {"type": "rate_limit_error", "message": "slow down"}, RATE),
        ("Anthropic", {"type": "billing_error"}, BALANCE),
        ("Anthropic", {"message": "broken"}, OUTAGE),
    ],
    ids=str,
)
def test_r_c3_an_error_inside_a_200_is_judged_as_if_it_had_its_status(spoken: str, error: Any, kind: EndClass) -> None:
    answer = SPECS[Dialect(spoken)].read_answer(json.dumps({"error": error}).encode(), NOW)
    assert answer.verdict.kind is kind


def test_r_c3_an_answer_without_an_error_is_one() -> None:
    for spoken in DIALECTS:
        assert SPECS[Dialect(spoken)].read_answer(b'{"error": null}', NOW).verdict.kind is SUCCESS


# ---------------------------------------------------------------------------------------------------------- whatever comes
WORDS = st.sampled_from(
    [
        "usage limit reached",
        "429",
        "Try again in 5s",
        "resets 3pm (UTC)",
        "QUOTA_EXHAUSTED",
        "credit balance is too low",
        "9h",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | WORDS,
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["error", "errors", "detail", "details", "metadata", "raw", "headers", "message", "code", "status",
                         "type", "@type", "reason", "retryDelay", "quotaResetTimeStamp", "quotaResetDelay", "model",
                         "resets_at", "resets_in_seconds", "retry-after", "violations", "quotaId"]),
        inner, max_size=5,
    ),
    max_leaves=15,
)  # fmt: skip
HEADERS = st.dictionaries(
    st.sampled_from(["Retry-After", "retry-after-ms", "X-RateLimit-Reset", "x-ratelimit-remaining", "content-type",
                     "anthropic-ratelimit-unified-status", "anthropic-ratelimit-unified-7d_opus-status",
                     "anthropic-ratelimit-unified-7d_opus-reset", "anthropic-ratelimit-tokens-reset",
                     "x-codex-primary-used-percent", "x-codex-primary-reset-after-seconds"]),
    st.text(max_size=9) | st.integers().map(str) | st.sampled_from(["rejected", "100", "1m2.5s"]),
)  # fmt: skip


@given(st.sampled_from([*DIALECTS, "?"]), st.integers(-1, 700), HEADERS, VALUES | st.binary(max_size=99))
def test_r_c42_any_answer_has_a_verdict_and_an_end_in_reach(
    spoken: str, status: int, headers: dict[str, str], body: Any
) -> None:
    verdict = judged(spoken, status, body, headers)
    assert verdict.retry in Retry
    assert "\n" not in verdict.reason
    if verdict.until:
        assert verdict.until.tzinfo is not None
        assert timedelta(seconds=1) <= verdict.until - NOW <= timedelta(days=8)


@given(st.sampled_from(DIALECTS), VALUES)
def test_r_c3_any_answer_of_a_200_can_be_read(spoken: str, body: Any) -> None:
    assert SPECS[Dialect(spoken)].read_answer(json.dumps(body).encode(), NOW).verdict.kind
