"""Nothing secret is repeated (R-C37)."""

import pytest

from droveway.core.redaction import one_line, redact


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Incorrect API key provided: sk-mock. You can", "Incorrect API key provided: ***. You can"),
        ("key sk-ant-api03-abc_DEF-1 end", "key *** end"),
        ("ghp_abc123 and github_pat_11A_bb", "*** and ***"),
        ("Authorization: Bearer abc.def-123, x", "Authorization: Bearer ***, x"),
        ("Authorization: Basic dXNlcjpwdw==", "Authorization: Basic ***"),
        ("password=hunter2 next", "password=*** next"),
        ("PASSWORD: 'a b c' x", "PASSWORD: '***' x"),
        ('{"api_key":"abc","token":"x y"}', '{"api_key":"***","token":"***"}'),
        (r"{\"password\":\"abc\"}", r"{\"password\":\"***\"}"),
        ("CLIENT_SECRET=abc;foo", "CLIENT_SECRET=***;foo"),
        ("X-Api-Key: abcd", "X-Api-Key: ***"),
        ("https://user:pw@host/x", "https://user:***@host/x"),
        ("?access_token=abc&b=c", "?access_token=***&b=c"),
        ("dwk-0f3a-1-00ff and dws-0f3a-1-00ff", "*** and ***"),
        ("eyJhbGciOiJI.eyJzdWIi.c2ln", "***"),
        ('{"accessToken":"abc.d","refresh_token":"e f"}', '{"accessToken":"***","refresh_token":"***"}'),
        ("GET /v1beta/models?key=abc&alt=sse", "GET /v1beta/models?key=***&alt=sse"),
        ("gsk_a1b2c3d4 and sk_live_4eC39Hq and glpat-xyz", "*** and *** and ***"),
        ("hf_abcdefghijklmnopqrst", "***"),
        ("AKIAIOSFODNN7EXAMPLE", "***"),
        ("AIzaSyA-abcdefghijklmnopqrst", "***"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- end", "*** end"),
        ("Set-Cookie: session=abc; Path=/", "Set-Cookie: ***; Path=/"),
        ("monkey=1, keyboard: qwerty, hf_model", "monkey=1, keyboard: qwerty, hf_model"),
        ("max_tokens=4096, tokens: 5, Limit 30000", "max_tokens=4096, tokens: 5, Limit 30000"),
        ("Basic terminal detected", "Basic terminal detected"),
        ("a disk-full task-force", "a disk-full task-force"),
    ],
)
def test_r_c37(text: str, expected: str) -> None:
    assert redact(text) == expected


def test_one_line_is_short_and_has_no_secret() -> None:
    line = one_line("password=hunter2\n\n" + "x" * 500)
    assert line.startswith("password=*** xxx")
    assert len(line) == 256


def test_of_a_long_text_one_line_reads_the_start() -> None:
    assert one_line("x" * 10**6) == "x" * 255 + "…"
    assert one_line("a\tb\r\nc", limit=3) == "a …"


def test_it_is_quick_on_hostile_text() -> None:
    for text in ("a-" * 100_000, "password" * 30_000, "://" * 60_000, "x_" * 100_000 + "token", '"' * 200_000):
        redact(text)
