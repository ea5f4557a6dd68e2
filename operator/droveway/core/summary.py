"""The telemetry summary: per-model aggregates in time buckets, and the limits. What survives a restart (R-T8..R-T10, R-C12).

Times in buckets are whole microseconds since 1970, money is in 10^-12 dollars, latency in nanoseconds: integers, so that
summing in any order gives the same. Standard library only.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from droveway.api.enums import LIMIT_CLASSES, EndClass
from droveway.core.completion import TokenBreakdown
from droveway.core.limitbook import Limit, Streak
from droveway.core.sums import MOST
from droveway.core.verdict import Scope

SCHEMA_VERSION = 1
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_END_OF_TIME = 253_402_300_799_000_000  # microseconds; the last second of the year 9999
_MOST = 2**96
NANOSECONDS_PER_MS = 1_000_000
TOKEN_FIELDS = tuple(f.name for f in fields(TokenBreakdown))


@dataclass(frozen=True, slots=True)
class Bucket:
    """Completions of one model in one stretch of time.

    Attributes:
        start: where the stretch begins; with the model, the bucket's identity (R-C22).
        first: the earliest completion.
        last: the latest completion. The bucket counts until this leaves the window.
        succeeded: successful completions.
        failed: failed completions.
        latency_ns: summed latency of the successes that were timed.
        timed: how many they are.
        tokens: summed tokens.
        cost: summed known cost.
        priced: of how many completions the cost is known.
    """

    start: int
    first: int
    last: int
    succeeded: int = 0
    failed: int = 0
    latency_ns: int = 0
    timed: int = 0
    tokens: TokenBreakdown = field(default_factory=TokenBreakdown)
    cost: int = 0
    priced: int = 0

    def merged(self, other: "Bucket") -> "Bucket":
        """Both in one."""
        return Bucket(
            min(self.start, other.start),
            min(self.first, other.first),
            max(self.last, other.last),
            self.succeeded + other.succeeded,
            self.failed + other.failed,
            self.latency_ns + other.latency_ns,
            self.timed + other.timed,
            add_tokens((self.tokens, other.tokens)),
            self.cost + other.cost,
            self.priced + other.priced,
        )


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
            found = json.loads(data, parse_constant=_no_number)
            if not isinstance(found, dict):
                raise ValueError("not a JSON object")  # noqa: TRY004 - one kind of error for all of them
            if "schema_version" in found:
                return cls._from_ours(found)
            return cls._from_reference(found)
        except (KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError) as error:
            raise ValueError(f"not a telemetry summary: {error!r:.200}") from error

    @classmethod
    def _from_ours(cls, found: dict[str, Any]) -> Self:
        version = found["schema_version"]
        if isinstance(version, bool) or version != SCHEMA_VERSION:
            raise ValueError(
                f"schema version {version!r:.40} is not {SCHEMA_VERSION}; a newer release may have written it"
            )
        return cls(
            window=_seconds(found["window_secs"]),
            exported_at=_time(found["exported_at"]),
            models={model: tuple(_bucket(row) for row in rows) for model, rows in found["models"].items()},
            limits=tuple(limit_from_dict(limit) for limit in found["limits"]),
            streaks={key: Streak(_whole(n), _time(at)) for key, (n, at) in found["streaks"].items()},
        )

    @classmethod
    def _from_reference(cls, found: dict[str, Any]) -> Self:
        """The reference's format: aggregates over its whole window, which we take as one bucket per model."""
        rows = found["model_performances"]
        limits = (_inherited(row) for row in rows)
        return cls(
            window=_seconds(found["window_secs"]),
            exported_at=_time(found["exported_at"]),
            models={_text(row["model"]): _buckets_of_reference(row) for row in rows},
            inherited=tuple(limit for limit in limits if limit),
        )


def microseconds(at: datetime) -> int:
    """Since 1970, exact."""
    since = at - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def add_tokens(all_tokens: Iterable[TokenBreakdown]) -> TokenBreakdown:
    """The sum of what counts as tokens; a value that is no count counts as none (R-C6)."""
    rows = [(t.total, t.input, t.output, t.reasoning, t.cache_read, t.cache_write) for t in all_tokens]
    return TokenBreakdown(*(_add_counts(column) for column in zip(*rows, strict=True)))


def _add_counts(values: tuple[Any, ...]) -> int:
    try:
        total = sum(values)
        if type(total) is int and min(values) >= 0:
            return total
    except TypeError:
        pass
    return sum(_tokens(value) for value in values)


def _tokens(value: Any) -> int:
    if type(value) is int:
        return max(value, 0)
    try:
        return max(int(value), 0)
    except (TypeError, ValueError, OverflowError):
        return 0


def _row(b: Bucket) -> list[Any]:
    tokens = [getattr(b.tokens, name) for name in TOKEN_FIELDS]
    return [b.start, b.first, b.last, b.succeeded, b.failed, b.latency_ns, b.timed, tokens, b.cost, b.priced]


def _bucket(row: list[Any]) -> Bucket:
    start, first, last, succeeded, failed, latency_ns, timed, tokens, cost, priced = row
    if len(tokens) != len(TOKEN_FIELDS):
        raise ValueError(f"a bucket has {len(TOKEN_FIELDS)} kinds of tokens, not {len(tokens)}")
    return Bucket(
        _whole(start, _END_OF_TIME),
        _whole(first, _END_OF_TIME),
        _whole(last, _END_OF_TIME),
        _whole(succeeded, MOST),
        _whole(failed, MOST),
        _whole(latency_ns),
        _whole(timed, MOST),
        TokenBreakdown(*(_whole(n) for n in tokens)),
        _whole(cost),
        _whole(priced),
    )


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


def _whole(value: Any, most: int = _MOST) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError(f"not a count: {value!r:.40}")
    return value


def _seconds(value: Any) -> timedelta:
    if isinstance(value, bool) or value < 0:
        raise ValueError(f"not a number of seconds: {value!r:.40}")
    return timedelta(seconds=value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"not a text: {value!r:.40}")
    return value


def _time(value: Any) -> datetime:
    at = datetime.fromisoformat(_text(value))
    if at.tzinfo is None:
        raise ValueError(f"a time needs a zone: {value!r:.40}")
    return at.astimezone(UTC)


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")
