"""Debian's Prometheus and promtool, as `hack/prometheus` unpacks them; and the queries of our dashboards and alerts."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from helpers.operator_process import free_port, until

ROOT = Path(__file__).parents[2]
FILES = ROOT / "charts/droveway/files"
ALERTS = FILES / "alerts.yaml"
DASHBOARDS = sorted((FILES / "dashboards").glob("*.json"))
_CACHE = Path(os.environ.get("DROVEWAY_CACHE", Path.home() / ".cache/droveway")) / "prometheus/usr/bin"
_VARIABLES = {"$tenant": ".*", "$route": ".*", "$__rate_interval": "30s", "$__range": "1m"}


def tool(name: str) -> str:
    """`prometheus` or `promtool`; a test that needs one is skipped where there is none."""
    found = shutil.which(name, path=f"{_CACHE}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        pytest.skip(f"no {name} here: run hack/prometheus")
    return found


def promtool(*args: str, text: str = "") -> tuple[int, str]:
    done = subprocess.run(
        [tool("promtool"), *args], input=text, capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stdout + done.stderr


def panels(dashboard: Path) -> Iterator[tuple[str, str]]:
    """Title and query of every target, with values for the dashboard's variables."""
    for panel in json.loads(dashboard.read_text())["panels"]:
        for target in panel.get("targets", []):
            query = target["expr"]
            for variable, value in _VARIABLES.items():
                query = query.replace(variable, value)
            yield panel["title"], query


def alerts() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def named(query: str) -> set[str]:
    """The metrics of ours that a query names, as they are registered."""
    without_labels = re.sub(r"by \([^)]*\)|\{[^}]*\}", "", query)
    return {
        re.sub("_(bucket|sum|count)$", "", name) for name in re.findall(r"\b(?:droveway|gen_ai)_\w+", without_labels)
    }


class Prometheus:
    """One that scrapes."""

    def __init__(self, url: str) -> None:
        self._http = httpx2.Client(base_url=url, trust_env=False, timeout=10)

    def ask(self, query: str) -> list[dict[str, Any]]:
        """The samples that a query finds now.

        Raises:
            AssertionError: it is no query.
        """
        answer = self._http.get("/api/v1/query", params={"query": query}).json()
        assert answer["status"] == "success", (query, answer)
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def ready(self) -> bool:
        try:
            return self._http.get("/-/ready").status_code == 200
        except httpx2.TransportError:
            return False

    def scraped(self, count: int) -> None:
        """Waits until the target was scraped so often."""
        until(lambda: any(float(s["value"][1]) >= count for s in self.ask("count_over_time(up[5m])")), "no scrapes")

    def close(self) -> None:
        self._http.close()


@contextmanager
def scraping(folder: Path, target: str) -> Iterator[Prometheus]:
    """A Prometheus that scrapes `host:port` twice a second."""
    config, port = folder / "prometheus.yaml", free_port()
    config.write_text(
        yaml.safe_dump(
            {
                "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms"},
                "rule_files": [str(ALERTS)],
                "scrape_configs": [{"job_name": "droveway", "static_configs": [{"targets": [target]}]}],
            }
        )
    )
    args = [
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen([tool("prometheus"), *args], stdout=log, stderr=log)
    found = Prometheus(f"http://127.0.0.1:{port}")
    try:
        until(found.ready, f"Prometheus did not start: {folder / 'prometheus.log'}")
        yield found
    finally:
        found.close()
        process.terminate()
        process.wait(10)
