"""Fan-out at the socket: modes, events, deadlines, and who is cancelled when."""

import asyncio
import json
import random
import time
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from droveway.api.fanout import Mode
from droveway.gateway.fanout import endpoint
from helpers.fanout import QUESTION, Team, calls, team
from helpers.gateway import route, until

pytestmark = pytest.mark.integration


def by(found: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in found if event["type"] == kind]


async def test_answers_come_in_the_order_of_the_calls(tmp_path: Path) -> None:
    async with team(tmp_path, slow="the slow answer", fast="the fast answer") as t:
        t["slow"].gap = 0.1
        found = await t.ask(calls=calls("slow", "fast"))
        assert found["status"] == "succeeded"
        assert [(r["id"], r["status"], r["text"]) for r in found["results"]] == [
            ("slow", "ok", "the slow answer "),
            ("fast", "ok", "the fast answer "),
        ]
        assert found["results"][0]["usage"] == {
            "input": 10,
            "output": 5,
            "reasoning": 0,
            "cacheRead": 0,
            "cacheWrite": 0,
        }
        assert [span["attempts"][0]["outcome"] for span in found["trace"]] == ["Succeeded", "Succeeded"]
        await t.running.operator.heard(2)
        assert {r.candidate for r in t.running.operator.completions()} == {"slow", "fast"}
        assert t.running.metric("requests_total", outcome="Succeeded") == 2
        assert t.running.metric("fanouts_total", mode="all", outcome="succeeded") == 1


async def test_one_failure_of_three_is_two_answers_and_an_error(tmp_path: Path) -> None:
    async with team(tmp_path, a="one", b="two", c="three") as t:
        t["b"].status, t["b"].error = 400, {"message": "bad prompt", "type": "invalid_request_error"}
        found = await t.ask(calls=calls("a", "b", "c"))
        assert found["status"] == "partial"
        assert [r["status"] for r in found["results"]] == ["ok", "error", "ok"]
        error = found["results"][1]["error"]
        assert error["code"] == "RequestRejected"
        assert "bad prompt" in error["message"]
        assert len(t["b"].seen) == 1


async def test_the_first_answer_ends_the_others(tmp_path: Path) -> None:
    async with team(tmp_path, slow="too late", fast="at once") as t:
        t["slow"].go.clear()
        found = await t.ask(mode="first", calls=calls("slow", "fast"))
        assert found["answer"] == {"text": "at once ", "toolCalls": [], "call": "fast"}
        assert [r["status"] for r in found["results"]] == ["cancelled", "ok"]
        await asyncio.wait_for(t["slow"].seen[0].gone.wait(), 1)
        await t.running.operator.heard(2)
        records = {r.candidate: r for r in t.running.operator.completions()}
        assert records["slow"].error is not None, "what it cost is on the books"
        assert t.running.metric("in_flight") == 0


async def test_a_quorum_is_enough(tmp_path: Path) -> None:
    async with team(tmp_path, a="one", b="two", c="three") as t:
        t["b"].go.clear()
        found = await t.ask(mode="quorum", quorum=2, calls=calls("a", "b", "c"))
        assert found["status"] == "succeeded"
        assert [r["status"] for r in found["results"]] == ["ok", "cancelled", "ok"]
        await asyncio.wait_for(t["b"].seen[0].gone.wait(), 1)


async def test_a_judge_picks_one_of_the_answers(tmp_path: Path) -> None:
    async with team(tmp_path, a="one", b="two", judge='{"best": 2, "reason": "better"}') as t:
        found = await t.ask(mode="judge", calls=calls("a", "b"), synthesis={"candidate": "judge"})
        assert found["answer"] == {"text": "two ", "toolCalls": [], "call": "b"}
        assert (found["synthesis"]["best"], found["synthesis"]["reason"]) == ("b", "better")
        material = json.loads(t["judge"].seen[0].body["messages"][1]["content"])
        assert material["answers"] == [{"number": 1, "answer": "one "}, {"number": 2, "answer": "two "}]
        assert material["conversation"] == QUESTION


async def test_a_judge_that_names_nobody_leaves_the_answers(tmp_path: Path) -> None:
    async with team(tmp_path, a="one", b="two", judge="both are fine") as t:
        found = await t.ask(mode="judge", calls=calls("a", "b"), synthesis={"candidate": "judge"})
        assert found["status"] == "partial"
        assert "answer" not in found
        assert "best" in found["synthesis"]["error"]["message"]


async def test_a_call_beyond_its_time_is_cut_and_its_siblings_are_not(tmp_path: Path) -> None:
    async with team(tmp_path, hangs="never", answers="in time") as t:
        t["hangs"].go.clear()
        t["answers"].gap = 0.3
        began = time.monotonic()
        found = await t.ask(calls=[*calls("hangs", timeoutMilliseconds=200), *calls("answers")])
        assert [r["status"] for r in found["results"]] == ["timeout", "ok"]
        assert found["results"][0]["error"]["code"] == "Timeout"
        assert found["trace"][0]["status"] == "timeout"
        assert found["trace"][0]["attempts"][0]["outcome"] == "Timeout"
        seen = t["hangs"].seen[0]
        await asyncio.wait_for(seen.gone.wait(), 1)
        assert 0.15 < seen.gone_at - began < 0.4
        assert 0 < int(seen.headers["x-droveway-deadline-ms"]) <= 200


async def test_the_callers_deadline_ends_all_of_it(tmp_path: Path) -> None:
    async with team(tmp_path, a="never", b="never") as t:
        t["a"].go.clear()
        t["b"].go.clear()
        began = time.monotonic()
        async with t.post(
            {"messages": QUESTION, "calls": calls("a", "b")}, **{"X-Droveway-Deadline-Ms": "300"}
        ) as answer:
            found = await answer.json()
        assert 0.25 < time.monotonic() - began < 1.0
        assert found["status"] == "failed"
        assert [r["status"] for r in found["results"]] == ["timeout", "timeout"]


async def test_calls_share_the_slots_of_their_provider(tmp_path: Path) -> None:
    async with team(tmp_path, limit=2, a="one") as t:
        t["a"].gap = 0.05
        found = await t.ask(calls=[{"candidate": "a"} for _ in range(8)])
        assert [r["status"] for r in found["results"]] == ["ok"] * 8
        assert t["a"].most == 2


async def test_a_call_that_finds_no_candidate_does_not_say_that_its_run_finds_none(tmp_path: Path) -> None:
    async with team(tmp_path, a="one", b="two") as t:
        t["b"].status, t["b"].error = (
            429,
            {"code": "usage_limit_reached", "resets_in_seconds": 900},
        )
        found = await t.ask(calls=calls("a", "b"))
        assert found["results"][1]["error"]["code"] == "SubscriptionLimit"
        await t.running.operator.heard(2)
        assert [r.aside for r in t.running.operator.completions()] == [True, True]
        assert (await t.running.ask("OpenAIChat")).status == 200
        await t.running.operator.heard(3)
        assert not t.running.operator.exhausted()
        again = await t.ask(calls=calls("b"))
        assert again["results"][0]["error"]["code"] == "SubscriptionLimit"
        assert len(t["b"].seen) == 1, "a limit is not hit twice"


async def test_a_call_takes_another_route_and_its_cache(tmp_path: Path) -> None:
    cached = {**route("b", cache={"mode": "Always"}), "metadata": {"name": "other"}}
    async with team(tmp_path, cached, a="one", b="two") as t:
        for kept in (False, True):
            found = await t.ask(calls=[{"route": "other"}, {}])
            assert [(r["candidate"], r["text"]) for r in found["results"]] == [("b", "two "), ("a", "one ")]
            assert bool(found["trace"][0].get("attempts")) is not kept
        assert (len(t["a"].seen), len(t["b"].seen)) == (2, 1)


async def test_a_gateway_that_stops_ends_its_calls_and_says_so(tmp_path: Path) -> None:
    async with team(tmp_path, a="one", hangs="never") as t:
        t["hangs"].go.clear()
        asking = asyncio.create_task(t.ask(calls=calls("a", "hangs")))
        await until(lambda: t["hangs"].open and t.running.metric("requests_total", outcome="Succeeded"))
        t.running.gateway.stop()
        found = await asking
        assert [r["status"] for r in found["results"]] == ["ok", "error"]
        assert "restarting" in found["results"][1]["error"]["message"]


# ---------------------------------------------------------------------------------------------------------------- events


async def test_events_come_before_the_slowest_call_ends(tmp_path: Path) -> None:
    async with team(tmp_path, slow="b b", fast="a a") as t:
        t["slow"].go.clear()
        found: list[dict[str, Any]] = []
        async for event in t.events(calls=calls("slow", "fast")):
            found.append(event)
            if event["type"] == "result" and event["call"] == "fast":
                assert t["slow"].open == 1
                t["slow"].go.set()
        assert [e["sequence"] for e in found] == list(range(1, len(found) + 1))
        assert [(e["call"], e["candidate"]) for e in by(found, "start")] == [("slow", "slow"), ("fast", "fast")]
        assert "".join(e["text"] for e in by(found, "delta") if e["candidate"] == "fast") == "a a "
        assert [e["call"] for e in by(found, "result")] == ["fast", "slow"]
        assert found[-1]["type"] == "final"
        assert [r["text"] for r in found[-1]["response"]["results"]] == ["b b ", "a a "]


async def test_a_failure_is_an_event_of_its_call(tmp_path: Path) -> None:
    async with team(tmp_path, a="one", b="two") as t:
        t["b"].status = 500
        found = [event async for event in t.events(calls=calls("a", "b"))]
        (error,) = by(found, "error")
        assert (error["call"], error["result"]["error"]["code"]) == ("b", "ProviderOutage")
        assert found[-1]["response"]["status"] == "partial"


async def test_a_synthesis_is_refined_and_ends_like_one_that_was_not_streamed(tmp_path: Path) -> None:
    async with team(tmp_path, a="one", b="two", c="three", fuser="fused words") as t:
        fuse = {"mode": "fuse", "calls": calls("a", "b", "c"), "synthesis": {"candidate": "fuser", "partialAfter": 2}}
        t["a"].go.clear()
        found: list[dict[str, Any]] = []
        async for event in t.events(**fuse):
            found.append(event)
            if event["type"] == "synthesis" and "result" in event and event["revision"] == 1:
                t["a"].go.set()
        made = by(found, "synthesis")
        assert {(e["revision"], tuple(e["calls"])) for e in made} == {(1, ("b", "c")), (2, ("a", "b", "c"))}
        assert "".join(e.get("delta", "") for e in made if e["revision"] == 1) == "fused words "
        final = found[-1]["response"]
        whole = await t.ask(**fuse)
        assert final["answer"] == whole["answer"] == {"text": "fused words ", "toolCalls": []}
        assert final["synthesis"]["calls"] == whole["synthesis"]["calls"] == ["a", "b", "c"]
        streamed, plain = t["fuser"].seen[1].body, t["fuser"].seen[2].body
        assert streamed["messages"] == plain["messages"], "the same answers, the same call"
        assert len(t["fuser"].seen) == 3
        assert [s["revision"] for s in final["trace"][3:]] == [1, 2]


async def test_a_client_that_leaves_ends_every_call(tmp_path: Path) -> None:
    async with team(tmp_path, a="x y z", b="never") as t:
        t["a"].gap, t["b"].go = 5.0, asyncio.Event()
        async with aclosing(t.events(calls=calls("a", "b"))) as events:
            async for event in events:
                if event["type"] == "delta":
                    break
        left = time.monotonic()
        for name in ("a", "b"):
            await asyncio.wait_for(t[name].seen[0].gone.wait(), 1)
            assert t[name].seen[0].gone_at - left < 0.1
        await until(lambda: t.running.metric("fanouts_total", outcome="cancelled") == 1)
        assert t.running.metric("in_flight") == 0


async def test_a_client_that_does_not_read_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "_LAST_WORD_SECONDS", 0.2)
    async with team(tmp_path, a="long") as t:
        t["a"].words = ["word " * 20_000] * 400
        body = json.dumps({"messages": QUESTION, "stream": True, "calls": calls("a"), "timeoutMilliseconds": 500})
        head = f"POST /fanout HTTP/1.1\r\nhost: x\r\nx-api-key: {t.running.key}\r\ncontent-length: {len(body)}\r\n\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", t.running.gateway.port, limit=2**10)
        writer.write((head + body).encode())
        await until(lambda: t["a"].seen)
        await asyncio.wait_for(t["a"].seen[0].gone.wait(), 3)
        await until(lambda: t.running.metric("fanouts_total", outcome="cancelled") == 1)
        assert t.running.metric("in_flight") == 0
        writer.close()
        del reader


async def test_nothing_is_left_over(tmp_path: Path) -> None:
    """Fan-outs of every mode, a third of whose clients leave at some moment."""
    draw = random.Random(7)
    async with team(tmp_path, limit=4, a="one two", b="three four", judge='{"best": 1}') as t:
        t["a"].gap, t["b"].gap = 0.01, 0.02
        before = {task for task in asyncio.all_tasks() if not task.done()}

        async def one() -> None:
            mode = draw.choice(["all", "first", "quorum", "judge", "fuse"])
            more: dict[str, Any] = {"quorum": 2} if mode == "quorum" else {}
            if mode in ("judge", "fuse"):
                more = {"synthesis": {"candidate": "judge", "partialAfter": 1}}
            body = {"messages": QUESTION, "mode": mode, "stream": draw.random() < 0.7, "calls": calls("a", "b"), **more}
            patience = draw.uniform(0, 0.1) if draw.random() < 0.33 else 10.0
            with suppress(TimeoutError):
                async with asyncio.timeout(patience), t.post(body) as answer:
                    assert answer.status == 200
                    await answer.read()

        await asyncio.gather(*(one() for _ in range(60)))
        await until(lambda: t.running.metric("in_flight") == t.running.metric("open_requests") == 0)
        assert sum(t.running.metric("fanouts_total", mode=mode) for mode in Mode) >= 45
        assert max(t["a"].most, t["b"].most, t["judge"].most) <= 4
        await until(lambda: not any("fanout" in str(task.get_coro()) for task in asyncio.all_tasks() - before))


# ------------------------------------------------------------------------------------------------------------ WebSocket


async def test_a_websocket_tells_the_same_events(tmp_path: Path) -> None:
    async with team(tmp_path, a="one", b="two") as t:
        asked = {"messages": QUESTION, "calls": calls("a", "b")}
        async with socket(t) as ws:
            await ws.send_json(asked)
            found = [json.loads(message.data) async for message in ws]
        assert ws.close_code == 1000
        streamed = [event async for event in t.events(calls=calls("a", "b"))]
        assert sorted(told(found)) == sorted(told(streamed))
        assert found[-1]["type"] == "final"


def told(events: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(e["type"], e.get("call") or "", e.get("candidate") or "") for e in events]


def socket(t: Team, path: str = "/fanout", key: str | None = None) -> Any:
    headers = {"authorization": f"Bearer {t.running.key if key is None else key}"}
    return t.running.agent.ws_connect(t.running.url + path, headers=headers)


async def test_a_websocket_that_closes_ends_every_call(tmp_path: Path) -> None:
    async with team(tmp_path, a="never", b="never") as t:
        t["a"].go.clear()
        t["b"].go.clear()
        async with socket(t) as ws:
            await ws.send_json({"messages": QUESTION, "calls": calls("a", "b")})
            await until(lambda: t["a"].seen and t["b"].seen)
        left = time.monotonic()
        for name in ("a", "b"):
            await asyncio.wait_for(t[name].seen[0].gone.wait(), 1)
            assert t[name].seen[0].gone_at - left < 0.1


async def test_a_websocket_refuses_as_http_does(tmp_path: Path) -> None:
    async with team(tmp_path, a="one") as t:
        for path, key, status in (("/fanout", "wrong", 401), ("/v1/responses", None, 404)):
            with pytest.raises(aiohttp.WSServerHandshakeError) as error:
                await socket(t, path, key)
            assert error.value.status == status
        async with socket(t) as ws:
            await ws.send_str("{}")
            refusal = json.loads((await ws.receive()).data)
            assert refusal["error"]["message"] == "calls: Field required"
            await ws.receive()
            assert ws.close_code == 1008


# ------------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"calls": []}, "calls: Tuple should have at least 1 item"),
        ({"calls": [{"candidate": "nobody"}]}, "route main has no candidate nobody; it has a (model-a)"),
        ({"calls": [{"model": "nothing"}]}, "route main has no candidate with model nothing; it has a (model-a)"),
        ({"calls": [{"model": "acme/model-a"}]}, "names no vendor that we know"),
        ({"calls": [{"route": "other"}]}, "there is no ModelRoute other in namespace default, only: main"),
        ({"calls": [{"candidate": "a", "model": "m"}]}, "calls.0: candidate and model name the same thing"),
        ({"calls": [{"id": "x"}, {"id": "x"}]}, "two calls have the same id"),
        ({"mode": "quorum"}, "quorum belongs to mode quorum"),
        ({"mode": "quorum", "quorum": 2}, "a quorum of 2 cannot come from 1 calls"),
        ({"mode": "fuse"}, "synthesis belongs to the modes judge and fuse"),
        ({"parameters": {"stream": True}}, "parameters cannot state stream"),
        ({"messages": None}, "a call without messages needs those of the request"),
        ({"unknown": 1}, "unknown: Extra inputs are not permitted"),
    ],
)
async def test_what_is_wrong_is_said(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    async with team(tmp_path, a="one") as t:
        body = {"messages": QUESTION, "calls": [{"candidate": "a"}], **change}
        async with t.post(body) as answer:
            assert answer.status == 400
            error = (await answer.json())["error"]
        assert error["type"] == "invalid_request_error"
        assert said in error["message"]
        assert not t["a"].seen


async def test_all_calls_together_are_bounded(tmp_path: Path) -> None:
    async with team(tmp_path, a="one") as t:
        long = [{"role": "user", "content": "x" * 3 * 2**20}]
        async with t.post({"messages": long, "calls": [{}] * 12}) as answer:
            assert answer.status == 413
            assert "12 calls of" in (await answer.json())["error"]["message"]
        assert not t["a"].seen


async def test_only_a_run_key_opens_it(tmp_path: Path) -> None:
    async with team(tmp_path, a="one") as t, t.post({}, **{"x-api-key": "sk-of-a-provider"}) as answer:
        assert answer.status == 401
        assert (await answer.json())["error"]["type"] == "authentication_error"


async def test_models_are_found_by_name_and_by_vendor(tmp_path: Path) -> None:
    async with team(tmp_path, a="one", b="two") as t:
        found = await t.ask(calls=[{"model": "model-b"}, {"model": "openai/model-a"}, {}])
        assert [r["candidate"] for r in found["results"]] == ["b", "a", "a"]
