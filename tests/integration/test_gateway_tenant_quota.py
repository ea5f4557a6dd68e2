"""Quotas of tenants and budgets of runs at the socket: what is let through, what is refused and until when, what is counted."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from droveway.api.enums import EndClass, QuotaWindow
from droveway.api.v1alpha1 import TenantQuota
from droveway.core.tenant import rules_of
from droveway.core.windows import CALENDAR, end_of, start_of
from helpers.gateway import Answer, Running, asgi, provider, respond, route, run, serving, until

pytestmark = pytest.mark.integration

DIALECTS = ("Anthropic", "OpenAIChat", "OpenAIResponses", "Gemini")
USAGE = {"usage": {"input_tokens": 60, "output_tokens": 40}}


class Costly:
    """A provider whose every answer uses 100 tokens, once it is let answer."""

    def __init__(self) -> None:
        self.calls = self.inside = self.most = 0
        self.open = asyncio.Event()
        self.open.set()
        self.status = 200

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        more = True
        while more:
            more = (await receive())["more_body"]
        self.calls += 1
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await self.open.wait()
        finally:
            self.inside -= 1
        await respond(send, self.status, json.dumps({"content": [], **USAGE}).encode())


def quota(name: str = "team", status: Any = None, **spec: Any) -> dict[str, Any]:
    return {"kind": "TenantQuota", "metadata": {"name": name}, "spec": spec, "status": status or {}}


def used(now: datetime, **tokens: int) -> dict[str, Any]:
    """A status as the operator writes it."""
    rows = [
        {"window": w.value, "startTime": start_of(w, now).isoformat(), "resetTime": end_of(w, now).isoformat(),
         "tokens": tokens.get(w.value.lower(), 0), "costUSD": "0"}
        for w in CALENDAR
    ]  # fmt: skip
    return {"used": rows}


async def spend(running: Running, times: int) -> list[int]:
    return [(await running.ask(max_tokens=40)).status for _ in range(times)]


def retry_after(answer: Answer) -> int:
    return int(answer.headers["retry-after"])


async def test_requests_per_minute_are_refused_with_the_moment_in_which_one_more_fits(tmp_path: Path) -> None:
    upstream = Costly()
    async with (
        asgi(upstream) as url,
        serving(tmp_path, provider("a", url), route("a"), quota(perMinute={"maxRequests": 3})) as running,
    ):
        assert await spend(running, 3) == [200, 200, 200]
        refused = await running.ask()
        assert (refused.status, upstream.calls) == (429, 3)
        assert 50 <= retry_after(refused) <= 60
        assert refused.json["error"]["type"] == "rate_limit_error"
        assert "TenantQuota team: 3 of 3 requests per minute are used" in refused.json["error"]["message"]
        assert running.metric("quota_refused_total", quota="team", mode="Enforce", window="Minute") == 1
        told = (await running.operator.heard(4))[-1]
        assert told.verdict is not None
        assert (told.kind, told.verdict.kind) == ("exhausted", EndClass.RATE_LIMITED)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_spent_day_is_a_429_in_every_dialect_until_midnight(tmp_path: Path, dialect: str) -> None:
    now = datetime.now(UTC)
    async with (
        asgi(Costly()) as url,
        serving(
            tmp_path,
            provider("a", url, dialect),
            route("a"),
            quota(perDay={"maxTokens": 500}, status=used(now, day=500)),
        ) as running,
    ):
        refused = await running.ask(dialect)
        assert refused.status == 429
        midnight = end_of(QuotaWindow.DAY, now)
        assert abs(retry_after(refused) - (midnight - now).total_seconds()) < 10
        assert b"500 of 500 tokens per day" in refused.body


async def test_a_day_goes_on_from_the_operators_record_and_counts_what_is_used_since(tmp_path: Path) -> None:
    upstream = Costly()
    async with (
        asgi(upstream) as url,
        serving(
            tmp_path,
            provider("a", url),
            route("a"),
            quota(perDay={"maxTokens": 1000}, status=used(datetime.now(UTC), day=700)),
        ) as running,
    ):
        assert await spend(running, 4) == [200, 200, 200, 429]
        await running.edit(*manifests(url, quota(perDay={"maxTokens": 2000}, status=used(datetime.now(UTC), day=1000))))
        assert await spend(running, 1) == [200]  # the limit was raised
        await running.edit(*manifests(url, quota(perDay={"maxTokens": 2000}, status=used(datetime.now(UTC), day=1990))))
        assert await spend(running, 2) == [200, 429]  # others used it: alone, a request may use up what is left


def manifests(url: str, *more: dict[str, Any]) -> list[dict[str, Any]]:
    secret = {"kind": "Secret", "metadata": {"name": "a-key"}, "stringData": {"k": "key-of-a"}}
    return [provider("a", url), route("a"), run(), secret, *more]


async def test_open_requests_hold_what_they_may_use_and_give_back_what_they_did_not(tmp_path: Path) -> None:
    upstream = Costly()
    upstream.open.clear()
    async with (
        asgi(upstream) as url,
        serving(
            tmp_path, provider("a", url), route("a"), quota(perHour={"maxTokens": 1000}), queue_seconds=60
        ) as running,
    ):
        first = asyncio.create_task(running.ask(max_tokens=900))
        await until(lambda: upstream.inside == 1)
        second = asyncio.create_task(running.ask(max_tokens=900))  # would not fit beside the first
        await asyncio.sleep(0.1)
        assert upstream.inside == 1
        upstream.open.set()
        assert (await first).status == (await second).status == 200
        assert upstream.most == 1


async def test_a_cancelled_request_frees_what_it_held(tmp_path: Path) -> None:
    upstream = Costly()
    upstream.open.clear()
    async with (
        asgi(upstream) as url,
        serving(tmp_path, provider("a", url), route("a"), quota(maxInFlight=1)) as running,
    ):
        first = asyncio.create_task(running.ask())
        await until(lambda: upstream.inside == 1)
        waiting = asyncio.create_task(running.ask())
        await asyncio.sleep(0.05)
        gone = asyncio.create_task(running.ask())
        await asyncio.sleep(0.05)
        gone.cancel()
        first.cancel()
        upstream.open.set()
        assert (await waiting).status == 200
        assert (await running.ask()).status == 200
        assert upstream.most == 1


async def test_concurrency_waits_and_is_refused_when_its_patience_ends(tmp_path: Path) -> None:
    upstream = Costly()
    upstream.open.clear()
    async with (
        asgi(upstream) as url,
        serving(tmp_path, provider("a", url), route("a"), quota(maxInFlight=2), queue_seconds=0.3) as running,
    ):
        held = [asyncio.create_task(running.ask()) for _ in range(2)]
        await until(lambda: upstream.inside == 2)
        refused = await running.ask()
        assert refused.status == 429
        assert "2 of 2 requests at once" in refused.json["error"]["message"]
        upstream.open.set()
        assert [answer.status for answer in await asyncio.gather(*held)] == [200, 200]


@pytest.mark.parametrize("after", [quota(maxInFlight=2), None], ids=["raised", "deleted"])
async def test_who_waits_goes_by_the_quota_as_it_is_now(tmp_path: Path, after: dict[str, Any] | None) -> None:
    upstream = Costly()
    upstream.open.clear()
    async with (
        asgi(upstream) as url,
        serving(tmp_path, provider("a", url), route("a"), quota(maxInFlight=1), queue_seconds=60) as running,
    ):
        first = asyncio.create_task(running.ask())
        await until(lambda: upstream.inside == 1)
        second = asyncio.create_task(running.ask())
        await asyncio.sleep(0.1)
        assert upstream.inside == 1
        config = running.gateway.config
        ((held,),) = config.snapshot.quotas.values()
        config.put_quota(held.key, replace(held, rules=rules_of(TenantQuota.model_validate(after))) if after else None)
        await until(lambda: upstream.inside == 2)
        upstream.open.set()
        assert (await first).status == (await second).status == 200


async def test_a_picture_is_not_taken_for_a_long_text(tmp_path: Path) -> None:
    upstream = Costly()
    upstream.open.clear()
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 400_000}}
    async with (
        asgi(upstream) as url,
        serving(tmp_path, provider("a", url), route("a"), quota(perMinute={"maxTokens": 50_000})) as running,
    ):
        messages = [{"role": "user", "content": [picture]}]
        asking = [asyncio.create_task(running.ask(messages=messages, max_tokens=100)) for _ in range(2)]
        await until(lambda: upstream.inside == 2)
        upstream.open.set()
        assert [(await each).status for each in asking] == [200, 200]


async def test_shadow_refuses_nothing_and_counts_what_it_would_have(tmp_path: Path) -> None:
    async with (
        asgi(Costly()) as url,
        serving(
            tmp_path, provider("a", url), route("a"), quota(mode="Shadow", perMinute={"maxRequests": 1})
        ) as running,
    ):
        assert await spend(running, 3) == [200, 200, 200]
        assert running.metric("quota_refused_total", quota="team", mode="Shadow") == 2


async def test_of_several_quotas_all_apply(tmp_path: Path) -> None:
    async with (
        asgi(Costly()) as url,
        serving(
            tmp_path,
            provider("a", url),
            route("a"),
            quota("wide", perMinute={"maxRequests": 100}),
            quota("narrow", perMinute={"maxRequests": 1}),
        ) as running,
    ):
        assert await spend(running, 2) == [200, 429]
        assert running.metric("quota_refused_total", quota="narrow") == 1
        assert running.metric("quota_refused_total", quota="wide") == 0


async def test_another_tenant_is_not_affected(tmp_path: Path) -> None:
    limited = quota(perMinute={"maxRequests": 1})
    limited["metadata"]["namespace"] = "elsewhere"
    async with asgi(Costly()) as url, serving(tmp_path, provider("a", url), route("a"), limited) as running:
        assert await spend(running, 3) == [200, 200, 200]


async def test_a_run_that_has_spent_its_budget_is_refused_and_the_operator_is_told(tmp_path: Path) -> None:
    thrifty = run(usage={"tokens": {"total": 150}})
    thrifty["spec"]["budget"] = {"maxTokens": 350}
    upstream = Costly()
    async with asgi(upstream) as url, serving(tmp_path, provider("a", url), route("a"), thrifty) as running:
        assert await spend(running, 3) == [200, 200, 400]
        refused = await running.ask()
        assert "retry-after" not in refused.headers
        assert "has used 350 of 350 tokens (spec.budget.maxTokens)" in refused.json["error"]["message"]
        assert upstream.calls == 2
        await until(running.operator.exhausted)
        verdict = running.operator.exhausted()[0].verdict
        assert verdict is not None
        assert verdict.kind is EndClass.BUDGET_EXCEEDED
