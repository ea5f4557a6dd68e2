"""Kubernetes Events: one per thing that happened, a repeat only counts up."""

import hashlib
import logging
from datetime import UTC, datetime
from typing import Any

from droveway.api import names
from droveway.api.errors import DrovewayError
from droveway.cluster.client import Cluster
from droveway.cluster.objects import EVENTS
from droveway.core.notes import Note

log = logging.getLogger(__name__)
_NOTE_LENGTH = 1024  # the API's own bound


async def record(cluster: Cluster, kind: str, metadata: dict[str, Any], note: Note, now: datetime) -> None:
    """Writes the Event. Events are best effort: a failure is logged and forgotten."""
    at = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    what = hashlib.sha256(f"{metadata['uid']}{note.reason}{note.message}{at}".encode()).hexdigest()[:16]
    namespace = metadata.get("namespace") or "default"
    manifest = {
        "apiVersion": EVENTS.api_version,
        "kind": "Event",
        "metadata": {"name": f"{metadata['name'][:200]}.{what}", "namespace": namespace},
        "eventTime": at,
        "reportingController": f"{names.GROUP}/operator",
        "reportingInstance": "droveway",
        "action": note.reason,
        "reason": note.reason,
        "note": note.message[:_NOTE_LENGTH],
        "type": "Warning" if note.warning else "Normal",
        "regarding": {
            "apiVersion": names.API_VERSION,
            "kind": kind,
            "name": metadata["name"],
            "namespace": namespace,
            "uid": metadata["uid"],
            "resourceVersion": metadata.get("resourceVersion", ""),
        },
    }
    try:
        await cluster.create(EVENTS, manifest)
    except DrovewayError as error:
        log.warning("event %s on %s/%s was not written: %s", note.reason, namespace, metadata["name"], error)
