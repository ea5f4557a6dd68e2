"""What happens next in a fan-out, each time one of its calls has ended."""

from collections.abc import Sequence
from dataclasses import dataclass

from droveway.api.fanout import CallStatus, FanoutStatus, Mode

Inputs = tuple[int, ...]
"""Calls whose answers a synthesis is made of, in the order of the request: the same answers make the same synthesis,
whichever came first."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How a fan-out goes.

    Attributes:
        quorum: answers that are enough for `quorum`.
        partial_after: answers from which on a partial synthesis is made; None: never.
    """

    mode: Mode
    quorum: int = 1
    partial_after: int | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a fan-out stands.

    Attributes:
        calls: how each ended; None: it is under way.
        making: what the synthesis that is under way is made of; () when there is none.
        made: what the latest that ended, well or badly, was made of.
    """

    calls: tuple[CallStatus | None, ...]
    making: Inputs = ()
    made: Inputs = ()

    @property
    def answers(self) -> Inputs:
        """The calls that were answered."""
        return tuple(place for place, status in enumerate(self.calls) if status is CallStatus.OK)

    @property
    def open(self) -> int:
        """How many calls are under way."""
        return self.calls.count(None)


@dataclass(frozen=True, slots=True)
class Step:
    """What to do. Neither: wait until something ends.

    Attributes:
        over: end what is under way, and report.
        synthesize: of these answers; a synthesis that is under way is dropped.
    """

    over: bool = False
    synthesize: Inputs = ()


WAIT, OVER = Step(), Step(over=True)


def next_step(rule: Rule, now: Progress) -> Step:
    """What happens next."""
    answered = len(now.answers)
    match rule.mode:
        case Mode.ALL:
            over = not now.open
        case Mode.FIRST:
            over = bool(answered) or not now.open
        case Mode.QUORUM:
            over = answered >= rule.quorum or answered + now.open < rule.quorum
        case Mode.JUDGE | Mode.FUSE:
            return _synthesis(rule, now)
    return OVER if over else WAIT


def _synthesis(rule: Rule, now: Progress) -> Step:
    """A partial one is not disturbed by further answers while calls are open: each costs a call. The last one is made of all."""
    answers = now.answers
    if not answers:
        return WAIT if now.open else OVER
    if now.open:
        due = rule.partial_after is not None and len(answers) >= rule.partial_after
        return Step(synthesize=answers) if due and not now.making and answers != now.made else WAIT
    if answers == now.making:
        return WAIT
    return OVER if answers == now.made and not now.making else Step(synthesize=answers)


def status_of(rule: Rule, calls: Sequence[CallStatus | None], *, synthesized: bool) -> FanoutStatus:
    """What a fan-out has come to.

    Args:
        rule: how it went.
        calls: how each call ended.
        synthesized: the last synthesis gave an answer.
    """
    answered = sum(status is CallStatus.OK for status in calls)
    wanted = {Mode.ALL: answered == len(calls), Mode.FIRST: answered > 0, Mode.QUORUM: answered >= rule.quorum}
    if wanted.get(rule.mode, synthesized):
        return FanoutStatus.SUCCEEDED
    return FanoutStatus.PARTIAL if answered else FanoutStatus.FAILED
