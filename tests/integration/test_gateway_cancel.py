"""The agent leaves: its upstream call ends within 100 ms, in every phase, and nobody is blamed for it."""

import asyncio
import time
from pathlib import Path

import pytest

from droveway.api.enums import EndClass
from helpers.faulty import after_content, cut
from helpers.gateway import MESSAGE, Script, Seen, Talk, provider, route, scripted, serving, until

MOST = 0.1  # seconds: DESIGN, budget of the abort


async def before_the_first_byte(talk: Talk) -> None:
    await asyncio.Event().wait()


async def held_back(talk: Talk) -> None:
    await talk.head()
    await talk.events("start", "ping")
    await asyncio.Event().wait()


async def mid_stream(talk: Talk) -> None:
    await talk.head()
    await talk.events("start", "block")
    while True:
        await talk.events("word")
        await asyncio.sleep(0.02)


async def silent_mid_stream(talk: Talk) -> None:
    await talk.head()
    await talk.events("start", "block", "word")
    await asyncio.Event().wait()


async def half_a_body(talk: Talk) -> None:
    await talk.head(200, "application/json")
    await talk.say(b'{"type": "message",')
    await asyncio.Event().wait()


@pytest.mark.parametrize("dialect", ["Anthropic", "OpenAIChat"], ids=["as it is", "converted"])
@pytest.mark.parametrize(
    ("script", "stream"),
    [
        pytest.param(before_the_first_byte, True, id="before the first byte, streamed"),
        pytest.param(before_the_first_byte, False, id="before the first byte, not streamed"),
        pytest.param(held_back, True, id="while the stream is held back"),
        pytest.param(mid_stream, True, id="mid-stream, pieces flowing"),
        pytest.param(silent_mid_stream, True, id="mid-stream, silent"),
        pytest.param(half_a_body, False, id="not streamed, half the body there"),
    ],
)
async def test_the_upstream_call_is_aborted(tmp_path: Path, script: Script, stream: bool, dialect: str) -> None:
    async with scripted(script) as (url, upstream), serving(tmp_path, provider("a", url), route("a")) as gateway:
        asking = asyncio.create_task(gateway.ask(dialect, stream=stream))
        await until(lambda: upstream.seen)
        await asyncio.sleep(0.1)
        asking.cancel()
        left_at = time.monotonic()
        seen = upstream.seen[0]
        async with asyncio.timeout(5):
            await seen.gone.wait()
        assert seen.gone_at - left_at < MOST

        record = (await gateway.operator.heard(1))[0]
        assert not record.success
        assert record.verdict is not None
        assert record.verdict.kind is EndClass.CANCELLED
        assert gateway.metric("in_flight") == 0
        assert gateway.metric("requests_total", outcome="Cancelled") == 1
        assert gateway.metric("upstream_abort_seconds_count") == 1


async def test_leaving_opens_no_breaker_and_frees_its_slot(tmp_path: Path) -> None:
    patience = asyncio.Event()

    async def script(talk: Talk) -> None:
        if not patience.is_set():
            await asyncio.Event().wait()
        await talk.answer(200, MESSAGE)

    async with (
        scripted(script) as (url, upstream),
        serving(
            tmp_path, provider("a", url, maxInFlight=1), route("a", circuitBreaker={"failureThreshold": 1})
        ) as gateway,
    ):
        for turn in range(3):
            asking = asyncio.create_task(gateway.ask())
            await until(lambda turn=turn: len(upstream.seen) == turn + 1)  # type: ignore[misc]
            asking.cancel()
            await upstream.seen[turn].gone.wait()
        patience.set()
        answer = await gateway.ask()
        assert answer.status == 200
        assert answer.headers["x-droveway-candidate"] == "a"


async def test_who_leaves_the_queue_never_reaches_the_provider(tmp_path: Path) -> None:
    go = asyncio.Event()

    async def script(talk: Talk) -> None:
        await go.wait()
        await talk.answer(200, MESSAGE)

    async with (
        scripted(script) as (url, upstream),
        serving(tmp_path, provider("a", url, maxInFlight=1), route("a")) as gateway,
    ):
        first = asyncio.create_task(gateway.ask())
        await until(lambda: upstream.seen)
        second = asyncio.create_task(gateway.ask(note="second"))
        third = asyncio.create_task(gateway.ask(note="third"))
        slots = gateway.gateway.config.snapshot.providers
        assert slots
        await asyncio.sleep(0.1)
        second.cancel()
        await until(lambda: gateway.metric("requests_total", outcome="Cancelled") == 1)
        go.set()
        assert [(await first).status, (await third).status] == [200, 200]
        assert [seen.body.get("note") for seen in upstream.seen] == [None, "third"]


async def test_tokens_of_an_abandoned_stream_are_counted(tmp_path: Path) -> None:
    async with (
        scripted(silent_mid_stream) as (url, upstream),
        serving(tmp_path, provider("a", url), route("a")) as gateway,
    ):
        async with gateway.request(stream=True) as answer:
            await answer.content.readany()
        await upstream.seen[0].gone.wait()
        record = (await gateway.operator.heard(1))[0]
        assert (record.tokens.input, record.tokens.output) == (10, 1)


async def test_an_agent_that_does_not_read_is_given_up(tmp_path: Path) -> None:
    async def flood(talk: Talk) -> None:
        await talk.head()
        await talk.events("start", "block")
        while True:
            await talk.events(*["word"] * 100)

    async with (
        scripted(flood) as (url, upstream),
        serving(tmp_path, provider("a", url), route("a"), idle_seconds=0.3) as gateway,
        gateway.request(stream=True) as answer,
    ):
        assert answer.status == 200
        seen: Seen = upstream.seen[0]
        async with asyncio.timeout(5):
            await seen.gone.wait()
        record = (await gateway.operator.heard(1))[0]
        assert record.verdict is not None
        assert record.verdict.kind is EndClass.CANCELLED


async def test_who_hangs_up_on_the_last_event_has_its_answer(tmp_path: Path) -> None:
    async def script(talk: Talk) -> None:
        await talk.head()
        await talk.events("start", "block", "word", "stop", "end")
        await asyncio.Event().wait()  # the connection stays open behind the explicit end

    async with scripted(script) as (url, upstream), serving(tmp_path, provider("a", url), route("a")) as gateway:
        asking = asyncio.create_task(gateway.ask(stream=True))
        await until(lambda: upstream.seen)
        await asyncio.sleep(0.1)
        asking.cancel()
        record = (await gateway.operator.heard(1))[0]
        assert record.success
        assert record.tokens.output
        assert gateway.metric("requests_total", outcome="Succeeded") == 1


@pytest.mark.parametrize("mid_stream", ["Error", "Continue", "Restart"])
@pytest.mark.parametrize(
    "script", [before_the_first_byte, held_back, mid_stream, silent_mid_stream], ids=lambda script: script.__name__
)
async def test_leaving_ends_the_call_whatever_the_route_makes_of_streams(
    tmp_path: Path, script: Script, mid_stream: str
) -> None:
    async with (
        scripted(script) as (first, a),
        scripted(before_the_first_byte) as (second, b),
        serving(
            tmp_path, provider("a", first), provider("b", second), route("a", "b", midStream=mid_stream)
        ) as gateway,
    ):
        asking = asyncio.create_task(gateway.ask(stream=True))
        await until(lambda: a.seen)
        await asyncio.sleep(0.1)
        asking.cancel()
        left_at = time.monotonic()
        await asyncio.wait_for(a.seen[0].gone.wait(), 5)
        assert a.seen[0].gone_at - left_at < MOST
        await until(lambda: gateway.metric("requests_total", outcome="Cancelled") == 1)
        assert (b.seen, gateway.metric("in_flight")) == ([], 0)


async def test_leaving_ends_the_call_that_goes_on_with_a_stream(tmp_path: Path) -> None:
    async with (
        scripted(after_content("Anthropic", cut)) as (first, _),
        scripted(held_back) as (second, b),
        serving(
            tmp_path, provider("a", first), provider("b", second), route("a", "b", midStream="Continue")
        ) as gateway,
    ):
        asking = asyncio.create_task(gateway.ask(stream=True, messages=[{"role": "user", "content": "hi"}]))
        await until(lambda: b.seen)
        await asyncio.sleep(0.1)
        asking.cancel()
        left_at = time.monotonic()
        await asyncio.wait_for(b.seen[0].gone.wait(), 5)
        assert b.seen[0].gone_at - left_at < MOST
        failed, abandoned = await gateway.operator.heard(2)
        assert failed.verdict is not None
        assert abandoned.verdict is not None
        assert (failed.verdict.kind, abandoned.verdict.kind) == (EndClass.PROVIDER_OUTAGE, EndClass.CANCELLED)


@pytest.mark.parametrize(
    ("retry", "headers"),
    [
        pytest.param({"sameCandidate": 3, "backoffMilliseconds": 5000}, {}, id="a backoff"),
        pytest.param({}, {"retry_after": "4"}, id="a short limit"),
    ],
)
async def test_who_leaves_in_a_pause_is_not_called_for_again(
    tmp_path: Path, retry: dict[str, int], headers: dict[str, str]
) -> None:
    async def script(talk: Talk) -> None:
        await talk.answer(429 if headers else 500, {}, **headers)

    async with (
        scripted(script) as (url, upstream),
        serving(tmp_path, provider("a", url, maxInFlight=1), route("a", retry=retry)) as gateway,
    ):
        asking = asyncio.create_task(gateway.ask())
        await gateway.operator.heard(1)
        await asyncio.sleep(0.1)
        assert not asking.done()
        assert gateway.metric("in_flight") == 0  # no slot is held by who only waits
        asking.cancel()
        left_at = time.monotonic()
        await until(lambda: gateway.metric("requests_total", outcome="Cancelled") == 1)
        assert time.monotonic() - left_at < MOST
        assert len(upstream.seen) == 1


async def test_who_leaves_the_queue_is_gone_at_once(tmp_path: Path) -> None:
    async with (
        scripted(before_the_first_byte) as (url, upstream),
        serving(tmp_path, provider("a", url, maxInFlight=1), route("a")) as gateway,
    ):
        first = asyncio.create_task(gateway.ask())
        await until(lambda: upstream.seen)
        second = asyncio.create_task(gateway.ask())
        await until(lambda: gateway.metric("queue_length") == 1)
        second.cancel()
        left_at = time.monotonic()
        await until(lambda: gateway.metric("requests_total", outcome="Cancelled") == 1)
        assert time.monotonic() - left_at < MOST
        assert gateway.metric("queue_length") == 0
        first.cancel()
