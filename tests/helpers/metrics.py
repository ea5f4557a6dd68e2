"""What the operator's metrics say in this process."""

from prometheus_client import REGISTRY


def samples(name: str, **labels: str) -> dict[tuple[str, ...], float]:
    """The values of a metric's samples that have these labels, by their other labels' values."""
    return {
        tuple(value for key, value in s.labels.items() if key not in labels): s.value
        for family in REGISTRY.collect()
        for s in family.samples
        if s.name == name and labels.items() <= s.labels.items()
    }


def total(name: str, **labels: str) -> float:
    """The sum of the samples that have these labels."""
    return sum(samples(name, **labels).values())
