"""What the mock provider answers, without a socket."""

import asyncio
import json
from functools import cache
from typing import Any, NamedTuple

from droveway import mockllm

PATHS = {
    "Anthropic": "/v1/messages",
    "OpenAIChat": "/v1/chat/completions",
    "OpenAIResponses": "/v1/responses",
    "Gemini": "/v1beta/models/m1:{verb}",
}
TOOLS: dict[str, list[dict[str, Any]]] = {
    "Anthropic": [{"name": "Write", "input_schema": {"properties": {"file_path": {}, "content": {}}}}],
    "OpenAIChat": [{"function": {"name": "write", "parameters": {"properties": {"path": {}, "content": {}}}}}],
    "OpenAIResponses": [{"name": "shell", "parameters": {"properties": {"command": {"type": "string"}}}}],
    "Gemini": [{"functionDeclarations": [{"name": "write_file", "parameters": {"properties": {"file_path": {}}}}]}],
}


class Said(NamedTuple):
    """One answer: status, headers, and the pieces of its body."""

    status: int
    headers: dict[str, str]
    pieces: list[bytes]

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)


@cache
def ask(dialect: str, scenario: str, *, stream: bool = False) -> Said:
    """The mock's answer to one plain question in this dialect; a cut stream gives what came before the cut."""
    path = PATHS[dialect].format(verb="streamGenerateContent" if stream else "generateContent")
    body = json.dumps({"model": "m1", "stream": stream, "messages": [], "tools": TOOLS[dialect]}).encode()
    scope = {
        "type": "http",
        "method": "POST",
        "path": f"/s/{scenario}{path}",
        "raw_path": b"",
        "query_string": b"alt=sse" if stream else b"",
        "headers": [(b"content-type", b"application/json")],
    }
    sent: list[dict[str, Any]] = []
    asked = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> dict[str, Any]:
        for message in asked:
            return message
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    async def send(message: Any) -> None:
        sent.append(message)

    async def run() -> None:
        await mockllm.app()(scope, receive, send)

    try:
        asyncio.run(run())
    except* ConnectionResetError:  # the scenario `disconnect`
        pass
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Said(sent[0]["status"], headers, [m["body"] for m in sent[1:] if m.get("body")])
