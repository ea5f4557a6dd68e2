"""A provider's own words for a spent quota, as `spec.limits.signatures` gives them. Standard library only.

Gateways hold them against the bodies of refusals, sidecars of Direct providers against what a failed CLI printed (R-L1).
"""

import re
from collections.abc import Callable, Iterable
from typing import Protocol

from droveway.api.enums import EndClass
from droveway.core.verdict import Scope, Verdict

SEARCHED = 4096
"""So many characters of a text are looked through."""


class Pattern(Protocol):
    """A compiled pattern of either engine."""

    def search(self, text: str, /) -> object | None:
        """Where it matches; None: nowhere."""


Signatures = tuple[Pattern, ...]
_UNEXPLAINED = frozenset({EndClass.REQUEST_REJECTED, EndClass.AGENT_FAILED})


def python_pattern(text: str) -> Pattern:
    """Compiles with Python's own engine, which backtracks: a pattern can hold up the process that searches with it."""
    return re.compile(text, re.IGNORECASE)


def compiled(texts: Iterable[str], engine: Callable[[str], Pattern] = python_pattern) -> Signatures:
    """The patterns, whatever the case of their letters.

    Args:
        texts: of the manifest.
        engine: compiles one; raises `re.error`.

    Raises:
        ValueError: one is none in Python, though admission (RE2) took it; the message says which.
    """
    return tuple(_compiled(number, text, engine) for number, text in enumerate(texts))


def _compiled(number: int, text: str, engine: Callable[[str], Pattern]) -> Pattern:
    try:
        return engine(text)
    except re.error as error:
        raise ValueError(
            f"spec.limits.signatures[{number}] is not a regular expression: {error}; correct it"
        ) from error


def spent_by(signatures: Signatures, kind: EndClass, text: str) -> Verdict | None:
    """The limit that a failure is by the provider's own words; None: it is what it was taken for.

    A status, a code or a structured field that tells a limit, an outage or a refused key beats a text (R-L2, R-C38).

    Args:
        signatures: of the provider.
        kind: what the failure was taken for.
        text: what was said about it; the first `SEARCHED` characters count.
    """
    if kind not in _UNEXPLAINED or not any(signature.search(text[:SEARCHED]) for signature in signatures):
        return None
    return Verdict(EndClass.SUBSCRIPTION_LIMIT, None, Scope.QUOTA_GROUP, "matches spec.limits.signatures")
