"""Who is answered from the cache: the route allows it, the request asks for it or against it."""

import pytest

from droveway.api.enums import CacheMode
from droveway.core.cacheterms import DAY, CacheRule, Terms, read_terms

ON, ALWAYS, ASKED, OFF = (
    CacheRule(m) for m in (CacheMode.DETERMINISTIC, CacheMode.ALWAYS, CacheMode.ON_REQUEST, CacheMode.NEVER)
)


@pytest.mark.parametrize(
    ("rule", "own", "standard", "expected"),
    [
        (OFF, "on", "", None),
        (ASKED, None, "", None),
        (ASKED, None, "max-age=5", None),
        (ASKED, "on", "", DAY),
        (ASKED, "max-age=5", "", 5),
        (ASKED, "on, max-age=5", "", 5),
        (ASKED, " ON ,, Max-Age = 5", "", 5),
        (ON, None, "", DAY),
        (ON, "on", "", DAY),
        (ON, "no-store", "", None),
        (ON, "on, no-store", "", None),
        (ON, None, "no-store", None),
        (ON, None, "no-cache", 0),
        (ON, None, "max-age=0", 0),
        (ON, "max-age=60", "max-age=30", 30),
        (ON, "max-age=30", "max-age=60, private, max-stale=7", 30),
        (ON, None, "max-age=never", DAY),
        (ON, "max-age=999999999999999999999", "", DAY),
        (CacheRule(CacheMode.DETERMINISTIC, 60), "max-age=3600", "", 60),
    ],
)
def test_terms(rule: CacheRule, own: str | None, standard: str, expected: int | None) -> None:
    assert read_terms(rule, own, standard) == (None if expected is None else Terms(rule.ttl, expected, varied=False))


def test_only_the_route_says_that_the_same_words_will_do_for_who_wants_others() -> None:
    assert [t.varied for rule in (ON, ALWAYS) if (t := read_terms(rule, "on", ""))] == [False, True]


@pytest.mark.parametrize(
    "own", ["yes", "max-age", "max-age=", "max-age=-1", "max-age=1.5", "max-age=x", "on=1", "no-cache"]
)
def test_what_nobody_understands_is_refused(own: str) -> None:
    with pytest.raises(ValueError, match="max-age=<seconds>"):
        read_terms(ON, own, "")
