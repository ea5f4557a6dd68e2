"""A TenantQuota: its rules as data, and its status."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from droveway.api.enums import ConditionType, QuotaMode, QuotaUnit, QuotaWindow, Reason
from droveway.api.v1alpha1 import TenantQuota, TenantQuotaSpec, TenantQuotaStatus
from droveway.api.v1alpha1.tenantquota import QuotaUse
from droveway.core.conditions import find, with_condition
from droveway.core.notes import Note
from droveway.core.quota import Amount, Bound, Rules
from droveway.core.quotabook import Told
from droveway.core.spend import Spend
from droveway.core.tally import NANO, dollars
from droveway.core.windows import CALENDAR, end_of

_SUMMARY = 256
_UNITS = {QuotaUnit.TOKENS: "tokens", QuotaUnit.COST: "USD"}


@dataclass(frozen=True, slots=True)
class Blocked:
    """Why no run of a tenant may start a pod, and until when."""

    until: datetime
    message: str


def billionths(money: str) -> int:
    """A decimal string of US dollars as a whole number."""
    return int(Decimal(money) * NANO)


def rules_of(quota: TenantQuota) -> Rules:
    """What the manifest says."""
    return Rules(quota.metadata.name, quota.spec.mode is QuotaMode.ENFORCE, tuple(_bounds(quota.spec)))


def told_of(status: TenantQuotaStatus) -> dict[QuotaWindow, Told]:
    """What a status says was used."""
    return {u.window: Told(u.start_time, Amount(u.tokens, billionths(u.cost_usd))) for u in status.used}


def spends_of(status: TenantQuotaStatus) -> dict[QuotaWindow, Spend]:
    """The same, with all that it says."""
    return {u.window: Spend(u.start_time, u.tokens, billionths(u.cost_usd), u.unpriced) for u in status.used}


def quota_status(quota: TenantQuota, spent: Mapping[QuotaWindow, Spend], now: datetime) -> TenantQuotaStatus:
    """What the status should say now.

    Args:
        quota: as last seen, with its old status.
        spent: by its namespace, in the windows of this moment.
        now: the time.
    """
    old, spec, generation = quota.status, quota.spec, quota.metadata.generation
    shares = shares_of(spec, spent)
    full = [share for share in shares if share.percent >= 100]
    near = [share for share in shares if share.percent >= spec.warn_percent]
    conditions = with_condition(old.conditions, ConditionType.READY, "True", Reason.VALID, "", generation, now)
    shadow = " (mode Shadow: nothing is refused)" if spec.mode is QuotaMode.SHADOW else ""
    for type_, found, reason in (
        (ConditionType.EXCEEDED, full, Reason.QUOTA_EXCEEDED),
        (ConditionType.WARNING, near, Reason.NEAR_QUOTA),
    ):
        said = "; ".join(share.text for share in found)
        conditions = with_condition(
            conditions,
            type_,
            "True" if found else "False",
            reason if found else Reason.WITHIN_QUOTA,
            f"{said}{shadow}" if found else "",
            generation,
            now,
        )
    return TenantQuotaStatus(
        observed_generation=generation,
        conditions=conditions,
        used=[
            QuotaUse(
                window=window,
                start_time=spent[window].start,
                reset_time=end_of(window, spent[window].start),
                tokens=spent[window].tokens,
                cost_usd=dollars(spent[window].cost) or "0",
                unpriced=spent[window].unpriced,
            )
            for window in CALENDAR
        ],
        used_summary=" ".join(share.short for share in shares)[:_SUMMARY],
        reset_time=max((end_of(share.window, now) for share in full), default=None),
    )


def urgent(old: TenantQuotaStatus, new: TenantQuotaStatus) -> bool:
    """Whether the change must be written at once: anything but how much is used."""
    return _essence(old) != _essence(new)


def blocked(quota: TenantQuota, spent: Mapping[QuotaWindow, Spend], now: datetime) -> Blocked | None:
    """Whether a tenant's runs have to wait for this quota."""
    full = [share for share in shares_of(quota.spec, spent) if share.percent >= 100]
    if not full or quota.spec.mode is not QuotaMode.ENFORCE:
        return None
    last = max(full, key=lambda share: end_of(share.window, now))
    return Blocked(end_of(last.window, now), f"TenantQuota {quota.metadata.name}: {last.text}")


def notes(old: TenantQuotaStatus, new: TenantQuotaStatus) -> list[Note]:
    """The Events of a change of status: a limit came near, was reached, began anew."""
    found = []
    for type_, worse, better in (
        (ConditionType.EXCEEDED, Reason.QUOTA_EXCEEDED, Reason.QUOTA_RESET),
        (ConditionType.WARNING, Reason.NEAR_QUOTA, None),
    ):
        was, now_is = find(old.conditions, type_), find(new.conditions, type_)
        before, after = was is not None and was.status == "True", now_is is not None and now_is.status == "True"
        if after and not before and now_is:
            found.append(Note(worse, now_is.message, warning=True))
        elif before and not after and better:
            found.append(Note(better, "its limits are no longer used up"))
    return found


@dataclass(frozen=True, slots=True)
class Share:
    """How much of one limit is used."""

    window: QuotaWindow
    unit: QuotaUnit
    used: int
    most: int

    @property
    def percent(self) -> int:
        """Rounded down; a limit of nothing is used up."""
        return self.used * 100 // self.most if self.most else 100

    @property
    def short(self) -> str:
        """For a column."""
        return f"{self.window.value.lower()}:{_UNITS[self.unit]}:{self.percent}%"

    @property
    def text(self) -> str:
        """For people."""
        used, most = (dollars(self.used), dollars(self.most)) if self.unit is QuotaUnit.COST else (self.used, self.most)
        return f"{used} of {most} {self.unit} of this {self.window.value.lower()} are used"


def shares_of(spec: TenantQuotaSpec, spent: Mapping[QuotaWindow, Spend]) -> list[Share]:
    """How much is used of each limit that holds for a window of the calendar."""
    found = []
    for bound in _bounds(spec):
        if bound.window in CALENDAR:
            spend = spent[bound.window]
            used = spend.cost if bound.unit is QuotaUnit.COST else spend.tokens
            found.append(Share(bound.window, bound.unit, used, bound.most))
    return found


def _bounds(spec: TenantQuotaSpec) -> list[Bound]:
    stated: list[tuple[QuotaUnit, QuotaWindow | None, int | None]] = [(QuotaUnit.IN_FLIGHT, None, spec.max_in_flight)]
    if minute := spec.per_minute:
        stated.append((QuotaUnit.REQUESTS, QuotaWindow.MINUTE, minute.max_requests))
        stated.append((QuotaUnit.TOKENS, QuotaWindow.MINUTE, minute.max_tokens))
    by_window = zip(CALENDAR, (spec.per_hour, spec.per_day, spec.per_month), strict=True)
    for window, limits in by_window:
        if limits:
            cost = billionths(limits.max_cost_usd) if limits.max_cost_usd is not None else None
            stated += [(QuotaUnit.TOKENS, window, limits.max_tokens), (QuotaUnit.COST, window, cost)]
    return [Bound(unit, window, most) for unit, window, most in stated if most is not None]


def _essence(status: TenantQuotaStatus) -> object:
    starts = [use.start_time for use in status.used]
    return status.model_copy(update={"used": [], "used_summary": ""}), starts
