"""The mock as a web server: finds out what is asked for, plays the scenario, keeps a list of the calls."""

import asyncio
import json
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from droveway.mockllm.answers import Events, events, whole
from droveway.mockllm.errors import claude_windows, failure, request_id
from droveway.mockllm.scenario import Api, Call, Json, Scenario, Stage

_KEPT_CALLS = 2000
_APIS: dict[str, Api] = {"/messages": "anthropic", "/chat/completions": "chat", "/responses": "responses"}
_DROPPED_HEADERS = ("host", "content-length", "connection", "accept-encoding")


def app(log: str | None = None, clock: Callable[[], float] = time.time) -> Starlette:
    """The mock as an ASGI application. `log`: a file for one JSON line per call, `-` for standard output."""
    mock = _Mock(log, clock)
    calls = Route("/_mock/calls", mock.list_calls)
    return Starlette(
        routes=[calls, Route("/{path:path}", mock.handle, methods=["GET", "POST", "HEAD", "PUT", "DELETE"])]
    )


def serve(host: str, port: int, log: str | None) -> None:
    """Serves until told to stop."""
    uvicorn.run(app(log), host=host, port=port, log_level="critical", timeout_graceful_shutdown=1)


class _Mock:
    def __init__(self, log: str | None, clock: Callable[[], float]) -> None:
        self._log, self._clock = log, clock
        self._stage = Stage()
        self._calls: deque[Json] = deque(maxlen=_KEPT_CALLS)

    async def list_calls(self, request: Request) -> Response:
        run = request.query_params.get("run")
        return JSONResponse([call for call in self._calls if run in (None, call["run"])])

    async def handle(self, request: Request) -> Response:
        path, body = request.url.path, _json(await request.body())
        gemini = re.search(r"/models/([^/:]+):(\w+)$", path)
        model = gemini[1] if gemini else str(body.get("model", "mock"))
        scenario = _scenario(request, model)
        if path.endswith("/count_tokens") or (gemini and gemini[2] == "countTokens"):
            self._note(request, body, scenario, 200)
            return JSONResponse({"totalTokens": 1200} if gemini else {"input_tokens": 1200})
        if path.endswith("/models") and request.method == "GET":
            self._note(request, body, scenario, 200)
            return JSONResponse({"object": "list", "data": [{"id": "mock", "object": "model", "owned_by": "mock"}]})
        api = "gemini" if gemini else next((api for tail, api in _APIS.items() if path.endswith(tail)), None)
        if api is None or request.method != "POST":
            status = 200 if request.method == "HEAD" else 404
            self._note(request, body, scenario, status)
            error = {"message": f"no route {request.method} {path}", "type": "not_found"}
            return JSONResponse({"error": error}, status)
        now = self._clock()
        stream = gemini[2].startswith("stream") if gemini else bool(body.get("stream"))
        call = Call(api, self._stage.next(scenario, now), body, model, stream, int(now))
        return await self._answer(request, call)

    async def _answer(self, request: Request, call: Call) -> Response:
        failed = failure(call)
        self._note(request, call.body, call.scenario, failed.status if failed else 200)
        if call.scenario.name == "hang":
            await asyncio.sleep(call.scenario.number("seconds", 3600))
        if failed and isinstance(failed.body, str):
            return Response(failed.body, failed.status, failed.headers, "text/html")
        if failed:
            return JSONResponse(failed.body, failed.status, failed.headers)
        gap = call.scenario.number("gap", 1 if call.scenario.name == "slow" else 0)
        if call.stream:
            stream = _sse(events(call), gap, cut=call.scenario.name == "disconnect")
            return StreamingResponse(stream, headers=_headers(call), media_type="text/event-stream")
        await asyncio.sleep(gap * len(events(call)))
        return JSONResponse(whole(call), headers=_headers(call))

    def _note(self, request: Request, body: Json, scenario: Scenario, status: int) -> None:
        call = {
            "t": round(self._clock(), 3),
            "run": scenario.run,
            "scenario": scenario.name,
            "method": request.method,
            "path": request.url.path,
            "query": request.url.query,
            "status": status,
        }
        headers = {name: value for name, value in request.headers.items() if name not in _DROPPED_HEADERS}
        self._calls.append({**call, "headers": headers, "body": body})
        if self._log == "-":
            print(json.dumps(call), flush=True)  # noqa: T201 - the log is what this process is asked to print
        elif self._log:
            with Path(self._log).open("a", encoding="utf-8") as log:
                log.write(json.dumps(call) + "\n")


def _json(raw: bytes) -> Json:
    """The body as an object, whatever it is."""
    try:
        body: Any = json.loads(raw) if raw else {}
    except ValueError:
        return {"_raw": raw[:200].decode("latin1")}
    return body if isinstance(body, dict) else {"_list": body}


def _scenario(request: Request, model: str) -> Scenario:
    keys = " ".join(request.headers.get(name, "") for name in ("authorization", "x-api-key", "x-goog-api-key"))
    named = re.compile(r"mock-([\w,=.-]+)")
    found = re.match(r"/s/([^/]+)/", request.url.path) or named.search(keys) or named.search(model)
    return Scenario.parse(found[1] if found else "ok")


def _headers(call: Call) -> dict[str, str]:
    match call.api:
        case "anthropic":
            return {"request-id": request_id()} | claude_windows(call.now, 9000)
        case "gemini":
            return {}
        case _:
            return {"x-request-id": request_id()}


async def _sse(told: Events, gap: float, *, cut: bool) -> AsyncIterator[bytes]:
    for number, (kind, data) in enumerate(told):
        if cut and number == 4:
            raise ConnectionResetError("mock: cut the stream")  # uvicorn closes the socket without the last chunk
        head = f"event: {kind}\n" if kind else ""
        yield f"{head}data: {data if isinstance(data, str) else json.dumps(data)}\n\n".encode()
        await asyncio.sleep(gap)
