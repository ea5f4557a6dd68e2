"""The breakers of record of one route: one per candidate (R-B1 to R-B9)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from droveway.api.enums import CircuitName, EndClass, TransitionReason
from droveway.api.v1alpha1 import ModelRouteSpec
from droveway.api.v1alpha1.modelroute import CircuitBreakerSpec, CircuitStatus
from droveway.core.events import Record
from droveway.core.health import CircuitBreaker, CircuitBreakerConfig, CircuitState, Transition
from droveway.core.moments import parsed
from droveway.core.ramp import Comeback

_NAMES = {
    CircuitState.CLOSED: CircuitName.CLOSED,
    CircuitState.OPEN: CircuitName.OPEN,
    CircuitState.HALF_OPEN: CircuitName.HALF_OPEN,
}
_STATES = {name: state for state, name in _NAMES.items()}


@dataclass(slots=True)
class _Held:
    """A breaker, and whose it is: another model under the same name starts with a new one."""

    target: tuple[str, str]
    breaker: CircuitBreaker
    changed: Transition | None = None
    comeback: Comeback | None = None

    def note(self, change: Transition | None, started: datetime, now: datetime) -> None:
        """What a result means for how it comes back: in steps after a probe, at once when somebody resets it by hand."""
        if change is None:
            self.comeback = self.comeback and self.comeback.succeeded(started)
            return
        self.changed = change
        self.comeback = Comeback(now) if change.reason is TransitionReason.PROBE_SUCCEEDED else None


class Breakers:
    """Follows the candidates of a manifest.

    The durable record is the snapshot that is written with the events behind it; without one, the status of the ModelRoute.
    """

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}

    def configure(self, spec: ModelRouteSpec) -> None:
        """Follows the manifest; what did not change keeps its state."""
        config, before, self._held = _config(spec.circuit_breaker), self._held, {}
        for line in spec.candidates:
            target, was = (line.provider_ref.name, line.model), before.get(line.name)
            if was is None or was.target != target:
                was = _Held(target, CircuitBreaker(config))
            elif was.breaker.config != config:
                was.breaker = CircuitBreaker.from_status(config, was.breaker.to_status())
            self._held[line.name] = was

    def judge(self, record: Record, started: datetime, now: datetime) -> Transition | None:
        """Takes the end of a call. Only outages count as failures (R-B7)."""
        held = self._held.get(record.candidate)
        if held is None or held.target != (record.provider, record.model):
            return None
        change = None
        if record.success:
            change = held.breaker.record_success(now, started)
            held.note(change, started, now)
        elif record.verdict and record.verdict.kind is EndClass.PROVIDER_OUTAGE:
            change = held.breaker.record_failure(now, started)
            if change:
                held.note(change, started, now)
        return change

    def start(self, candidate: str, now: datetime) -> bool:
        """Whether an attempt may start on a candidate; takes a probe's lease while its breaker is half-open (R-B2)."""
        held = self._held.get(candidate)
        return held is None or held.breaker.should_allow(now)

    def awaits_probe(self, candidate: str, now: datetime) -> bool:
        """Whether an attempt that starts now is a probe."""
        held = self._held.get(candidate)
        return held is not None and held.breaker.state(now) is CircuitState.HALF_OPEN

    def not_started(self, candidate: str, taken: datetime) -> None:
        """The attempt that `start` allowed at that time was not made."""
        if held := self._held.get(candidate):
            held.breaker.give_back(taken)

    def allows(self, candidate: str, now: datetime) -> bool:
        """Whether one more run may start there."""
        return self._held[candidate].breaker.would_allow(now)

    def is_open(self, candidate: str, now: datetime) -> bool:
        """Whether nobody may start there before a time."""
        held = self._held.get(candidate)
        return held is not None and held.breaker.state(now) is CircuitState.OPEN

    def until(self, candidate: str, now: datetime) -> datetime | None:
        """When a breaker that lets nothing through may do so: the end of the cooldown, or of the oldest probe's lease."""
        breaker = self._held[candidate].breaker
        if breaker.would_allow(now):
            return None
        leases = [datetime.fromisoformat(at) for at in breaker.to_status()["leases"]]
        return breaker.open_until(now) or min(leases, default=now) + breaker.config.lease

    def comeback(self, candidate: str) -> Comeback | None:
        """How a candidate comes back after its breaker was open; None: it was not, or all of it is back by hand."""
        held = self._held.get(candidate)
        return held.comeback if held else None

    def transition(self, candidate: str) -> Transition | None:
        """The latest change of a breaker in this process."""
        held = self._held.get(candidate)
        return held.changed if held else None

    def target(self, candidate: str) -> tuple[str, str]:
        """Provider and model of a candidate; empty for a stranger."""
        held = self._held.get(candidate)
        return held.target if held else ("", "")

    def reset(self, now: datetime, message: str) -> list[tuple[str, Transition]]:
        """Closes all by hand (R-B8). Tells the transitions by candidate."""
        changes = []
        for name, held in self._held.items():
            change = held.breaker.reset(now, message)
            held.comeback = None
            if change:
                held.changed = change
                changes.append((name, change))
        return changes

    def status(self, candidate: str, now: datetime) -> CircuitStatus:
        """As the ModelRoute's status says it."""
        breaker = self._held[candidate].breaker
        held = breaker.to_status()
        opened = held["opened_at"]
        return CircuitStatus(
            state=_NAMES[breaker.state(now)],
            failures=held["failures"],
            successes=held["successes"],
            opened_time=opened and datetime.fromisoformat(opened),
            open_until_time=breaker.open_until(now),
            probe_times=[datetime.fromisoformat(at) for at in held["leases"]],
        )

    def restore(self, candidate: str, status: CircuitStatus) -> None:
        """Goes on from what a status says (R-B5, R-C24)."""
        if held := self._held.get(candidate):
            held.breaker = CircuitBreaker.from_status(held.breaker.config, _as_kept(status))

    def snapshot(self) -> dict[str, dict[str, Any]]:
        """The state of all, for `put_back`."""
        return {
            name: {"target": list(held.target), **held.breaker.to_status(), "comeback": _kept_comeback(held.comeback)}
            for name, held in self._held.items()
        }

    def put_back(self, snapshot: Mapping[str, Mapping[str, Any]]) -> None:
        """Goes on from a snapshot; probes that were let through since then keep their leases.

        Raises:
            ValueError: it is none. Then nothing was taken over.
        """
        found: dict[str, tuple[CircuitBreaker, Comeback | None]] = {}
        for name, held in self._held.items():
            kept = snapshot.get(name)
            if kept and tuple(kept.get("target") or ()) == held.target:
                breaker = CircuitBreaker.from_status(held.breaker.config, _with_leases(kept, held.breaker))
                found[name] = breaker, _comeback(kept.get("comeback"))
        for name, (breaker, comeback) in found.items():
            self._held[name].breaker, self._held[name].comeback = breaker, comeback


def _kept_comeback(comeback: Comeback | None) -> list[Any] | None:
    return [comeback.since.isoformat(), comeback.successes] if comeback else None


def _comeback(kept: Any) -> Comeback | None:
    """What `_kept_comeback` made.

    Raises:
        ValueError: it is not that.
    """
    if kept is None:
        return None
    if not isinstance(kept, list) or len(kept) != 2 or type(kept[1]) is not int:
        raise ValueError(f"not how a candidate comes back: {kept!r:.80}")
    return Comeback(parsed(kept[0]), kept[1])


def _with_leases(kept: Mapping[str, Any], breaker: CircuitBreaker) -> dict[str, Any]:
    """What was kept, with the probes of the same opening that somebody took later."""
    seen = breaker.to_status()
    same = seen["opened_at"] == kept.get("opened_at")
    leases = sorted({*(kept.get("leases") or ()), *(seen["leases"] if same else ())})
    return {**kept, "leases": leases}


def _config(spec: CircuitBreakerSpec) -> CircuitBreakerConfig:
    return CircuitBreakerConfig(
        failure_threshold=spec.failure_threshold,
        cooldown=timedelta(seconds=spec.cooldown_seconds),
        success_threshold=spec.success_threshold,
        half_open_max_probes=spec.half_open_max_probes,
    )


def _as_kept(status: CircuitStatus) -> dict[str, Any]:
    return {
        "state": _STATES[status.state].value,
        "failures": status.failures,
        "successes": status.successes,
        "opened_at": status.opened_time.isoformat() if status.opened_time else None,
        "leases": [at.isoformat() for at in status.probe_times],
    }
