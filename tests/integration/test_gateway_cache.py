"""Answers that are given again: who gets one, who shares one that is just being made, and who never does."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from redis.asyncio import Redis

from droveway.gateway.files import print_key
from helpers.gateway import (
    MASTER,
    MESSAGE,
    TERMINALS,
    Answer,
    Running,
    Talk,
    mock_provider,
    provider,
    route,
    run,
    scripted,
    serving,
    until,
)
from helpers.redis_server import SERVER, redis_server
from helpers.sdks import SCHEMA, SDKS

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning"),  # Google's client
]
ON = {"cache": {"mode": "Deterministic"}}
CLIENT = pytest.mark.parametrize("client", list(SDKS))


async def calls(mock: str, name: str = "x") -> int:
    async with aiohttp.ClientSession() as session, session.get(f"{mock}/_mock/calls?run={name}") as answer:
        return len(await answer.json())


@asynccontextmanager
async def cached(
    folder: Path, scenario: str = "ok", dialect: str = "Anthropic", rule: Any = ON, **settings: Any
) -> AsyncIterator[tuple[Running, str]]:
    """A gateway in front of the mock, and the mock's address."""
    async with (
        mock_provider() as mock,
        serving(
            folder, provider("a", f"{mock}/s/{scenario},run=x", dialect), route("a", **rule), **settings
        ) as gateway,
    ):
        yield gateway, mock


async def told(gateway: Running, headers: dict[str, str]) -> Answer:
    """A request with headers of its own."""
    own = gateway.headers
    gateway.headers = lambda: own() | headers  # type: ignore[method-assign]
    try:
        return await gateway.ask()
    finally:
        gateway.headers = own  # type: ignore[method-assign]


def result(answer: Answer) -> str:
    return answer.headers.get("x-droveway-cache", "")


@CLIENT
@pytest.mark.parametrize("again", [True, False], ids=["then streamed", "then plain"])
@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "plain"])
@pytest.mark.parametrize("spoken", ["same", "other"])
async def test_official_clients_read_what_is_told_again(
    tmp_path: Path, client: str, spoken: str, stream: bool, again: bool
) -> None:
    dialect = client if spoken == "same" else next(name for name in SDKS if name != client)
    async with cached(tmp_path, dialect=dialect) as (gateway, mock):
        said = []
        for streamed in (stream, again):
            async with SDKS[client](gateway.url, gateway.key) as sdk:
                sdk.say("what is this?")
                said.append(await sdk.ask(stream=streamed))
        first, second = (replace(answer, text=answer.text.strip()) for answer in said)
        assert first == second  # the mock's deltas end in a blank, its whole texts do not
        assert second.text
        assert said[1].tokens[0] > 0
        assert await calls(mock) == 1


@pytest.mark.parametrize("dialect", list(TERMINALS))
async def test_a_hit_says_so_and_spends_nothing(tmp_path: Path, dialect: str) -> None:
    async with cached(tmp_path, dialect=dialect) as (gateway, mock):
        first = await gateway.ask(dialect, stream=True)
        again = await gateway.ask(dialect, stream=True)
        plain = await gateway.ask(dialect)

        assert (result(first), result(again), result(plain)) == ("miss", "hit", "hit")
        assert TERMINALS[dialect] in again.body
        assert again.headers["content-type"].startswith("text/event-stream")
        assert plain.headers["content-type"] == "application/json"
        assert (again.headers["x-droveway-candidate"], again.headers["x-droveway-attempts"]) == ("a", "0")
        assert again.headers["age"] == "0"
        await gateway.operator.heard(1)
        assert len(gateway.operator.completions()) == 1
        spent = gateway.operator.completions()[0].tokens.total
        assert gateway.metric("tokens_total") == spent
        assert gateway.metric("cache_saved_tokens_total", route="main") == 2 * spent
        assert gateway.metric("cache_requests_total", tenant="default", route="main", result="hit") == 2
        assert gateway.metric("cache_requests_total", result="miss") == 1
        assert await calls(mock) == 1


@pytest.mark.parametrize(
    ("mode", "header", "expected"),
    [
        (None, {}, ["", ""]),
        (None, {"X-Droveway-Cache": "on"}, ["miss", "hit"]),
        (None, {"Cache-Control": "max-age=60"}, ["", ""]),
        ("Never", {"X-Droveway-Cache": "on"}, ["", ""]),
        ("Deterministic", {}, ["miss", "hit"]),
        ("Deterministic", {"X-Droveway-Cache": "no-store"}, ["", ""]),
        ("Deterministic", {"Cache-Control": "no-store"}, ["", ""]),
        ("Deterministic", {"Cache-Control": "no-cache"}, ["miss", "miss"]),
        ("Deterministic", {"X-Droveway-Cache": "max-age=0"}, ["miss", "miss"]),
        ("Deterministic", {"X-Droveway-Cache": "max-age=60"}, ["miss", "hit"]),
    ],
)
async def test_who_opts_in(tmp_path: Path, mode: str | None, header: dict[str, str], expected: list[str]) -> None:
    rule = {"cache": {"mode": mode}} if mode else {}
    async with cached(tmp_path, rule=rule) as (gateway, mock):
        assert [result(await told(gateway, header)) for _ in range(2)] == expected
        assert await calls(mock) == (1 if "hit" in expected else 2)


async def test_a_header_that_nobody_understands_is_refused(tmp_path: Path) -> None:
    async with cached(tmp_path) as (gateway, mock):
        answer = await told(gateway, {"X-Droveway-Cache": "forever"})
        assert answer.status == 400
        assert "max-age" in answer.json["error"]["message"]
        assert await calls(mock) == 0


@pytest.mark.parametrize("variable", ["DROVEWAY_CACHE_ENABLED", "CACHE_ENABLED"])
async def test_switched_off_every_request_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "0")
    async with cached(tmp_path) as (gateway, mock):
        assert [result(await gateway.ask()) for _ in range(2)] == ["", ""]
        assert await calls(mock) == 2


async def test_an_answer_is_kept_for_its_time(tmp_path: Path) -> None:
    async with cached(tmp_path, rule={"cache": {"mode": "Deterministic", "ttlSeconds": 1}}) as (gateway, mock):
        assert gateway.gateway.cache is not None
        now = [1000.0]
        gateway.gateway.cache.clock = lambda: now[0]
        assert result(await gateway.ask()) == "miss"
        now[0] += 0.9
        assert result(await gateway.ask()) == "hit"
        now[0] += 0.2
        assert result(await gateway.ask()) == "miss"
        assert await calls(mock) == 2


async def test_an_older_answer_than_asked_for_is_made_anew(tmp_path: Path) -> None:
    async with cached(tmp_path) as (gateway, mock):
        assert gateway.gateway.cache is not None
        now = [1000.0]
        gateway.gateway.cache.clock = lambda: now[0]
        await gateway.ask()
        now[0] += 100
        young, old = "max-age=50", "max-age=200"
        assert result(await told(gateway, {"X-Droveway-Cache": old})) == "hit"
        assert result(await told(gateway, {"X-Droveway-Cache": young})) == "miss"
        assert result(await told(gateway, {"X-Droveway-Cache": young})) == "hit"
        assert await calls(mock) == 2


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "plain"])
@pytest.mark.parametrize("scenario", ["server_error", "stream_error", "max_tokens", "refusal", "tool", "context"])
@pytest.mark.parametrize("dialect", list(TERMINALS))
async def test_what_is_no_complete_answer_in_words_is_not_kept(
    tmp_path: Path, dialect: str, scenario: str, stream: bool
) -> None:
    if (dialect, scenario) == ("OpenAIResponses", "refusal"):
        pytest.skip("the mock has no refusal in this dialect; tests/unit/dialects/conversion/test_keeping.py has one")
    tools: Any = {
        "Anthropic": [{"name": "write_file", "input_schema": SCHEMA}],
        "OpenAIChat": [{"type": "function", "function": {"name": "write_file", "parameters": SCHEMA}}],
        "OpenAIResponses": [{"type": "function", "name": "write_file", "parameters": SCHEMA}],
        "Gemini": [{"functionDeclarations": [{"name": "write_file", "parameters": SCHEMA}]}],
    }[dialect]
    breaker = {"circuitBreaker": {"failureThreshold": 100}}
    async with cached(tmp_path, scenario, dialect, rule=ON | breaker) as (gateway, mock):
        for _ in range(2):
            assert result(await gateway.ask(dialect, stream=stream, tools=tools)) == "miss"
        assert await calls(mock) >= 2


@pytest.mark.parametrize(
    ("mode", "temperature", "expected"),
    [("Deterministic", 0, "hit"), ("Deterministic", 0.1, ""), ("Deterministic", 1, ""), ("Always", 0.7, "hit")],
)
@pytest.mark.parametrize("dialect", list(TERMINALS))
async def test_who_wants_other_words_gets_them_unless_the_route_says_otherwise(
    tmp_path: Path, dialect: str, mode: str, temperature: float, expected: str
) -> None:
    given: dict[str, Any] = {"temperature": temperature}
    body = {"generationConfig": given} if dialect == "Gemini" else given
    async with cached(tmp_path, dialect=dialect, rule={"cache": {"mode": mode}}) as (gateway, _):
        await gateway.ask(dialect, **body)
        assert result(await gateway.ask(dialect, **body)) == expected


@CLIENT
async def test_a_turn_after_a_tool_is_never_kept(tmp_path: Path, client: str) -> None:
    async with cached(tmp_path, "tool,calls=1", dialect=client) as (gateway, mock):
        for _ in range(2):
            async with SDKS[client](gateway.url, gateway.key) as sdk:
                sdk.say("write it")
                asked = await sdk.ask(stream=False, tools=True)
                sdk.results(asked)
                assert (await sdk.ask(stream=False, tools=True)).text
        assert await calls(mock) == 4
        assert gateway.metric("cache_requests_total", result="bypassed") == 2


async def test_tenants_share_nothing(tmp_path: Path) -> None:
    def of(namespace: str, manifest: dict[str, Any]) -> dict[str, Any]:
        return {**manifest, "metadata": {**manifest["metadata"], "namespace": namespace}}

    async with mock_provider() as mock:
        url = f"{mock}/s/ok,run=x"
        bare = provider("a", url)
        del bare["spec"]["credentialsRef"]
        named = {"kind": "AgentRun", "metadata": {"name": "run", "uid": "uid-b"}, "spec": run()["spec"]}
        manifests = [of(ns, m) for ns in ("default", "b") for m in (bare, route("a", **ON))]
        async with serving(tmp_path, *manifests, run(), of("b", named)) as gateway:
            keys = [print_key(gateway.folder, MASTER, name) for name in ("default/run", "b/run")]
            seen = []
            for key in (*keys, *keys):
                gateway.key = key
                seen.append(result(await gateway.ask()))
            assert seen == ["miss", "miss", "hit", "hit"]
            assert await calls(mock) == 2
            assert gateway.metric("cache_requests_total", tenant="default", result="hit") == 1
            assert gateway.metric("cache_requests_total", tenant="b", result="hit") == 1


async def test_a_stand_ins_answer_is_not_taken_for_the_first_choices(tmp_path: Path) -> None:
    async with (
        mock_provider() as mock,
        serving(
            tmp_path,
            provider("a", f"{mock}/s/server_error,fail=1,run=a"),
            provider("b", f"{mock}/s/ok,run=b"),
            route("a", "b", **ON),
        ) as gateway,
    ):
        asked = [await gateway.ask() for _ in range(3)]
        assert [(result(a), a.headers["x-droveway-candidate"]) for a in asked] == [
            ("miss", "b"),
            ("miss", "a"),
            ("hit", "a"),
        ]


async def test_what_a_spent_candidate_has_said_is_still_known(tmp_path: Path) -> None:
    async with cached(tmp_path, "usage_limit,skip=1") as (gateway, _):
        assert result(await gateway.ask()) == "miss"
        assert (await gateway.ask(max_tokens=7)).status == 429
        known = await gateway.ask()
        assert (known.status, result(known)) == (200, "hit")


# ------------------------------------------------------------------------------------------------------ at the same time


async def held(talk: Talk, go: asyncio.Event) -> None:
    """An answer that begins, and goes on when it may."""
    await talk.head()
    await talk.events("start", "block", "word")
    await go.wait()
    await talk.events("word", "stop", "end")
    await talk.end()


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "plain"])
async def test_twenty_at_once_are_one_call(tmp_path: Path, stream: bool) -> None:
    go = asyncio.Event()
    async with (
        scripted(lambda talk: held(talk, go)) as (url, upstream),
        serving(tmp_path, provider("a", url), route("a", **ON)) as gateway,
    ):
        asking = [asyncio.create_task(gateway.ask(stream=stream or n == 0)) for n in range(20)]
        await until(lambda: upstream.seen)
        await until(lambda: gateway.metric("cache_requests_total") and waiting(gateway) == 20)
        go.set()
        answers = await asyncio.gather(*asking)
        results = sorted(map(result, answers))
        assert results == ["coalesced"] * 19 + ["miss"]
        assert len(upstream.seen) == 1
        assert {answer.status for answer in answers} == {200}
        assert all(b"word word" in a.body or a.body.count(b"word ") == 2 for a in answers)
        assert waiting(gateway) == 0


def waiting(gateway: Running) -> int:
    assert gateway.gateway.cache is not None
    return gateway.gateway.cache.waiting


async def leave(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_who_asked_first_may_leave_and_the_others_get_the_answer(tmp_path: Path) -> None:
    go = asyncio.Event()
    async with (
        scripted(lambda talk: held(talk, go)) as (url, upstream),
        serving(tmp_path, provider("a", url), route("a", **ON)) as gateway,
    ):
        first = asyncio.create_task(gateway.ask(stream=True))
        await until(lambda: upstream.seen)
        others = [asyncio.create_task(gateway.ask(stream=True)) for _ in range(3)]
        await until(lambda: waiting(gateway) == 4)
        await leave(first)
        await until(lambda: waiting(gateway) == 3)
        go.set()
        assert [result(answer) for answer in await asyncio.gather(*others)] == ["coalesced"] * 3
        assert len(upstream.seen) == 1
        await until(lambda: gateway.metric("in_flight") == 0)


async def test_when_all_have_left_the_call_is_given_up(tmp_path: Path) -> None:
    async with (
        scripted(lambda talk: held(talk, asyncio.Event())) as (url, upstream),
        serving(tmp_path, provider("a", url), route("a", **ON)) as gateway,
    ):
        asking = [asyncio.create_task(gateway.ask(stream=True)) for _ in range(3)]
        await until(lambda: upstream.seen and waiting(gateway) == 3)
        for task in asking:
            assert not upstream.seen[0].gone.is_set()
            await leave(task)
        async with asyncio.timeout(5):
            await upstream.seen[0].gone.wait()
        await until(lambda: gateway.metric("in_flight") == 0)
        assert gateway.metric("completions_total", outcome="Cancelled") == 1


async def test_when_it_fails_one_of_the_others_takes_over(tmp_path: Path) -> None:
    go = asyncio.Event()

    async def script(talk: Talk) -> None:
        if len(upstream.seen) == 1:
            await go.wait()
            await talk.answer(503, {})
        else:
            await talk.answer(200, MESSAGE)

    async with (
        scripted(script) as (url, upstream),
        serving(tmp_path, provider("a", url), route("a", circuitBreaker={"failureThreshold": 9}, **ON)) as gateway,
    ):
        asking = [asyncio.create_task(gateway.ask()) for _ in range(4)]
        await until(lambda: upstream.seen and waiting(gateway) == 4)
        go.set()
        answers = await asyncio.gather(*asking)
        assert sorted((answer.status, result(answer)) for answer in answers) == [
            (200, "coalesced"),
            (200, "coalesced"),
            (200, "miss"),
            (529, "miss"),
        ]
        assert len(upstream.seen) == 2


async def test_an_answer_for_one_alone_does_not_hold_the_others_up(tmp_path: Path) -> None:
    """A tool call is nobody else's: then they ask at the same time and not one after the other."""
    go = asyncio.Event()
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {}}

    async def script(talk: Talk) -> None:
        if len(upstream.seen) == 1:
            await go.wait()
        else:
            await until(lambda: len(upstream.seen) == 4)
        await talk.answer(200, MESSAGE | {"content": [call], "stop_reason": "tool_use"})

    async with (
        scripted(script) as (url, upstream),
        serving(tmp_path, provider("a", url), route("a", **ON)) as gateway,
    ):
        asking = [asyncio.create_task(gateway.ask()) for _ in range(4)]
        await until(lambda: upstream.seen and waiting(gateway) == 4)
        go.set()
        assert [result(answer) for answer in await asyncio.gather(*asking)] == ["miss"] * 4


async def test_the_deadline_of_who_waits_holds(tmp_path: Path) -> None:
    go = asyncio.Event()
    async with (
        scripted(lambda talk: held(talk, go)) as (url, upstream),
        serving(tmp_path, provider("a", url), route("a", **ON)) as gateway,
    ):
        first = asyncio.create_task(gateway.ask(stream=True))
        await until(lambda: upstream.seen)
        late = await told(gateway, {"X-Droveway-Deadline-Ms": "50"})
        assert late.status == 504
        go.set()
        assert (await first).status == 200
        assert len(upstream.seen) == 1


async def test_a_candidate_that_continued_anothers_words_is_not_kept(tmp_path: Path) -> None:
    """Whatever is pieced together from two calls is not one answer."""

    async def script(talk: Talk) -> None:
        await talk.head()
        await talk.events("start", "block", "word")
        talk.cut()

    async with (
        scripted(script) as (url, upstream),
        serving(tmp_path, provider("a", url), route("a", circuitBreaker={"failureThreshold": 9}, **ON)) as gateway,
    ):
        for _ in range(2):
            assert b"error" in (await gateway.ask(stream=True)).body
        assert len(upstream.seen) >= 2


@pytest.mark.parametrize("policy", ["Continue", "Restart"])
async def test_an_answer_of_two_halves_is_not_kept(tmp_path: Path, policy: str) -> None:
    async def script(talk: Talk) -> None:
        await talk.head()
        if len(upstream.seen) == 1:
            await talk.events("start", "block", "word")
            talk.cut()
        else:
            await talk.events("start", "block", "word", "stop", "end")
            await talk.end()

    async with (
        scripted(script) as (url, upstream),
        serving(tmp_path, provider("a", url), provider("b", url), route("a", "b", midStream=policy, **ON)) as gateway,
    ):
        halves = await gateway.ask(stream=True)
        assert TERMINALS["Anthropic"] in halves.body
        assert len(upstream.seen) == 2
        assert [result(await gateway.ask(stream=True)) for _ in range(2)] == ["miss", "hit"]


async def test_a_call_of_a_fan_out_is_a_request_like_any_other(tmp_path: Path) -> None:
    async with (
        mock_provider() as mock,
        serving(
            tmp_path, *(provider(n, f"{mock}/s/ok,run={n}", "OpenAIChat") for n in "ab"), route("a", "b", **ON)
        ) as gateway,
    ):
        question = {"messages": [{"role": "user", "content": "hi"}], "calls": [{"candidate": "a"}, {"candidate": "b"}]}
        answers = []
        for _ in range(2):
            async with gateway.agent.post(f"{gateway.url}/fanout", json=question, headers=gateway.headers()) as answer:
                answers.append([(r["status"], r["text"]) for r in (await answer.json())["results"]])
        assert answers[0] == answers[1]
        assert answers[0][0][0] == "ok"
        assert [await calls(mock, name) for name in "ab"] == [1, 1]


# ---------------------------------------------------------------------------------------------------------- two replicas


@pytest.mark.skipif(not SERVER, reason="hack/redis installs the server")
async def test_replicas_share_their_answers_and_do_without_a_server(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    async with mock_provider() as mock, redis_server() as server:
        manifests = [provider("a", f"{mock}/s/ok,run=x"), route("a", **ON)]
        async with (
            serving(tmp_path / "one", *manifests, valkey_url=server.url) as one,
            serving(tmp_path / "two", *manifests, valkey_url=server.url) as two,
        ):
            await until(lambda: all(g.gateway.shared and g.gateway.shared.up for g in (one, two)))
            first, second = await one.ask(), await two.ask(stream=True)
            assert (result(first), result(second)) == ("miss", "hit")
            assert TERMINALS["Anthropic"] in second.body
            assert await calls(mock) == 1

            await server.kill()
            assert [result(await g.ask()) for g in (one, two, one)] == ["miss"] * 3
            await server.start()
            await until(lambda: all(g.gateway.shared and g.gateway.shared.up for g in (one, two)))
            assert [result(await g.ask()) for g in (one, two)] == ["miss", "hit"]


@pytest.mark.skipif(not SERVER, reason="hack/redis installs the server")
async def test_what_another_version_has_written_is_no_answer(tmp_path: Path) -> None:
    async with redis_server() as server, cached(tmp_path, valkey_url=server.url) as (gateway, mock):
        shared = gateway.gateway.shared
        await until(lambda: shared and shared.up)
        await gateway.ask()
        redis: Any = Redis.from_url(server.url)
        keys = await redis.keys("*")
        assert len(keys) == 1
        assert keys[0].startswith(b"droveway:cache:default/")
        assert 86_000 < await redis.ttl(keys[0]) <= 86_400
        await redis.set(keys[0], json.dumps({"another": "form"}))
        await redis.aclose()
        assert result(await gateway.ask()) == "miss"
        assert await calls(mock) == 2


async def test_the_least_used_answers_make_room(tmp_path: Path) -> None:
    async with cached(tmp_path, cache_bytes=16_384) as (gateway, _):
        for n in range(40):
            await gateway.ask(max_tokens=n + 1)
        assert result(await gateway.ask(max_tokens=40)) == "hit"
        assert result(await gateway.ask(max_tokens=1)) == "miss"
