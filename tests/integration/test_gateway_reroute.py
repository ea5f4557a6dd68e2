"""A provider fails before its first content: the next candidate answers, and the agent never notices. After it: an open error."""

import asyncio
import json
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from droveway.api.enums import EndClass
from helpers.gateway import (
    EVENTS,
    MESSAGE,
    PATHS,
    TERMINALS,
    Script,
    Talk,
    mock_provider,
    provider,
    route,
    run,
    scripted,
    secret,
    serving,
    until,
)

DIALECTS = list(PATHS)
WORD = b"Hello "  # the mock's first word
STREAMED = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "plain"])
DIALECT = pytest.mark.parametrize("dialect", DIALECTS)


@DIALECT
@STREAMED
async def test_an_answer_arrives_whole(tmp_path: Path, dialect: str, stream: bool) -> None:
    async with mock_provider() as mock, serving(tmp_path, provider("a", mock, dialect), route("a")) as gateway:
        answer = await gateway.ask(dialect, stream=stream)
        assert answer.status == 200
        assert not answer.broken
        assert WORD.strip() in answer.body
        assert (TERMINALS[dialect] in answer.body) or not stream
        assert answer.headers["x-droveway-route"] == "main"
        assert answer.headers["x-droveway-candidate"] == "a"
        assert answer.headers["x-droveway-attempts"] == "1"
        record = (await gateway.operator.heard(1))[0]
        assert (record.success, record.candidate, record.provider, record.model) == (True, "a", "a", "model-a")
        assert record.tokens.cache_read == 800
        assert record.tokens.total == record.tokens.input + record.tokens.output + record.tokens.reasoning + 800 + (
            100 if dialect == "Anthropic" else 0
        )
        assert (record.run, record.run_uid, record.attempt) == ("run", "uid-1", 1)
        assert record.started_at is not None
        assert record.started_at <= record.at
        assert gateway.operator.tokens == {"Bearer service-account-token"}


REROUTED = [
    ("usage_limit", EndClass.SUBSCRIPTION_LIMIT),
    ("rate_limit,retry_after=60", EndClass.RATE_LIMITED),
    ("billing", None),
    ("overloaded", EndClass.PROVIDER_OUTAGE),
    ("server_error", EndClass.PROVIDER_OUTAGE),
    ("html", EndClass.PROVIDER_OUTAGE),
    ("auth", EndClass.AUTH_FAILED),
]


@DIALECT
@STREAMED
@pytest.mark.parametrize(("scenario", "kind"), REROUTED, ids=[name.partition(",")[0] for name, _ in REROUTED])
async def test_the_next_candidate_answers(
    tmp_path: Path, dialect: str, stream: bool, scenario: str, kind: EndClass | None
) -> None:
    async with (
        mock_provider() as mock,
        serving(
            tmp_path, provider("a", f"{mock}/s/{scenario}", dialect), provider("b", mock, dialect), route("a", "b")
        ) as gateway,
    ):
        answer = await gateway.ask(dialect, stream=stream)
        assert answer.status == 200
        assert WORD.strip() in answer.body
        assert b"rror" not in answer.body.replace(b'"error":null', b"").replace(b'"error": null', b"")
        assert answer.headers["x-droveway-candidate"] == "b"
        assert answer.headers["x-droveway-attempts"] == "2"
        refused, served = await gateway.operator.heard(2)
        assert (refused.candidate, refused.success, served.candidate, served.success) == ("a", False, "b", True)
        assert refused.verdict is not None
        assert kind is None or refused.verdict.kind is kind
        assert gateway.metric("reroutes_total", **{"from": "a", "to": "b"}) == 1


@DIALECT
@pytest.mark.parametrize("scenario", ["context", "model_404"])
async def test_a_bad_request_is_the_agents_own(tmp_path: Path, dialect: str, scenario: str) -> None:
    async with (
        mock_provider() as mock,
        serving(
            tmp_path, provider("a", f"{mock}/s/{scenario}", dialect), provider("b", mock, dialect), route("a", "b")
        ) as gateway,
    ):
        answer = await gateway.ask(dialect)
        if scenario == "model_404" and answer.status == 200:
            assert answer.headers["x-droveway-candidate"] == "b"  # a missing model may be judged the candidate's fault
            return
        assert 400 <= answer.status < 500
        assert answer.headers["x-droveway-candidate"] == "a"
        assert "error" in answer.json


@DIALECT
@pytest.mark.parametrize("scenario", ["stream_error", "disconnect"])
async def test_after_the_first_content_the_error_is_open(tmp_path: Path, dialect: str, scenario: str) -> None:
    async with (
        mock_provider() as mock,
        serving(
            tmp_path, provider("a", f"{mock}/s/{scenario}", dialect), provider("b", mock, dialect), route("a", "b")
        ) as gateway,
    ):
        answer = await gateway.ask(dialect, stream=True)
        if answer.headers["x-droveway-candidate"] == "b":  # this dialect's mock fails before any content
            assert TERMINALS[dialect] in answer.body
            return
        assert answer.status == 200
        assert WORD.strip() in answer.body
        assert TERMINALS[dialect] not in answer.body or dialect == "OpenAIChat"
        assert b"error" in answer.body
        assert not answer.broken
        record = (await gateway.operator.heard(1))[0]
        assert record.verdict is not None
        assert record.verdict.kind is EndClass.PROVIDER_OUTAGE


# ------------------------------------------------------------------------------- before and after content, to the point


async def error_before_content(talk: Talk) -> None:
    await talk.head()
    await talk.events("start", "block", "ping", "overloaded")
    await talk.end()


async def cut_before_content(talk: Talk) -> None:
    await talk.head()
    await talk.events("start", "block")
    talk.cut()


async def silent_end_before_content(talk: Talk) -> None:
    await talk.head()
    await talk.events("start", "block")
    await talk.end()


async def silence_before_content(talk: Talk) -> None:
    await talk.head()
    await talk.events("start", "ping")
    await asyncio.Event().wait()


async def silence(talk: Talk) -> None:
    await asyncio.Event().wait()


async def no_json(talk: Talk) -> None:
    await talk.answer(200, b"<html>welcome to the hotel</html>")


async def elsewhere(talk: Talk) -> None:
    await talk.answer(302, {}, location="https://elsewhere.example")


async def hang_up(talk: Talk) -> None:
    talk.cut()


async def good(talk: Talk) -> None:
    if talk.seen.body.get("stream"):
        await talk.head()
        await talk.events("start", "block", "word", "stop", "end")
        await talk.end()
    else:
        await talk.answer(200, MESSAGE)


INVISIBLE: list[tuple[Script, bool]] = [
    (error_before_content, True),
    (cut_before_content, True),
    (silent_end_before_content, True),
    (silence_before_content, True),
    (silence, True),
    (silence, False),
    (no_json, False),
    (elsewhere, False),
    (hang_up, False),
]


@pytest.mark.parametrize(
    ("script", "stream"), INVISIBLE, ids=[f"{s.__name__}{'' if stream else ', plain'}" for s, stream in INVISIBLE]
)
async def test_a_failure_before_content_is_invisible(tmp_path: Path, script: Script, stream: bool) -> None:
    async with (
        scripted(script) as (bad_url, _),
        scripted(good) as (good_url, _),
        serving(
            tmp_path, provider("a", bad_url), provider("b", good_url), route("a", "b"), answer_seconds=0.5
        ) as gateway,
    ):
        answer = await gateway.ask(stream=stream)
        assert answer.status == 200
        if stream:
            assert answer.body == b"".join(EVENTS[name] for name in ("start", "block", "word", "stop", "end"))
        else:
            assert answer.json == MESSAGE
        refused = (await gateway.operator.heard(2))[0]
        assert refused.verdict is not None
        assert refused.verdict.kind is EndClass.PROVIDER_OUTAGE


async def test_an_unreachable_provider_is_an_outage(tmp_path: Path) -> None:
    async with (
        scripted(good) as (url, _),
        serving(tmp_path, provider("a", "http://127.0.0.1:1"), provider("b", url), route("a", "b")) as gateway,
    ):
        answer = await gateway.ask()
        assert answer.headers["x-droveway-candidate"] == "b"


async def error_after_content(talk: Talk) -> None:
    await talk.head()
    await talk.events("start", "block", "word")
    await asyncio.sleep(0.1)  # a piece that holds content and error at once was not delivered yet: then it is rerouted
    await talk.events("overloaded")
    await talk.end()


async def cut_after_content(talk: Talk) -> None:
    await talk.head()
    await talk.events("start", "block", "word")
    talk.cut()


async def silent_end_after_content(talk: Talk) -> None:
    await talk.head()
    await talk.events("start", "block", "word", "stop")
    await talk.end()


async def silence_after_content(talk: Talk) -> None:
    await talk.head()
    await talk.events("start", "block", "word")
    await asyncio.Event().wait()


async def half_an_event(talk: Talk) -> None:
    await talk.head()
    await talk.events("start", "block", "word")
    await talk.say(b'event: content_block_delta\ndata: {"type": "content_bl')
    talk.cut()


@pytest.mark.parametrize(
    "script",
    [error_after_content, cut_after_content, silent_end_after_content, silence_after_content, half_an_event],
    ids=lambda script: script.__name__,
)
async def test_a_failure_after_content_is_told_in_band(tmp_path: Path, script: Script) -> None:
    async with (
        scripted(script) as (bad_url, _),
        scripted(good) as (good_url, other),
        serving(
            tmp_path, provider("a", bad_url), provider("b", good_url), route("a", "b"), idle_seconds=0.3
        ) as gateway,
    ):
        answer = await gateway.ask(stream=True)
        assert answer.status == 200
        assert not answer.broken
        assert answer.body.startswith(EVENTS["start"] + EVENTS["block"] + EVENTS["word"])
        last = answer.body.strip().split(b"\n\n")[-1]
        assert last.startswith(b"event: error\ndata: ")
        assert json.loads(last.partition(b"data: ")[2])["error"]["type"] == "overloaded_error"
        assert b"message_stop" not in answer.body
        assert not other.seen
        record = (await gateway.operator.heard(1))[0]
        assert (record.success, record.tokens.input) == (False, 10)


async def test_what_comes_after_the_explicit_end_harms_nobody(tmp_path: Path) -> None:
    async def lingering(talk: Talk) -> None:
        await talk.head()
        await talk.events("start", "block", "word", "stop", "end")
        await asyncio.Event().wait()

    async with scripted(lingering) as (url, _), serving(tmp_path, provider("a", url), route("a")) as gateway:
        answer = await gateway.ask(stream=True)
        assert answer.body.endswith(EVENTS["end"])
        assert not answer.broken
        assert (await gateway.operator.heard(1))[0].success


async def test_what_is_held_back_is_bounded(tmp_path: Path) -> None:
    async def pings(talk: Talk) -> None:
        await talk.head()
        await talk.events("start", *["ping"] * 100)
        await asyncio.Event().wait()

    async with (
        scripted(pings) as (url, _),
        serving(tmp_path, provider("a", url), route("a")) as gateway,
        gateway.request(stream=True) as answer,
    ):
        assert answer.status == 200
        assert EVENTS["ping"] in await answer.content.readany()


# ------------------------------------------------------------------------------------------------------ what is passed on


async def test_what_we_do_not_know_passes_unchanged(tmp_path: Path) -> None:
    async with scripted(good) as (url, upstream), serving(tmp_path, provider("a", url), route("a")) as gateway:
        await gateway.ask()
        seen = upstream.seen[0]
        assert seen.path == "/v1/messages?beta=true"
        assert seen.body == {"model": "model-a", "stream": False, "messages": [], "unknown": {"kept": [1, 2.5]}}
        assert seen.headers["anthropic-beta"] == "a-2025,b-2026"
        assert seen.headers["x-api-key"] == "key-of-a"
        assert seen.headers["accept-encoding"] == "identity"
        assert gateway.key not in json.dumps(seen.headers)


async def test_connections_to_a_provider_are_used_again(tmp_path: Path) -> None:
    async with scripted(good) as (url, upstream), serving(tmp_path, provider("a", url), route("a")) as gateway:
        for stream in (True, False, True, False):
            assert (await gateway.ask(stream=stream)).status == 200
        assert upstream.connections == 1


async def test_a_kept_connection_that_died_costs_nothing(tmp_path: Path) -> None:
    async def answer_and_leave(talk: Talk) -> None:
        await talk.answer(200, MESSAGE)
        if len(upstream.seen) == 1:
            await asyncio.sleep(0.05)
            talk.cut()

    async with (
        scripted(answer_and_leave) as (url, upstream),
        serving(tmp_path, provider("a", url), route("a")) as gateway,
    ):
        assert (await gateway.ask()).status == 200
        await asyncio.sleep(0.2)
        assert (await gateway.ask()).status == 200
        assert [r.success for r in await gateway.operator.heard(2)] == [True, True]


# ----------------------------------------------------------------------------------------------------------- limits, keys


async def test_a_limited_provider_is_not_asked_before_its_reset(tmp_path: Path) -> None:
    async with (
        mock_provider() as mock,
        serving(
            tmp_path, provider("a", f"{mock}/s/usage_limit,run=t"), provider("b", mock), route("a", "b")
        ) as gateway,
    ):
        for _ in range(3):
            assert (await gateway.ask()).headers["x-droveway-candidate"] == "b"
        async with gateway.agent.get(f"{mock}/_mock/calls?run=t") as calls:
            assert len(await calls.json()) == 1


async def test_a_quota_group_is_limited_as_one(tmp_path: Path) -> None:
    async with (
        mock_provider() as mock,
        serving(
            tmp_path,
            provider("a", f"{mock}/s/usage_limit,run=a", quotaGroup="team"),
            provider("b", f"{mock}/s/ok,run=b", quotaGroup="team"),
            provider("c", mock),
            route("a", "b", "c"),
        ) as gateway,
    ):
        assert (await gateway.ask()).headers["x-droveway-candidate"] == "c"
        async with gateway.agent.get(f"{mock}/_mock/calls?run=b") as calls:
            assert await calls.json() == []


async def test_after_the_reset_it_is_asked_again(tmp_path: Path) -> None:
    async with (
        mock_provider() as mock,
        serving(
            tmp_path,
            provider("a", f"{mock}/s/usage_limit,resets_in=2,fail=1,run=reset"),
            provider("b", mock),
            route("a", "b"),
        ) as gateway,
    ):
        assert (await gateway.ask()).headers["x-droveway-candidate"] == "b"
        reset = (await gateway.operator.heard(1))[0].verdict
        assert reset is not None
        assert reset.until is not None
        await asyncio.sleep(max(0.0, (reset.until - datetime.now(UTC)).total_seconds()) + 0.05)
        assert (await gateway.ask()).headers["x-droveway-candidate"] == "a"


async def test_the_operators_word_counts_and_ends_with_it(tmp_path: Path) -> None:
    def limited(until: str) -> dict[str, object]:
        return {
            "limits": [
                {
                    "quotaGroup": "default/a",
                    "kind": "SubscriptionLimit",
                    "setTime": "2026-01-01T00:00:00Z",
                    "untilTime": until,
                }
            ]
        }

    async with mock_provider() as mock:
        a, others = provider("a", mock), (provider("b", mock), route("a", "b"))
        secrets = (secret("a"), secret("b"))
        far = "2999-01-01T00:00:00Z"
        async with serving(tmp_path, {**a, "status": limited(far)}, *others) as gateway:
            run = next(m for m in _manifests(gateway.folder) if m["kind"] == "AgentRun")
            assert (await gateway.ask()).headers["x-droveway-candidate"] == "b"
            await gateway.edit(a, *others, *secrets, run)
            assert (await gateway.ask()).headers["x-droveway-candidate"] == "a"


def _manifests(folder: Path) -> list[dict[str, object]]:
    return list(yaml.safe_load_all((folder / "all.yaml").read_text()))


@DIALECT
async def test_everything_limited_is_one_clear_error(tmp_path: Path, dialect: str) -> None:
    async with (
        mock_provider() as mock,
        serving(
            tmp_path,
            provider("a", f"{mock}/s/usage_limit,resets_in=9000", dialect),
            provider("b", f"{mock}/s/usage_limit,resets_in=4000", dialect),
            route("a", "b"),
        ) as gateway,
    ):
        answer = await gateway.ask(dialect)
        assert 400 <= answer.status < 500
        assert "error" in answer.json
        record = (await gateway.operator.heard(3))[2]
        assert gateway.operator.exhausted() == [record]
        assert record.verdict is not None
        assert record.verdict.kind is EndClass.SUBSCRIPTION_LIMIT
        assert record.verdict.until is not None
        seconds = (record.verdict.until - datetime.now(UTC)).total_seconds()
        if dialect != "Gemini":  # the mock's per-day quota states no reset
            assert 3900 < seconds <= 4000
            assert 3900 < int(answer.headers["retry-after"]) <= 4001
        assert gateway.metric("requests_total", outcome="SubscriptionLimit") == 1


async def test_bad_news_travels_at_once(tmp_path: Path) -> None:
    async with (
        mock_provider() as mock,
        serving(tmp_path, provider("a", f"{mock}/s/usage_limit"), provider("b", mock), route("a", "b")) as gateway,
    ):
        began = time.monotonic()
        await gateway.ask()
        await gateway.operator.heard(1)
        assert gateway.operator.arrivals[0] - began < 0.5


async def test_a_short_rate_limit_is_waited_for_once(tmp_path: Path) -> None:
    async with (
        mock_provider() as mock,
        serving(tmp_path, provider("a", f"{mock}/s/rate_limit,retry_after=1,fail=1,run=short"), route("a")) as gateway,
    ):
        answer = await gateway.ask()
        assert answer.status == 200
        assert answer.headers["x-droveway-attempts"] == "2"


async def test_a_second_rate_limit_is_not_waited_for(tmp_path: Path) -> None:
    async with (
        mock_provider() as mock,
        serving(tmp_path, provider("a", f"{mock}/s/rate_limit,retry_after=1,run=again"), route("a")) as gateway,
    ):
        answer = await gateway.ask()
        assert answer.status == 429
        assert answer.headers["x-droveway-attempts"] == "2"


@pytest.mark.parametrize(("told", "asked"), [({"retry_after": "1"}, 2), ({"retry_after": "60"}, 1), ({}, 1)], ids=str)
async def test_an_overload_is_waited_for_if_it_says_that_it_is_short(
    tmp_path: Path, told: dict[str, str], asked: int
) -> None:
    """Whose turn it is says the verdict alone: nobody else is left, so the same one again, once, when it passes soon."""
    calls = 0

    async def busy_once(talk: Talk) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            await talk.answer(
                529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, **told
            )
        else:
            await good(talk)

    async with scripted(busy_once) as (url, _), serving(tmp_path, provider("a", url), route("a")) as gateway:
        answer = await gateway.ask()
        assert (answer.status, calls) == (200 if asked == 2 else 529, asked)


async def test_signatures_and_default_length_are_the_providers(tmp_path: Path) -> None:
    async def odd(talk: Talk) -> None:
        await talk.answer(400, {"error": {"message": "Your weekly cap is gone"}})

    async with (
        scripted(odd) as (odd_url, _),
        scripted(good) as (good_url, _),
        serving(
            tmp_path,
            provider("a", odd_url, limits={"signatures": ["weekly cap"], "defaultSeconds": 120}),
            provider("b", good_url),
            route("a", "b"),
        ) as gateway,
    ):
        assert (await gateway.ask()).headers["x-droveway-candidate"] == "b"
        verdict = (await gateway.operator.heard(1))[0].verdict
        assert verdict is not None
        assert verdict.kind is EndClass.SUBSCRIPTION_LIMIT
        assert verdict.until is not None
        assert 100 < (verdict.until - datetime.now(UTC)).total_seconds() <= 120


async def test_outages_open_the_breaker_and_a_probe_closes_it(tmp_path: Path) -> None:
    healthy = False

    async def moody(talk: Talk) -> None:
        await talk.answer(*((200, MESSAGE) if healthy else (500, {"error": {}})))

    async with (
        scripted(moody) as (url, upstream),
        scripted(good) as (good_url, _),
        serving(
            tmp_path,
            provider("a", url),
            provider("b", good_url),
            route("a", "b", circuitBreaker={"failureThreshold": 2, "cooldownSeconds": 1}),
        ) as gateway,
    ):
        for _ in range(4):
            assert (await gateway.ask()).headers["x-droveway-candidate"] == "b"
        assert len(upstream.seen) == 2
        healthy = True
        await asyncio.sleep(1.05)
        assert (await gateway.ask()).headers["x-droveway-candidate"] == "a"
        assert (await gateway.explained())["candidates"][0]["circuit"]["state"] == "Closed"


async def test_a_refused_key_is_read_again_once(tmp_path: Path) -> None:
    async def strict(talk: Talk) -> None:
        known = talk.seen.headers["x-api-key"] == "new-key"
        await talk.answer(*((200, MESSAGE) if known else (401, {"error": {"type": "authentication_error"}})))

    async with (
        scripted(strict) as (url, upstream),
        serving(tmp_path, provider("a", url), route("a")) as gateway,
    ):
        answer = await gateway.ask()
        assert answer.status in (400, 401, 403)
        assert len(upstream.seen) == 1
        await gateway.ask()
        assert len(upstream.seen) == 1  # the same key is not shown to it again
        run = next(m for m in _manifests(gateway.folder) if m["kind"] == "AgentRun")
        await gateway.edit(provider("a", url), secret("a", "new-key"), route("a"), run)
        assert (await gateway.ask()).status == 200


async def test_a_missing_secret_passes_to_the_next_candidate(tmp_path: Path) -> None:
    async with scripted(good) as (url, _):
        lost = provider("a", url)
        lost["spec"]["credentialsRef"] = {"name": "absent", "key": "k"}
        async with serving(tmp_path, lost, provider("b", url), route("a", "b")) as gateway:
            assert (await gateway.ask()).headers["x-droveway-candidate"] == "b"


async def test_only_candidates_that_can_serve_it_and_are_ours_are_asked(tmp_path: Path) -> None:
    """Some tools run at their vendor: no other has them."""
    search = {"type": "web_search_20250305", "name": "web_search"}
    async with scripted(good) as (url, _):
        direct = provider("b", url)
        direct["spec"]["access"] = "Direct"
        async with serving(
            tmp_path, provider("a", url, "OpenAIChat"), direct, provider("c", url), route("a", "b", "c")
        ) as gateway:
            assert (await gateway.ask(tools=[search])).headers["x-droveway-candidate"] == "c"


async def test_a_full_provider_makes_wait_and_then_passes_on(tmp_path: Path) -> None:
    go = asyncio.Event()

    async def slow(talk: Talk) -> None:
        await go.wait()
        await talk.answer(200, MESSAGE)

    async with (
        scripted(slow) as (slow_url, upstream),
        scripted(good) as (good_url, _),
        serving(
            tmp_path,
            provider("a", slow_url, maxInFlight=1),
            provider("b", good_url),
            route("a", "b"),
            queue_seconds=0.2,
        ) as gateway,
    ):
        first = asyncio.create_task(gateway.ask())
        await until(lambda: upstream.seen)
        assert (await gateway.ask()).headers["x-droveway-candidate"] == "b"
        go.set()
        assert (await first).headers["x-droveway-candidate"] == "a"


@pytest.mark.parametrize("on_limit", ["Wait", "Fail"])
async def test_a_run_that_wants_to_stay_at_a_limit_is_not_moved_by_the_gateway_either(
    tmp_path: Path, on_limit: str
) -> None:
    staying = run(route={"candidate": "a"})
    staying["spec"]["retry"] = {"onLimit": on_limit}
    async with (
        mock_provider() as mock,
        serving(
            tmp_path, provider("a", f"{mock}/s/usage_limit"), provider("b", mock), route("a", "b"), staying
        ) as gateway,
    ):
        for _ in range(2):  # by its own refusal, then by what is known
            answer = await gateway.ask()
            assert answer.status == 429
            assert answer.headers.get("x-droveway-candidate") != "b"
        await until(lambda: len(gateway.operator.exhausted()) == 2)
        assert [r.candidate for r in gateway.operator.completions()] == ["a"], "and the spent one was asked once"


@pytest.mark.parametrize("on_limit", ["Wait", "Fail"])
async def test_an_outage_moves_even_a_run_that_stays_at_limits(tmp_path: Path, on_limit: str) -> None:
    staying = run(route={"candidate": "a"})
    staying["spec"]["retry"] = {"onLimit": on_limit}
    async with (
        mock_provider() as mock,
        serving(
            tmp_path, provider("a", f"{mock}/s/overloaded"), provider("b", mock), route("a", "b"), staying
        ) as gateway,
    ):
        answer = await gateway.ask()
        assert (answer.status, answer.headers["x-droveway-candidate"]) == (200, "b")
