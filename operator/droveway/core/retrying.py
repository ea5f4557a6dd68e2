"""What a request does after a candidate failed it: the same one again, another one, or the end.

Walking from candidate to candidate and asking one of them again are separate budgets; one deadline ends both.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from droveway.api.enums import EndClass
from droveway.core.deadline import Clock
from droveway.core.verdict import Retry, Scope, Verdict

_LATE = 0.02
"""Seconds added to a stated time: clocks are coarse, and coming early would find the limit still there."""


_MOST = 1.5
"""The factor that chance brings in lies between this less one and this."""


class Then(StrEnum):
    """What follows a failure."""

    AGAIN = "Again"
    NEXT = "Next"
    END = "End"


@dataclass(frozen=True, slots=True)
class RetryRule:
    """How persistent the requests of a route are.

    Attributes:
        same_candidate: how often one candidate is asked again.
        max_candidates: how many are asked at most.
        base: seconds before the first retry; doubles from one to the next.
        cap: the longest wait, in seconds; a provider that asks for more is left instead.
        percent: of a provider's calls, how many may be retries.
    """

    same_candidate: int = 0
    max_candidates: int = 16
    base: float = 0.25
    cap: float = 5.0
    percent: int = 20


@dataclass(frozen=True, slots=True)
class Step:
    """What to do now. `seconds`: to wait before it; `reason`: why, as a word of ours."""

    then: Then
    reason: str
    seconds: float = 0.0


def backoff(repeats: int, rule: RetryRule, dice: float) -> float:
    """Seconds before retry number `repeats`, from 1, by dice in [0, 1).

    `base · 2^(repeats − 1)`, at most two thirds of `cap`, times 0.5 to 1.5: those who wait for the longest differ, too.
    """
    return min(rule.base * 2.0 ** min(repeats - 1, 32), rule.cap / _MOST) * (_MOST - 1 + dice)


def next_step(verdict: Verdict, repeats: int, rule: RetryRule, left: float, dice: float, now: datetime) -> Step:
    """What follows the failure of a candidate.

    Args:
        verdict: why it failed.
        repeats: how often it was asked again already.
        rule: the route's.
        left: seconds until the deadline.
        dice: in [0, 1).
        now: the moment.
    """
    if verdict.retry is Retry.NEVER:
        return Step(Then.END, "Final")
    if objection := _not_again(verdict):
        return Step(Then.NEXT, objection)
    if repeats >= rule.same_candidate:
        return Step(Then.NEXT, "RetriesSpent")
    asked_for = (verdict.until - now).total_seconds() + _LATE if verdict.until else 0.0
    if asked_for > rule.cap:
        return Step(Then.NEXT, "LongerThanMaxBackoff")
    seconds = max(asked_for, backoff(repeats + 1, rule, dice))
    return Step(Then.NEXT, "DeadlineFirst") if seconds >= left else Step(Then.AGAIN, "Transient", seconds)


def _not_again(verdict: Verdict) -> str:
    """Why the same candidate would not do better in a moment; "" if it might."""
    if verdict.kind not in (EndClass.PROVIDER_OUTAGE, EndClass.RATE_LIMITED):
        return "LastsLonger"
    if verdict.kind is EndClass.RATE_LIMITED and verdict.until is None:
        return "LastsLonger"
    if verdict.clock not in (None, Clock.CONNECT):
        return "Silent"  # what was silent for so long would take as long again
    return "OurOwnBound" if verdict.scope is Scope.REQUEST else ""
