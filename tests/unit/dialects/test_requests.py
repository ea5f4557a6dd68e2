"""How a client's request is recognised, read, and sent upstream."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from droveway.dialects import (
    SPECS,
    BadRequest,
    by_path,
    client_key,
    headers,
    request_headers_to_upstream,
    response_headers_to_client,
)

ANTHROPIC, CHAT, RESPONSES, GEMINI = (SPECS[d] for d in ("Anthropic", "OpenAIChat", "OpenAIResponses", "Gemini"))
STREAM = "/v1beta/models/m1:streamGenerateContent"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/messages", ("Anthropic", "generate")),
        ("/v1/messages/count_tokens", ("Anthropic", "count_tokens")),
        ("/v1/chat/completions", ("OpenAIChat", "generate")),
        ("/v1/responses", ("OpenAIResponses", "generate")),
        ("/v1beta/models/gemini-2.5-pro:generateContent", ("Gemini", "generate")),
        ("/v1beta/models/gemini-2.5-pro:streamGenerateContent", ("Gemini", "generate")),
        ("/v1beta/models/gemini-2.5-pro:countTokens", ("Gemini", "count_tokens")),
        ("/v1beta/models/team%2Fm1:generateContent", ("Gemini", "generate")),
        ("/v1beta/models/m1:embedContent", None),
        ("/v1/messages/", None),
        ("/v1/models", None),
        ("/s/x/v1/messages", None),
    ],
)
def test_a_path_names_dialect_and_operation(path: str, expected: tuple[str, str] | None) -> None:
    found = by_path("POST", path)
    assert (found and (found[0].dialect.value, found[1].value)) == expected
    assert by_path("GET", path) is None


def test_only_the_model_changes_and_nothing_else() -> None:
    body = {"messages": [{"role": "user", "content": '"model":"x" ünï 😀'}], "model": "any", "unknown": {"model": "y"}}
    request = ANTHROPIC.read_request(json.dumps(body).encode(), "/v1/messages", "beta=true")
    assert json.loads(ANTHROPIC.rewrite(request, "haiku")) == {**body, "model": "haiku"}
    assert ANTHROPIC.upstream_path(request, "haiku") == "/v1/messages?beta=true"


@pytest.mark.parametrize("dialect", ["Anthropic", "OpenAIChat", "OpenAIResponses"])
def test_a_body_that_needs_no_change_passes_byte_for_byte(dialect: str) -> None:
    raw = b'{ "model":"m1",\n "big": 123456789012345678901234567890, "big": 1.10 }'
    path = next(iter(SPECS[dialect].paths))
    request = SPECS[dialect].read_request(raw, path)
    assert SPECS[dialect].rewrite(request, "m1") is raw
    assert not request.stream


def test_half_a_surrogate_pair_reaches_the_provider() -> None:
    """A client that cut its text inside an emoji sends this; whether it is allowed is the provider's word."""
    raw = rb'{"model":"a","input":"cut \ud83d","n":36893488147419103232}'
    request = RESPONSES.read_request(raw, "/v1/responses")
    assert RESPONSES.rewrite(request, "b") == rb'{"model":"b","input":"cut \ud83d","n":36893488147419103232}'


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"3", b"\xff\xfe", b'{"model":3}', b'{"a":NaN}', b"[" * 100_000],
    ids=["empty", "cut", "list", "number", "bytes", "model-number", "nan", "nested"],
)
@pytest.mark.parametrize("dialect", ["Anthropic", "OpenAIChat", "OpenAIResponses"])
def test_what_is_no_request_is_a_bad_request(dialect: str, body: bytes) -> None:
    with pytest.raises(BadRequest):
        SPECS[dialect].read_request(body, next(iter(SPECS[dialect].paths)))


def test_any_model_name_or_none_is_accepted() -> None:
    assert CHAT.read_request(b"{}", "/v1/chat/completions").model == ""
    assert CHAT.read_request(b'{"model":"\xe2\x9c\x93 x"}', "/v1/chat/completions").model == "✓ x"


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ({}, False),
        ({"stream_options": None}, False),
        ({"stream_options": {"include_usage": False, "other": 1}}, False),
        ({"stream_options": {"include_usage": True}}, True),
    ],
    ids=["absent", "null", "false", "true"],
)
def test_a_chat_stream_is_always_asked_for_its_usage(options: dict[str, object], asked: bool) -> None:
    request = CHAT.read_request(json.dumps({"model": "a", "stream": True, **options}).encode(), "/v1/chat/completions")
    sent = json.loads(CHAT.rewrite(request, "b"))
    assert sent["stream_options"]["include_usage"] is True
    assert request.wants_usage is asked
    assert sent["model"] == "b"


def test_a_chat_request_without_stream_gets_no_stream_options() -> None:
    request = CHAT.read_request(b'{"model":"a"}', "/v1/chat/completions")
    assert json.loads(CHAT.rewrite(request, "b")) == {"model": "b"}


def test_geminis_model_is_in_the_path() -> None:
    raw = b'{"contents":[]}'
    request = GEMINI.read_request(raw, "/v1beta/models/team%2Fany:streamGenerateContent", "alt=sse")
    assert (request.model, request.stream) == ("team/any", True)
    assert GEMINI.rewrite(request, "flash") is raw
    assert GEMINI.upstream_path(request, "a b/c") == "/v1beta/models/a%20b%2Fc:streamGenerateContent?alt=sse"
    assert not GEMINI.read_request(raw, STREAM).stream  # one JSON array: answered whole


@pytest.mark.parametrize(
    ("query", "upstream"),
    [
        ("key=dwk-1&alt=sse", "?alt=sse"),
        ("alt=sse&key=dwk-1", "?alt=sse"),
        ("key=dwk-1", ""),
        ("alt=sse&key=dwk-1&x=monkey=2", "?alt=sse&x=monkey=2"),
    ],
)
def test_the_run_key_in_geminis_query_goes_no_further(query: str, upstream: str) -> None:
    request = GEMINI.read_request(b"{}", STREAM, query)
    assert GEMINI.upstream_path(request, "m2") == "/v1beta/models/m2:streamGenerateContent" + upstream
    assert "dwk-1" not in repr(request)


@pytest.mark.parametrize(
    ("headers", "query", "key"),
    [
        ([(b"x-api-key", b"dwk-1")], "", "dwk-1"),
        ([(b"authorization", b"Bearer dwk-1")], "", "dwk-1"),
        ([(b"authorization", b"bearer  dwk-1 ")], "", "dwk-1"),
        ([(b"x-goog-api-key", b"dwk-1")], "", "dwk-1"),
        ([], "alt=sse&key=dwk-1", "dwk-1"),
        ([(b"authorization", b"Basic abc")], "", ""),
        ([(b"authorization", b"\xff")], "monkey=1", ""),
        ([], "", ""),
    ],
)
def test_the_run_key_is_found_where_each_client_puts_it(
    headers: list[tuple[bytes, bytes]], query: str, key: str
) -> None:
    assert client_key(headers, query) == key


def test_each_dialect_presents_the_providers_key_its_own_way() -> None:
    assert [spec.auth_headers("k") for spec in (ANTHROPIC, CHAT, RESPONSES, GEMINI)] == [
        [("x-api-key", "k")],
        [("authorization", "Bearer k")],
        [("authorization", "Bearer k")],
        [("x-goog-api-key", "k")],
    ]


KEPT = [
    ("anthropic-beta", "a-2025-01-01,b-2025-02-02"),
    ("anthropic-version", "2023-06-01"),
    ("accept", "*/*"),
    ("content-type", "application/json"),
    ("user-agent", "claude-cli/2.0"),
    ("x-app", "cli"),
    ("x-claude-code-session-id", "s"),
    ("x-codex-turn-metadata", "{}"),
    ("session-id", "s"),
    ("originator", "codex_exec"),
    ("openai-beta", "responses=v1"),
    ("x-goog-api-client", "genai-js"),
    ("x-stainless-arch", "x64"),
    ("traceparent", "00-1-2-01"),
]
DROPPED = [
    ("host", "gw"), ("content-length", "3"), ("te", "trailers"), ("trailer", "x"), ("upgrade", "h2c"), ("keep-alive", "5"),
    ("transfer-encoding", "chunked"), ("proxy-authorization", "Basic x"), ("x-api-key", "dwk-1"), ("api-key", "dwk-1"),
    ("authorization", "Bearer dwk-1"), ("x-goog-api-key", "dwk-1"), ("cookie", "a=b"), ("accept-encoding", "gzip"),
    ("expect", "100-continue"), ("x-droveway-route", "other"), ("x-droveway-deadline-ms", "5"), ("x-forwarded-for", "10.0.0.1"),
    ("x-real-ip", "10.0.0.1"), ("forwarded", "for=10.0.0.1"), ("openai-organization", "org-of-another"),
    ("openai-project", "p"), ("x-goog-user-project", "p"), ("x-amzn-trace-id", "1"), ("x-unheard-of", "1"),
]  # fmt: skip


def test_a_provider_is_told_what_is_on_the_list_and_nothing_else() -> None:
    raw = [(name.encode(), value.encode()) for name, value in (*KEPT, *DROPPED)]
    assert request_headers_to_upstream(raw) == KEPT


@pytest.mark.parametrize("connection", ["close", "Keep-Alive", "close, X-App", "x-app , Anthropic-Beta"])
def test_what_connection_names_is_for_this_hop_alone(connection: str) -> None:
    named = {token.strip().lower() for token in connection.split(",")}
    raw = [(name.encode(), value.encode()) for name, value in (*KEPT, ("connection", connection))]
    assert request_headers_to_upstream(raw) == [pair for pair in KEPT if pair[0] not in named]


@given(st.from_regex(r"[a-zA-Z0-9_-]{1,20}", fullmatch=True))
def test_no_other_name_passes(name: str) -> None:
    passes = bool(request_headers_to_upstream([(name.lower().encode(), b"1")]))
    assert passes == (name.lower() in headers._UP or name.lower().startswith(headers._UP_PREFIXES))


def test_the_list_is_written_down() -> None:
    page = (Path(__file__).parents[3] / "docs" / "hardening.md").read_text()
    table = page.partition("## What providers are told")[2].partition("\n## ")[0]
    stated = set(re.findall(r"`([a-z_*-]+)`", table))
    assert stated == headers._UP | {f"{beginning}*" for beginning in headers._UP_PREFIXES} | headers._NOT_UP


def test_an_answer_keeps_what_the_client_may_see() -> None:
    told = [
        ("Content-Type", "text/event-stream"),
        ("Request-Id", "req_1"),
        ("X-RateLimit-Remaining-Tokens", "5"),
        ("Content-Encoding", "gzip"),
        ("Content-Length", "5"),
        ("Set-Cookie", "__cf=1"),
        ("Connection", "keep-alive"),
        ("Transfer-Encoding", "chunked"),
        ("Openai-Organization", "org-secret"),
        ("X-Droveway-Route", "forged"),
        ("Date", "now"),
    ]
    assert response_headers_to_client(told) == [
        (b"content-type", b"text/event-stream"),
        (b"request-id", b"req_1"),
        (b"x-ratelimit-remaining-tokens", b"5"),
    ]
