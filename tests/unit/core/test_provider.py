"""The status of a provider says whether it can be used, until when not, and what to do."""

from datetime import timedelta
from typing import Any

import pytest

from droveway.api.enums import ConditionType, EndClass
from droveway.api.v1alpha1 import ModelProvider, ModelProviderStatus
from droveway.api.v1alpha1.agent import EnvVar
from droveway.core.accounts import Accounts, Signal
from droveway.core.conditions import find
from droveway.core.provider import (
    SecretState,
    leaks_login,
    next_change,
    notes,
    provider_status,
    readings_of,
    redirects_login,
    urgent,
)
from droveway.core.utilization import Reading
from droveway.core.verdict import Scope
from helpers.told import NOON, a_provider, after, verdict

GOOD = SecretState(frozenset({"apiKey"}), "1")


def judge(
    provider: ModelProvider, secret: SecretState | None = GOOD, *told: Signal, at: float = 1, allow: bool = False
) -> ModelProviderStatus:
    accounts = Accounts("team")
    accounts.know(provider)
    accounts.take(told, after(at))
    return provider_status(provider, secret, accounts, after(at), allow_direct_base_url=allow)


def said(kind: EndClass, until: float | None = None, at: float = 0) -> Signal:
    what = verdict(kind, None if until is None else after(until), "words of the provider")
    return Signal("p", "m", what, after(at), after(at), "gateway")


@pytest.mark.parametrize(
    ("spec", "secret", "told", "reason", "says"),
    [
        pytest.param({}, GOOD, (), "Valid", "", id="all is well"),
        pytest.param({"credentialsRef": None}, None, (), "Valid", "", id="it needs no key"),
        pytest.param({}, SecretState(None), (), "SecretNotFound", "create it", id="no Secret"),
        pytest.param(
            {}, SecretState(frozenset({"x"})), (), "SecretKeyMissing", "no key apiKey", id="no such key in it"
        ),
        pytest.param({}, GOOD, (said(EndClass.AUTH_FAILED),), "AuthFailed", "Secret key", id="the key is refused"),
        pytest.param({"access": "Direct", "baseURL": "http://x"}, GOOD, (), "BaseURLRefused", "login", id="a leak"),
        pytest.param(
            {"limits": {"signatures": ["fine", "(ope"]}},
            GOOD,
            (),
            "ProviderInvalid",
            "signatures[1]",
            id="a bad pattern",
        ),
    ],
)
def test_readiness(
    spec: dict[str, Any], secret: SecretState | None, told: tuple[Signal, ...], reason: str, says: str
) -> None:
    ready = find(judge(a_provider("p", **spec), secret, *told).conditions, ConditionType.READY)
    assert ready is not None
    assert (ready.reason, ready.status) == (reason, "True" if reason == "Valid" else "False")
    assert says in ready.message


def test_a_direct_base_url_may_be_allowed() -> None:
    status = judge(a_provider("p", access="Direct", baseURL="http://x"), allow=True)
    assert [c.status for c in status.conditions if c.type == "Ready"] == ["True"]


def test_a_limit_is_a_condition_a_list_and_a_timer() -> None:
    status = judge(a_provider("p"), GOOD, said(EndClass.SUBSCRIPTION_LIMIT, 3600))
    limited = find(status.conditions, ConditionType.LIMITED)
    assert limited is not None
    assert (limited.status, limited.reason) == ("True", "SubscriptionLimit")
    assert limited.message == "SubscriptionLimit of team/p until 2026-11-21T13:00:00Z"
    assert next_change(status) == after(3600)
    ready = find(status.conditions, ConditionType.READY)
    assert ready is not None
    assert ready.status == "True", "spent is not broken"


def test_events_tell_when_a_limit_comes_and_goes_and_only_then() -> None:
    provider = a_provider("p")
    free, spent = judge(provider), judge(provider, GOOD, said(EndClass.SUBSCRIPTION_LIMIT, 3600))
    (reached,) = notes(free, spent)
    assert (reached.reason, reached.warning) == ("LimitReached", True)
    assert "words of the provider" in reached.message
    (cleared,) = notes(spent, free)
    assert (cleared.reason, cleared.message) == ("LimitCleared", "SubscriptionLimit of team/p is over")
    assert notes(spent, spent) == []


def test_an_end_that_moves_by_less_than_a_second_is_not_worth_a_write() -> None:
    first = judge(a_provider("p"), GOOD, said(EndClass.RATE_LIMITED, 60))
    limits = {"limits": [limit.to_wire() for limit in first.limits]}
    near = judge(a_provider("p", status=limits), GOOD, said(EndClass.RATE_LIMITED, 60.5, at=1), at=1)
    far = judge(a_provider("p", status=limits), GOOD, said(EndClass.RATE_LIMITED, 62, at=1), at=1)
    assert near.limits == first.limits
    assert far.limits[0].until_time == after(62)


def test_looking_again_changes_nothing() -> None:
    first = judge(a_provider("p"), GOOD, said(EndClass.SUBSCRIPTION_LIMIT, 3600))
    wire = first.model_copy(update={"limits": first.limits}).to_wire()
    second = judge(a_provider("p", status=wire), GOOD, at=30)
    assert second == first
    assert first.conditions[0].last_transition_time == NOON + timedelta(seconds=1)


def told(*readings: Reading, at: float = 1, known: ModelProvider | None = None) -> ModelProviderStatus:
    accounts, provider = Accounts("team"), known or a_provider("p")
    accounts.know(provider)
    accounts.learn("p", readings, after(at))
    return provider_status(provider, GOOD, accounts, after(at), allow_direct_base_url=False)


def test_how_much_is_used_is_told_until_the_window_begins_anew() -> None:
    status = told(Reading("7d", 60, after(90), NOON), Reading("5h", 93, after(60), NOON))
    assert status.used_summary == "5h:93% 7d:60%"
    assert status.utilization[0].spent_time is None, "its reset comes first"
    assert readings_of(status) == (Reading("5h", 93, after(60), NOON), Reading("7d", 60, after(90), NOON))
    assert next_change(status) == after(60)
    later = told(at=61, known=a_provider("p", status=status.to_wire()))
    assert later.used_summary == "7d:60%"


def test_the_same_use_told_again_is_not_worth_a_write() -> None:
    first = told(Reading("5h", 93, after(60), NOON))
    again = told(Reading("5h", 93, after(61), after(5)), at=5, known=a_provider("p", status=first.to_wire()))
    assert again.utilization == first.utilization


@pytest.mark.parametrize(
    ("used", "at_once"),
    [(41, False), (89, False), (90, True)],
    ids=["a little more", "not yet draining", "it drains from now on"],
)
def test_use_can_wait_unless_it_changes_a_choice(used: int, at_once: bool) -> None:
    first = told(Reading("5h", 40, after(60), NOON))
    then = told(Reading("5h", used, after(60), after(1)), known=a_provider("p", status=first.to_wire()))
    assert then != first
    assert urgent(first, then, 90) is at_once


def test_a_limit_cannot_wait() -> None:
    assert urgent(judge(a_provider("p")), judge(a_provider("p"), GOOD, said(EndClass.RATE_LIMITED, 30)), 90)


def test_the_pace_of_use_tells_when_a_window_is_spent() -> None:
    status = told(Reading("5h", 50, after(4 * 3600), NOON))
    assert status.utilization[0].spent_time == after(3600)


def test_everything_is_said_of_the_generation_that_was_seen() -> None:
    status = judge(a_provider("p"))
    assert {status.observed_generation, *(c.observed_generation for c in status.conditions)} == {1}
    assert next_change(status) is None


def test_a_provider_without_limits_says_so() -> None:
    limited = find(judge(a_provider("p")).conditions, ConditionType.LIMITED)
    assert limited
    assert (limited.status, limited.reason, limited.message) == ("False", "NoLimit", "")


def test_limits_are_told_apart_by_their_model() -> None:
    weekly = said(EndClass.SUBSCRIPTION_LIMIT, 3600)
    opus = Signal("p", "opus", verdict(EndClass.RATE_LIMITED, after(60), scope=Scope.MODEL), NOON, NOON, "gateway")
    limited = find(judge(a_provider("p"), GOOD, weekly, opus).conditions, ConditionType.LIMITED)
    assert limited
    assert limited.message == (
        "SubscriptionLimit of team/p until 2026-11-21T13:00:00Z; RateLimited of team/p, model opus until 2026-11-21T12:01:00Z"
    )


@pytest.mark.parametrize(
    ("spec", "secret", "where"),
    [({}, GOOD, "Secret key"), ({"credentialsRef": None}, None, "spec.credentialsRef")],
    ids=["its Secret", "it names none"],
)
def test_a_refused_key_says_where_to_put_a_good_one(
    spec: dict[str, Any], secret: SecretState | None, where: str
) -> None:
    ready = find(judge(a_provider("p", **spec), secret, said(EndClass.AUTH_FAILED)).conditions, ConditionType.READY)
    assert ready
    assert ready.message == f"the provider refused the key: words of the provider; put a good one into {where}"


def test_a_secret_that_was_not_looked_at_yet_is_no_reason() -> None:
    ready = find(judge(a_provider("p"), None).conditions, ConditionType.READY)
    assert ready
    assert (ready.status, ready.message) == ("True", "")


def test_a_login_goes_to_its_vendor_alone() -> None:
    spec = a_provider("p", access="Direct", baseURL="http://x").spec
    assert leaks_login(spec, allow_direct_base_url=True) is None
    assert leaks_login(spec, allow_direct_base_url=False) == (
        "spec.baseURL of a Direct provider would be sent the login; remove it, or allow it in the operator's settings"
    )


@pytest.mark.parametrize(
    ("env", "found"),
    [
        (["PATH", "ANTHROPIC_BASE_URL"], "ANTHROPIC_BASE_URL"),
        (["openai_base_url"], "openai_base_url"),
        (["BASE_URLS"], ""),
    ],
)
def test_an_agent_may_not_send_a_login_elsewhere(env: list[str], found: str) -> None:
    says = f"spec.env {found} of the Agent would send a Direct login elsewhere; remove it from that Agent"
    assert redirects_login([EnvVar(name=name, value="x") for name in env]) == (says if found else None)


def test_an_end_that_moves_by_a_whole_second_is_another_one() -> None:
    first = judge(a_provider("p"), GOOD, said(EndClass.RATE_LIMITED, 60))
    limits = {"limits": [limit.to_wire() for limit in first.limits]}
    moved = judge(a_provider("p", status=limits), GOOD, said(EndClass.RATE_LIMITED, 61, at=1), at=1)
    assert moved.limits[0].until_time == after(61)
