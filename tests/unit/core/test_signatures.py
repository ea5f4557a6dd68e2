"""A provider's own words for a spent quota: they explain what nothing better explains, and nothing else."""

import pytest

from droveway.api.enums import EndClass
from droveway.core.signatures import SEARCHED, compiled, spent_by

SAYS = ("weekly cap", r"plan \d+ is used up")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param("Your Weekly Cap is gone", True, id="in any letter case"),
        pytest.param("plan 7 is used up", True, id="the second pattern"),
        pytest.param("plan seven is used up", False, id="no match"),
        pytest.param("x" * (SEARCHED - 10) + "weekly cap", True, id="at the end of what is searched"),
        pytest.param("x" * SEARCHED + "weekly cap", False, id="beyond it"),
        pytest.param("", False, id="nothing said"),
    ],
)
def test_a_match_is_a_subscription_limit_of_the_quota_group(text: str, found: bool) -> None:
    verdict = spent_by(compiled(SAYS), EndClass.REQUEST_REJECTED, text)
    assert (verdict is not None) is found
    if verdict:
        assert (verdict.kind, verdict.scope, verdict.until) == ("SubscriptionLimit", "QuotaGroup", None)
        assert verdict.reason == "matches spec.limits.signatures"


@pytest.mark.parametrize("kind", EndClass)
def test_r_l2_only_what_nothing_structured_explains_is_read_again(kind: EndClass) -> None:
    found = spent_by(compiled(SAYS), kind, "weekly cap") is not None
    assert found is (kind in {EndClass.REQUEST_REJECTED, EndClass.AGENT_FAILED})


def test_without_signatures_nothing_matches() -> None:
    assert spent_by(compiled([]), EndClass.REQUEST_REJECTED, "weekly cap") is None


def test_what_only_re2_takes_is_named() -> None:
    with pytest.raises(ValueError, match=r"signatures\[1\] is not a regular expression: bad escape"):
        compiled(["fine", r"\pL+ spent"])
