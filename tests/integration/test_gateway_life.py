"""A gateway's life: changes while it serves, the end by SIGTERM, what the operator hears, and files mode as a process."""

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path

import aiohttp

from droveway.api.enums import EndClass
from droveway.core.events import RecordKind
from droveway.gateway.files import print_key
from helpers.gateway import (
    EVENTS,
    MASTER,
    MESSAGE,
    Running,
    Talk,
    completed,
    mock_provider,
    provider,
    route,
    run,
    scripted,
    secret,
    serving,
    until,
    write,
)


async def plain(talk: Talk) -> None:
    await talk.answer(200, MESSAGE)


class Patient:
    """A provider whose streams stay open until told to end."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def __call__(self, talk: Talk) -> None:
        await talk.head()
        await talk.events("start", "block", "word")
        await self.go.wait()
        await talk.events("word", "stop", "end")
        await talk.end()


async def test_a_change_drops_no_stream_and_holds_for_the_next_request(tmp_path: Path) -> None:
    patient = Patient()
    async with (
        scripted(patient) as (old_url, _),
        scripted(plain) as (new_url, _),
        serving(tmp_path, provider("a", old_url), route("a")) as gateway,
        gateway.request(stream=True) as answer,
    ):
        got = await answer.content.readany()
        assert EVENTS["word"] in got
        await gateway.edit(provider("b", new_url), route("b"), secret("b"), run())
        assert (await gateway.ask()).headers["x-droveway-candidate"] == "b"
        patient.go.set()
        rest = await answer.content.read()
        assert rest.endswith(EVENTS["end"])


async def test_a_broken_edit_goes_on_serving_the_last_good_one(tmp_path: Path) -> None:
    async with scripted(plain) as (url, _), serving(tmp_path, provider("a", url), route("a")) as gateway:
        (gateway.folder / "broken.yaml").write_text("kind: [")
        await until(lambda: gateway.metric("config_errors_total") == 1)
        assert (await gateway.ask()).status == 200


async def test_a_run_that_ends_takes_its_key_along(tmp_path: Path) -> None:
    async with scripted(plain) as (url, _), serving(tmp_path, provider("a", url), route("a")) as gateway:
        assert (await gateway.ask()).status == 200
        await gateway.edit(provider("a", url), route("a"), secret("a"), run(completionTime="2026-01-01T00:00:00Z"))
        assert (await gateway.ask()).status == 401


async def ready(gateway: Running) -> int:
    async with gateway.agent.get(f"{gateway.url}/readyz") as answer:
        return answer.status


async def test_the_end_lets_streams_finish(tmp_path: Path) -> None:
    patient = Patient()
    async with (
        scripted(patient) as (url, _),
        serving(tmp_path, provider("a", url), route("a"), drain_seconds=10) as gateway,
        gateway.request(stream=True) as answer,
    ):
        await answer.content.readany()
        gateway.gateway.stop()
        await asyncio.sleep(0.3)
        patient.go.set()
        assert (await answer.content.read()).endswith(EVENTS["end"])
        assert (await gateway.operator.heard(1))[0].success


async def test_the_end_of_patience_is_told_in_band(tmp_path: Path) -> None:
    async with (
        scripted(Patient()) as (url, upstream),
        serving(tmp_path, provider("a", url), route("a"), drain_seconds=0.2) as gateway,
        gateway.request(stream=True) as answer,
    ):
        await answer.content.readany()
        gateway.gateway.stop()
        last = (await answer.content.read()).strip().split(b"\n\n")[-1]
        assert last.startswith(b"event: error")
        assert b"restarting" in last
        await upstream.seen[0].gone.wait()


async def test_the_end_of_patience_before_any_content_is_a_proper_error(tmp_path: Path) -> None:
    async def never(talk: Talk) -> None:
        await asyncio.Event().wait()

    async with (
        scripted(never) as (url, upstream),
        serving(tmp_path, provider("a", url), route("a"), drain_seconds=0.2) as gateway,
    ):
        asking = asyncio.create_task(gateway.ask())
        await until(lambda: upstream.seen)
        gateway.gateway.stop()
        answer = await asking
        assert answer.status == 529
        assert "restarting" in answer.json["error"]["message"]


# ------------------------------------------------------------------------------------------------ what the operator hears


async def test_events_are_numbered_and_resent_until_acknowledged(tmp_path: Path) -> None:
    async with scripted(plain) as (url, _), serving(tmp_path, provider("a", url), route("a")) as gateway:
        gateway.operator.refuse = [(503, {"retry-after": "1"}), (500, {})]
        for _ in range(3):
            await gateway.ask()
        records = await gateway.operator.heard(3)
        assert [record.number for record in records] == [1, 2, 3]
        assert len({record.id for record in records}) == 3
        await until(lambda: gateway.metric("events_pending") == 0)


async def test_a_success_is_told_within_about_a_second(tmp_path: Path) -> None:
    async with scripted(plain) as (url, _), serving(tmp_path, provider("a", url), route("a")) as gateway:
        began = time.monotonic()
        await gateway.ask()
        await gateway.operator.heard(1)
        assert gateway.operator.arrivals[0] - began < 1.5


async def test_what_is_pending_at_the_end_is_delivered(tmp_path: Path) -> None:
    async with scripted(plain) as (url, _), serving(tmp_path, provider("a", url), route("a")) as gateway:
        await gateway.ask()
        gateway.gateway.stop()
        await gateway.operator.heard(1)


async def test_known_models_have_a_cost_and_unknown_ones_none(tmp_path: Path) -> None:
    known = route("a", "b")
    known["spec"]["candidates"][0]["model"] = "claude-sonnet-4-5"
    async with (
        mock_provider() as mock,
        serving(
            tmp_path, provider("a", f"{mock}/s/ok,skip=1,run=p"), provider("b", mock), known, priced=True
        ) as gateway,
    ):
        await gateway.ask()
        record = (await gateway.operator.heard(1))[0]
        # 1200 fresh, 800 read, 100 written, 42 out, by the public price list
        assert record.cost_usd is not None
        assert abs(record.cost_usd - (1200 * 3 + 800 * 0.3 + 100 * 3.75 + 42 * 15) / 1e6) < 1e-9
        assert gateway.metric("cost_usd_total", model="claude-sonnet-4-5") == record.cost_usd
        await gateway.edit(provider("b", mock), secret("b"), route("b"), run())
        await gateway.ask()
        assert (await gateway.operator.heard(2))[1].cost_usd is None


# ------------------------------------------------------------------------------------------------------ as a process


async def test_files_mode_as_a_process(tmp_path: Path) -> None:
    """Started like a user would, asked, told to end while a stream runs, and gone with the stream complete."""
    patient = Patient()
    config, master = tmp_path / "config", tmp_path / "master"
    config.mkdir()
    master.write_bytes(MASTER)
    async with scripted(patient) as (url, _):
        write(config, *completed((provider("a", url), route("a"))))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "droveway", "gateway", "--config", str(config),
            env={**os.environ, "DROVEWAY_MASTER_KEY_FILE": str(master),
                 "DROVEWAY_PORT": "0", "DROVEWAY_HOST": "127.0.0.1"},
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            assert process.stderr is not None
            lines: list[dict[str, object]] = []

            async def listening() -> str:
                assert process.stderr is not None
                async for raw in process.stderr:
                    lines.append(json.loads(raw))
                    if str(lines[-1]["message"]).startswith("listening on "):
                        return str(lines[-1]["message"]).removeprefix("listening on ")
                raise AssertionError(f"it never listened: {lines}")

            address = await asyncio.wait_for(listening(), 20)
            key = print_key(config, MASTER, "default/run")
            async with (
                aiohttp.ClientSession() as agent,
                agent.post(f"http://{address}/v1/messages", headers={"x-api-key": key},
                           data=b'{"model": "m", "stream": true, "secret": "of the prompt"}') as answer,
            ):  # fmt: skip
                await answer.content.readany()
                process.send_signal(signal.SIGTERM)
                await asyncio.sleep(0.3)
                patient.go.set()
                assert (await answer.content.read()).endswith(EVENTS["end"])
            log = (await asyncio.wait_for(process.stderr.read(), 20)).decode()
            assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    line = next(json.loads(text) for text in log.splitlines() if json.loads(text)["message"] == "request")
    assert (line["run"], line["route"], line["candidate"], line["verdict"]) == ("run", "main", "a", "Succeeded")
    assert [(a["candidate"], a["verdict"]) for a in line["attempts"]] == [("a", "Succeeded")]
    for hidden in (key, "key-of-a", "of the prompt"):
        assert hidden not in log + json.dumps(lines)


async def test_a_limit_found_by_one_replica_holds_for_the_others_by_status(tmp_path: Path) -> None:
    """What the operator writes after one replica's event is what keeps the others away."""
    async with mock_provider() as mock:
        spent = provider("a", f"{mock}/s/usage_limit,run=shared", quotaGroup="team")
        other = (provider("b", mock), route("a", "b"))
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
        async with serving(tmp_path / "one", spent, *other) as one, serving(tmp_path / "two", spent, *other) as two:
            await one.ask()
            found = next(r for r in await one.operator.heard(1) if r.kind is RecordKind.COMPLETION)
            assert found.verdict is not None
            assert found.verdict.kind is EndClass.SUBSCRIPTION_LIMIT
            assert found.verdict.until is not None
            limit = {
                "quotaGroup": "default/team",
                "kind": found.verdict.kind.value,
                "setTime": found.at.isoformat(),
                "untilTime": found.verdict.until.isoformat(),
            }
            await two.edit({**spent, "status": {"limits": [limit]}}, *other, secret("a"), secret("b"), run())
            assert (await two.ask()).headers["x-droveway-candidate"] == "b"
            async with two.agent.get(f"{mock}/_mock/calls?run=shared") as calls:
                assert len(await calls.json()) == 1
