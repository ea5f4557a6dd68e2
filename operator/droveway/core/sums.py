"""Sums of completions, packed into one integer: adding two is one addition, and no garbage collector looks at it (R-T16).

From the low end: successes, failures, successes that were timed (48 bits each), nanoseconds of latency (all the rest). Only
what was added before is ever subtracted, so no field borrows from the next. Standard library only.
"""

Sums = int

_BITS = 48
_MASK = (1 << _BITS) - 1
MOST = 2**32
"""No single count may be larger, so that no sum of 2^16 of them overflows its field."""

NOTHING: Sums = 0
SUCCEEDED: Sums = 1
FAILED: Sums = 1 << _BITS
TIMED: Sums = 1 << 2 * _BITS
LATENCY_SHIFT = 3 * _BITS


def pack(succeeded: int, failed: int, timed: int, latency_ns: int) -> Sums:
    """The four as one."""
    return succeeded + failed * FAILED + timed * TIMED + (latency_ns << LATENCY_SHIFT)


def unpack(sums: Sums) -> tuple[int, int, int, int]:
    """Successes, failures, successes that were timed, nanoseconds of latency."""
    return sums & _MASK, sums >> _BITS & _MASK, sums >> 2 * _BITS & _MASK, sums >> LATENCY_SHIFT
