"""Whose turn it is after a failure, and that one place says so for requests and runs."""

import json
from datetime import UTC, datetime

import pytest

from droveway.api.enums import LIMIT_CLASSES, EndClass
from droveway.core.draft import DIVERSIONS, FAULTS, INTERRUPTIONS
from droveway.core.tally import verdict_data, verdict_from
from droveway.core.verdict import Retry, Scope, Verdict

SOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SAME, OTHER, NEVER = Retry.SAME_CANDIDATE, Retry.OTHER_CANDIDATE, Retry.NEVER


@pytest.mark.parametrize(
    ("kind", "retry", "when_its_end_is_known"),
    [
        (EndClass.RATE_LIMITED, SAME, SAME),
        (EndClass.SUBSCRIPTION_LIMIT, OTHER, OTHER),
        (EndClass.BALANCE_EXHAUSTED, OTHER, OTHER),
        (EndClass.AUTH_FAILED, OTHER, OTHER),
        (EndClass.PROVIDER_OUTAGE, OTHER, SAME),
        (EndClass.REQUEST_REJECTED, NEVER, NEVER),
        (EndClass.SUCCEEDED, NEVER, NEVER),
        (EndClass.CANCELLED, NEVER, NEVER),
    ],
)
def test_whose_turn_it_is(kind: EndClass, retry: Retry, when_its_end_is_known: Retry) -> None:
    assert Verdict(kind).retry is retry
    assert Verdict(kind, SOON).retry is when_its_end_is_known


def test_a_run_moves_on_after_what_a_request_moves_on_after() -> None:
    assert not DIVERSIONS ^ (LIMIT_CLASSES | {EndClass.PROVIDER_OUTAGE, EndClass.AUTH_FAILED})
    assert not DIVERSIONS & (FAULTS | INTERRUPTIONS)


@pytest.mark.parametrize("kind", EndClass)
@pytest.mark.parametrize("scope", Scope)
def test_a_verdict_outlives_a_restart(kind: EndClass, scope: Scope) -> None:
    verdict = Verdict(kind, SOON, scope, "why")
    written = json.loads(json.dumps(verdict_data(verdict)))
    assert verdict_from(written) == verdict


@pytest.mark.parametrize("kind", EndClass)
def test_r_b7_a_kind_is_a_limit_a_success_or_a_failure(kind: EndClass) -> None:
    verdict = Verdict(kind)
    assert verdict.is_limit is (kind in LIMIT_CLASSES)
    assert verdict.is_success is (kind is EndClass.SUCCEEDED)
