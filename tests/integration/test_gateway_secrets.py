"""No secret in anything that comes out of the gateway: every failure is provoked with marked keys, and everything is searched."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from droveway.core.events import record_to_dict
from droveway.observability.logging import JsonFormatter
from helpers.gateway import Answer, Running, Talk, provider, route, scripted, secret, serving

MARK = "s3cr3tmark"
PROVIDER_KEY = f"sk-{MARK}-of-the-provider"
ACCOUNT = f"org-{MARK}"


async def echo_everything(talk: Talk, status: int, **headers: str) -> None:
    """A provider that repeats the key it was sent, as some gateways in front of providers do."""
    key = talk.seen.headers.get("x-api-key", "")
    body = {"type": "error", "error": {"type": "authentication_error", "message": f"invalid x-api-key: {key}"}}
    await talk.answer(status, body, set_cookie=f"session={MARK}", openai_organization=ACCOUNT, **headers)


async def unauthorized(talk: Talk) -> None:
    await echo_everything(talk, 401)


async def broken(talk: Talk) -> None:
    await echo_everything(talk, 500)


async def limited(talk: Talk) -> None:
    await echo_everything(talk, 429, retry_after="3600")


async def rejected(talk: Talk) -> None:
    body = {"type": "error", "error": {"type": "invalid_request_error", "message": "no such model"}}
    await talk.answer(400, body, set_cookie=f"session={MARK}", openai_organization=ACCOUNT)


async def cut(talk: Talk) -> None:
    talk.cut()


async def cut_later(talk: Talk) -> None:
    await talk.head(set_cookie=f"session={MARK}")
    await talk.events("start", "block", "word")
    talk.cut()


async def in_band(talk: Talk) -> None:
    await talk.head()
    await talk.events("start", "block", "word", "overloaded")
    await talk.end()


async def fine(talk: Talk) -> None:
    await talk.head(set_cookie=f"session={MARK}", anthropic_organization_id=ACCOUNT)
    await talk.events("start", "block", "word", "stop", "end")
    await talk.end()


def told(gateway: Running, answers: list[Answer], records: list[logging.LogRecord]) -> dict[str, str]:
    """Everything that came out, by where it did."""
    formatter = JsonFormatter()
    return {
        "bodies": "".join(answer.body.decode() for answer in answers),
        "headers": json.dumps([answer.headers for answer in answers]),
        "metrics": gateway.gateway.metrics.expose().decode(),
        "events": json.dumps([record_to_dict(record) for record in gateway.operator.records]),
        "logs": "\n".join(map(formatter.format, records)),
    }


@pytest.mark.parametrize("script", [unauthorized, broken, limited, rejected, cut, cut_later, in_band, fine])
@pytest.mark.parametrize("dialect", ["Anthropic", "OpenAIChat"], ids=["as it is", "converted"])
async def test_no_secret_comes_out(tmp_path: Path, script: Any, dialect: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("asyncio").setLevel(logging.INFO)
    async with (
        scripted(script) as (url, upstream),
        serving(
            tmp_path,
            provider("a", url),
            secret("a", PROVIDER_KEY),
            provider("gone", "http://127.0.0.1:1"),
            secret("gone", f"sk-{MARK}-too"),
            route("a", "gone"),
        ) as gateway,
    ):
        forged = gateway.key[:-4] + "0000"
        answers = [await gateway.ask(dialect, stream=True), await gateway.ask(dialect, stream=False)]
        for key in (forged, f"sk-{MARK}-sent-by-mistake"):
            for path in ("/v1/messages", "/v1/models", "/v1/routes/main:explain", "/fanout"):
                method = "POST" if path in ("/v1/messages", "/fanout") else "GET"
                async with gateway.agent.request(
                    method, gateway.url + path, data=b"{" if method == "POST" else None, headers={"x-api-key": key}
                ) as got:
                    answers.append(Answer(got.status, dict(got.headers), await got.read()))
        async with gateway.agent.get(f"{gateway.url}/v1beta/models?key={gateway.key}") as got:
            answers.append(Answer(got.status, dict(got.headers), await got.read()))
        assert upstream.seen
        assert upstream.seen[0].headers["x-api-key"] == PROVIDER_KEY
        assert gateway.key not in json.dumps([seen.headers for seen in upstream.seen])
        await gateway.operator.heard(1)
        out = told(gateway, answers, caplog.records)
        for where, text in out.items():
            assert text, where
            found = [
                mark for mark in (MARK, gateway.key, forged, "service-account-token", "a-master-key") if mark in text
            ]
            assert not found, (where, found, text[:3000])
