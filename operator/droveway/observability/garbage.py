"""Python's search for reference cycles, made rare."""

import gc

_ALLOCATIONS = 20_000  # between two looks at the youngest objects; Python's own choice is 700


def collect_seldom() -> None:
    """For a long-lived process, once it is loaded: nearly all that it allocates is freed by reference counts.

    What is loaded by now is never looked at again.
    """
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS, 20, 10)
