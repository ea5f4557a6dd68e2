"""What gateways and sidecars tell, in one line each; routes and providers to tell it of."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from droveway.api.enums import EndClass
from droveway.api.names import API_VERSION
from droveway.api.v1alpha1 import ModelProvider, ModelRoute
from droveway.core.completion import TokenBreakdown
from droveway.core.events import Batch, Record, RecordKind
from droveway.core.verdict import Scope, Verdict

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
UID = "5a1c0de0-0000-4000-8000-000000000001"
GATEWAY = "0f" * 16
SIDECAR = f"{UID}-1"
USED = TokenBreakdown(total=100, input=70, output=30)


def after(seconds: float) -> datetime:
    """A moment counted from noon."""
    return NOON + timedelta(seconds=seconds)


def verdict(kind: EndClass, until: datetime | None = None, reason: str = "said so", **changes: Any) -> Verdict:
    return Verdict(kind, until, changes.get("scope", Scope.QUOTA_GROUP), reason)


def completion(number: int, at: float = 0, **changes: Any) -> Record:
    """A call that ended well, on candidate a of the gateway."""
    what: dict[str, Any] = {
        "at": after(at),
        "run": "fix-login",
        "run_uid": UID,
        "attempt": 1,
        "candidate": "a",
        "provider": "anthropic",
        "model": "sonnet",
        "started_at": after(at - 1),
        "latency_ms": 1000.0,
        "tokens": USED,
        "cost_usd": 0.01,
    }
    return Record(number, RecordKind.COMPLETION, **{**what, **changes})


def failure(number: int, at: float, why: Verdict, **changes: Any) -> Record:
    """A call that ended badly."""
    nothing = {"tokens": TokenBreakdown(), "cost_usd": None}
    return completion(number, at, **{"success": False, "verdict": why, "error": why.reason, **nothing, **changes})


def outage(number: int, at: float = 0, **changes: Any) -> Record:
    return failure(number, at, verdict(EndClass.PROVIDER_OUTAGE, reason="529"), **changes)


def report(number: int, at: float = 0, **changes: Any) -> Record:
    """What the sidecar of the Direct candidate says."""
    what: dict[str, Any] = {
        "at": after(at),
        "run": "fix-login",
        "run_uid": UID,
        "attempt": 1,
        "candidate": "own",
        "provider": "login",
        "model": "opus",
        "session_id": "s-1",
    }
    return Record(number, RecordKind.REPORT, **{**what, **changes})


def direct(number: int, at: float = 0, **changes: Any) -> Record:
    """A call of the Direct candidate, as its sidecar tells it."""
    what = {"candidate": "own", "provider": "login", "model": "opus", "session_id": "s-1"}
    return completion(number, at, **{**what, **changes})


def batch(*records: Record, source: str = GATEWAY, namespace: str = "team", route: str = "coding") -> Batch:
    return Batch(source, namespace, route, records)


def a_provider(name: str, *, status: Mapping[str, Any] | None = None, **spec: Any) -> ModelProvider:
    return ModelProvider.model_validate(provider_manifest(name, status=status, **spec))


def provider_manifest(name: str, *, status: Mapping[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    what = {
        "dialect": "Anthropic",
        "baseURL": "https://api.example",
        "credentialsRef": {"name": "key", "key": "apiKey"},
    }
    if spec.get("access") == "Direct":
        what.pop("baseURL")
    meta = {"name": name, "namespace": "team", "uid": f"uid-{name}", "generation": 1, "resourceVersion": "1"}
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelProvider",
        "metadata": meta,
        "spec": {**what, **spec},
        "status": dict(status or {}),
    }


def a_route(**changes: Any) -> ModelRoute:
    return ModelRoute.model_validate(route_manifest(**changes))


def route_manifest(*, status: Mapping[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """Candidates a and b behind the gateway, `own` beside it."""
    lines = [("a", "anthropic", "sonnet"), ("b", "openai", "gpt"), ("own", "login", "opus")]
    candidates = [{"name": n, "providerRef": {"name": p}, "model": m} for n, p, m in lines]
    meta = {"name": "coding", "namespace": "team", "uid": "uid-coding", "generation": 1, "resourceVersion": "1"}
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelRoute",
        "metadata": meta,
        "spec": {"candidates": candidates, **spec},
        "status": dict(status or {}),
    }


def providers() -> dict[str, ModelProvider]:
    return {
        p.metadata.name: p
        for p in (
            a_provider("anthropic"),
            a_provider("openai", dialect="OpenAIChat"),
            a_provider("login", access="Direct"),
        )
    }
