"""Rolling telemetry of model completions. Standard library only."""

from droveway.core.completion import CompletionEvent, TokenBreakdown

__all__ = ["CompletionEvent", "TokenBreakdown"]
