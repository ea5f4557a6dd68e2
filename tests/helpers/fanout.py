"""Providers for fan-outs: each says its own words, when it is told to."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from droveway.api.schemas import schema
from helpers.gateway import Running, Scripted, Seen, Talk, provider, route, serving

QUESTION = [{"role": "user", "content": "why is the sky blue?"}]
_RESPONSE, _EVENT = (Draft202012Validator(schema(name)) for name in ("fanout-response", "fanout-event"))
USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


@dataclass
class Speaker:
    """A provider of OpenAI's chat API. Attributes may be changed at any time.

    Attributes:
        words: what it says, a chunk each.
        go: it says nothing before this is set.
        status: of its answers.
        most: requests that were open at once.
    """

    words: list[str]
    status: int = 200
    error: dict[str, Any] = field(default_factory=lambda: {"message": "no", "type": "server_error"})
    gap: float = 0.0
    go: asyncio.Event = field(default_factory=asyncio.Event)
    open: int = 0
    most: int = 0
    scripted: Scripted = field(init=False)

    def __post_init__(self) -> None:
        self.scripted = Scripted(self._script)
        self.go.set()

    @property
    def seen(self) -> list[Seen]:
        return self.scripted.seen

    async def _script(self, talk: Talk) -> None:
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            await self._answer(talk)
        finally:
            self.open -= 1

    async def _answer(self, talk: Talk) -> None:
        streamed = talk.seen.body.get("stream")
        if self.status != 200 or not streamed:
            await self.go.wait()
            await asyncio.sleep(self.gap)
            body = {"error": self.error} if self.status != 200 else self._whole()
            await talk.answer(self.status, body)
            return
        await talk.head()
        await self.go.wait()
        for word in self.words:
            await talk.say(_chunk({"content": word}))
            await asyncio.sleep(self.gap)
        await talk.say(_chunk({}, "stop", usage=USAGE) + b"data: [DONE]\n\n")
        await talk.end()

    def _whole(self) -> dict[str, Any]:
        message = {"role": "assistant", "content": "".join(self.words)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return {"id": "c", "object": "chat.completion", "model": "m", "choices": [choice], "usage": USAGE}


def _chunk(delta: dict[str, Any], reason: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return f"data: {json.dumps({'id': 'c', 'model': 'm', 'choices': [choice], **more})}\n\n".encode()


@dataclass
class Team:
    """A gateway, and speakers behind its route's candidates, which are named like them."""

    running: Running
    speakers: dict[str, Speaker]

    def __getitem__(self, name: str) -> Speaker:
        return self.speakers[name]

    def post(self, body: Any, **headers: str) -> Any:
        data = io.BytesIO(json.dumps(body).encode())  # aiohttp warns of long bodies that are not in a file
        return self.running.agent.post(
            self.running.url + "/fanout", data=data, headers={"x-api-key": self.running.key, **headers}
        )

    async def ask(self, **body: Any) -> dict[str, Any]:
        """The whole answer."""
        async with self.post({"messages": QUESTION, **body}) as answer:
            found: dict[str, Any] = await answer.json()
            assert answer.status == 200, found
            _RESPONSE.validate(found)
            return found

    async def events(self, **body: Any) -> AsyncGenerator[dict[str, Any]]:
        """Server-sent events."""
        async with self.post({"messages": QUESTION, "stream": True, **body}) as answer:
            assert answer.status == 200, await answer.text()
            assert answer.content_type == "text/event-stream"
            async for line in answer.content:
                if line.startswith(b"data: "):
                    event = json.loads(line[6:])
                    _EVENT.validate(event)
                    yield event


def calls(*names: str, **more: Any) -> list[dict[str, Any]]:
    """A call to each candidate, with its name as id."""
    return [{"id": name, "candidate": name, **more} for name in names]


@asynccontextmanager
async def team(folder: Path, *more: dict[str, Any], limit: int = 32, **words: str) -> AsyncIterator[Team]:
    """A gateway in front of speakers that say these words; `more`: manifests."""
    speakers = {name: Speaker([word + " " for word in said.split()]) for name, said in words.items()}
    async with AsyncExitStack() as stack:
        urls = {name: await stack.enter_async_context(s.scripted.up()) for name, s in speakers.items()}
        manifests = [provider(name, url, "OpenAIChat", maxInFlight=limit) for name, url in urls.items()]
        running = await stack.enter_async_context(serving(folder, *manifests, route(*words), *more))
        yield Team(running, speakers)
