"""Whether a tenant may send one more request: what it has used, what its open requests may still use, and its limits.

Before a request its use is guessed and reserved; after it the reservation goes, and what was really used counts. A request is
refused when a limit is used up, or when it would not fit beside the reservations of others. Alone it may use up what is left:
no limit is overshot by more than one request, and none is so small that nothing ever fits.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from droveway.api.enums import QuotaUnit, QuotaWindow
from droveway.core.tally import dollars
from droveway.core.windows import MINUTE_SECONDS, end_of


class Amount(NamedTuple):
    """Tokens, and billionths of a US dollar."""

    tokens: int = 0
    cost: int = 0

    def plus(self, other: "Amount") -> "Amount":
        """Both together."""
        return Amount(self.tokens + other.tokens, self.cost + other.cost)

    def minus(self, other: "Amount") -> "Amount":
        """Without the other."""
        return Amount(self.tokens - other.tokens, self.cost - other.cost)

    def at_least(self, other: "Amount") -> "Amount":
        """The larger of each."""
        return Amount(max(self.tokens, other.tokens), max(self.cost, other.cost))

    def of(self, unit: QuotaUnit) -> int:
        """One of the two."""
        return self.cost if unit is QuotaUnit.COST else self.tokens


NOTHING = Amount()


@dataclass(frozen=True, slots=True)
class Bound:
    """One limit of a TenantQuota; `window` None: of what is open at once."""

    unit: QuotaUnit
    window: QuotaWindow | None
    most: int


@dataclass(frozen=True, slots=True)
class Rules:
    """One TenantQuota, as far as requests are judged by it."""

    name: str
    enforced: bool
    bounds: tuple[Bound, ...]


class Second(NamedTuple):
    """What one second of the rolling minute holds."""

    requests: int = 0
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class View:
    """A tenant at one moment.

    Attributes:
        seconds: of the last minute, by Unix time.
        used: since the calendar's windows began.
        reserved: for open requests.
        open: how many there are.
    """

    seconds: Mapping[int, Second] = field(default_factory=dict)
    used: Mapping[QuotaWindow, Amount] = field(default_factory=dict)
    reserved: Amount = NOTHING
    open: int = 0


@dataclass(frozen=True, slots=True)
class Violation:
    """A limit that a request would break.

    Attributes:
        until: when it would not any more; None: as soon as open requests have ended.
    """

    quota: str
    enforced: bool
    bound: Bound
    used: int
    until: datetime | None

    @property
    def reason(self) -> str:
        """For people."""
        bound = self.bound
        over = f" per {bound.window.value.lower()}" if bound.window else ""
        if bound.window and self.used < bound.most:
            return (
                f"TenantQuota {self.quota}: {_number(bound)} {bound.unit}{over} are used or reserved by open requests"
            )
        return f"TenantQuota {self.quota}: {_spent(bound, self.used)} of {_number(bound)} {bound.unit}{over} are used"


def violations(view: View, estimate: Amount, rules: Iterable[Rules], now: datetime) -> tuple[Violation, ...]:
    """Which limits speak against one more request, with an estimate of what it will use."""
    return tuple(
        Violation(rule.name, rule.enforced, bound, _used(view, bound), _until(view, bound, estimate, now))
        for rule in rules
        for bound in rule.bounds
        if not fits(_used(view, bound), *_claims(view, bound, estimate), bound.most)
    )


def fits(used: int, reserved: int, more: int, most: int) -> bool:
    """Whether so much more fits. Nothing fits into nothing; what is alone fits into whatever is left."""
    return used < most and (not reserved or used + reserved + more <= most)


def until_all(found: Sequence[Violation]) -> datetime | None:
    """When none of these violations would stand any more; None: they may pass at any moment."""
    return max((v.until for v in found if v.until), default=None)


def _used(view: View, bound: Bound) -> int:
    if bound.window is None:
        return view.open
    if bound.window is not QuotaWindow.MINUTE:
        return view.used.get(bound.window, NOTHING).of(bound.unit)
    return sum(_of_second(second, bound.unit) for second in view.seconds.values())


def _claims(view: View, bound: Bound, estimate: Amount) -> tuple[int, int]:
    """What is reserved of a limit, and what the request would add. Requests count when they come: nothing is guessed."""
    if bound.unit in (QuotaUnit.REQUESTS, QuotaUnit.IN_FLIGHT):
        return 0, 1
    return view.reserved.of(bound.unit), estimate.of(bound.unit)


def _until(view: View, bound: Bound, estimate: Amount, now: datetime) -> datetime | None:
    used, (reserved, more) = _used(view, bound), _claims(view, bound, estimate)
    if bound.window is None:
        return None
    if bound.window is not QuotaWindow.MINUTE:
        return end_of(bound.window, now) if used >= bound.most else None
    some_left = None
    for second in sorted(view.seconds):
        was, used = used, used - _of_second(view.seconds[second], bound.unit)
        freed = max(now, datetime.fromtimestamp(second + MINUTE_SECONDS, UTC))
        if fits(used, reserved, more, bound.most):
            return freed
        if used < bound.most <= was:
            some_left = freed
    return some_left


def _of_second(second: Second, unit: QuotaUnit) -> int:
    return second.requests if unit is QuotaUnit.REQUESTS else second.tokens


def _number(bound: Bound) -> str:
    return _spent(bound, bound.most)


def _spent(bound: Bound, number: int) -> str:
    return dollars(number) or "0" if bound.unit is QuotaUnit.COST else str(number)
