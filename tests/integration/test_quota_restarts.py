"""A day's quota over restarts: operator and gateway as processes, a real API server, and the record between them."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from droveway.api.enums import QuotaWindow
from droveway.core.keys import RunIdentity, namespace_key, run_key
from droveway.core.windows import end_of
from helpers.control_plane import ROOT, Api, ControlPlane, Json, control_plane
from helpers.fleet import SECRET, Fleet, agent
from helpers.gateway import asgi, respond
from helpers.manifests import PROVIDER, QUOTA, ROUTE, changed
from helpers.operator_process import MASTER, OperatorProcess, free_port, operating, until

pytestmark = pytest.mark.integration


class Costly:
    """A provider whose every answer uses 100 tokens."""

    def __init__(self) -> None:
        self.calls = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        more = True
        while more:
            more = (await receive())["more_body"]
        self.calls += 1
        await respond(send, 200, json.dumps({"usage": {"input_tokens": 60, "output_tokens": 40}}).encode())


class GatewayOfCluster:
    """`droveway gateway` as a process that watches one namespace."""

    def __init__(self, plane: ControlPlane, fleet: Fleet, operator: OperatorProcess, folder: Path, token: str) -> None:
        self._log, self.port = folder / "gateway.log", free_port()
        (folder / "token").write_text(token)
        (folder / "master").write_text(MASTER)
        self._env = os.environ | {
            "KUBECONFIG": str(plane.kubeconfig),
            "DROVEWAY_NAMESPACES": json.dumps([fleet.namespace]),
            "DROVEWAY_MASTER_KEY_FILE": str(folder / "master"),
            "DROVEWAY_TOKEN_FILE": str(folder / "token"),
            "DROVEWAY_OPERATOR_URL": f"http://127.0.0.1:{operator.port}",
            "DROVEWAY_HOST": "127.0.0.1",
            "DROVEWAY_PORT": str(self.port),
        }

    @contextmanager
    def running(self) -> Iterator[None]:
        """Until it is killed, with what it had not told."""
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "droveway", "gateway"], env=self._env, stdout=log, stderr=log
            )
        try:
            yield
        finally:
            process.kill()
            process.wait()


def used(fleet: Fleet) -> int:
    """Tokens of the day, by the status of the quota."""
    body = fleet.api.call("GET", fleet.path("tenantquotas", "/apis/droveway.dev/v1alpha1", "team")).body
    rows: list[Json] = (body.get("status") or {}).get("used") or []
    return next((row.get("tokens", 0) for row in rows if row["window"] == "Day"), 0)


def token_of_the_gateway(fleet: Fleet) -> str:
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "droveway-gateway"}}
    fleet.add(account)
    path = fleet.path("serviceaccounts", name="droveway-gateway") + "/token"
    answer = fleet.api.call(
        "POST", path, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    )
    return str(answer.body["status"]["token"])


async def ask(port: int, key: str) -> tuple[int, dict[str, str]]:
    body = json.dumps({"model": "m", "messages": [], "max_tokens": 40})
    async with (
        aiohttp.ClientSession(trust_env=False) as agent_,
        agent_.post(f"http://127.0.0.1:{port}/v1/messages", data=body, headers={"x-api-key": key}) as answer,
    ):
        await answer.read()
        return answer.status, {name.lower(): value for name, value in answer.headers.items()}


async def served(port: int, key: str, times: int) -> list[int]:
    """So many answers, from the first that is one."""
    async with asyncio.timeout(30):
        while True:
            try:
                first, _ = await ask(port, key)
            except aiohttp.ClientError:
                first = 0
            if first in (200, 429):
                return [first, *[(await ask(port, key))[0] for _ in range(times - 1)]]
            await asyncio.sleep(0.1)


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    with control_plane() as found:
        yield found


async def test_a_day_goes_on_when_operator_and_gateway_are_killed_and_its_runs_wait(
    plane: ControlPlane, tmp_path: Path
) -> None:
    upstream = Costly()
    async with asgi(upstream) as url:
        with plane.api() as api, api.namespace("quota") as name:
            await asyncio.to_thread(_install, api)
            fleet = Fleet(api, name)
            await asyncio.to_thread(lambda: until(lambda: _account_is_there(fleet)))
            fleet.add(SECRET, agent("endless", seconds=600), changed(PROVIDER, {"spec.baseURL": url}), ROUTE)
            fleet.add(changed(QUOTA, {"spec.perDay.maxTokens": 500}))
            fleet.run("first", "endless")
            token = token_of_the_gateway(fleet)
            identity = RunIdentity(fleet.get("first")["metadata"]["uid"], 1)
            key = run_key(namespace_key(MASTER.encode(), name), identity)

            with operating(plane.kubeconfig, name, tmp_path) as operator:
                gateway = GatewayOfCluster(plane, fleet, operator, tmp_path, token)
                with gateway.running():
                    assert await served(gateway.port, key, 3) == [200] * 3
                    await asyncio.to_thread(lambda: until(lambda: used(fleet) == 300))
                operator.kill()
            with operating(plane.kubeconfig, name, tmp_path) as operator:
                gateway = GatewayOfCluster(plane, fleet, operator, tmp_path, token)
                with gateway.running():
                    assert await served(gateway.port, key, 2) == [200] * 2
                    status, headers = await ask(gateway.port, key)
                    midnight = end_of(QuotaWindow.DAY, datetime.now(UTC))
                    assert status == 429
                    assert abs(int(headers["retry-after"]) - (midnight - datetime.now(UTC)).total_seconds()) < 5
                    assert upstream.calls == 5
                    await asyncio.to_thread(lambda: until(lambda: used(fleet) == 500))
                fleet.run("second", "endless")
                await asyncio.to_thread(fleet.await_reason, "second", "QuotaExceeded")
                assert fleet.pods("second") == []
                said = fleet.status("second")
                assert said["nextEligibleTime"] == f"{midnight:%Y-%m-%dT%H:%M:%SZ}"


def _install(api: Api) -> None:
    api.install([yaml.safe_load(file.read_text()) for file in sorted((ROOT / "crds").glob("*.yaml"))])


def _account_is_there(fleet: Fleet) -> bool:
    return fleet.api.call("GET", fleet.path("serviceaccounts", name="default")).code == 200
