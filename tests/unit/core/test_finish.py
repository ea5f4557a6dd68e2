"""When a run is over, and as what."""

from typing import Any

import pytest

from droveway.api.enums import EndClass
from droveway.api.v1alpha1 import AgentRunStatus, Attempt, Usage
from droveway.core.draft import Draft
from droveway.core.finish import expires_at, over
from helpers.build import NOON, a_run, after


def draft(
    end: EndClass | None = None, spec: dict[str, Any] | None = None, at: float = 0, exit_code: int = 1, **status: Any
) -> Draft:
    """A run whose last attempt, if any, ended like this."""
    attempt = Attempt(number=4, pod_name="p", candidate="a", provider="p", model="m", start_time=NOON)
    last = attempt.model_copy(update={"end_class": end, "message": "last words", "exit_code": exit_code})
    attempts = [last] if end else []
    known = AgentRunStatus(start_time=NOON, attempts=attempts, attempt_count=4).model_copy(update=status)
    return Draft(a_run(**(spec or {})).known(known).build(), after(at), known)


DEADLINE = {"deadlineSeconds": 7200}
TOO_LATE = "the run did not end within spec.deadlineSeconds (7200)"


@pytest.mark.parametrize(
    ("seen", "outcome"),
    [
        pytest.param(draft(), None, id="nothing has happened yet"),
        pytest.param(draft(EndClass.SUCCEEDED), ("Succeeded", "Succeeded", "attempt 4 succeeded"), id="done"),
        pytest.param(
            draft(EndClass.SUCCEEDED, {"cancel": True}),
            ("Succeeded", "Succeeded", "attempt 4 succeeded"),
            id="done before the cancel",
        ),
        pytest.param(
            draft(EndClass.TIMEOUT, {"cancel": True}),
            ("Cancelled", "Cancelled", "spec.cancel was set"),
            id="a cancel before everything else",
        ),
        pytest.param(draft(None, {"cancel": True}), ("Cancelled", "Cancelled", "spec.cancel was set"), id="cancelled"),
        pytest.param(draft(EndClass.TIMEOUT), ("Timeout", "Timeout", "last words"), id="nothing to try again"),
        pytest.param(draft(None, DEADLINE, at=7199), None, id="a second before the deadline"),
        pytest.param(draft(None, DEADLINE, at=7200), ("Timeout", "DeadlineExceeded", TOO_LATE), id="the deadline"),
        pytest.param(
            draft(
                EndClass.AGENT_FAILED,
                {"budget": {"maxTokens": 9}},
                usage=Usage.model_validate({"tokens": {"total": 9}}),
            ),
            ("BudgetExceeded", "BudgetExceeded", "used 9 of 9 tokens"),
            id="no money for another attempt",
        ),
        pytest.param(
            draft(EndClass.AGENT_FAILED, failed_count=3),
            ("AgentFailed", "AgentFailed", "3 attempts failed; the last: last words"),
            id="as many failures as are allowed",
        ),
        pytest.param(draft(EndClass.AGENT_FAILED, failed_count=2), None, id="one failure fewer"),
        pytest.param(draft(EndClass.EVICTED, failed_count=3), None, id="an eviction is no failure"),
        pytest.param(draft(EndClass.EVICTED, interrupted_count=10), None, id="ten interruptions"),
        pytest.param(
            draft(EndClass.EVICTED, interrupted_count=11),
            ("Evicted", "Evicted", "interrupted 11 times; the last: last words"),
            id="eleven interruptions",
        ),
        pytest.param(draft(EndClass.AGENT_FAILED, interrupted_count=11), None, id="a failure is no interruption"),
        pytest.param(draft(EndClass.RATE_LIMITED), None, id="a limit"),
        pytest.param(
            draft(EndClass.RATE_LIMITED, {"retry": {"onLimit": "Fail"}}),
            ("RateLimited", "RateLimited", "retry.onLimit is Fail: last words"),
            id="a limit, where that is to be the end",
        ),
        pytest.param(draft(EndClass.PROVIDER_OUTAGE, {"retry": {"onLimit": "Fail"}}), None, id="an outage is no limit"),
        pytest.param(
            draft(EndClass.PROVIDER_OUTAGE, {"retry": {"maxReroutes": 2}}, limited_count=2), None, id="two moves of two"
        ),
        pytest.param(
            draft(EndClass.PROVIDER_OUTAGE, {"retry": {"maxReroutes": 2}}, limited_count=3),
            ("ProviderOutage", "ReroutesExhausted", "moved 2 times; the last: last words"),
            id="a third move of two",
        ),
        pytest.param(
            draft(EndClass.RATE_LIMITED, {"retry": {"maxReroutes": 2}}, limited_count=3),
            None,
            id="a limit counts when the run moves",
        ),
    ],
)
def test_when_nothing_more_is_to_be_tried(seen: Draft, outcome: tuple[str, str, str] | None) -> None:
    assert over(seen) == outcome


@pytest.mark.parametrize(
    ("end", "exit_code", "ends"),
    [
        pytest.param(EndClass.AGENT_FAILED, 127, True, id="the wrapper could not start it"),
        pytest.param(EndClass.AGENT_FAILED, 1, False, id="the agent repeats the words"),
        pytest.param(EndClass.EVICTED, 127, False, id="another reason came first"),
    ],
)
def test_an_image_that_can_never_run_is_tried_once(end: EndClass, exit_code: int, ends: bool) -> None:
    message = "droveway: setsid is missing in this image"
    seen = draft(end, exit_code=exit_code)
    last = seen.status.attempts[0].model_copy(update={"message": message})
    seen.set_last(last)

    assert over(seen) == (("AgentFailed", "SetsidMissing", message) if ends else None)


@pytest.mark.parametrize(
    ("budget", "usage", "says"),
    [
        pytest.param({"maxTokens": 100}, {"tokens": {"total": 99}}, None, id="one token left"),
        pytest.param({"maxTokens": 100}, {"tokens": {"total": 100}}, "used 100 of 100 tokens", id="no token left"),
        pytest.param({"maxCostUSD": "2.50"}, {"costUSD": "2.49"}, None, id="a cent left"),
        pytest.param({"maxCostUSD": "2.50"}, {"costUSD": "2.5"}, "cost 2.5 of 2.50 US dollars", id="no cent left"),
        pytest.param(
            {"maxCostUSD": "2.50"}, {"costUSD": "10"}, "cost 10 of 2.50 US dollars", id="not compared as text"
        ),
        pytest.param({"maxCostUSD": "2.50"}, {"tokens": {"total": 100}}, None, id="an unknown cost is not counted"),
        pytest.param({}, {"tokens": {"total": 100}, "costUSD": "10"}, None, id="no budget"),
    ],
)
def test_a_budget_ends_a_run_that_has_used_it_up(
    budget: dict[str, Any], usage: dict[str, Any], says: str | None
) -> None:
    seen = draft(None, {"budget": budget}, usage=Usage.model_validate(usage))

    assert over(seen) == (says and ("BudgetExceeded", "BudgetExceeded", says))


@pytest.mark.parametrize(
    ("end", "completion", "ttl", "seconds"),
    [
        pytest.param(EndClass.SUCCEEDED, NOON, {"ttlSecondsAfterSuccess": 60}, 60, id="a success"),
        pytest.param(EndClass.SUCCEEDED, NOON, {"ttlSecondsAfterFailure": 60}, None, id="a success that is kept"),
        pytest.param(EndClass.TIMEOUT, NOON, {"ttlSecondsAfterFailure": 60}, 60, id="a failure"),
        pytest.param(None, NOON, {"ttlSecondsAfterFailure": 60}, 60, id="it never began"),
        pytest.param(EndClass.TIMEOUT, None, {"ttlSecondsAfterFailure": 60}, None, id="not over yet"),
        pytest.param(EndClass.SUCCEEDED, NOON, {"ttlSecondsAfterSuccess": 0}, 0, id="at once"),
    ],
)
def test_when_a_run_that_is_over_is_deleted(
    end: EndClass | None, completion: Any, ttl: dict[str, int], seconds: int | None
) -> None:
    seen = draft(end, ttl, completion_time=completion)

    assert expires_at(seen.spec, seen.status) == (None if seconds is None else after(seconds))
