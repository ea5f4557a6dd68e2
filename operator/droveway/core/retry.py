"""How long to pause before the next attempt."""

import hashlib
from datetime import timedelta

_LONGEST = timedelta(minutes=10)
REROUTE_PAUSE = timedelta(seconds=5)
"""Least distance between two attempts after a limit or an outage."""


def backoff(failures: int, base_seconds: int, seed: str) -> timedelta:
    """Exponential pause with jitter.

    Args:
        failures: failed attempts so far, from 1.
        base_seconds: `retry.backoffSeconds`.
        seed: identity of the attempt; the jitter is a function of it, so that every pass computes the same moment.

    Returns:
        `base · 2^(failures − 1)`, at most ten minutes, times a factor in [0.5, 1.5).
    """
    full = min(timedelta(seconds=base_seconds * 2.0 ** min(failures - 1, 16)), _LONGEST)
    dice = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:4], "big") / 2**32
    return full * (0.5 + dice)
