"""Whether a canary is as good as what it would replace, and which part each line of a route plays.

Judged are completions since the trial began, both sides over the same time. Nothing is compared below the minimum of samples, and
what was decided stands until something else is tried.
"""

import hashlib
from datetime import datetime, timedelta
from typing import NamedTuple

from droveway.api.enums import CanaryPhase, Reason
from droveway.api.v1alpha1 import ModelRouteSpec
from droveway.api.v1alpha1.rollout import CanarySpec, CanaryStatus
from droveway.core.notes import Note
from droveway.core.trial import Side, Trial

MIRROR, ROLLED_BACK = "Mirror", "CanaryRolledBack"
_ALL = 100
_BROKEN = "its circuit breaker is open, and no other candidate's is"
_MESSAGE = 256  # the schema's
_CONDITION = {CanaryPhase.PROGRESSING: "Unknown", CanaryPhase.PROMOTED: "True", CanaryPhase.ROLLED_BACK: "False"}
_EVENTS = {
    CanaryPhase.PROGRESSING: Reason.CANARY_STARTED,
    CanaryPhase.PROMOTED: Reason.CANARY_PROMOTED,
    CanaryPhase.ROLLED_BACK: Reason.CANARY_ROLLED_BACK,
}


def canary_of(spec: ModelRouteSpec) -> str:
    """What a manifest's canary tries, in a few characters: another rule, or another model behind it, is another trial."""
    # what is at its default is left out, so that a field of a later release changes nothing
    return _mark(spec, spec.canary.candidate, spec.canary.model_dump_json(exclude_defaults=True)) if spec.canary else ""


def mirror_of(spec: ModelRouteSpec) -> str:
    """What a manifest's mirror is, likewise; the share that is copied makes no difference."""
    return _mark(spec, spec.mirror.candidate) if spec.mirror else ""


def _mark(spec: ModelRouteSpec, candidate: str, *rules: str) -> str:
    line = next(((c.provider_ref.name, c.model) for c in spec.candidates if c.name == candidate), ())
    return hashlib.sha256(repr((candidate, line, rules)).encode()).hexdigest()[:16]


def standing(spec: ModelRouteSpec, told: CanaryStatus | None) -> CanaryStatus | None:
    """What a status says of the canary of a manifest; None: nothing, or of another one."""
    return told if told and spec.canary and told.trial == canary_of(spec) else None


def judge(
    spec: ModelRouteSpec, told: CanaryStatus | None, trial: Trial, now: datetime, *, broken: bool = False
) -> CanaryStatus | None:
    """How the canary of a route does now; None when it has none.

    Args:
        spec: what the manifest asks for.
        told: what the status says.
        trial: what was counted.
        now: the time.
        broken: its breaker is open and no other one is: then no more samples come, and it has failed.
    """
    rules, name = spec.canary, canary_of(spec)
    if rules is None:
        return None
    was = standing(spec, told)
    if was is not None and was.phase is not CanaryPhase.PROGRESSING:
        return was
    begun = was.start_time if was else now
    canary, stable = (trial.tried, trial.stable) if trial.of == name else (Side(), Side())
    phase, message = (CanaryPhase.ROLLED_BACK, _BROKEN) if broken else _verdict(rules, canary, stable, begun, now)
    return CanaryStatus(
        candidate=rules.candidate,
        trial=name,
        phase=phase,
        percent={CanaryPhase.PROGRESSING: rules.percent, CanaryPhase.PROMOTED: _ALL, CanaryPhase.ROLLED_BACK: 0}[phase],
        start_time=begun,
        end_time=None if phase is CanaryPhase.PROGRESSING else now,
        message=message[:_MESSAGE],
        canary=canary.status(),
        stable=stable.status(),
    )


def next_look(spec: ModelRouteSpec, status: CanaryStatus | None) -> datetime | None:
    """When time alone may promote it."""
    if spec.canary is None or status is None or status.phase is not CanaryPhase.PROGRESSING:
        return None
    return status.start_time + timedelta(seconds=spec.canary.duration_seconds)


def condition(status: CanaryStatus) -> tuple[str, str, str]:
    """Status, reason and message of the route's condition `Canary`."""
    return _CONDITION[status.phase], status.phase.value, status.message


def notes(old: CanaryStatus | None, new: CanaryStatus | None) -> list[Note]:
    """The Events of a change: it was started, promoted or rolled back."""
    if new is None or (old and (old.trial, old.phase) == (new.trial, new.phase)):
        return []
    text = f"{new.candidate} gets {new.percent} % of the new sessions: {new.message}"
    return [Note(_EVENTS[new.phase], text, warning=new.phase is CanaryPhase.ROLLED_BACK)]


def _verdict(rules: CanarySpec, canary: Side, stable: Side, begun: datetime, now: datetime) -> tuple[CanaryPhase, str]:
    least = rules.min_samples
    if min(canary.samples, stable.samples) < least:
        seen = f"{canary.samples} completions of the canary, {stable.samples} of the stable side"
        return CanaryPhase.PROGRESSING, f"{seen}; judged from {least} each"
    if worse := _worse(rules, canary, stable):
        return CanaryPhase.ROLLED_BACK, worse
    if missing := _unknown(rules, canary, stable):
        return CanaryPhase.PROGRESSING, missing
    ends = begun + timedelta(seconds=rules.duration_seconds)
    if now < ends:
        return (
            CanaryPhase.PROGRESSING,
            f"as good as the stable side so far; promoted at {ends:%Y-%m-%dT%H:%M:%SZ} if it stays so",
        )
    return CanaryPhase.PROMOTED, f"as good as the stable side over {canary.samples} completions"


def _worse(rules: CanarySpec, canary: Side, stable: Side) -> str:
    """In what it is worse than allowed, with the numbers; "" in nothing. Whole numbers: no rounding decides."""
    more = canary.failed * stable.samples - stable.failed * canary.samples
    if more * 100 > rules.max_error_rate_increase_percent * canary.samples * stable.samples:
        rates = (
            f"{canary.failed / canary.samples:.1%} against {stable.failed / stable.samples:.1%} of completions failed"
        )
        return f"{rates}; allowed are {rules.max_error_rate_increase_percent} points more"
    allowed = rules.max_latency_increase_percent
    if allowed is not None and _exceeds(canary.latency, canary.timed, stable.latency, stable.timed, allowed):
        means = f"{_mean_ms(canary)} ms against {_mean_ms(stable)} ms on average"
        return f"{means}; allowed are {allowed} % more"
    allowed = rules.max_cost_increase_percent
    if allowed is not None and _exceeds(canary.cost, canary.priced, stable.cost, stable.priced, allowed):
        means = f"${canary.status().average_cost_usd} against ${stable.status().average_cost_usd} a completion"
        return f"{means}; allowed are {allowed} % more"
    return ""


def _unknown(rules: CanarySpec, canary: Side, stable: Side) -> str:
    """What is to be judged and nobody knows: it cannot be promoted on a guess."""
    if rules.max_latency_increase_percent is not None and not (canary.timed and stable.timed):
        return "no latency is known of one side, and spec.canary.maxLatencyIncreasePercent asks for it"
    if rules.max_cost_increase_percent is not None and not (canary.priced and stable.priced):
        return "no cost is known of one side; add a price, or leave spec.canary.maxCostIncreasePercent out"
    return ""


def _exceeds(mine: int, my_count: int, theirs: int, their_count: int, percent: int) -> bool:
    """Whether one mean is more than so many percent above another."""
    return bool(my_count and their_count) and mine * their_count * 100 > theirs * my_count * (100 + percent)


def _mean_ms(side: Side) -> int:
    return round(side.latency / side.timed / 1000)


class Part(NamedTuple):
    """What a line of a route is for.

    Attributes:
        canary_percent: of the new sessions, which it gets before any other; None: it is no canary.
        withheld: why it gets no work at all.
    """

    canary_percent: int | None = None
    withheld: tuple[str, str] | None = None


ORDINARY = Part()


def part_of(spec: ModelRouteSpec, told: CanaryStatus | None, candidate: str) -> Part:
    """Which part a candidate plays. What nobody has judged yet gets its share."""
    if spec.mirror and spec.mirror.candidate == candidate:
        return Part(None, (MIRROR, "it only gets copies of requests, whose answers nobody sees (spec.mirror)"))
    if spec.canary is None or spec.canary.candidate != candidate:
        return ORDINARY
    known = standing(spec, told)
    if known is None:
        return Part(spec.canary.percent)
    if known.phase is CanaryPhase.ROLLED_BACK:
        return Part(0, (ROLLED_BACK, f"{known.message}; change spec.canary or its candidate to try again"))
    return Part(known.percent)
