"""What takes a claim of a spent quota back (R-L4..R-L6): each text beside one that differs in that alone."""

import pytest

from droveway.core.hedges import reported
from droveway.core.limits import find_limit


@pytest.mark.parametrize(
    ("claim", "taken_back"),
    [
        ("usage limit reached", "usage limit not reached"),
        ("You have reached the usage limit", "You have never reached the usage limit"),
        ("You hit your usage limit", "If you hit your usage limit"),
        ("the run ended: rate limit exceeded", "the run ends when the rate limit is exceeded"),
        ("the quota was exceeded", "the quota may be exceeded"),
        ("the quota was exceeded", "the quota would be exceeded"),
        ("we hit the rate limit", "we back off to avoid that we hit the rate limit"),
        ("we exceeded the rate limit", "we are about to exceed the rate limit"),
        ("the rate limit was exceeded", "tests that the rate limit was exceeded"),
        ("the rate limit was hit", "handles that the rate limit was hit"),
        ("100% of your usage limit reached", "80% of your usage limit reached"),
        ("weekly limit reached 100%", "weekly limit 75% reached"),
        ("rate limit exceeded", "the documentation says rate limit exceeded"),
        (
            "see the documentation\nfailed:\nrate limit exceeded",
            "see\nfailed:\nthe documentation says rate limit exceeded",
        ),
        ("`rate limit exceeded", "`rate limit exceeded`"),
        ("usage limit reached: true", "usage limit reached: false"),
        ('{"limit_reached": true, "usage_limit_reached": 1}', '{"usage_limit_reached": false}'),
        ('{"quota_exceeded": 1}', '{"quota_exceeded": 0}'),
        ("quota exceeded", "unused variable: `quota_exceeded`"),
        ("no credits left", "no credits are needed"),
        ("Retrying (HTTP 429)", "Retrying when it fails (HTTP 429)"),
        ("Got 429 (RATE_LIMITED), retrying", "- On 429 (RATE_LIMITED), retry"),
        ("Cases: quota exceeded", "the case where the quota is exceeded"),
        ("HTTP 429", "exit code 429"),
        ("This request would exceed your rate limit", "This request would not exceed your rate limit"),
    ],
)
def test_r_l5_one_word_takes_it_back(claim: str, taken_back: str) -> None:
    assert find_limit(claim)
    assert find_limit(taken_back) is None


@pytest.mark.parametrize(
    "line",
    [
        'raise RateLimitError("usage limit reached")',
        'throw new Error("usage limit reached");',
        'if (message.includes("usage limit reached")) {',
        'assert "usage limit reached" in text',
        "AssertionError: expected 'usage limit reached' to equal 'ok'",
        "// usage limit reached",
        "# usage limit reached",
        "$ grep -r 'usage limit reached' src",
        'it("says usage limit reached", async () => {',
        'const MESSAGE = "usage limit reached";',
        'slog.Warn("usage limit reached")',
        "fix(api): say usage limit reached in one line",
        "- Add a banner for usage limit reached",
        "Handled the case of usage limit reached",
        "- Verify that it says usage limit reached",
        "Returns 429 with usage limit reached",
        "docker: toomanyrequests: usage limit reached",
        "GraphQL: usage limit reached",
        'pods "x" is forbidden: exceeded quota: usage limit reached',
        "QuotaExceededError: Failed to execute 'setItem' on 'Storage': usage limit reached",
        "npm error 429 usage limit reached",
    ],
)
def test_r_l6_lines_that_report_no_failure_of_a_provider(line: str) -> None:
    assert find_limit(line) is None
    assert find_limit(f"{line}\nerror: usage limit reached"), "only that line is left out"


def test_r_l5_a_hedge_counts_in_its_own_clause_only() -> None:
    assert find_limit("If in doubt, ask. You've hit your usage limit.")
    assert find_limit("Your work is not lost, but you've hit your usage limit")
    assert find_limit("You've hit your usage limit. If you need more, upgrade.")


def test_lines_stay_where_they_are() -> None:
    assert reported("one\n// two\nthree") == "one\n\nthree"
