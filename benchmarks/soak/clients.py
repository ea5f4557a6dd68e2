"""Agents of the soak: all dialects, streamed and whole, straight and converted, cached, fanned out; some leave before the end."""

import asyncio
import json
import random
from collections import Counter
from typing import Any, NamedTuple

import aiohttp

DIALECTS = ("Anthropic", "OpenAIChat", "OpenAIResponses", "Gemini")
PATHS = {"Anthropic": "/v1/messages", "OpenAIChat": "/v1/chat/completions", "OpenAIResponses": "/v1/responses"}
WORDS = "please look at this and say what is wrong with it. " * 20


class Ask(NamedTuple):
    """One request."""

    what: str
    path: str
    body: dict[str, Any]
    headers: dict[str, str]


class Agents:
    """So many that ask without a pause.

    Attributes:
        ended: how often a request of some kind ended in some way.
    """

    def __init__(self, url: str, keys: dict[str, str], cancels: float, seed: int) -> None:
        self._url, self._keys, self._cancels, self._random = url, keys, cancels, random.Random(seed)
        self.ended: Counter[tuple[str, str]] = Counter()
        self.stopping = False

    async def run(self, count: int) -> None:
        """Until `stopping`."""
        timeout = aiohttp.ClientTimeout(total=60)
        async with aiohttp.ClientSession(
            self._url, timeout=timeout, connector=aiohttp.TCPConnector(limit=0)
        ) as session:
            await asyncio.gather(*(self._agent(session) for _ in range(count)))

    async def _agent(self, session: aiohttp.ClientSession) -> None:
        while not self.stopping:
            ask = self._ask()
            leaves = self._random.random() < self._cancels
            try:
                async with asyncio.timeout(self._random.uniform(0.001, 0.15) if leaves else None):
                    how = await self._until_answered(session, ask)
            except TimeoutError:
                how = "left" if leaves else "hangs"
            except aiohttp.ClientError as error:
                how = type(error).__name__
            self.ended[ask.what, how] += 1

    async def _until_answered(self, session: aiohttp.ClientSession, ask: Ask) -> str:
        async with session.post(ask.path, data=json.dumps(ask.body), headers=ask.headers) as answer:
            body = await answer.read()
            broken = answer.status == 200 and b"error" in body and b'"error":null' not in body.replace(b" ", b"")
            return f"{answer.status}{' with an error in it' if broken else ''}"

    def _ask(self) -> Ask:
        dice = self._random
        dialect, stream = dice.choice(DIALECTS), dice.random() < 0.5
        route = dice.choice(("straight", "straight", "mixed", "cached", "fanout"))
        key = self._keys["mixed" if route == "fanout" else route]
        headers = {"x-api-key": key, "content-type": "application/json"}
        words = f"{dice.choice(range(50)) if route == 'cached' else dice.random()} {WORDS}"
        if route == "fanout":
            body = {
                "messages": [{"role": "user", "content": words}],
                "calls": [{"candidate": "anthropic"}, {"candidate": "openaichat"}],
                "mode": dice.choice(("all", "first")),
                "stream": stream,
            }
            return Ask(f"fanout {body['mode']}", "/fanout", body, headers)
        if route == "cached":
            headers["x-droveway-cache"] = "on"
        return Ask(
            f"{route} {dialect}{' streamed' if stream else ''}", *_request(dialect, words, stream=stream), headers
        )


def _request(dialect: str, words: str, *, stream: bool) -> tuple[str, dict[str, Any]]:
    if dialect == "Gemini":
        verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return f"/v1beta/models/any:{verb}", {"contents": [{"role": "user", "parts": [{"text": words}]}]}
    if dialect == "OpenAIResponses":
        return PATHS[dialect], {"model": "any", "stream": stream, "input": words}
    body = {"model": "any", "stream": stream, "max_tokens": 100, "messages": [{"role": "user", "content": words}]}
    return PATHS[dialect], body
