"""An attempt as its sidecar sees it: environment, folders, and what an agent prints."""

import json
from datetime import UTC, datetime
from pathlib import Path

from droveway.core.completion import TokenBreakdown
from droveway.core.events import Record, RecordKind
from droveway.sidecar.settings import Paths

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)

ENV = {
    "DROVEWAY_NAMESPACE": "team-a",
    "DROVEWAY_ROUTE": "coding",
    "DROVEWAY_RUN": "fix-it",
    "DROVEWAY_RUN_UID": "uid-1",
    "DROVEWAY_ATTEMPT": "2",
    "DROVEWAY_CANDIDATE": "sonnet",
    "DROVEWAY_PROVIDER": "anthropic",
    "DROVEWAY_MODEL": "claude-sonnet-4-5",
    "DROVEWAY_CLI": "opencode",
    "DROVEWAY_ACCESS": "Direct",
    "DROVEWAY_STALL_SECONDS": "60",
    "DROVEWAY_OPERATOR_URL": "http://127.0.0.1:9",
}


def paths_in(root: Path) -> Paths:
    """The folders of a pod, made below `root`."""
    for name in ("bin", "run", "stream", "sidecar", "home", "namespace-key"):
        (root / name).mkdir(exist_ok=True)
    (root / "termination-log").touch()
    return Paths.from_env(folders(root))


def folders(root: Path) -> dict[str, str]:
    """The variables that put a pod's folders below `root`."""
    names = ("bin", "run", "stream", "sidecar", "home", "namespace-key")
    env = {f"DROVEWAY_{name.upper().replace('-', '_')}_DIR": str(root / name) for name in names}
    return env | {"DROVEWAY_TERMINATION_LOG": str(root / "termination-log")}


def record(identity: str = "", **changes: object) -> Record:
    """A completion, if it has an id, else a report."""
    kind = RecordKind.COMPLETION if identity else RecordKind.REPORT
    fields: dict[str, object] = {"number": 0, "kind": kind, "at": NOON, "run": "fix-it", "run_uid": "uid-1"}
    return Record(**(fields | {"attempt": 2, "id": identity or None} | changes))  # type: ignore[arg-type]


def step(tokens: int, *, reason: str = "tool-calls") -> str:
    """One model call as opencode prints it; each costs a cent, and no two are alike if their tokens are not."""
    part = {"reason": reason, "tokens": {"input": tokens}, "cost": 0.01}
    return json.dumps({"type": "step_finish", "sessionID": "session-1", "part": part})


def said(text: str) -> str:
    """The agent's words."""
    return json.dumps({"type": "text", "sessionID": "session-1", "part": {"messageID": "m", "text": text}})


def limit(seconds: int = 9000) -> str:
    """The provider's subscription is spent."""
    data = {"message": "usage limit", "statusCode": 429, "responseHeaders": {"retry-after": str(seconds)}}
    data["responseBody"] = json.dumps({"error": {"type": "usage_limit_reached"}})
    return json.dumps({"type": "error", "sessionID": "session-1", "error": {"name": "APIError", "data": data}})


def spent(total: int) -> TokenBreakdown:
    """The tokens of steps that used so many."""
    return TokenBreakdown(total=total, input=total)
