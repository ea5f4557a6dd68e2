"""Dashboards and alerts against a real Prometheus: every query is one, names what there is, and finds data."""

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from helpers.gateway import mock_provider, provider
from helpers.gateway_process import GatewayProcess, gateway_process
from helpers.prometheus import ALERTS, DASHBOARDS, Prometheus, alerts, panels, promtool, scraping

pytestmark = pytest.mark.integration
GATEWAY, FLEET = (next(d for d in DASHBOARDS if d.stem == name) for name in ("gateway", "fleet"))
ONE_OF_EACH = """
from prometheus_client import REGISTRY, Counter, Gauge, Histogram, generate_latest
import droveway.controllers.operator
for metric in list(REGISTRY._collector_to_names):
    if isinstance(metric, Counter | Gauge | Histogram):
        child = metric.labels(*(f"a {name}" for name in metric._labelnames)) if metric._labelnames else metric
        child.observe(1) if isinstance(metric, Histogram) else child.inc()
print(generate_latest(REGISTRY).decode())
"""
PERSISTENT = {
    "retry": {"sameCandidate": 1, "backoffMilliseconds": 10},
    "hedge": {"afterMilliseconds": 100, "maxPercent": 100},
}


def test_promtool_has_nothing_to_say_about_the_alerts() -> None:
    code, said = promtool("check", "rules", "--lint=all", "--lint-fatal", str(ALERTS))
    assert code == 0, said
    assert f"{len(alerts())} rules found" in said


def test_an_alert_is_raised_when_it_should_be_and_not_before() -> None:
    code, said = promtool("test", "rules", str(Path(__file__).parents[1] / "fixtures/alerts.yaml"))
    assert code == 0, said


def test_s2_32_promtool_has_nothing_to_say_about_the_operators_metrics() -> None:
    code, said = promtool("check", "metrics", text=the_operators())
    assert (code, said) == (0, "")


async def test_every_panel_of_the_gateways_dashboard_shows_data(tmp_path: Path) -> None:
    """Traffic with everything in it that a panel shows; the queries are asked as Grafana would."""
    async with mock_provider() as mock:
        team = (
            provider("limited", f"{mock}/s/rate_limit,retry_after=600", maxInFlight=4),
            provider("slow", f"{mock}/s/slow,delay=1"),
            provider("good", mock),
            provider("flaky", f"{mock}/s/overloaded"),
            a_route("main", "limited", "flaky", "slow", "good", **PERSISTENT),
        )
        async with gateway_process(tmp_path, *team) as gateway:
            with scraping(tmp_path, gateway.url.removeprefix("http://")) as prometheus:
                await traffic(gateway)
                await asyncio.to_thread(prometheus.scraped, 3)
                await traffic(gateway)
                await asyncio.sleep(1.5)
                without = await asyncio.to_thread(without_data, prometheus, GATEWAY)
                assert not without
                firing = {alert["alert"]: prometheus.ask(alert["expr"]) for alert in alerts()}
                assert not firing["DrovewayRouteWithoutCandidate"]
            code, said = promtool("check", "metrics", text=await gateway.exposition())
            assert (code, said) == (0, ""), "S2-32"


def test_every_panel_of_the_fleets_dashboard_finds_the_operators_metrics(tmp_path: Path) -> None:
    with serving(the_operators()) as address, scraping(tmp_path, address) as prometheus:
        prometheus.scraped(3)
        assert not without_data(prometheus, FLEET)


def without_data(prometheus: Prometheus, dashboard: Path) -> list[tuple[str, str]]:
    return [(title, query) for title, query in panels(dashboard) if not prometheus.ask(query)]


def a_route(name: str, *candidates: str, **spec: Any) -> dict[str, Any]:
    """Candidates with a priced model; that of `good` has no price."""
    lines = [
        {"name": c, "providerRef": {"name": c}, "model": "nobody-knows" if c == "good" else "claude-sonnet-4-5"}
        for c in candidates
    ]
    return {"kind": "ModelRoute", "metadata": {"name": name}, "spec": {"candidates": lines, **spec}}


async def traffic(gateway: GatewayProcess) -> None:
    words = [{"role": "user", "content": "hello"}]
    for _ in range(3):
        await gateway.ask(stream=True, max_tokens=9, messages=words)
    for _ in range(2):
        await gateway.ask(max_tokens=9, messages=words, headers={"x-droveway-cache": "on"})
    await gateway.ask(headers={"x-api-key": "nobody"})
    with_key = {"x-api-key": gateway.key, "content-type": "application/json"}
    calls = {"mode": "all", "messages": words, "calls": [{"candidate": "slow"}, {"candidate": "good"}]}
    async with gateway.agent.post(f"{gateway.url}/fanout", data=json.dumps(calls), headers=with_key) as answer:
        assert answer.status == 200, await answer.text()
    body = json.dumps({"model": "m", "stream": True, "max_tokens": 9, "messages": words})
    leaving = aiohttp.ClientTimeout(total=0.3)
    for _ in range(2):
        try:
            async with gateway.agent.post(
                f"{gateway.url}/v1/messages", data=body, headers=with_key, timeout=leaving
            ) as late:
                await late.read()
        except TimeoutError:
            continue


def the_operators() -> str:
    """One sample of each of its metrics, with a value for each label."""
    return subprocess.run([sys.executable, "-c", ONE_OF_EACH], capture_output=True, text=True, check=True).stdout


@contextmanager
def serving(text: str) -> Iterator[str]:
    """A page of metrics: its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
            """Prints nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
