"""What one call says of an account holds for everybody who shares it."""

from typing import Any

import pytest

from droveway.api.enums import EndClass
from droveway.core.accountpages import AccountPage, pages_from_json, pages_to_json
from droveway.core.accounts import Accounts, Signal
from droveway.core.limitbook import Streak
from droveway.core.ramp import Comeback
from droveway.core.utilization import Reading
from droveway.core.verdict import Scope, Verdict
from helpers.told import NOON, a_provider, after, verdict

WEEKLY = verdict(EndClass.SUBSCRIPTION_LIMIT, after(3600), "weekly limit reached")
REFUSED = verdict(EndClass.AUTH_FAILED, reason="invalid x-api-key")


def accounts(**providers: dict[str, Any]) -> Accounts:
    found = Accounts("team")
    for name, spec in providers.items():
        found.know(a_provider(name, **spec))
    return found


def said(
    what: Verdict | None, at: float = 0, provider: str = "a", model: str = "m", started: float | None = None
) -> Signal:
    return Signal(provider, model, what, after(at), after(at if started is None else started), "gateway")


def limited(found: Accounts, provider: str = "a", at: float = 1, model: str = "m") -> bool:
    return found.limit(provider, model, after(at)) is not None


def test_a_limit_holds_for_the_whole_quota_group_and_ends_by_itself() -> None:
    found = accounts(a={"quotaGroup": "g"}, b={"quotaGroup": "g"}, c={})
    assert found.take([said(WEEKLY)], NOON) == {"a", "b"}
    assert [limited(found, name) for name in "abc"] == [True, True, False]
    assert not limited(found, "a", 3600)


def test_a_limit_goes_with_the_last_provider_of_its_group() -> None:
    found = accounts(a={"quotaGroup": "g"}, b={"quotaGroup": "g"})
    found.take([said(WEEKLY)], NOON)
    found.forget("a")
    assert limited(found, "b"), "the account is still there"
    found.forget("b")
    found.know(a_provider("b", quotaGroup="g"))
    assert not limited(found, "b")


def test_a_provider_that_was_made_anew_unseen_starts_afresh() -> None:
    found = accounts(a={})
    found.take([said(WEEKLY)], NOON)
    found.know(a_provider("a"))
    assert limited(found), "the same one"
    same = a_provider("a")
    meta = same.metadata.model_copy(update={"uid": "another"})
    found.know(same.model_copy(update={"metadata": meta}))
    assert not limited(found)


def test_a_limit_of_one_model_leaves_the_others_alone() -> None:
    found = accounts(a={})
    found.take([said(verdict(EndClass.RATE_LIMITED, after(60), scope=Scope.MODEL))], NOON)
    assert limited(found)
    assert not limited(found, model="another")
    assert [limit.model for limit in found.limits("a", NOON)] == ["m"]


def test_a_limit_of_a_family_is_told_by_its_name_and_comes_back_from_the_status() -> None:
    found = accounts(a={})
    opus = "claude-opus-4-5"
    found.take([said(verdict(EndClass.SUBSCRIPTION_LIMIT, after(60), scope=Scope.MODEL_FAMILY), model=opus)], NOON)
    told = found.limits("a", NOON)
    assert [(limit.model, limit.source) for limit in told] == [("opus", "gateway")]
    again = a_provider("a")
    fresh = Accounts("team")
    fresh.know(again.model_copy(update={"status": again.status.model_copy(update={"limits": told})}))
    assert limited(fresh, model="claude-opus-4-1")
    assert not limited(fresh, model="claude-sonnet-4-5")
    assert fresh.limits("a", NOON) == told


@pytest.mark.parametrize(
    ("started", "clears"),
    [pytest.param(5, True, id="began after the limit"), pytest.param(-5, False, id="was in flight already")],
)
def test_a_success_clears_a_limit_only_if_it_began_later(started: float, clears: bool) -> None:
    found = accounts(a={"quotaGroup": "g"}, b={"quotaGroup": "g"})
    found.take([said(WEEKLY)], NOON)
    changed = found.take([said(None, 10, "b", started=started)], after(10))
    assert (not limited(found, at=11), bool(changed)) == (clears, clears)


def test_the_order_of_calls_decides() -> None:
    found = accounts(a={})
    found.take([said(WEEKLY, 1), said(None, 3, started=2), said(WEEKLY, 5)], after(6))
    assert limited(found, at=7)


def test_a_limit_without_an_end_lasts_as_long_as_the_provider_says() -> None:
    found = accounts(a={"limits": {"defaultSeconds": 60}})
    found.take([said(verdict(EndClass.SUBSCRIPTION_LIMIT))], NOON)
    assert [limited(found, at=at) for at in (59, 60)] == [True, False]


def test_a_limit_without_an_end_never_shortens_a_stated_one() -> None:
    found = accounts(a={"limits": {"defaultSeconds": 60}})
    found.take([said(WEEKLY), said(verdict(EndClass.SUBSCRIPTION_LIMIT), 1)], after(1))
    assert limited(found, at=3599)


def test_a_refused_key_is_forgiven_by_a_success_or_another_secret() -> None:
    found = accounts(a={})
    assert found.take([said(REFUSED)], NOON) == {"a"}
    assert found.take([said(REFUSED)], NOON) == set(), "nothing new"
    refused = found.refused("a", NOON)
    assert refused
    assert refused.reason == REFUSED.reason
    assert found.take([said(None, 1)], after(1)) == {"a"}
    assert found.refused("a", after(1)) is None
    found.take([said(REFUSED)], after(2))
    found.pardon("a")
    assert found.refused("a", after(2)) is None


def test_a_refused_key_is_tried_again_after_a_while_since_it_may_be_mended_where_nobody_sees() -> None:
    found = accounts(a={})
    found.take([said(REFUSED)], NOON)

    assert found.refused("a", after(299))
    assert found.refused("a", after(300)) is None


def test_an_outage_says_nothing_of_the_account() -> None:
    assert accounts(a={}).take([said(verdict(EndClass.PROVIDER_OUTAGE))], NOON) == set()


def test_limits_survive_in_the_statuses() -> None:
    found = accounts(a={"quotaGroup": "g"})
    found.take([said(WEEKLY)], NOON)
    status = {"limits": [limit.to_wire() for limit in found.limits("a", after(1))]}
    again = Accounts("team")
    again.know(a_provider("a", status=status, quotaGroup="g"))
    again.know(a_provider("b", quotaGroup="g"))
    assert limited(again, "b")
    assert again.limits("b", after(1)) == found.limits("a", after(1))
    again.take([said(None, 5)], after(5))
    again.know(a_provider("a", status=status, quotaGroup="g"))
    assert not limited(again, "a", 6), "a status that lags behind does not bring it back"


def test_the_limit_that_ends_last_is_the_first_that_a_status_names() -> None:
    found = accounts(a={})
    soon = verdict(EndClass.RATE_LIMITED, after(60), scope=Scope.MODEL)
    found.take([said(soon), said(WEEKLY)], NOON)
    assert [limit.until_time for limit in found.limits("a", NOON)] == [after(3600), after(60)]
    (whole, _) = found.limits("a", NOON)
    assert (whole.quota_group, whole.kind, whole.source, whole.message, whole.set_time) == (
        "team/a",
        "SubscriptionLimit",
        "gateway",
        "weekly limit reached",
        NOON,
    )


class TestPages:
    """What survives a restart."""

    def page_of(self, found: Accounts, at: float = 10) -> dict[str, AccountPage]:
        return pages_from_json(pages_to_json(found.pages(["a"], after(at))))

    def test_a_restart_changes_nothing(self) -> None:
        found = accounts(a={"quotaGroup": "g"})
        opus = Verdict(EndClass.SUBSCRIPTION_LIMIT, after(500), Scope.MODEL, "opus is spent")
        throttle = verdict(EndClass.RATE_LIMITED)
        found.take([said(WEEKLY), said(opus, 1, model="opus"), said(throttle, 2, model="x")], after(2))
        found.learn("a", [Reading("5h", 93, after(600), after(3)), Reading("7d", 10, None, after(3))], after(3))
        again = accounts(a={"quotaGroup": "g"})
        again.restore(self.page_of(found))
        assert self.page_of(again) == self.page_of(found)
        assert again.limits("a", after(4)) == found.limits("a", after(4))
        assert again.utilization("a", after(4)) == found.utilization("a", after(4))
        again.restore(self.page_of(found))
        assert self.page_of(again) == self.page_of(found), "twice, too"

    def test_what_comes_back_in_steps_goes_on_where_it_was(self) -> None:
        found, again = accounts(a={}), accounts(a={})
        found.take([said(WEEKLY, 1, model="x")], after(1))
        found.take([said(None, at, model="x") for at in (4000, 4001, 4002)], after(4002))
        back = found.comeback("a", "x", after(4003))
        assert back
        assert (back.since, back.successes, back.share(after(4003))) == (after(4000), 2, 10)
        again.restore(self.page_of(found, 4003))
        assert again.comeback("a", "x", after(4003)) == back
        assert again.comeback("nobody", "x", after(4003)) is None
        again.restore(
            {key: AccountPage(after(4009), comebacks=(("", Comeback(after(1))),)) for key in self.page_of(found)}
        )
        assert again.comeback("a", "x", after(4009)) == back, "a later comeback is known"
        again.forget("a")
        assert again.comeback("a", "x", after(4009)) is None
        assert self.page_of(found, 9000)["team/a"].comebacks == (), "all of it is back"

    def test_what_was_cleared_since_the_status_was_written_stays_cleared(self) -> None:
        found = accounts(a={})
        found.take([said(WEEKLY)], NOON)
        status = {"limits": [limit.to_wire() for limit in found.limits("a", after(1))]}
        found.take([said(None, 5)], after(5))
        again = accounts()
        again.know(a_provider("a", status=status))
        assert limited(again)
        again.restore(self.page_of(found))
        assert not limited(again)

    def test_of_two_pages_the_later_one_is_right_whatever_the_order(self) -> None:
        found = accounts(a={})
        found.take([said(WEEKLY)], NOON)
        earlier = self.page_of(found, 1)
        found.take([said(None, 5)], after(5))
        later = self.page_of(found, 6)
        for order in ((earlier, later), (later, earlier)):
            again = accounts(a={})
            for page in order:
                again.restore(page)
            assert not limited(again)

    def test_a_page_that_is_known_brings_nothing_back_and_hides_no_other(self) -> None:
        found = accounts(a={}, b={})
        found.take([said(WEEKLY), said(WEEKLY, provider="b")], NOON)
        page, both = self.page_of(found, 1), pages_from_json(pages_to_json(found.pages(["a", "b"], after(2))))
        again = accounts(a={}, b={})
        again.restore(page)
        again.take([said(None, 5)], after(5))
        again.restore(page | {"team/b": both["team/b"]})
        assert [limited(again, name, 6) for name in "ab"] == [False, True]

    def test_throttles_in_a_row_are_still_in_a_row(self) -> None:
        found, again = accounts(a={}), accounts(a={})
        throttle = verdict(EndClass.RATE_LIMITED)
        found.take([said(throttle, at) for at in (0, 100)], after(100))
        again.restore(self.page_of(found, 101))
        page = again.pages(["a"], after(102))["team/a"]
        assert page.streak == Streak(2, after(100))

    def test_what_was_learnt_after_the_page_stands(self) -> None:
        found = accounts(a={})
        page = self.page_of(found, 1)
        found.take([said(WEEKLY, 5)], after(5))
        found.restore(page)
        assert limited(found)

    def test_a_quota_that_is_over_but_unproven_is_still_tried_by_one(self) -> None:
        found = accounts(a={})
        found.take([said(verdict(EndClass.RATE_LIMITED, after(5)))], NOON)
        again = accounts(a={})
        again.restore(self.page_of(found, 6))
        assert [again.start("a", "m", after(7)) for _ in range(2)] == [True, False]
        again.not_started("a", "m", after(7))
        assert again.start("a", "m", after(8))

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "[]",
            "{",
            '{"k": 7}',
            '{"k": {}}',
            '{"k": {"as_of": "2026-11-21T12:00:00", "limits": [], "streak": null, "windows": []}}',
            '{"k": {"as_of": "2026-11-21T12:00:00Z", "limits": {}, "streak": null, "windows": []}}',
            '{"k": {"as_of": "2026-11-21T12:00:00Z", "limits": [[{}, "x"]], "streak": null, "windows": []}}',
            '{"k": {"as_of": "2026-11-21T12:00:00Z", "limits": [], "streak": ["x", "y"], "windows": []}}',
            '{"k": {"as_of": "2026-11-21T12:00:00Z", "limits": [], "streak": null, "windows": [["5h"]]}}',
        ],
    )
    def test_what_is_no_page_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"."):
            pages_from_json(text)


def test_the_use_of_a_quota_is_one_for_its_whole_group_and_goes_with_it() -> None:
    found = accounts(a={"quotaGroup": "g"}, b={"quotaGroup": "g"})
    assert found.learn("a", [Reading("5h", 93, after(600), NOON)], NOON) == {"a", "b"}
    assert not found.learn("b", [Reading("5h", 93, after(600), after(1))], after(1))
    assert found.used_percent("b", "m", after(2)) == 93
    found.forget("a")
    found.forget("b")
    found.know(a_provider("b", quotaGroup="g"))
    assert found.used_percent("b", "m", after(2)) is None


def test_use_comes_back_from_the_status_where_there_is_no_page() -> None:
    window = {
        "window": "5h",
        "usedPercent": 93,
        "resetTime": "2026-11-21T13:00:00Z",
        "observedTime": "2026-11-21T12:00:00Z",
    }
    found = accounts()
    found.know(a_provider("a", status={"utilization": [window]}))
    assert found.utilization("a", after(1)) == [Reading("5h", 93, after(3600), NOON)]


def test_what_a_provider_told_before_it_was_known_stands() -> None:
    found = Accounts("team")
    found.take([said(REFUSED)], NOON)
    found.know(a_provider("a"))
    assert found.refused("a", after(1))


def test_a_provider_takes_the_refusal_of_its_key_with_it() -> None:
    found = accounts(a={})
    found.take([said(REFUSED)], NOON)
    found.forget("a")
    found.know(a_provider("a"))
    assert found.refused("a", after(1)) is None


def test_nobody_has_to_be_known_to_be_forgotten_or_pardoned() -> None:
    found = accounts(a={})
    found.forget("nobody")
    found.pardon("nobody")
    assert found.sharing("team/a") == {"a"}


def test_calls_on_several_accounts_change_all_of_them() -> None:
    found = accounts(a={}, b={})
    assert found.take([said(WEEKLY), said(WEEKLY, provider="b")], NOON) == {"a", "b"}
    assert found.take([said(None, 5), said(None, 5, "b")], after(5)) == {"a", "b"}


def test_the_use_of_a_family_counts_for_its_models_alone() -> None:
    found = accounts(a={})
    found.learn("a", [Reading("5h", 10, None, NOON), Reading("7d_opus", 90, None, NOON)], NOON)
    assert [found.used_percent("a", model, after(1)) for model in ("claude-opus-4-5", "sonnet")] == [90, 10]


def test_who_starts_first_after_a_limit_is_its_trial() -> None:
    found = accounts(a={})
    found.take([said(verdict(EndClass.RATE_LIMITED, after(5)))], NOON)
    assert [found.awaits_trial("a", "m", after(at)) for at in (4, 6)] == [False, True]
    assert found.start("a", "m", after(6))
    assert not found.awaits_trial("a", "m", after(7))
    assert found.recovering_until("a", "m", after(7)) == after(66)


def test_a_call_that_outlasts_a_throttle_ends_the_row_of_them() -> None:
    found = accounts(a={})
    found.take([said(verdict(EndClass.RATE_LIMITED), 5), said(None, 6, started=4)], after(6))
    assert found.pages(["a"], after(7))["team/a"].streak is None
