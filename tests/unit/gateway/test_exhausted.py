"""What it means that no candidate is left: the first to come back decides."""

from datetime import UTC, datetime, timedelta

import pytest

from droveway.api.enums import Access, Dialect, EndClass
from droveway.core.ranking import CandidateView
from droveway.core.verdict import Verdict
from droveway.gateway.exhausted import CANNOT_CONVERT, exhausted

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SOON, LATER = NOW + timedelta(seconds=20), NOW + timedelta(hours=3)


def view(name: str, **facts: object) -> CandidateView:
    return CandidateView(name, f"p-{name}", "m", Dialect.ANTHROPIC, Access.GATEWAY, **facts)  # type: ignore[arg-type]


SPENT = view("a", limited_until=LATER, limit_kind="SubscriptionLimit")
THROTTLED = view("b", limited_until=SOON, limit_kind="RateLimited")
OPEN = view("c", circuit_allows=False, circuit_until=SOON)
KEYLESS = view("d", not_ready=("SecretNotFound", "create Secret k"))
FOREIGN = view("f", unfit=(CANNOT_CONVERT, "web_search cannot be carried"))
COPIES = view("g", withheld=("Mirror", "it only gets copies"))
FREE = view("e")


@pytest.mark.parametrize(
    ("candidates", "refusals", "kind", "until"),
    [
        pytest.param([SPENT], {}, EndClass.SUBSCRIPTION_LIMIT, LATER, id="one, spent"),
        pytest.param([SPENT, THROTTLED], {}, EndClass.RATE_LIMITED, SOON, id="the earlier reset decides"),
        pytest.param(
            [SPENT, OPEN], {}, EndClass.PROVIDER_OUTAGE, SOON, id="an open breaker closes sooner than a window resets"
        ),
        pytest.param(
            [SPENT, KEYLESS], {}, EndClass.SUBSCRIPTION_LIMIT, LATER, id="who needs a person does not come back first"
        ),
        pytest.param([KEYLESS], {}, EndClass.AUTH_FAILED, None, id="only a person can help"),
        pytest.param([COPIES, SPENT], {}, EndClass.SUBSCRIPTION_LIMIT, LATER, id="a mirror is no hope"),
        pytest.param([COPIES, OPEN], {}, EndClass.PROVIDER_OUTAGE, SOON, id="nor is it tried at once"),
        pytest.param([FOREIGN, KEYLESS], {}, EndClass.REQUEST_REJECTED, None, id="nobody understands the request"),
        pytest.param([FOREIGN, SPENT], {}, EndClass.SUBSCRIPTION_LIMIT, LATER, id="who understands it comes back"),
        pytest.param(
            [FREE],
            {"e": Verdict(EndClass.PROVIDER_OUTAGE)},
            EndClass.PROVIDER_OUTAGE,
            None,
            id="failed just now, may be tried at once",
        ),
        pytest.param(
            [SPENT, FREE],
            {"e": Verdict(EndClass.PROVIDER_OUTAGE)},
            EndClass.PROVIDER_OUTAGE,
            None,
            id="an outage beside a spent window is worth a retry",
        ),
        pytest.param(
            [SPENT, FREE],
            {"e": Verdict(EndClass.AUTH_FAILED)},
            EndClass.SUBSCRIPTION_LIMIT,
            LATER,
            id="a refused key beside a spent window is not",
        ),
        pytest.param(
            [SPENT],
            {"a": Verdict(EndClass.PROVIDER_OUTAGE)},
            EndClass.SUBSCRIPTION_LIMIT,
            LATER,
            id="a limit learnt meanwhile outlasts an outage",
        ),
    ],
)
def test_verdict(
    candidates: list[CandidateView], refusals: dict[str, Verdict], kind: EndClass, until: datetime | None
) -> None:
    verdict = exhausted(candidates, refusals, NOW)
    assert (verdict.kind, verdict.until) == (kind, until)


def test_the_reason_names_every_candidate() -> None:
    reason = exhausted([SPENT, KEYLESS], {}, NOW).reason
    assert "a (p-a/m): SubscriptionLimit until 2026-11-21T15:00:00Z" in reason
    assert "d (p-d/m): SecretNotFound create Secret k" in reason
