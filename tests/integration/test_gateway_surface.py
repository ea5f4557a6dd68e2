"""Every path of the gateway: who may come in, what is answered without a provider, and what is passed through."""

import json
from pathlib import Path

import pytest

from droveway.core.keys import RunIdentity, namespace_key, run_key
from helpers.gateway import (
    MASTER,
    MESSAGE,
    PATHS,
    Running,
    Talk,
    mock_provider,
    provider,
    route,
    run,
    scripted,
    serving,
)

DIALECT = pytest.mark.parametrize("dialect", list(PATHS))


async def answer(talk: Talk) -> None:
    await talk.answer(200, MESSAGE)


def key(uid: str = "uid-1", attempt: int = 1, master: bytes = MASTER) -> str:
    return run_key(namespace_key(master, "default"), RunIdentity(uid, attempt))


async def knock(gateway: Running, dialect: str = "Anthropic", **headers: str) -> tuple[int, dict[str, object]]:
    path = PATHS[dialect].format(verb="generateContent")
    async with gateway.agent.post(gateway.url + path, data=b'{"model": "m", "messages": []}', headers=headers) as got:
        return got.status, json.loads(await got.read())


@DIALECT
@pytest.mark.parametrize(
    ("shown", "hint"),
    [
        pytest.param("", "no key was sent", id="none"),
        pytest.param("sk-ant-of-a-provider", "not a run key", id="a provider's"),
        pytest.param(key(uid="gone"), "does not exist", id="of a run that is gone"),
        pytest.param(key(master=b"another-master-key"), "forged", id="forged"),
        pytest.param(key(attempt=1), "is over", id="of an earlier attempt"),
    ],
)
async def test_strangers_are_told_what_to_do(tmp_path: Path, dialect: str, shown: str, hint: str) -> None:
    async with (
        scripted(answer) as (url, upstream),
        serving(tmp_path, provider("a", url, dialect), route("a"), run(attemptCount=2)) as gateway,
    ):
        status, body = await knock(gateway, dialect, **({"authorization": f"Bearer {shown}"} if shown else {}))
        assert status == 401
        assert hint in json.dumps(body)
        assert not upstream.seen


async def test_a_finished_run_has_no_key(tmp_path: Path) -> None:
    over = run(completionTime="2026-01-01T00:00:00Z")
    async with scripted(answer) as (url, _), serving(tmp_path, provider("a", url), route("a"), over) as gateway:
        status, body = await knock(gateway, **{"x-api-key": key()})
        assert status == 401
        assert "has ended" in json.dumps(body)


@pytest.mark.parametrize("name", ["x-api-key", "authorization", "x-goog-api-key", "?key="])
async def test_the_key_may_come_in_any_place(tmp_path: Path, name: str) -> None:
    async with (
        scripted(answer) as (url, upstream),
        serving(tmp_path, provider("a", url), route("a")) as gateway,
    ):
        headers = {} if name == "?key=" else {name: f"Bearer {key()}" if name == "authorization" else key()}
        query = f"?key={key()}&x=1" if name == "?key=" else ""
        async with gateway.agent.post(
            f"{gateway.url}/v1/messages{query}", data=b'{"model":"m"}', headers=headers
        ) as got:
            assert got.status == 200
        assert key() not in upstream.seen[0].path + json.dumps(upstream.seen[0].headers)


async def test_a_second_master_key_is_accepted(tmp_path: Path) -> None:
    async with scripted(answer) as (url, _):
        (tmp_path / "masters").write_bytes(b"the-new-master-key-now\n" + MASTER + b"\n")
        async with serving(tmp_path, provider("a", url), route("a"), master_key_file=tmp_path / "masters") as gateway:
            assert (await knock(gateway, **{"x-api-key": key()}))[0] == 200
            assert (await knock(gateway, **{"x-api-key": key(master=b"the-new-master-key-now")}))[0] == 200


@pytest.mark.parametrize("path", ["/", "/api/hello", "/v1/messages", "/whatever"])
async def test_head_is_always_fine(tmp_path: Path, path: str) -> None:
    async with (
        scripted(answer) as (url, _),
        serving(tmp_path, provider("a", url), route("a")) as gateway,
        gateway.agent.head(gateway.url + path) as got,
    ):
        assert got.status == 200


@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("POST", "/v1/nothing"), ("GET", "/v1/messages")])
async def test_what_is_not_here_is_json(tmp_path: Path, method: str, path: str) -> None:
    async with (
        scripted(answer) as (url, _),
        serving(tmp_path, provider("a", url), route("a")) as gateway,
        gateway.agent.request(method, gateway.url + path) as got,
    ):
        assert got.status == 404
        assert path in (await got.json())["error"]["message"]


@DIALECT
async def test_a_body_too_long_is_refused_in_the_dialect(tmp_path: Path, dialect: str) -> None:
    async with (
        scripted(answer) as (url, upstream),
        serving(tmp_path, provider("a", url, dialect), route("a"), max_body_bytes=1000) as gateway,
    ):
        got = await gateway.ask(dialect, padding="x" * 1000)
        assert got.status == 413
        assert "1000 bytes" in json.dumps(got.json["error"])
        assert not upstream.seen


async def test_a_body_too_long_without_a_length_is_refused_as_well(tmp_path: Path) -> None:
    async def chunks() -> object:
        for _ in range(10):
            yield b"x" * 200

    async with (
        scripted(answer) as (url, _),
        serving(tmp_path, provider("a", url), route("a"), max_body_bytes=1000) as gateway,
        gateway.agent.post(f"{gateway.url}/v1/messages", data=chunks(), headers={"x-api-key": key()}) as got,
    ):
        assert got.status == 413


@DIALECT
async def test_a_body_that_is_none_is_refused(tmp_path: Path, dialect: str) -> None:
    async with (
        scripted(answer) as (url, upstream),
        serving(tmp_path, provider("a", url, dialect), route("a")) as gateway,
    ):
        path = PATHS[dialect].format(verb="generateContent")
        async with gateway.agent.post(gateway.url + path, data=b"[1", headers={"x-api-key": key()}) as got:
            assert got.status == 400
            assert "error" in await got.json()
        assert not upstream.seen


async def test_tokens_are_counted_by_the_provider(tmp_path: Path) -> None:
    async with mock_provider() as mock, serving(tmp_path, provider("a", f"{mock}/s/ok,run=c"), route("a")) as gateway:
        async with gateway.agent.post(
            f"{gateway.url}/v1/messages/count_tokens", data=b'{"model":"m","messages":[]}', headers={"x-api-key": key()}
        ) as got:
            assert await got.json() == {"input_tokens": 1200}
        async with gateway.agent.get(f"{mock}/_mock/calls?run=c") as calls:
            assert (await calls.json())[0]["body"]["model"] == "model-a"
        assert not gateway.operator.records  # counting is no completion


@pytest.mark.parametrize(
    ("path", "headers", "shape"),
    [
        pytest.param("/v1/models", {}, {"object": "list"}, id="OpenAI"),
        pytest.param(
            "/v1/models",
            {"anthropic-version": "2023-06-01"},
            {"has_more": False, "first_id": "model-a"},
            id="Anthropic",
        ),
    ],
)
async def test_models_are_the_routes(
    tmp_path: Path, path: str, headers: dict[str, str], shape: dict[str, object]
) -> None:
    async with (
        scripted(answer) as (url, _),
        serving(tmp_path, provider("a", url), provider("b", url), route("a", "b")) as gateway,
    ):
        async with gateway.agent.get(gateway.url + path, headers={"x-api-key": key(), **headers}) as got:
            body = await got.json()
            assert [model["id"] for model in body["data"]] == ["model-a", "model-b"]
            assert shape.items() <= body.items()
        async with gateway.agent.get(gateway.url + path, headers=headers) as got:
            assert got.status == 401
        async with gateway.agent.get(f"{gateway.url}/v1beta/models", headers={"x-goog-api-key": key()}) as got:
            assert [m["name"] for m in (await got.json())["models"]] == ["models/model-a", "models/model-b"]


async def test_health_and_metrics(tmp_path: Path) -> None:
    async with scripted(answer) as (url, _), serving(tmp_path, provider("a", url), route("a")) as gateway:
        await gateway.ask()
        for path in ("/healthz", "/readyz"):
            async with gateway.agent.get(gateway.url + path) as got:
                assert (got.status, await got.json()) == (200, {"status": "ok"})
        async with gateway.agent.get(f"{gateway.url}/metrics") as got:
            text = await got.text()
            assert got.content_type == "text/plain"
        target = 'provider="a",route="main",tenant="default"'
        assert f'droveway_gateway_completions_total{{model="model-a",outcome="Succeeded",{target}}} 1.0' in text
        assert f'droveway_gateway_tokens_total{{model="model-a",{target},type="input"}} 10.0' in text
        assert 'droveway_gateway_requests_total{outcome="Succeeded",route="main",tenant="default"} 1.0' in text
        assert "droveway_gateway_overhead_seconds_count 1.0" in text
        assert "uid-1" not in text
        assert 'run"' not in text


async def test_a_route_that_is_gone_may_come_back(tmp_path: Path) -> None:
    async with scripted(answer) as (url, _), serving(tmp_path, provider("a", url)) as gateway:
        got = await gateway.ask()
        assert got.status >= 500
        assert "ModelRoute default/main" in got.json["error"]["message"]


async def test_a_request_that_no_candidate_can_be_told_says_what_and_what_to_do(tmp_path: Path) -> None:
    search = {"type": "web_search_20250305", "name": "web_search"}
    async with (
        scripted(answer) as (url, upstream),
        serving(tmp_path, provider("a", url, "OpenAIChat"), route("a")) as gateway,
    ):
        got = await gateway.ask(tools=[search])
        assert (got.status, got.json["error"]["type"]) == (400, "invalid_request_error")
        assert "web_search_20250305" in got.json["error"]["message"]
        assert "add a candidate whose provider speaks Anthropic" in got.json["error"]["message"]
        assert not upstream.seen


async def test_tokens_are_counted_by_their_vendor_or_not_at_all(tmp_path: Path) -> None:
    async with (
        scripted(answer) as (url, upstream),
        serving(tmp_path, provider("a", url, "OpenAIChat"), route("a")) as gateway,
    ):
        data = b'{"model": "m", "messages": []}'
        async with gateway.agent.post(
            f"{gateway.url}/v1/messages/count_tokens", data=data, headers=gateway.headers()
        ) as got:
            assert got.status == 404
            assert "a count of tokens" in await got.text()
        assert not upstream.seen
