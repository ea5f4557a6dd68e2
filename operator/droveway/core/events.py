"""What gateways and sidecars tell the operator: the body of `POST /v1/events`. Standard library only.

A source (gateway: its boot id; sidecar: its attempt) numbers its records per route from 1, without gaps. The operator
acknowledges the highest number that it has written durably; a source resends what lies above.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from operator import attrgetter
from typing import Any

from droveway.api.enums import CostSource, EndClass
from droveway.core.completion import TokenBreakdown
from droveway.core.utilization import Reading, reading
from droveway.core.verdict import Scope, Verdict


class RecordKind(StrEnum):
    """What a record tells."""

    COMPLETION = "completion"  # one upstream model call ended, well or badly
    MIRROR = "mirror"  # gateway: the copy of a request ended; it belongs to no run's account and no telemetry
    EXHAUSTED = (
        "exhausted"  # gateway: no candidate was left for a request of this attempt; verdict.until = earliest reset
    )
    REPORT = "report"  # sidecar: session, result, the CLI's own verdict, a stall


@dataclass(frozen=True, slots=True)
class Record:
    """One thing that happened to one attempt.

    Attributes:
        number: position in the source's sequence for this route, from 1.
        kind: what it tells.
        at: when it happened.
        run: name of the AgentRun; `run_uid` and `attempt` say which attempt of it.
        candidate: name of the route's candidate that was used; with `provider` (its name) and `model`.
        started_at: when the upstream call began.
        latency_ms: duration of the call; None when unknown.
        cost_usd: None when unknown, never 0 for that.
        cost_source: who says so; `Unknown` for a call that has used tokens without a known price, None for one without any.
        verdict: why it failed, or what limit was seen.
        id: identity of the completion (R-T4).
        utilization: how full the account's quota windows are, where that is news.
        aside: gateway: one call of a fan-out. It counts like any, but was told whom to ask: it does not say who serves the run.
        stalled: sidecar: the agent has printed nothing for the stall timeout.
        final: sidecar: the agent has ended; `exit_code`, `end_class`, `result` are set.
    """

    number: int
    kind: RecordKind
    at: datetime
    run: str
    run_uid: str
    attempt: int
    candidate: str = ""
    provider: str = ""
    model: str = ""
    session_id: str = ""
    started_at: datetime | None = None
    latency_ms: float | None = None
    success: bool = True
    tokens: TokenBreakdown = field(default_factory=TokenBreakdown)
    cost_usd: float | None = None
    error: str | None = None
    id: str | None = None
    verdict: Verdict | None = None
    stalled: bool = False
    final: bool = False
    exit_code: int | None = None
    end_class: EndClass | None = None
    result: str = ""
    completions: int = 0
    utilization: tuple[Reading, ...] = ()
    cost_source: CostSource | None = None
    aside: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one source for one route."""

    source: str
    namespace: str
    route: str
    records: tuple[Record, ...]


_AS_THEY_ARE = (
    "run",
    "run_uid",
    "attempt",
    "candidate",
    "provider",
    "model",
    "session_id",
    "latency_ms",
    "cost_usd",
    "error",
    "id",
    "stalled",
    "final",
    "exit_code",
    "result",
    "completions",
    "aside",
)
_values_of = attrgetter(*_AS_THEY_ARE)
_NO_TOKENS = TokenBreakdown()


def record_to_dict(record: Record) -> dict[str, Any]:
    """The record as JSON values; fields at their default are left out."""
    out: dict[str, Any] = {"number": record.number, "kind": record.kind.value, "at": record.at.isoformat()}
    out |= {
        name: value
        for name, value in zip(_AS_THEY_ARE, _values_of(record), strict=True)
        if value is not None and value is not False and value != ""  # 0 is a value
    }
    if not record.success:
        out["success"] = False
    if record.started_at:
        out["started_at"] = record.started_at.isoformat()
    if record.end_class:
        out["end_class"] = record.end_class.value
    if record.cost_source:
        out["cost_source"] = record.cost_source.value
    if record.tokens != _NO_TOKENS:
        out["tokens"] = dict(zip(TOKEN_FIELDS, (record.tokens.total, *record.tokens.buckets), strict=True))
    if record.utilization:
        out["utilization"] = [
            [told.window, told.used_percent, told.resets_at and told.resets_at.isoformat()]
            for told in record.utilization
        ]
    if record.verdict:
        out["verdict"] = {
            "kind": record.verdict.kind.value,
            "until": record.verdict.until.isoformat() if record.verdict.until else None,
            "scope": record.verdict.scope.value,
            "reason": record.verdict.reason,
        }
    return out


TOKEN_BUCKETS = ("input", "output", "reasoning", "cache_read", "cache_write")
"""Disjoint kinds of tokens."""
TOKEN_FIELDS = ("total", *TOKEN_BUCKETS)


def record_from_dict(data: dict[str, Any]) -> Record:
    """The record that `record_to_dict` wrote.

    Raises:
        ValueError: a field is missing or of the wrong type.
    """
    try:
        plain = {
            name: data[name]
            for name in (
                "number",
                "run",
                "run_uid",
                "attempt",
                "candidate",
                "provider",
                "model",
                "session_id",
                "latency_ms",
                "success",
                "cost_usd",
                "error",
                "id",
                "stalled",
                "final",
                "exit_code",
                "result",
                "completions",
                "aside",
            )
            if name in data
        }
        verdict, at = data.get("verdict"), _time(data["at"])
        return Record(
            kind=RecordKind(data["kind"]),
            at=at,
            started_at=_time(data["started_at"]) if data.get("started_at") else None,
            end_class=EndClass(data["end_class"]) if data.get("end_class") else None,
            cost_source=CostSource(data["cost_source"]) if data.get("cost_source") else None,
            tokens=TokenBreakdown(**{name: int(data["tokens"].get(name, 0)) for name in TOKEN_FIELDS})
            if data.get("tokens")
            else TokenBreakdown(),
            verdict=Verdict(
                EndClass(verdict["kind"]),
                _time(verdict["until"]) if verdict.get("until") else None,
                Scope(verdict["scope"]),
                str(verdict["reason"]),
            )
            if verdict
            else None,
            utilization=tuple(_reading(told, at) for told in data.get("utilization") or ()),
            **plain,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a record: {error!r}") from error


def _reading(told: list[Any], at: datetime) -> Reading:
    window, used, resets_at = told
    found = reading(str(window), int(used) / 100, _time(resets_at) if resets_at else None, at)
    if found is None:
        raise ValueError(f"not a window of a quota: {told!r:.80}")
    return found


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"a time needs a zone: {text}")
    return at


def batch_to_dict(batch: Batch) -> dict[str, Any]:
    """Body of `POST /v1/events`."""
    return {
        "source": batch.source,
        "namespace": batch.namespace,
        "route": batch.route,
        "records": [record_to_dict(r) for r in batch.records],
    }


def batch_from_dict(data: dict[str, Any]) -> Batch:
    """The batch that `batch_to_dict` wrote.

    Raises:
        ValueError: it is not one.
    """
    try:
        return Batch(
            str(data["source"]),
            str(data["namespace"]),
            str(data["route"]),
            tuple(record_from_dict(r) for r in data["records"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a batch: {error!r}") from error
