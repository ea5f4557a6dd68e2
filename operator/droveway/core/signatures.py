"""A provider's own words for a spent quota, as `spec.limits.signatures` gives them. Standard library only.

Gateways hold them against the bodies of refusals, sidecars of Direct providers against what a failed CLI printed (R-L1).
"""

import re
from collections.abc import Iterable

from droveway.api.enums import EndClass
from droveway.core.verdict import Scope, Verdict

SEARCHED = 4096
"""So many characters of a text are looked through."""

Signatures = tuple[re.Pattern[str], ...]
_UNEXPLAINED = frozenset({EndClass.REQUEST_REJECTED, EndClass.AGENT_FAILED})


def compiled(texts: Iterable[str]) -> Signatures:
    """The patterns, whatever the case of their letters.

    Raises:
        ValueError: one is none in Python, though admission (RE2) took it; the message says which.
    """
    return tuple(_compiled(number, text) for number, text in enumerate(texts))


def _compiled(number: int, text: str) -> re.Pattern[str]:
    try:
        return re.compile(text, re.IGNORECASE)
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
