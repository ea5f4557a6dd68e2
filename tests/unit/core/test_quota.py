"""Limits of a tenant: what fits, what does not and until when, and an account in which nothing is lost."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from droveway.api.enums import QuotaUnit, QuotaWindow
from droveway.core.quota import NOTHING, Amount, Bound, Rules, Second, View, fits, until_all, violations
from droveway.core.quotabook import TenantBook, Told
from droveway.core.windows import CALENDAR, end_of, start_of

NOW = datetime(2026, 3, 14, 15, 9, 26, 535897, UTC)
SECOND = int(NOW.timestamp())
MINUTE, HOUR, DAY, MONTH = QuotaWindow
REQUESTS, TOKENS, COST, IN_FLIGHT = QuotaUnit


@pytest.mark.parametrize(
    ("window", "start", "end"),
    [
        (HOUR, datetime(2026, 3, 14, 15, tzinfo=UTC), datetime(2026, 3, 14, 16, tzinfo=UTC)),
        (DAY, datetime(2026, 3, 14, tzinfo=UTC), datetime(2026, 3, 15, tzinfo=UTC)),
        (MONTH, datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)),
    ],
)
def test_windows_are_the_calendars_in_utc(window: QuotaWindow, start: datetime, end: datetime) -> None:
    assert (start_of(window, NOW), end_of(window, NOW)) == (start, end)
    east = NOW.astimezone(datetime.strptime("+0900", "%z").tzinfo)
    assert (start_of(window, east), end_of(window, east)) == (start, end)


@pytest.mark.parametrize("day", [datetime(2026, 12, 31, 23, 59, tzinfo=UTC), datetime(2028, 2, 29, tzinfo=UTC)])
def test_a_month_ends_where_the_next_begins(day: datetime) -> None:
    end = end_of(MONTH, day)
    assert start_of(MONTH, end) == end
    assert start_of(MONTH, end - timedelta(microseconds=1)) == start_of(MONTH, day)


def test_a_minute_has_no_beginning() -> None:
    with pytest.raises(ValueError, match="rolls"):
        start_of(MINUTE, NOW)


@pytest.mark.parametrize(
    ("used", "reserved", "more", "fit"),
    [
        pytest.param(0, 0, 50, True, id="there is room"),
        pytest.param(50, 0, 50, True, id="up to the limit itself"),
        pytest.param(50, 0, 9000, True, id="alone it may use up what is left"),
        pytest.param(99, 0, 9000, True, id="even the very last"),
        pytest.param(100, 0, 0, False, id="nothing is left"),
        pytest.param(100, 0, 50, False, id="nothing is left, and more is wanted"),
        pytest.param(40, 30, 30, True, id="beside others that leave room"),
        pytest.param(40, 30, 31, False, id="not beside others"),
        pytest.param(0, 9000, 1, False, id="another one holds more than there is"),
    ],
)
def test_what_fits_below_a_limit_of_100(used: int, reserved: int, more: int, fit: bool) -> None:
    assert fits(used, reserved, more, 100) is fit


def judged(view: View, *bounds: Bound, estimate: Amount = NOTHING) -> list[tuple[str, datetime | None]]:
    found = violations(view, estimate, [Rules("q", True, bounds)], NOW)
    return [(v.reason, v.until) for v in found]


def at(second: int) -> datetime:
    """Moments of this test's minute, in which NOW is the 26th second."""
    return datetime.fromtimestamp(SECOND - 26 + second, UTC)


SECONDS = {SECOND - 40: Second(2, 70), SECOND - 10: Second(1, 20), SECOND: Second(1, 10)}
FULL = View(SECONDS, {HOUR: Amount(500, 2_500_000_000), DAY: Amount(900), MONTH: Amount(9000)}, Amount(50, 7), 3)


@pytest.mark.parametrize(
    ("bound", "estimate", "says", "until"),
    [
        pytest.param(
            Bound(REQUESTS, MINUTE, 4), NOTHING, "4 of 4 requests per minute are used", at(46), id="a request leaves"
        ),
        pytest.param(
            Bound(REQUESTS, MINUTE, 2), NOTHING, "4 of 2 requests per minute are used", at(76), id="three must leave"
        ),
        pytest.param(
            Bound(TOKENS, MINUTE, 100),
            Amount(10),
            "100 of 100 tokens per minute are used",
            at(46),
            id="enough tokens leave at once",
        ),
        pytest.param(
            Bound(TOKENS, MINUTE, 100),
            Amount(40),
            "100 of 100 tokens per minute are used",
            at(76),
            id="room for it beside what is reserved",
        ),
        pytest.param(
            Bound(TOKENS, MINUTE, 100),
            Amount(60),
            "100 of 100 tokens per minute are used",
            at(46),
            id="never beside what is reserved: at least when something is left",
        ),
        pytest.param(
            Bound(TOKENS, MINUTE, 120),
            Amount(90),
            "120 tokens per minute are used or reserved by open requests",
            None,
            id="only open requests are in the way",
        ),
        pytest.param(
            Bound(TOKENS, HOUR, 500), NOTHING, "500 of 500 tokens per hour are used", at(3060), id="the hour ends"
        ),
        pytest.param(
            Bound(COST, HOUR, 2_000_000_000),
            NOTHING,
            "2.5 of 2 US dollars per hour are used",
            at(3060),
            id="so does its money",
        ),
        pytest.param(
            Bound(TOKENS, DAY, 940),
            Amount(1),
            "940 tokens per day are used or reserved by open requests",
            None,
            id="the rest of the day is reserved",
        ),
        pytest.param(Bound(IN_FLIGHT, None, 3), NOTHING, "3 of 3 requests at once are used", None, id="all at once"),
    ],
)
def test_what_is_in_the_way_and_until_when(bound: Bound, estimate: Amount, says: str, until: datetime | None) -> None:
    assert judged(FULL, bound, estimate=estimate) == [(f"TenantQuota q: {says}", until)]


@pytest.mark.parametrize(
    "bound",
    [
        Bound(REQUESTS, MINUTE, 5),
        Bound(TOKENS, MINUTE, 151),
        Bound(TOKENS, HOUR, 551),
        Bound(COST, MONTH, 8),
        Bound(IN_FLIGHT, None, 4),
    ],
)
def test_what_is_within_its_limit_is_not_in_the_way(bound: Bound) -> None:
    assert judged(FULL, bound, estimate=Amount(1, 1)) == []


def test_a_moment_that_is_told_is_true() -> None:
    """Who comes back then is let through, and who comes a second earlier is not."""
    book, rules = TenantBook(), [Rules("q", True, (Bound(REQUESTS, MINUTE, 3), Bound(TOKENS, MINUTE, 90)))]
    for step in range(3):
        book.reserve(str(step), Amount(30), NOW + timedelta(seconds=step * 7))
        book.settle(str(step), Amount(30), NOW + timedelta(seconds=step * 7))
    now = NOW + timedelta(seconds=20)
    until = until_all(violations(book.view(now), Amount(30), rules, now))
    assert until is not None
    early = until - timedelta(milliseconds=1)
    assert violations(book.view(early), Amount(30), rules, early)
    assert not violations(book.view(until), Amount(30), rules, until)
    assert until_all([]) is None


# ------------------------------------------------------------------------------------------- the account of one tenant


def told(start: datetime, tokens: int) -> dict[QuotaWindow, Told]:
    return {DAY: Told(start, Amount(tokens))}


TODAY = start_of(DAY, NOW)


def spent(book: TenantBook, tokens: int, now: datetime = NOW) -> None:
    book.reserve("r", Amount(tokens), now)
    book.settle("r", Amount(tokens), now)


def test_the_account_goes_on_from_the_record_and_counts_nothing_twice() -> None:
    book = TenantBook()
    book.adopt(told(TODAY, 700), NOW)
    spent(book, 100)
    assert book.used(DAY, NOW).tokens == 800
    book.adopt(told(TODAY, 800), NOW)  # the record has heard of it
    assert book.used(DAY, NOW).tokens == 800
    spent(book, 50)
    assert book.used(DAY, NOW).tokens == 850


def test_what_others_use_counts_and_what_is_used_since_comes_on_top() -> None:
    book = TenantBook()
    book.adopt(told(TODAY, 0), NOW)
    spent(book, 100)
    book.adopt(told(TODAY, 1000), NOW)
    assert book.used(DAY, NOW).tokens == 1000
    spent(book, 100)
    assert book.used(DAY, NOW).tokens == 1100


def test_a_record_that_comes_after_the_first_request_holds_it_or_will() -> None:
    book = TenantBook()
    spent(book, 100)
    book.adopt(told(TODAY, 5000), NOW)
    assert book.used(DAY, NOW).tokens == 5000


def test_a_new_day_begins_empty_and_yesterdays_record_is_none_of_its_business() -> None:
    book, tomorrow = TenantBook(), NOW + timedelta(days=1)
    book.adopt(told(TODAY, 700), NOW)
    spent(book, 100)
    assert book.used(DAY, tomorrow) == NOTHING
    book.adopt(told(TODAY, 800), tomorrow)
    assert book.used(DAY, tomorrow) == NOTHING
    spent(book, 5, tomorrow)
    book.adopt(told(start_of(DAY, tomorrow), 5), tomorrow)
    assert book.used(DAY, tomorrow).tokens == 5


def test_of_windows_that_are_told_together_each_counts_for_itself() -> None:
    book = TenantBook()
    book.adopt({HOUR: Told(NOW - timedelta(days=2), Amount(9)), DAY: Told(TODAY, Amount(700))}, NOW)
    spent(book, 30)
    assert (book.used(HOUR, NOW).tokens, book.used(DAY, NOW).tokens) == (30, 730)


def test_what_others_had_used_before_stays_below_what_is_ours_while_the_record_lags() -> None:
    book = TenantBook()
    spent(book, 100)
    book.adopt(told(TODAY, 400), NOW)
    spent(book, 60)
    book.adopt(told(TODAY, 410), NOW)
    assert book.used(DAY, NOW).tokens == 460, "300 of others, 160 of ours, of which the record has 10 at least"


def test_the_seconds_of_a_minute_hold_their_requests_and_their_tokens() -> None:
    book, later = TenantBook(), NOW + timedelta(seconds=2)
    for request, at in (("a", NOW), ("b", NOW), ("c", later)):
        book.reserve(request, Amount(5), at)
        book.settle(request, Amount(7), at)
    held = book.view(later).seconds
    assert [(s.requests, s.tokens) for _, s in sorted(held.items())] == [(2, 14), (1, 7)]


def test_a_clock_that_is_set_back_does_not_make_the_minute_last_for_ever() -> None:
    book, earlier = TenantBook(), NOW - timedelta(hours=1)
    spent(book, 100)
    assert book.view(earlier).seconds == {}
    slightly = NOW - timedelta(seconds=2)
    spent(book, 100)
    assert sum(second.tokens for second in book.view(slightly).seconds.values()) == 100


def test_what_is_settled_twice_or_was_never_open_changes_nothing() -> None:
    book = TenantBook()
    spent(book, 100)
    book.settle("r", Amount(100), NOW)
    book.settle("never", Amount(100), NOW)
    assert book.view(NOW).used[HOUR] == Amount(100)
    assert (book.view(NOW).reserved, book.view(NOW).open) == (NOTHING, 0)


AMOUNTS = st.builds(Amount, st.integers(0, 400), st.integers(0, 400))
LIMIT = 1000
RULES = [
    Rules(
        "q",
        True,
        (
            *(Bound(unit, window, LIMIT) for unit in (TOKENS, COST) for window in CALENDAR),
            Bound(TOKENS, MINUTE, LIMIT),
            Bound(REQUESTS, MINUTE, 7),
            Bound(IN_FLIGHT, None, 4),
        ),
    )
]


class Accounting(RuleBasedStateMachine):
    """Requests come, end well, badly or cancelled; time passes; the record tells what it knows, late."""

    def __init__(self) -> None:
        super().__init__()
        self.book, self.now = TenantBook(), NOW
        self.open: dict[str, Amount] = {}
        self.settled: list[tuple[datetime, Amount]] = []
        self.came: list[datetime] = []
        self.recorded = 0
        self.count = 0

    def sum(self, window: QuotaWindow) -> Amount:
        total = NOTHING
        for when, amount in self.settled:
            if start_of(window, when) == start_of(window, self.now):
                total = total.plus(amount)
        return total

    @rule(estimate=AMOUNTS)
    def come(self, estimate: Amount) -> None:
        if violations(self.book.view(self.now), estimate, RULES, self.now):
            return
        self.count += 1
        self.book.reserve(str(self.count), estimate, self.now)
        self.open[str(self.count)] = estimate
        self.came.append(self.now)

    @precondition(lambda self: self.open)
    @rule(share=st.integers(0, 100), newest=st.booleans())
    def end(self, share: int, newest: bool) -> None:
        """It has used as much as was guessed, or less; nothing when it was cancelled before it was sent."""
        request = list(self.open)[-1 if newest else 0]
        estimate = self.open.pop(request)
        amount = Amount(estimate.tokens * share // 100, estimate.cost * share // 100)
        self.book.settle(request, amount, self.now)
        self.settled.append((self.now, amount))

    @rule(seconds=st.sampled_from([0.3, 1, 20, 61, 3600, 86_400]))
    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(late=st.integers(0, 3))
    def record(self, late: int) -> None:
        """What the operator has heard, but for the last few."""
        self.recorded = max(self.recorded, len(self.settled) - late)
        known = self.settled[: self.recorded]
        total = dict.fromkeys(CALENDAR, NOTHING)
        for when, amount in known:
            for window in CALENDAR:
                if start_of(window, when) == start_of(window, self.now):
                    total[window] = total[window].plus(amount)
        self.book.adopt({w: Told(start_of(w, self.now), amount) for w, amount in total.items()}, self.now)

    @invariant()
    def the_account_is_the_sum_of_what_was_settled(self) -> None:
        view = self.book.view(self.now)
        assert view.used == {window: self.sum(window) for window in CALENDAR}
        assert view.open == len(self.open)
        assert view.reserved == Amount(
            sum(a.tokens for a in self.open.values()), sum(a.cost for a in self.open.values())
        )

    @invariant()
    def no_limit_is_overshot_by_more_than_one_request(self) -> None:
        view = self.book.view(self.now)
        for window in CALENDAR:
            assert view.used[window].tokens < LIMIT + 400
            assert view.used[window].cost < LIMIT + 400
        assert view.open <= 4
        minute = [when for when in self.came if (self.now - when).total_seconds() < 59]
        assert len(minute) <= 7

    @invariant()
    def every_refusal_has_an_end(self) -> None:
        view, estimate = self.book.view(self.now), Amount(100, 100)
        found = violations(view, estimate, RULES, self.now)
        assert all(v.until or self.open for v in found)
        assert all(v.until is None or v.until > self.now - timedelta(seconds=1) for v in found)


TestAccounting = Accounting.TestCase
