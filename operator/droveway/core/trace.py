"""Which trace a request belongs to: W3C trace context, and the ids of a run's trace, which follow from its uid.

Operator and gateways find the same ids without telling each other, before and after a restart.
"""

import re
from hashlib import sha256
from typing import NamedTuple

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 1


class Trace(NamedTuple):
    """A place in a trace.

    Attributes:
        trace_id: 32 hexadecimal digits.
        span_id: 16 hexadecimal digits: what is done here is part of that.
        sampled: whether it is recorded; None: nobody has decided yet.
    """

    trace_id: str
    span_id: str
    sampled: bool | None = None


def run_trace(uid: str) -> Trace:
    """The root of a run's trace. The id is a hash: the fixed bits of a uid would spoil sampling by its digits."""
    return Trace(_digits("trace", uid)[:32], _digits("run", uid)[:16])


def attempt_trace(uid: str, attempt: int) -> Trace:
    """One attempt of a run, in the run's trace."""
    return Trace(_digits("trace", uid)[:32], _digits(f"attempt {attempt}", uid)[:16])


def read_traceparent(text: str) -> Trace | None:
    """The place that a caller names; None: that is no `traceparent`, and a new trace has to begin."""
    found = _TRACEPARENT.fullmatch(text)
    if found is None or (text.startswith("00") and found[4]):
        return None
    return Trace(found[1], found[2], bool(int(found[3], 16) & _SAMPLED))


def traceparent(trace: Trace) -> str:
    """The header for whoever is asked next."""
    return f"00-{trace.trace_id}-{trace.span_id}-{1 if trace.sampled else 0:02x}"


def _digits(what: str, uid: str) -> str:
    return sha256(f"droveway {what} {uid}".encode()).hexdigest()
