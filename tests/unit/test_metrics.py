"""docs/metrics.md lists each metric of both processes once, and none besides."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

import droveway.controllers.operator  # noqa: F401 - registers what the process has
from droveway.gateway.metrics import GatewayMetrics

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()


def of_the_gateway() -> Any:
    """Its registry, as its exposition sees it."""
    exposed: Any = GatewayMetrics().expose
    return exposed.__self__.registry


def described(registry: Any) -> Iterator[str]:
    """A row of the table for every metric of ours."""
    for collector in registry._collector_to_names:
        for family in collector.describe() if hasattr(collector, "_labelnames") else ():
            if family.name.startswith(("droveway_", "gen_ai_")):
                name = family.name + ("_total" if family.type == "counter" else "")
                labels = ", ".join(f"`{label}`" for label in collector._labelnames)
                yield f"| `{name}` | {family.type} | {labels} | {family.documentation} |"


def listed(section: str) -> list[str]:
    """The rows of a section of the page."""
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `(?:droveway|gen_ai)_.*\|$", text, re.MULTILINE)


@pytest.mark.parametrize(("section", "registry"), [("Operator", REGISTRY), ("Gateway", of_the_gateway())])
def test_every_metric_is_listed_once(section: str, registry: Any) -> None:
    assert listed(section) == sorted(described(registry))


def test_every_metric_that_a_query_names_is_listed() -> None:
    known = {row.split("`")[1] for section in ("Operator", "Gateway") for row in listed(section)}
    queries = PAGE.partition("\n## What to watch\n")[2]
    asked = {re.sub("_(bucket|sum|count)$", "", name) for name in re.findall(r"\b(?:droveway|gen_ai)_\w+", queries)}
    assert len(asked) > 5
    assert asked <= known
