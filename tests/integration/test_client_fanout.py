"""The Python client, in process and through the gateway: one suite, the same answers, the same trace."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from droveway.api.enums import Dialect
from droveway.api.errors import UserMustAct
from droveway.api.fanout import CallStatus, FanoutRequest
from droveway.api.fanoutanswer import FanoutResponse
from droveway.client import ClientSettings, DialectClient, GatewayFanout, LocalFanout, Refused, connect
from helpers.fanout import QUESTION, Team, team
from helpers.gateway import until

pytestmark = pytest.mark.integration
Client = GatewayFanout | LocalFanout


@asynccontextmanager
async def client(way: str, t: Team) -> AsyncIterator[Client]:
    """The same team behind either way: its providers are vendors here, its candidates have the same names."""
    if way == "gateway":
        async with GatewayFanout(t.running.url, t.running.key) as found:
            yield found
        return
    http = httpx2.AsyncClient(trust_env=False)
    gateway = t.running.gateway.config.snapshot
    providers = {
        key.name: DialectClient(Dialect.OPENAI_CHAT, p.base_url, f"key-of-{key.name}", http=http)
        for key, p in gateway.providers.items()
    }
    async with LocalFanout(providers, {name: f"{name}/model-{name}" for name in t.speakers}) as local:
        yield local


def request(*names: str, **more: Any) -> FanoutRequest:
    calls = [{"id": name, "candidate": name} for name in names]
    return FanoutRequest.model_validate({"messages": QUESTION, "calls": calls, **more})


BOTH = pytest.mark.parametrize("way", ["gateway", "local"])


@BOTH
async def test_an_error_among_answers(tmp_path: Path, way: str) -> None:
    async with team(tmp_path, a="one", b="two", c="three") as t, client(way, t) as c:
        t["b"].status, t["b"].error = 400, {"message": "bad prompt", "type": "invalid_request_error"}
        found = await c.fanout(request("a", "b", "c"))
        assert [(r.id, r.status, r.text) for r in found.results] == [
            ("a", CallStatus.OK, "one "),
            ("b", CallStatus.ERROR, None),
            ("c", CallStatus.OK, "three "),
        ]
        assert found.results[1].error is not None
        assert found.results[1].error.code == "RequestRejected"


@BOTH
async def test_the_first_answer_ends_the_others(tmp_path: Path, way: str) -> None:
    async with team(tmp_path, slow="too late", fast="at once") as t, client(way, t) as c:
        t["slow"].go.clear()
        found = await c.fanout(request("slow", "fast", mode="first"))
        assert found.answer is not None
        assert found.answer.call == "fast"
        await asyncio.wait_for(t["slow"].seen[0].gone.wait(), 1)


@BOTH
async def test_events(tmp_path: Path, way: str) -> None:
    async with team(tmp_path, slow="b b", fast="a a", fuser="both") as t, client(way, t) as c:
        t["slow"].go.clear()
        kinds = []
        async for event in c.stream(request("slow", "fast", mode="fuse", synthesis={"candidate": "fuser"})):
            kinds.append(event.type)
            if event.type == "result" and event.call == "fast":
                t["slow"].go.set()
        assert kinds[:2] == ["start", "start"]
        assert kinds[-1] == "final"
        assert event.type == "final"
        assert event.response.answer is not None
        assert event.response.answer.text == "both "


@BOTH
async def test_who_stops_listening_ends_every_call(tmp_path: Path, way: str) -> None:
    async with team(tmp_path, a="one two", b="never") as t, client(way, t) as c:
        t["a"].gap, t["b"].go = 5.0, asyncio.Event()
        async with aclosing(c.stream(request("a", "b"))) as events:
            async for event in events:
                if event.type == "delta":
                    break
        for name in ("a", "b"):
            await asyncio.wait_for(t[name].seen[0].gone.wait(), 1)


@BOTH
async def test_a_candidate_that_is_not_there(tmp_path: Path, way: str) -> None:
    async with team(tmp_path, a="one") as t, client(way, t) as c:
        with pytest.raises((Refused, UserMustAct), match="no candidate nobody"):
            await c.fanout(request("nobody"))


def normal(found: FanoutResponse) -> dict[str, Any]:
    """Without ids and times."""
    wire = found.to_wire()
    del wire["id"], wire["latencyMilliseconds"]
    for part in (*wire["results"], *wire["trace"], *([wire["synthesis"]] if "synthesis" in wire else ())):
        for name in ("latencyMilliseconds", "startMilliseconds", "endMilliseconds"):
            part.pop(name, None)
    return wire


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param({}, id="all"),
        pytest.param({"mode": "first", "calls": [{"candidate": "hangs"}, {"candidate": "a"}]}, id="first"),
        pytest.param({"mode": "fuse", "synthesis": {"candidate": "judge"}}, id="fuse"),
        pytest.param({"mode": "judge", "synthesis": {"candidate": "judge"}}, id="judge"),
        pytest.param({"calls": [{"candidate": "hangs", "timeoutMilliseconds": 150}, {"candidate": "a"}]}, id="timeout"),
    ],
)
async def test_both_ways_leave_the_same_trace(tmp_path: Path, asked: dict[str, Any]) -> None:
    async with team(tmp_path, a="one", broken="x", hangs="never", judge='{"best": 1, "reason": "the only one"}') as t:
        t["broken"].status = 400
        t["hangs"].go.clear()
        body = {
            "messages": QUESTION,
            "calls": [{"candidate": "a"}, {"candidate": "broken"}, {"candidate": "a"}],
            **asked,
        }
        async with client("gateway", t) as gateway, client("local", t) as local:
            found = FanoutRequest.model_validate(body)
            assert normal(await gateway.fanout(found)) == normal(await local.fanout(found))
        await until(lambda: t["hangs"].open == 0)


async def test_the_environment_chooses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "k")
    for name, value, kind in (
        ("FANOUT", "local", LocalFanout),
        ("DROVEWAY_FANOUT", "gateway", GatewayFanout),
        ("DROVEWAY_FANOUT", "local", LocalFanout),
    ):
        monkeypatch.setenv(name, value)
        monkeypatch.setenv("DROVEWAY_RUN_KEY", "dwk-1")
        async with connect() as found:
            assert isinstance(found, kind)


async def test_a_gateway_that_is_not_there() -> None:
    async with GatewayFanout("http://127.0.0.1:9", "dwk-1") as c:
        with pytest.raises(Refused) as refused:
            await c.fanout(request("a"))
        assert refused.value.status == 0


def test_without_a_key_it_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(UserMustAct, match="DROVEWAY_RUN_KEY"):
        connect(ClientSettings(run_key_file=tmp_path / "none"))
    with pytest.raises(UserMustAct, match="ANTHROPIC_API_KEY"):
        connect(ClientSettings(fanout="local"))
