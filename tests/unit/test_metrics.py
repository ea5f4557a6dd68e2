"""docs/metrics.md lists each metric of both processes once, and none besides."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

import droveway.controllers.operator  # noqa: F401 - registers what the process has
from droveway.gateway.metrics import GatewayMetrics
from helpers.prometheus import DASHBOARDS, alerts, named, panels

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


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda found: found.stem)
def test_every_metric_of_a_dashboard_is_listed_and_its_panels_do_not_overlap(dashboard: Path) -> None:
    known = {row.split("`")[1] for section in ("Operator", "Gateway") for row in listed(section)}
    asked = [named(query) for _, query in panels(dashboard)]
    assert len(asked) > 15
    assert all(asked), "every query names a metric of ours"
    assert set().union(*asked) <= known
    places = [tuple(panel["gridPos"].values()) for panel in json.loads(dashboard.read_text())["panels"]]
    assert len(places) == len(set(places))


def test_every_metric_of_an_alert_is_listed_and_each_says_what_to_do() -> None:
    known = {row.split("`")[1] for section in ("Operator", "Gateway") for row in listed(section)}
    for alert in alerts():
        assert named(alert["expr"]), alert["alert"]
        assert named(alert["expr"]) <= known
        assert alert["labels"]["severity"] in ("info", "warning")
        assert alert["annotations"]["summary"]
        assert alert["annotations"]["description"]
        assert f"`{alert['alert']}`" in PAGE
