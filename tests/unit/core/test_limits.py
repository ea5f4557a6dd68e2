"""Which error texts speak of a spent quota, of which kind, and until when (R-L1..R-L7, R-C14..R-C19, R-C37)."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from droveway.api.enums import EndClass
from droveway.core.limits import classify_text, speaks_of_overload
from droveway.core.telemetry import is_subscription_limit_error
from droveway.core.verdict import Scope
from helpers.limit_texts import LIMITS, NO_LIMITS

NOW = datetime(2026, 11, 21, 11, 16, tzinfo=UTC)
RECORDINGS = Path(__file__).parents[2] / "fixtures" / "cli"
SPENT = ("rate_limit", "rate_limit_fail2", "usage_limit", "usage_limit--oauth")
SILENT = {("qwen", "rate_limit"), ("qwen", "usage_limit")}  # stopped from outside before it said anything


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in LIMITS.items() for text in texts])
def test_r_l3_limits(kind: str, text: str) -> None:
    verdict = classify_text(text, NOW)
    assert verdict
    assert verdict.kind == kind
    assert is_subscription_limit_error(text)


@pytest.mark.parametrize("text", NO_LIMITS)
def test_r_l4_r_l5_r_l6_no_limits(text: str) -> None:
    assert classify_text(text, NOW) is None
    assert not is_subscription_limit_error(text)


def strings(value: Any) -> Iterator[str]:
    """Every string in a JSON value."""
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from strings(inner)


def said(folder: Path) -> Iterator[str]:
    """Everything that a recorded CLI printed, text by text."""
    yield (folder / "stderr.txt").read_text(errors="replace")
    for line in (folder / "stdout.jsonl").read_text(errors="replace").splitlines():
        try:
            yield from strings(json.loads(line))
        except ValueError:
            yield line


@pytest.mark.parametrize(
    "folder", sorted(RECORDINGS.glob("*/*/")), ids=lambda folder: f"{folder.parent.name}-{folder.name}"
)
def test_recordings(folder: Path) -> None:
    found = [verdict for text in said(folder) if (verdict := classify_text(text, NOW))]
    scenario = folder.name.split("--v")[0]
    answered = scenario == "rate_limit_fail2"  # some CLIs retry in silence
    if scenario not in SPENT:
        assert found == []
    elif not answered and (folder.parent.name, scenario) not in SILENT:
        assert found


@pytest.mark.parametrize(
    ("text", "until"),
    [
        ("You've hit your 5-hour limit · resets 1:46pm (UTC)", datetime(2026, 11, 21, 13, 46, tzinfo=UTC)),
        ("usage limit reached, resets 1:30am (Asia/Dhaka)", datetime(2026, 11, 21, 19, 30, tzinfo=UTC)),
        ("usage limit reached, resets 13pm", None),
        ("usage limit reached, resets 3pm (Mars/Olympus)", None),
        ("usage limit reached", None),
        ("usage limit reached, resets in 20 ms", NOW + timedelta(seconds=1)),
        ("usage limit reached, resets Jan 5 at 9pm", NOW + timedelta(days=8)),
        ("Claude AI usage limit reached|99999999999999", NOW + timedelta(days=8)),
        ('{"type":"usage_limit_reached","resets_at":1795268790}', datetime(2026, 11, 21, 13, 46, 30, tzinfo=UTC)),
    ],
)
def test_r_l7_until(text: str, until: datetime | None) -> None:
    verdict = classify_text(text, NOW)
    assert verdict
    assert verdict.until == until


@pytest.mark.parametrize(
    "text",
    [
        "Claude AI usage limit reached|1795000000",
        f"Claude AI usage limit reached|{int(NOW.timestamp())}",
        '{"type":"usage_limit_reached","resets_at":1795000000,"resets_in_seconds":9000}',
        "You've hit your usage limit, try again at Nov 20th, 2026 12:38 PM.",
        "429 Too Many Requests, retry-after: Sat, 21 Nov 2026 11:15:00 GMT",
    ],
)
def test_r_c16_an_absolute_time_that_has_passed_means_no_limit(text: str) -> None:
    assert classify_text(text, NOW) is None
    assert is_subscription_limit_error(text)


def test_r_c15_the_line_has_its_own_time() -> None:
    text = "usage limit reached, resets in 4h"
    earlier = NOW - timedelta(hours=3)
    verdict = classify_text(text, earlier)
    assert verdict
    assert verdict.until == earlier + timedelta(hours=4)


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("usage limit reached", Scope.QUOTA_GROUP),
        ("You have exhausted your daily quota on this model.", Scope.MODEL),
        ("Quota exceeded for metric: GenerateRequestsPerMinutePerProjectPerModel", Scope.MODEL),
        ("Opus weekly limit reached", Scope.MODEL_FAMILY),
        ("You've hit your Sonnet limit", Scope.MODEL_FAMILY),
        ("You've reached your weekly limit for Opus 4.5. Resets Monday.", Scope.MODEL_FAMILY),
        ("insufficient balance for this model", Scope.QUOTA_GROUP),
    ],
)
def test_scope(text: str, scope: Scope) -> None:
    verdict = classify_text(text, NOW)
    assert verdict
    assert verdict.scope is scope


def test_r_c37_the_reason_is_the_telling_line_without_secrets() -> None:
    verdict = classify_text("starting up\nkey sk-abc: usage limit reached\nbye", NOW)
    assert verdict
    assert verdict.reason == "key ***: usage limit reached"
    long = classify_text("x" * 900 + " usage limit reached", NOW)
    assert long
    assert len(long.reason) == 256


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Rate limit reached on tokens per day (TPD): Limit 100000", EndClass.SUBSCRIPTION_LIMIT),
        ("Rate limit reached on tokens per minute (TPM): Limit 6000", EndClass.RATE_LIMITED),
        ("Too many tokens per day, please wait before trying again.", EndClass.SUBSCRIPTION_LIMIT),
        ("The daily request limit was exceeded", EndClass.SUBSCRIPTION_LIMIT),
        ("Quota exceeded for metric: GenerateRequestsPerDay", EndClass.SUBSCRIPTION_LIMIT),
        ("Quota exceeded for metric: GenerateRequestsPerMinute", EndClass.RATE_LIMITED),
        ("429: usage limit reached, your credit balance is too low", EndClass.BALANCE_EXHAUSTED),
        ("You've hit your weekly limit. Buy credits: you have no credits left.", EndClass.SUBSCRIPTION_LIMIT),
        ("Error code: 402 - pay first", EndClass.BALANCE_EXHAUSTED),
        ("429: reached the organization's TPD rate limit", EndClass.SUBSCRIPTION_LIMIT),
        ("Free allocated quota exceeded.", EndClass.SUBSCRIPTION_LIMIT),
        ("Request quota exceeded. Please wait a moment.", EndClass.RATE_LIMITED),
        ("You exceeded your current quota, check your plan and billing. Retry in 20s.", EndClass.RATE_LIMITED),
        ("You exceeded your current quota, check your plan and billing.", EndClass.BALANCE_EXHAUSTED),
    ],
)
def test_r_c19_what_lasts_longer_is_the_kind(text: str, kind: EndClass) -> None:
    verdict = classify_text(text, NOW)
    assert verdict
    assert verdict.kind is kind


@pytest.mark.parametrize(
    ("text", "overloaded"),
    [
        ("HTTP 429: The engine is currently overloaded, please try again later", True),
        ("Status 429: Service tier capacity exceeded for this model.", True),
        ("429 The model is experiencing high demand", True),
        ("HTTP 429: too fast", False),
    ],
)
def test_r_c38_too_much_to_do_is_no_limit_of_ours(text: str, *, overloaded: bool) -> None:
    assert speaks_of_overload(text) is overloaded
    assert (classify_text(text, NOW) is None) is overloaded


def test_r_p10_a_request_that_is_too_large_waits_in_vain() -> None:
    assert classify_text("Error code: 413 - Request too large (TPM): Limit 6000. rate_limit_exceeded", NOW) is None


def test_errors_stand_at_the_ends_of_a_long_text() -> None:
    noise = "nothing to see here\n" * 50_000
    assert classify_text("usage limit reached\n" + noise, NOW)
    assert classify_text(noise + "usage limit reached", NOW)


_WORDS = (
    "usage",
    "rate",
    "limit",
    "quota",
    "reached",
    "exceeded",
    "not",
    "if",
    "429",
    "http",
    "error",
    "\n",
    ",",
    ".",
    "resets",
    "3pm",
)


_SENTENCES = st.lists(st.sampled_from(_WORDS), max_size=20).map(" ".join)
_AHEAD = st.sampled_from(
    [
        "|{}",
        " resets_at: {}",
        " retry-after: {}",
        " resets in {} days",
        " try again in {} ms",
        " resets {}pm",
        " resets Jan {}",
    ]
)
_ZONES = st.sampled_from([UTC, timezone(timedelta(hours=-9.5)), ZoneInfo("Asia/Dhaka")])
_CLOCKS = st.builds(
    lambda days, zone: (NOW + timedelta(days=days)).astimezone(zone), st.floats(-17_000, 60_000), _ZONES
)


@given(_SENTENCES | st.text(max_size=60), _CLOCKS)
def test_no_text_breaks_it(text: str, now: datetime) -> None:
    classify_text(text, now)


@given(_AHEAD, st.integers(-10, 10**20) | st.floats(), _CLOCKS)
def test_r_l7_an_end_is_within_eight_days_whatever_is_stated(form: str, number: float, now: datetime) -> None:
    verdict = classify_text("usage limit reached" + form.format(number), now)
    if verdict and verdict.until:
        assert timedelta(seconds=1) <= verdict.until - now <= timedelta(days=8)
        assert verdict.until.tzinfo is not None


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("You've hit your usage limit. Try again later.", Scope.QUOTA_GROUP),
        ("You have reached the usage limit for this model", Scope.MODEL),
    ],
)
def test_a_limit_covers_the_account_unless_it_names_the_model(text: str, scope: Scope) -> None:
    verdict = classify_text(text, NOW)
    assert verdict
    assert verdict.scope is scope


def test_of_a_very_long_text_both_ends_are_read() -> None:
    limit = "\nusage limit reached\n"
    assert classify_text("x" * 32_000 + limit + "y" * 60_000, NOW)
    assert classify_text("x" * 60_000 + limit + "y" * 32_000, NOW)
    assert classify_text("x" * 40_000 + limit + "y" * 40_000, NOW) is None


@pytest.mark.parametrize(
    "text", ["HTTP 429 Too Many Requests", "status: 429", "usage limit reached", "insufficient balance"]
)
def test_the_line_that_tells_it_is_told(text: str) -> None:
    verdict = classify_text(f"\none\ntwo\n{text}\nfour\nfive\nsix\nseven", NOW)
    assert verdict
    assert verdict.reason == text
