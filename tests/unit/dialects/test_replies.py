"""What the gateway says by itself, in the client's dialect."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from droveway.api.enums import EndClass
from droveway.core.verdict import Verdict
from droveway.dialects import SPECS, Reply, classify_response

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
EPOCH = int(NOW.timestamp())
DIALECTS = ["Anthropic", "OpenAIChat", "OpenAIResponses", "Gemini"]
LIMITS = [EndClass.SUBSCRIPTION_LIMIT, EndClass.RATE_LIMITED, EndClass.BALANCE_EXHAUSTED]
KINDS = [*LIMITS, EndClass.AUTH_FAILED, EndClass.PROVIDER_OUTAGE, EndClass.REQUEST_REJECTED]


def understood(dialect: str, reply: Reply) -> Verdict:
    return classify_response(dialect, reply.status, dict(reply.headers), reply.body, NOW)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("seconds", [None, 45])
def test_an_error_of_ours_reads_back_as_what_it_is(dialect: str, kind: EndClass, seconds: int | None) -> None:
    reply = SPECS[dialect].error_response(kind, "the reason", seconds)
    verdict = understood(dialect, reply)
    assert verdict.kind is kind
    assert "the reason" in verdict.reason
    assert dict(reply.headers)["content-type"] == "application/json"
    if seconds and kind in (EndClass.SUBSCRIPTION_LIMIT, EndClass.RATE_LIMITED, EndClass.PROVIDER_OUTAGE):
        assert verdict.until == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_no_provider_says_is_a_refusal(dialect: str) -> None:
    reply = SPECS[dialect].error_response(EndClass.BUDGET_EXCEEDED, "the run's budget is spent")
    assert (reply.status, understood(dialect, reply).kind) == (400, EndClass.REQUEST_REJECTED)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_error_inside_a_stream_reads_back_as_what_it_is(dialect: str, kind: EndClass) -> None:
    spec = SPECS[dialect]
    path = "/v1beta/models/m:streamGenerateContent" if dialect == "Gemini" else next(iter(spec.paths))
    reader = spec.reader(spec.read_request(b'{"stream":true}', path))
    assert reader.feed(spec.in_band_error(kind, "the reason")) == b""
    assert reader.has_error
    # inside a stream Anthropic has no headers that could tell a subscription from a throttle
    expected = EndClass.RATE_LIMITED if (dialect, kind) == ("Anthropic", EndClass.SUBSCRIPTION_LIMIT) else kind
    assert reader.verdict(NOW).kind is expected


@pytest.mark.parametrize(
    ("dialect", "start"),
    [
        ("Anthropic", b"event: error\ndata: "),
        ("OpenAIChat", b"data: "),
        ("OpenAIResponses", b"event: response.failed\ndata: "),
        ("Gemini", b"data: "),
    ],
)
def test_official_clients_find_an_error_at_the_top_of_the_event(dialect: str, start: bytes) -> None:
    event = SPECS[dialect].in_band_error(EndClass.PROVIDER_OUTAGE, "line\nbreak")
    assert event.startswith(start)
    assert event.endswith(b"}\n\n")
    assert event.count(b"\n") == start.count(b"\n") + 2
    assert json.loads(event.removeprefix(start))["error"]["message"] == "line\nbreak"


@pytest.mark.parametrize("kind", LIMITS)
@pytest.mark.parametrize(
    ("dialect", "status"),
    [("Anthropic", (429, 402)), ("OpenAIChat", (400,)), ("OpenAIResponses", (429,)), ("Gemini", (429,))],
)
def test_when_no_candidate_is_left_the_cli_is_told_not_to_hammer(
    dialect: str, status: tuple[int, ...], kind: EndClass
) -> None:
    """The measured forms that each dialect's CLI gives up on after one call, however short the wait."""
    verdict = Verdict(kind, NOW + timedelta(seconds=12.3), reason="sonnet: limited")
    reply = SPECS[dialect].exhausted_response(verdict, NOW)
    assert reply.status in status
    assert dict(reply.headers)["retry-after"] == "13"
    read = understood(dialect, reply)
    assert read.is_limit
    assert "sonnet: limited" in read.reason
    assert "2026-11-21T12:00:12Z" in read.reason
    if dialect != "Gemini":
        assert dict(reply.headers)["x-should-retry"] == "false"
    if kind is EndClass.SUBSCRIPTION_LIMIT:
        assert (read.kind, read.until) == (kind, NOW + timedelta(seconds=13))


def test_codex_learns_when_to_come_back() -> None:
    verdict = Verdict(EndClass.RATE_LIMITED, NOW + timedelta(seconds=9000))
    error = json.loads(SPECS["OpenAIResponses"].exhausted_response(verdict, NOW).body)["error"]
    assert (error["type"], error["resets_at"], error["resets_in_seconds"]) == (
        "usage_limit_reached",
        EPOCH + 9000,
        9000,
    )


def test_gemini_is_told_of_a_day_and_given_no_retry_info() -> None:
    reply = SPECS["Gemini"].exhausted_response(Verdict(EndClass.RATE_LIMITED, NOW + timedelta(seconds=30)), NOW)
    details = json.loads(reply.body)["error"]["details"]
    assert [detail["@type"] for detail in details] == ["type.googleapis.com/google.rpc.QuotaFailure"]
    assert "PerDay" in details[0]["violations"][0]["quotaId"]


@pytest.mark.parametrize(
    ("dialect", "status"), [("Anthropic", 529), ("OpenAIChat", 503), ("OpenAIResponses", 503), ("Gemini", 503)]
)
def test_an_outage_of_all_candidates_may_be_tried_again_soon(dialect: str, status: int) -> None:
    reply = SPECS[dialect].exhausted_response(Verdict(EndClass.PROVIDER_OUTAGE), NOW)
    assert (reply.status, dict(reply.headers)["retry-after"]) == (status, "30")
    assert "x-should-retry" not in dict(reply.headers)
    assert understood(dialect, reply).kind is EndClass.PROVIDER_OUTAGE


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_limit_without_a_time_still_says_when_to_come_back(dialect: str) -> None:
    reply = SPECS[dialect].exhausted_response(Verdict(EndClass.SUBSCRIPTION_LIMIT), NOW)
    assert dict(reply.headers)["retry-after"] == "3600"
