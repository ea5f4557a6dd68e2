"""Completions and stores of them, for tests of telemetry."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from droveway.core.telemetry import CompletionEvent, TelemetryStore, TelemetrySummary

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
MICRO = timedelta(microseconds=1)
MODEL = "zai/glm"


def done(at: datetime = NOW, model: str = MODEL, **more: Any) -> CompletionEvent:
    """A completion that went well."""
    return CompletionEvent(**{"model": model, "session_id": "s", "completed_at": at, "success": True, **more})


def failed(error: str | None, at: datetime = NOW, model: str = MODEL, **more: Any) -> CompletionEvent:
    """A completion that did not."""
    return done(at, model, success=False, error=error, **more)


def store_with(*events: CompletionEvent, window: timedelta = HOUR, now: datetime = NOW, **more: Any) -> TelemetryStore:
    """A store that has taken these in."""
    store = TelemetryStore(window, **more)
    store.record_batch(events, now)
    return store


def reborn(store: TelemetryStore, now: datetime, window: timedelta = HOUR) -> TelemetryStore:
    """The store after a restart."""
    again = TelemetryStore(window)
    again.import_summary(TelemetrySummary.from_json(store.export_summary(now).to_json()), now)
    return again


def reference_summary(**changes: Any) -> TelemetrySummary:
    """What the reference would have written."""
    times = {k: v.isoformat() if isinstance(v, datetime) else v for k, v in changes.items()}
    exported_at = times.pop("exported_at", NOW.isoformat())
    row = {
        "model": MODEL,
        "successful_completions": 5,
        "failed_completions": 1,
        "window_secs": 3600,
        "throughput": 0.0014,
        "avg_latency_ms": 120.5,
        "success_rate": 0.83,
        "last_event_at": NOW.isoformat(),
        "subscription_limit_reached": False,
        "subscription_limit_expires_at": None,
        **times,
    }
    whole = {
        "id": "telemetry_summary",
        "model_performances": [row],
        "window_secs": 3600,
        "exported_at": exported_at,
    }
    return TelemetrySummary.from_json(json.dumps(whole).encode())
