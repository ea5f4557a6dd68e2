"""The mock provider: what each scenario and knob makes a client see."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from droveway.mockllm import app

NOON = 1_800_000_000.0
PATHS = {
    "anthropic": "v1/messages",
    "chat": "v1/chat/completions",
    "responses": "v1/responses",
    "gemini": "v1beta/models/m1:generateContent",
}
TOOLS: dict[str, list[dict[str, Any]]] = {
    "anthropic": [{"name": "Write", "input_schema": {"properties": {"file_path": {}, "content": {}}}}],
    "chat": [{"function": {"name": "write", "parameters": {"properties": {"path": {}, "unknown": {}}}}}],
    "responses": [{"tools": [{"name": "shell", "parameters": {"properties": {"command": {"type": "array"}}}}]}],
    "gemini": [
        {"functionDeclarations": [{"name": "write_file", "parametersJsonSchema": {"properties": {"path": {}}}}]}
    ],
}


class Provider:
    """A mock, asked without a socket at a time of our choice."""

    def __init__(self, log: str | None = None) -> None:
        self.now = NOON
        transport = httpx2.ASGITransport(app=app(log, clock=lambda: self.now))
        self.http = httpx2.AsyncClient(transport=transport, base_url="http://mock")

    async def ask(self, scenario: str, api: str = "anthropic", **body: Any) -> httpx2.Response:
        return await self.http.post(f"/s/{scenario}/{PATHS[api]}", json={"model": "m1", **body})

    async def statuses(self, scenario: str, count: int) -> list[int]:
        return [(await self.ask(scenario)).status_code for _ in range(count)]


@pytest.fixture
def mock() -> Provider:
    return Provider()


def data(stream: httpx2.Response) -> list[Any]:
    """The events of a stream."""
    lines = [line.removeprefix("data: ") for line in stream.text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


@pytest.mark.parametrize(
    ("scenario", "statuses"),
    [
        ("ok", [200, 200, 200, 200]),
        ("overloaded,run=a", [529, 529, 529, 529]),
        ("overloaded,run=b,fail=2", [529, 529, 200, 200]),
        ("overloaded,run=c,skip=2", [200, 200, 529, 529]),
        ("overloaded,run=d,skip=1,fail=3", [200, 529, 529, 200]),
        ("nonsense,run=e", [200, 200, 200, 200]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_calls_fail_by_their_place_in_the_run(mock: Provider, scenario: str, statuses: list[int]) -> None:
    assert await mock.statuses(scenario, 4) == statuses


async def test_runs_are_counted_apart(mock: Provider) -> None:
    assert await mock.statuses("auth,fail=1,run=a", 2) == [401, 200]
    assert await mock.statuses("auth,fail=1,run=b", 2) == [401, 200]


async def test_a_window_is_spent_for_everybody_until_its_reset_and_never_again(mock: Provider) -> None:
    scenario = "usage_limit,window=60,run=a"
    first = await mock.ask(scenario)
    mock.now += 45
    second = await mock.ask(scenario)
    mock.now += 14.5
    third = await mock.ask(scenario)
    mock.now += 0.5

    assert [first.status_code, second.status_code, third.status_code] == [429, 429, 429]
    assert [r.headers["retry-after"] for r in (first, second, third)] == ["60", "15", "1"]
    assert {r.headers["anthropic-ratelimit-unified-reset"] for r in (first, second, third)} == {str(int(NOON) + 60)}
    assert await mock.statuses(scenario, 3) == [200, 200, 200]


async def test_a_window_starts_with_its_first_refusal_not_with_the_calls_before(mock: Provider) -> None:
    """The demo's story: a tool call, then the subscription is spent mid-run."""
    scenario = "usage_limit,skip=1,before=tool,window=120,run=a"
    first = await mock.ask(scenario, tools=TOOLS["anthropic"])
    mock.now += 3600
    second = await mock.ask(scenario)

    assert first.json()["stop_reason"] == "tool_use"
    assert second.status_code == 429
    assert second.headers["retry-after"] == "120"


async def test_an_outage_may_have_a_window_too(mock: Provider) -> None:
    assert await mock.statuses("overloaded,window=5,run=a", 2) == [529, 529]
    mock.now += 5
    assert await mock.statuses("overloaded,window=5,run=a", 1) == [200]


ERRORS = {
    "rate_limit": (429, 429, 429),
    "usage_limit": (429, 429, 429),
    "billing": (400, 429, 429),
    "overloaded": (529, 503, 503),
    "auth": (401, 401, 400),
    "context": (400, 400, 400),
    "model_404": (404, 404, 404),
    "server_error": (500, 500, 500),
    "html": (502, 502, 502),
    "stream_error": (500, 500, 500),
    "disconnect": (500, 500, 500),
}


@pytest.mark.parametrize("scenario", ERRORS)
async def test_each_failure_has_the_status_of_its_vendor(mock: Provider, scenario: str) -> None:
    got = [(await mock.ask(scenario, api)).status_code for api in ("anthropic", "chat", "responses", "gemini")]
    anthropic, openai, gemini = ERRORS[scenario]
    assert got == [anthropic, openai, openai, gemini]


async def test_a_limit_says_when_it_ends_where_the_vendor_does(mock: Provider) -> None:
    claude = await mock.ask("usage_limit,resets_in=900")
    codex = await mock.ask("usage_limit,resets_in=900", "responses")
    chat = await mock.ask("rate_limit,retry_after=7", "chat")
    gemini = await mock.ask("rate_limit,retry_after=7", "gemini")

    assert claude.headers["anthropic-ratelimit-unified-status"] == "rejected"
    assert claude.headers["anthropic-ratelimit-unified-reset"] == str(int(NOON) + 900)
    assert codex.json()["error"]["resets_at"] == int(NOON) + 900
    assert codex.headers["x-codex-primary-reset-at"] == str(int(NOON) + 900)
    assert chat.headers["retry-after"] == "7"
    assert gemini.json()["error"]["details"][-1]["retryDelay"] == "7s"


USAGE: dict[str, Callable[[dict[str, Any]], tuple[int, int, int]]] = {
    "anthropic": lambda b: (
        b["usage"]["input_tokens"],
        b["usage"]["cache_read_input_tokens"],
        b["usage"]["output_tokens"],
    ),
    "chat": lambda b: (
        b["usage"]["prompt_tokens"],
        b["usage"]["prompt_tokens_details"]["cached_tokens"],
        b["usage"]["completion_tokens"],
    ),
    "responses": lambda b: (
        b["usage"]["input_tokens"],
        b["usage"]["input_tokens_details"]["cached_tokens"],
        b["usage"]["output_tokens"],
    ),
    "gemini": lambda b: (
        b["usageMetadata"]["promptTokenCount"],
        b["usageMetadata"]["cachedContentTokenCount"],
        b["usageMetadata"]["candidatesTokenCount"],
    ),
}


@pytest.mark.parametrize("api", PATHS)
async def test_an_answer_names_text_and_tokens_in_its_api(mock: Provider, api: str) -> None:
    body = (await mock.ask("ok", api)).json()
    assert "Hello from the mock model." in json.dumps(body).replace('"}, {"text": "', "")
    assert USAGE[api](body) == (1200, 800, 42)


@pytest.mark.parametrize("api", PATHS)
async def test_a_tool_is_called_once_and_its_result_answered_with_text(mock: Provider, api: str) -> None:
    called = await mock.ask("tool", api, tools=TOOLS[api])
    assert "mock.txt" in called.text
    result = {"messages": [{"role": "tool"}, {"type": "tool_result"}, {"type": "function_call_output"}]}
    answered = await mock.ask("tool", api, tools=TOOLS[api], **result)
    assert "mock.txt" not in answered.text
    assert answered.status_code == 200


async def test_a_command_is_given_the_way_its_schema_asks(mock: Provider) -> None:
    body = (await mock.ask("tool", "responses", tools=TOOLS["responses"])).json()
    command = json.loads(body["output"][0]["arguments"])["command"]
    assert command[:2] == ["bash", "-lc"]


@pytest.mark.parametrize(
    ("api", "end"),
    [
        ("anthropic", lambda e: e[-1]["type"] == "message_stop"),
        ("chat", lambda e: e[-1]["usage"]["total_tokens"] == 1242),
        ("responses", lambda e: e[-1]["type"] == "response.completed"),
    ],
    ids=["anthropic", "chat", "responses"],
)
async def test_a_stream_ends_as_its_clients_expect(mock: Provider, api: str, end: Callable[[list[Any]], bool]) -> None:
    assert end(data(await mock.ask("ok", api, stream=True)))


async def test_gemini_streams_where_the_address_says_so(mock: Provider) -> None:
    told = await mock.http.post("/v1beta/models/m1:streamGenerateContent", json={})
    assert data(told)[-1]["candidates"][0]["finishReason"] == "STOP"


@pytest.mark.parametrize("api", ["anthropic", "chat", "responses"])
async def test_a_broken_stream_starts_well_and_ends_in_an_error(mock: Provider, api: str) -> None:
    told = await mock.ask("stream_error", api, stream=True)
    assert told.status_code == 200
    assert "Hello" in told.text or "in_progress" in told.text
    assert "error" in json.dumps(data(told)[-1])


async def test_a_cut_stream_has_no_end(mock: Provider) -> None:
    with pytest.raises(ConnectionResetError):
        await mock.ask("disconnect", stream=True)


By = Callable[[Provider], Awaitable[httpx2.Response]]


@pytest.mark.parametrize(
    "ask",
    [
        lambda mock: mock.http.post("/s/auth/v1/messages", json={}),
        lambda mock: mock.http.post("/v1/messages", json={}, headers={"x-api-key": "sk-mock-auth"}),
        lambda mock: mock.http.post("/v1/messages", json={}, headers={"authorization": "Bearer mock-auth,run=a"}),
        lambda mock: mock.http.post("/v1/messages", json={"model": "mock-auth"}),
    ],
    ids=["path", "key", "bearer", "model"],
)
async def test_a_scenario_is_named_by_path_key_or_model(mock: Provider, ask: By) -> None:
    assert (await ask(mock)).status_code == 401


async def test_small_talk_is_answered_and_does_not_count(mock: Provider) -> None:
    counted = await mock.http.post("/s/auth,skip=1,run=a/v1/messages/count_tokens", json={})
    models = await mock.http.get("/s/auth,skip=1,run=a/v1/models")
    alive = await mock.http.head("/anything")
    lost = await mock.http.get("/anything")

    assert counted.json() == {"input_tokens": 1200}
    assert models.json()["data"][0]["id"] == "mock"
    assert (alive.status_code, lost.status_code) == (200, 404)
    assert await mock.statuses("auth,skip=1,run=a", 2) == [200, 401]


async def test_every_call_can_be_looked_at_by_run(mock: Provider) -> None:
    await mock.ask("ok,run=a", messages=["one"])
    await mock.ask("auth,run=b")
    await mock.http.post("/s/ok,run=a/v1/messages", content=b"not json")

    first, second = (await mock.http.get("/_mock/calls?run=a")).json()
    assert first["body"]["messages"] == ["one"]
    assert (first["t"], first["status"], first["scenario"]) == (NOON, 200, "ok")
    assert second["body"] == {"_raw": "not json"}
    assert len((await mock.http.get("/_mock/calls")).json()) == 3


async def test_the_log_has_a_line_per_call_and_no_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "calls.jsonl"
    for log in (str(file), "-"):
        mock = Provider(log)
        await mock.http.post("/s/auth/v1/messages", json={}, headers={"x-api-key": "sk-secret"})
        await mock.ask("ok")
    printed = capsys.readouterr().out
    assert file.read_text() == printed
    assert [json.loads(line)["status"] for line in printed.splitlines()] == [401, 200]
    assert "sk-secret" not in printed
