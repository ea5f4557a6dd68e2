"""Who set what of an object, as the API server remembers it in `metadata.managedFields`."""

from collections.abc import Mapping
from typing import Any

from droveway.core.redaction import one_line


def annotated_by(manifest: Mapping[str, Any], annotation: str) -> str:
    """Who set an annotation last, and when: `kubectl-annotate at 2026-11-21T12:00:00Z`; empty when that is not known.

    Args:
        manifest: the object, as the API server gives it.
        annotation: its whole name.
    """
    entries = (manifest.get("metadata") or {}).get("managedFields") or []
    owners = [
        (str(e.get("time") or ""), one_line(str(e.get("manager") or ""))) for e in entries if _owns(e, annotation)
    ]
    at, manager = max(owners, default=("", ""))
    return f"{manager} at {at}" if manager and at else manager


def _owns(entry: Mapping[str, Any], annotation: str) -> bool:
    fields = (entry.get("fieldsV1") or {}).get("f:metadata") or {}
    return f"f:{annotation}" in (fields.get("f:annotations") or {})
