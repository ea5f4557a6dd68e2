"""How long the pause before the next attempt is."""

from datetime import timedelta

import pytest

from droveway.core.retry import backoff

# SHA-256 of "five" begins with 0x222b0bd5, of "two" with 0x3fc4ccfe.
FIVE = 0.5 + 0x222B0BD5 / 2**32
TWO = 0.5 + 0x3FC4CCFE / 2**32


@pytest.mark.parametrize(
    ("failures", "base", "seconds"),
    [
        pytest.param(1, 10, 10, id="the base at first"),
        pytest.param(2, 10, 20, id="twice as long"),
        pytest.param(4, 10, 80, id="and again, and again"),
        pytest.param(7, 10, 600, id="ten minutes at most"),
        pytest.param(7, 9, 576, id="just below"),
        pytest.param(10_000, 1, 600, id="however often it failed"),
        pytest.param(3, 0, 0, id="none wanted"),
    ],
)
@pytest.mark.parametrize(("seed", "factor"), [("five", FIVE), ("two", TWO)])
def test_it_doubles_with_a_jitter_of_half_that_the_seed_alone_decides(
    failures: int, base: int, seconds: int, seed: str, factor: float
) -> None:
    assert backoff(failures, base, seed) == timedelta(seconds=seconds) * factor
