"""Models that share a quota of their own beside the account's: a subscription counts all of Opus in one window.

Standard library only.
"""

import re

FAMILIES = ("opus", "sonnet", "haiku", "fable")

_NAMED = re.compile(rf"(?<![a-z])(?:{'|'.join(FAMILIES)})(?![a-z])")


def family(model: str) -> str:
    """The family that a model counts in, `opus` for `claude-opus-4-5`; its own name when it has none."""
    found = _NAMED.search(model.lower())
    return found[0] if found else model
