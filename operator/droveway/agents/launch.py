"""What a launch is made of; it lives in `core`, where the pod is built from it."""

from droveway.core.launch import Launch, LaunchRequest

__all__ = ["Launch", "LaunchRequest"]
