"""The telemetry summary: per-model aggregates in time buckets, and the limits. What survives a restart (R-T8..R-T10, R-C12).

Standard library only.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Self

from droveway.api.enums import LIMIT_CLASSES, EndClass
from droveway.core.bucket import Bucket
from droveway.core.completion import TokenBreakdown
from droveway.core.events import TOKEN_FIELDS
from droveway.core.limitbook import Limit, Streak
from droveway.core.moments import AFTER_ALL, BEFORE_ALL, microseconds, parsed
from droveway.core.sums import MOST
from droveway.core.verdict import Scope

__all__ = ["Bucket", "InheritedLimit", "TelemetrySummary"]

SCHEMA_VERSION = 1
NANOSECONDS_PER_MS = 1_000_000
_BEGINNING_OF_TIME, _END_OF_TIME = microseconds(BEFORE_ALL), microseconds(AFTER_ALL)
_MOST = 2**128


@dataclass(frozen=True, slots=True)
class InheritedLimit:
    """A limit in a summary of the reference: of a model, without kind, perhaps without an end (R-T10)."""

    model: str
    until: datetime | None


@dataclass(frozen=True, slots=True)
class TelemetrySummary:
    """What a store knows, without the single completions.

    Attributes:
        window: of the store that exported it.
        exported_at: when.
        models: buckets of each known model.
        limits: limits with their quota keys.
        streaks: rate limits in a row by quota key.
        inherited: limits of a summary that the reference wrote.
    """

    window: timedelta
    exported_at: datetime
    models: Mapping[str, tuple[Bucket, ...]]
    limits: tuple[tuple[str, Limit], ...] = ()
    streaks: Mapping[str, Streak] = field(default_factory=dict)
    inherited: tuple[InheritedLimit, ...] = ()

    def to_json(self) -> bytes:
        """The summary as a JSON object in UTF-8."""
        out = {
            "schema_version": SCHEMA_VERSION,
            "id": "telemetry_summary",
            "window_secs": self.window.total_seconds(),
            "exported_at": self.exported_at.isoformat(),
            "models": {model: [_row(b) for b in buckets] for model, buckets in sorted(self.models.items())},
            "limits": [limit_to_dict(key, limit) for key, limit in self.limits],
            "streaks": {key: [s.count, s.last_at.isoformat()] for key, s in sorted(self.streaks.items())},
        }
        return json.dumps(out, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, data: bytes | str) -> Self:
        """The summary that `to_json` or the reference wrote.

        Raises:
            ValueError: it is neither; the message says why.
        """
        try:
            found = _object(json.loads(data, parse_constant=_no_number, object_pairs_hook=_unique))
            if "schema_version" in found:
                return cls._from_ours(found)
            return cls._from_reference(found)
        except (KeyError, TypeError, OverflowError, RecursionError) as error:
            raise ValueError(f"not a telemetry summary: {error!r:.200}") from error

    @classmethod
    def _from_ours(cls, found: dict[str, Any]) -> Self:
        version = found["schema_version"]
        if type(version) is not int or version != SCHEMA_VERSION:
            raise ValueError(
                f"schema version {version!r:.40} is not {SCHEMA_VERSION}; a newer release may have written it"
            )
        models, streaks = _object(found["models"]), _object(found["streaks"])
        return cls(
            window=_seconds(found["window_secs"]),
            exported_at=_time(found["exported_at"]),
            models={model: tuple(_bucket(row) for row in _list(rows)) for model, rows in models.items()},
            limits=tuple(limit_from_dict(_object(limit)) for limit in _list(found["limits"])),
            streaks={key: Streak(_whole(n), _time(at)) for key, (n, at) in streaks.items()},
        )

    @classmethod
    def _from_reference(cls, found: dict[str, Any]) -> Self:
        """The reference's format: aggregates over its whole window, which we take as one bucket per model."""
        rows = [_object(row) for row in _list(found["model_performances"])]
        limits = (_inherited(row) for row in rows)
        return cls(
            window=_seconds(found["window_secs"]),
            exported_at=_time(found["exported_at"]),
            models={_text(row["model"]): _buckets_of_reference(row) for row in rows},
            inherited=tuple(limit for limit in limits if limit),
        )


def _row(b: Bucket) -> list[Any]:
    tokens = [getattr(b.tokens, name) for name in TOKEN_FIELDS]
    return [b.start, b.first, b.last, b.succeeded, b.failed, b.latency_ns, b.timed, tokens, b.cost, b.priced]


def _bucket(row: Any) -> Bucket:
    start, first, last, succeeded, failed, latency_ns, timed, tokens, cost, priced = _list(row)
    bucket = Bucket(
        _since(start),
        _since(first),
        _since(last),
        _whole(succeeded, MOST),
        _whole(failed, MOST),
        _whole(latency_ns),
        _whole(timed, MOST),
        TokenBreakdown(**dict(zip(TOKEN_FIELDS, map(_whole, _list(tokens)), strict=True))),
        _whole(cost),
        _whole(priced),
    )
    if first > last or timed > succeeded or priced > succeeded + failed:
        raise ValueError(f"a bucket contradicts itself: {row!r:.200}")
    return bucket


def limit_to_dict(key: str, limit: Limit) -> dict[str, str]:
    """A limit of a quota key as JSON values."""
    return {
        "key": key,
        "kind": limit.kind.value,
        "set_at": limit.set_at.isoformat(),
        "until": limit.until.isoformat(),
        "scope": limit.scope.value,
        "model": limit.model,
        "reason": limit.reason,
    }


def limit_from_dict(found: dict[str, Any]) -> tuple[str, Limit]:
    """The quota key and limit that `limit_to_dict` wrote.

    Raises:
        ValueError, KeyError, TypeError: it is not that.
    """
    kind = EndClass(found["kind"])
    if kind not in LIMIT_CLASSES:
        raise ValueError(f"{kind} is no limit")
    limit = Limit(
        kind,
        _time(found["set_at"]),
        _time(found["until"]),
        Scope(found["scope"]),
        _text(found["model"]),
        _text(found["reason"]),
    )
    return _text(found["key"]), limit


def _inherited(row: dict[str, Any]) -> InheritedLimit | None:
    until = row.get("subscription_limit_expires_at")
    if until is None and not row.get("subscription_limit_reached"):
        return None
    return InheritedLimit(_text(row["model"]), _time(until) if until is not None else None)


def _buckets_of_reference(row: dict[str, Any]) -> tuple[Bucket, ...]:
    succeeded, failed = _whole(row["successful_completions"], MOST), _whole(row["failed_completions"], MOST)
    if row.get("last_event_at") is None or succeeded + failed == 0:
        return ()
    last = microseconds(_time(row["last_event_at"]))
    latency = row.get("avg_latency_ms") or 0
    if isinstance(latency, bool) or not 0 <= latency < _MOST:
        raise ValueError(f"avg_latency_ms is {latency!r:.40}")
    timed = succeeded if latency > 0 else 0
    return (Bucket(0, last, last, succeeded, failed, round(latency * timed * NANOSECONDS_PER_MS), timed),)


def _whole(value: Any, most: int = _MOST, least: int = 0) -> int:
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"not a count: {value!r:.40}")
    return value


def _since(value: Any) -> int:
    return _whole(value, _END_OF_TIME, _BEGINNING_OF_TIME)


def _seconds(value: Any) -> timedelta:
    longest = timedelta.max.total_seconds()  # rounded up: a little more than a timedelta holds
    if isinstance(value, bool) or not 0 <= value <= longest:
        raise ValueError(f"not a number of seconds: {value!r:.40}")
    return timedelta.max if value == longest else timedelta(seconds=value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"not a text: {value!r:.40}")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"not a list: {value!r:.40}")
    return value


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"not a JSON object: {value!r:.40}")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a JSON object has a name twice")
    return found


def _time(value: Any) -> datetime:
    return parsed(_text(value))


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")
