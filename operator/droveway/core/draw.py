"""Who belongs to a share of many: the same for the same keys, in every process. Standard library only."""

import hashlib


def drawn(percent: int, *keys: str) -> bool:
    """Whether what these keys name is within so many percent of all; what is within a share is within every larger one."""
    if not 0 < percent < 100:
        return percent >= 100
    digest = hashlib.sha256("\0".join(keys).encode()).digest()
    return int.from_bytes(digest[:8], "big") < percent * 2**64 // 100
