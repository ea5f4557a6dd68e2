"""Mock LLM upstream for demos, drills and tests: Anthropic Messages, OpenAI Chat and Responses, Gemini; failures on demand.

A scenario is picked by, first match wins: path prefix `/s/<scenario>/…`; an API key holding `mock-<scenario>`; a model name
holding `mock-<scenario>`; else `ok`. Knobs follow with commas: `/s/usage_limit,window=60,run=t1/v1/messages`.

    run=<id>           counts and lists calls of one test apart
    fail=<n>           only the first n calls of the run fail, later ones are `ok`
    skip=<n>           the first n calls of the run are answered well, then it fails
    before=<scenario>  what those first calls look like (`tool`: a tool call)
    window=<s>         `usage_limit`: limited from the first refused call until its reset, for every caller; then `ok` for good
    retry_after=<s>    seconds in `rate_limit` (2)
    resets_in=<s>      seconds until the window of `usage_limit` resets (9000)
    gap=<s>            pause between stream events (0; 1 in `slow`)
    seconds=<s>        how long `hang` hangs before it answers (3600)

`GET /_mock/calls?run=<id>` lists the calls seen. Headers are kept as they came: never point a client with a real key at it.
"""

import asyncio
import json
import math
import re
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

TEXT = "Hello from the mock model."
WORDS = [w + " " for w in TEXT.split()]
SCENARIOS = frozenset(
    [
        "ok",
        "tool",
        "rate_limit",
        "overloaded",
        "auth",
        "context",
        "usage_limit",
        "billing",
        "model_404",
        "server_error",
        "hang",
        "disconnect",
        "stream_error",
        "slow",
        "html",
        "refusal",
        "max_tokens",
    ]
)
USAGE = {"in": 1200, "cache_read": 800, "cache_write": 100, "out": 42, "reason": 7}


@dataclass
class Scn:
    """One parsed scenario with its knobs."""

    name: str
    knobs: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Self:
        name, *rest = text.split(",")
        return cls(name if name in SCENARIOS else "ok", dict(k.split("=", 1) for k in rest if "=" in k))

    def num(self, knob: str, default: float) -> float:
        return float(self.knobs.get(knob, default))

    @property
    def run(self) -> str:
        return self.knobs.get("run", "-")


@dataclass
class Call:
    """What one endpoint needs to answer: the dialect, the scenario, the parsed body."""

    api: str
    scn: Scn
    body: dict[str, Any]
    model: str
    stream: bool

    def tool(self) -> tuple[str, dict[str, Any]] | None:
        """The file-writing tool the client offers, with arguments for it; None once a result came back."""
        if (
            self.scn.name != "tool"
            or not self.body.get("tools")
            or re.search(
                r'"(tool_result|function_call_output|custom_tool_call_output|functionResponse)"|"role": "tool"',
                json.dumps(self.body),
            )
        ):
            return None
        names: dict[str, dict[str, Any]] = {}
        for t in self.body["tools"]:
            for f in t.get("functionDeclarations") or t.get("tools") or [t.get("function") or t]:
                if "name" in f:
                    names[f["name"]] = (
                        f.get("input_schema") or f.get("parameters") or f.get("parametersJsonSchema") or {}
                    )
        for want in ("Write", "write", "write_file", "exec_command", "shell_command", "shell", "bash", "Bash"):
            if want in names:
                return want, tool_args(names[want].get("properties", {}))
        return None


def tool_args(props: dict[str, Any]) -> dict[str, Any]:
    """Arguments for a write-file or shell tool, from its schema's property names."""
    args: dict[str, Any] = {}
    for key, spec in props.items():
        if key in ("file_path", "filePath", "path", "absolute_path"):
            args[key] = "mock.txt"
        elif key == "content":
            args[key] = "written by a mock tool call\n"
        elif key in ("command", "cmd"):
            line = "echo 'written by a mock tool call' > mock.txt"
            args[key] = ["bash", "-lc", line] if spec.get("type") == "array" else line
        elif key == "description":
            args[key] = "write a file"
    return args


# ---------------------------------------------------------------- errors: (status, body, headers)
Err = tuple[int, Any, dict[str, str]]


def error_for(c: Call) -> Err | None:
    """The HTTP error of the scenario in the dialect of the call, or None when the scenario answers 200."""
    n, now = c.scn.name, int(time.time())
    retry, window = int(c.scn.num("retry_after", 2)), int(c.scn.num("resets_in", 9000))
    if n in ("disconnect", "stream_error") and not c.stream:
        n = "server_error"
    if n == "html":
        return 502, "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>", {}
    if c.api == "anthropic":
        table: dict[str, tuple[int, str, str, dict[str, str]]] = {
            "rate_limit": (
                429,
                "rate_limit_error",
                "This request would exceed your organization's rate limit of 30,000 "
                "input tokens per minute. For details, refer to: https://docs.claude.com/en/api/rate-limits.",
                {
                    "retry-after": str(retry),
                    "anthropic-ratelimit-input-tokens-limit": "30000",
                    "anthropic-ratelimit-input-tokens-remaining": "0",
                    "anthropic-ratelimit-input-tokens-reset": time.strftime(
                        "%Y-%m-%dT%H:%M:%SZ", time.gmtime(now + retry)
                    ),
                },
            ),
            "usage_limit": (
                429,
                "rate_limit_error",
                "This request would exceed your account's rate limit. Please try again later.",
                unified(now, window) | {"retry-after": str(window)},
            ),
            "overloaded": (529, "overloaded_error", "Overloaded", {"x-should-retry": "true"}),
            "auth": (401, "authentication_error", "invalid x-api-key", {"x-should-retry": "false"}),
            "context": (400, "invalid_request_error", "prompt is too long: 215000 tokens > 200000 maximum", {}),
            "billing": (
                400,
                "invalid_request_error",
                "Your credit balance is too low to access the Anthropic API. "
                "Please go to Plans & Billing to upgrade or purchase credits.",
                {},
            ),
            "model_404": (404, "not_found_error", f"model: {c.model}", {}),
            "server_error": (500, "api_error", "Internal server error", {"x-should-retry": "true"}),
        }
        if n not in table:
            return None
        st, kind, msg, hdr = table[n]
        rid = "req_" + uuid.uuid4().hex[:24]
        return (
            st,
            {"type": "error", "error": {"type": kind, "message": msg}, "request_id": rid},
            hdr | {"request-id": rid},
        )
    if c.api == "gemini":
        return gemini_error(n, c.model, retry)

    # OpenAI: chat and responses share their errors
    def oai(st: int, msg: str, kind: str | None, code: str | None, hdr: dict[str, str] | None = None) -> Err:
        return st, {"error": {"message": msg, "type": kind, "param": None, "code": code}}, hdr or {}

    if n == "usage_limit":  # what a ChatGPT plan answers to codex
        hdr = {
            "x-codex-active-limit": "premium",
            "x-codex-plan-type": "plus",
            "x-codex-primary-used-percent": "100",
            "x-codex-primary-window-minutes": "300",
            "x-codex-primary-reset-after-seconds": str(window),
            "x-codex-primary-reset-at": str(now + window),
            "x-codex-secondary-used-percent": "80",
            "x-codex-secondary-window-minutes": "10080",
            "x-codex-secondary-reset-after-seconds": "316705",
        }
        return (
            429,
            {
                "error": {
                    "type": "usage_limit_reached",
                    "message": "The usage limit has been reached",
                    "plan_type": "plus",
                    "resets_at": now + window,
                    "resets_in_seconds": window,
                }
            },
            hdr,
        )
    return {
        "rate_limit": oai(
            429,
            f"Rate limit reached for {c.model} in organization org-mock on tokens per min (TPM): Limit "
            f"30000, Used 29800, Requested 900. Please try again in {retry}s.",
            "tokens",
            "rate_limit_exceeded",
            {
                "retry-after": str(retry),
                "retry-after-ms": str(retry * 1000),
                "x-ratelimit-limit-tokens": "30000",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": f"{retry}s",
            },
        ),
        "overloaded": oai(
            503, "The engine is currently overloaded, please try again later.", "server_error", "server_is_overloaded"
        ),
        "auth": oai(
            401,
            "Incorrect API key provided: sk-mock. You can find your API key at "
            "https://platform.openai.com/account/api-keys.",
            "invalid_request_error",
            "invalid_api_key",
        ),
        "context": oai(
            400,
            "This model's maximum context length is 128000 tokens. However, your messages resulted in "
            "215000 tokens. Please reduce the length of the messages.",
            "invalid_request_error",
            "context_length_exceeded",
        ),
        "billing": oai(
            429,
            "You exceeded your current quota, please check your plan and billing details. For more "
            "information on this error, read the docs: "
            "https://platform.openai.com/docs/guides/error-codes/api-errors.",
            "insufficient_quota",
            "insufficient_quota",
        ),
        "model_404": oai(
            404,
            f"The model `{c.model}` does not exist or you do not have access to it.",
            "invalid_request_error",
            "model_not_found",
        ),
        "server_error": oai(
            500, "The server had an error while processing your request. Sorry about that!", "server_error", None
        ),
    }.get(n)


def gemini_error(n: str, model: str, retry: int) -> Err | None:
    """Google's error envelope, with the details its clients read."""

    def err(code: int, status: str, msg: str, details: list[dict[str, Any]] | None = None) -> Err:
        return code, {"error": {"code": code, "message": msg, "status": status, "details": details or []}}, {}

    def quota(metric: str, delay: str | None) -> Err:
        hint = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}] if delay else []
        return err(
            429,
            "RESOURCE_EXHAUSTED",
            "You exceeded your current quota, please check your plan and billing "
            f"details.\n* Quota exceeded for metric: {metric}, limit: 250, model: {model}",
            [
                {
                    "@type": "type.googleapis.com/google.rpc.QuotaFailure",
                    "violations": [
                        {
                            "quotaMetric": "generativelanguage.googleapis.com/generate_content_requests",
                            "quotaId": metric,
                            "quotaDimensions": {"model": model, "location": "global"},
                            "quotaValue": "250",
                        }
                    ],
                },
                *hint,
            ],
        )

    return {
        "rate_limit": quota("GenerateRequestsPerMinutePerProjectPerModel", f"{retry}s"),
        "usage_limit": quota("GenerateRequestsPerDayPerProjectPerModel", None),
        "billing": quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier", None),
        "overloaded": err(503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
        "auth": err(
            400,
            "INVALID_ARGUMENT",
            "API key not valid. Please pass a valid API key.",
            [
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "API_KEY_INVALID",
                    "domain": "googleapis.com",
                    "metadata": {"service": "generativelanguage.googleapis.com"},
                }
            ],
        ),
        "context": err(
            400,
            "INVALID_ARGUMENT",
            "The input token count (1215000) exceeds the maximum number of tokens allowed (1048576).",
        ),
        "model_404": err(404, "NOT_FOUND", f"models/{model} is not found for API version v1beta."),
        "server_error": err(500, "INTERNAL", "An internal error has occurred. Please retry."),
    }.get(n)


def unified(now: int, window: int, status: str = "rejected") -> dict[str, str]:
    """Headers of a Claude subscription (5-hour and 7-day windows)."""
    p, used = "anthropic-ratelimit-unified-", status == "rejected"
    return {
        p + "status": status,
        p + "reset": str(now + window),
        p + "representative-claim": "five_hour",
        p + "5h-status": status,
        p + "5h-reset": str(now + window),
        p + "5h-utilization": "1.0" if used else "0.2",
        p + "7d-status": "allowed",
        p + "7d-reset": str(now + 5 * 86400),
        p + "7d-utilization": "0.6",
        p + "fallback-percentage": "0.5",
        p + "overage-status": "rejected",
        p + "overage-disabled-reason": "org_level_disabled",
    }


# ---------------------------------------------------------------- 200 bodies, as lists of (event, data)
Events = list[tuple[str | None, Any]]


def anthropic_events(c: Call) -> Events:
    """SSE of POST /v1/messages."""
    tool, u = (
        c.tool(),
        {
            "input_tokens": USAGE["in"],
            "cache_creation_input_tokens": USAGE["cache_write"],
            "cache_read_input_tokens": USAGE["cache_read"],
            "output_tokens": 1,
            "service_tier": "standard",
        },
    )
    stop = "tool_use" if tool else {"max_tokens": "max_tokens", "refusal": "refusal"}.get(c.scn.name, "end_turn")
    msg = {
        "id": "msg_" + uuid.uuid4().hex[:24],
        "type": "message",
        "role": "assistant",
        "model": c.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": u,
    }
    ev: Events = [("message_start", {"message": msg})]
    if tool:
        block = {"type": "tool_use", "id": "toolu_" + uuid.uuid4().hex[:24], "name": tool[0], "input": {}}
        deltas = [{"type": "input_json_delta", "partial_json": json.dumps(tool[1])}]
    else:
        block, deltas = {"type": "text", "text": ""}, [{"type": "text_delta", "text": w} for w in WORDS]
    ev += [("content_block_start", {"index": 0, "content_block": block}), ("ping", {})]
    ev += [("content_block_delta", {"index": 0, "delta": d}) for d in deltas]
    if c.scn.name == "stream_error":
        return [*ev[:4], ("error", {"error": {"type": "overloaded_error", "message": "Overloaded"}})]
    ev += [
        ("content_block_stop", {"index": 0}),
        (
            "message_delta",
            {"delta": {"stop_reason": stop, "stop_sequence": None}, "usage": {**u, "output_tokens": USAGE["out"]}},
        ),
        ("message_stop", {}),
    ]
    return [(k, {"type": k, **d}) for k, d in ev]


def chat_events(c: Call) -> Events:
    """SSE of POST /v1/chat/completions."""
    tool = c.tool()
    base = {
        "id": "chatcmpl-" + uuid.uuid4().hex[:24],
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": c.model,
        "system_fingerprint": "fp_mock",
    }

    def chunk(delta: dict[str, Any], finish: str | None = None) -> tuple[None, Any]:
        return None, {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    ev: Events = [chunk({"role": "assistant", "content": None if tool else ""})]
    if tool:
        ev.append(
            chunk(
                {
                    "tool_calls": [
                        {
                            "index": 0,
                            "id": "call_" + uuid.uuid4().hex[:20],
                            "type": "function",
                            "function": {"name": tool[0], "arguments": json.dumps(tool[1])},
                        }
                    ]
                }
            )
        )
    else:
        ev += [chunk({"content": w}) for w in WORDS]
    if c.scn.name == "stream_error":
        return [
            *ev[:3],
            (None, {"error": {"message": "The server had an error", "type": "server_error", "code": None}}),
        ]
    finish = "tool_calls" if tool else {"max_tokens": "length", "refusal": "content_filter"}.get(c.scn.name, "stop")
    ev.append(chunk({}, finish))
    ev.append((None, {**base, "choices": [], "usage": chat_usage()}))
    return [*ev, (None, "[DONE]")]


def chat_usage() -> dict[str, Any]:
    return {
        "prompt_tokens": USAGE["in"],
        "completion_tokens": USAGE["out"],
        "total_tokens": USAGE["in"] + USAGE["out"],
        "prompt_tokens_details": {"cached_tokens": USAGE["cache_read"]},
        "completion_tokens_details": {"reasoning_tokens": USAGE["reason"]},
    }


def responses_events(c: Call) -> Events:
    """SSE of POST /v1/responses."""
    tool = c.tool()
    resp = {
        "id": "resp_" + uuid.uuid4().hex[:24],
        "object": "response",
        "created_at": int(time.time()),
        "status": "in_progress",
        "model": c.model,
        "output": [],
        "usage": None,
        "error": None,
    }
    ev: Events = [("response.created", {"response": resp}), ("response.in_progress", {"response": resp})]
    if tool:
        item: dict[str, Any] = {
            "type": "function_call",
            "id": "fc_" + uuid.uuid4().hex[:20],
            "status": "completed",
            "call_id": "call_" + uuid.uuid4().hex[:20],
            "name": tool[0],
            "arguments": json.dumps(tool[1]),
        }
        ev += [
            ("response.output_item.added", {"output_index": 0, "item": {**item, "arguments": ""}}),
            (
                "response.function_call_arguments.done",
                {"output_index": 0, "item_id": item["id"], "arguments": item["arguments"]},
            ),
        ]
    else:
        mid, part = "msg_" + uuid.uuid4().hex[:20], {"type": "output_text", "text": TEXT, "annotations": []}
        item = {"type": "message", "id": mid, "role": "assistant", "status": "completed", "content": [part]}
        at = {"output_index": 0, "content_index": 0, "item_id": mid}
        ev += [
            ("response.output_item.added", {"output_index": 0, "item": {**item, "content": []}}),
            ("response.content_part.added", {**at, "part": {**part, "text": ""}}),
        ]
        ev += [("response.output_text.delta", {**at, "delta": w}) for w in WORDS]
        ev += [
            ("response.output_text.done", {**at, "text": TEXT}),
            ("response.content_part.done", {**at, "part": part}),
        ]
    if c.scn.name == "stream_error":
        failed = {**resp, "status": "failed", "error": {"code": "server_is_overloaded", "message": "Overloaded"}}
        ev = [*ev[:5], ("response.failed", {"response": failed})]
    else:
        cut = c.scn.name == "max_tokens"
        done = {
            **resp,
            "status": "incomplete" if cut else "completed",
            "output": [item],
            "usage": {
                "input_tokens": USAGE["in"],
                "input_tokens_details": {"cached_tokens": USAGE["cache_read"]},
                "output_tokens": USAGE["out"],
                "output_tokens_details": {"reasoning_tokens": USAGE["reason"]},
                "total_tokens": USAGE["in"] + USAGE["out"],
            },
        }
        if cut:
            done["incomplete_details"] = {"reason": "max_output_tokens"}
        ev += [
            ("response.output_item.done", {"output_index": 0, "item": item}),
            ("response.incomplete" if cut else "response.completed", {"response": done}),
        ]
    return [(k, {"type": k, "sequence_number": i, **d}) for i, (k, d) in enumerate(ev)]


def gemini_events(c: Call) -> Events:
    """SSE of POST .../models/<model>:streamGenerateContent?alt=sse."""
    tool = c.tool()
    base = {"modelVersion": c.model, "responseId": uuid.uuid4().hex[:22]}

    def chunk(parts: list[Any], finish: str | None = None) -> tuple[None, Any]:
        cand: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
        return None, {
            **base,
            "candidates": [cand | ({"finishReason": finish} if finish else {})],
            "usageMetadata": {
                "promptTokenCount": USAGE["in"],
                "cachedContentTokenCount": USAGE["cache_read"],
                "candidatesTokenCount": USAGE["out"],
                "thoughtsTokenCount": USAGE["reason"],
                "totalTokenCount": USAGE["in"] + USAGE["out"] + USAGE["reason"],
            },
        }

    ev = (
        [chunk([{"functionCall": {"name": tool[0], "args": tool[1]}}])]
        if tool
        else [chunk([{"text": w}]) for w in WORDS]
    )
    if c.scn.name == "stream_error":
        return [
            *ev[:2],
            (None, {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}),
        ]
    return [*ev, chunk([{"text": ""}], {"max_tokens": "MAX_TOKENS", "refusal": "SAFETY"}.get(c.scn.name, "STOP"))]


EVENTS = {"anthropic": anthropic_events, "chat": chat_events, "responses": responses_events, "gemini": gemini_events}


def whole_body(c: Call, ev: Events) -> Any:
    """The non-streaming body, folded from the same events."""
    tool = c.tool()
    if c.api == "anthropic":
        msg, delta = dict(ev[0][1]["message"]), next(d for k, d in ev if k == "message_delta")
        block = {**ev[1][1]["content_block"], **({"input": tool[1]} if tool else {"text": TEXT})}
        return {**msg, "content": [block], "stop_reason": delta["delta"]["stop_reason"], "usage": delta["usage"]}
    if c.api == "responses":
        return ev[-1][1]["response"]
    if c.api == "gemini":
        body, parts = dict(ev[-1][1]), [p for _, d in ev for p in d["candidates"][0]["content"]["parts"]]
        return {**body, "candidates": [{**body["candidates"][0], "content": {"role": "model", "parts": parts}}]}
    calls = [t for _, d in ev if d != "[DONE]" for ch in d["choices"] for t in ch["delta"].get("tool_calls", [])]
    message = {"role": "assistant", "content": None if tool else TEXT} | ({"tool_calls": calls} if tool else {})
    finish = next(d["choices"][0]["finish_reason"] for _, d in reversed(ev[:-1]) if d["choices"])
    return {
        **ev[0][1],
        "object": "chat.completion",
        "usage": chat_usage(),
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
    }


# ---------------------------------------------------------------- HTTP
class Mock:
    """The app's state: the calls seen so far, in memory and in a JSON-lines file."""

    def __init__(self, log: str | None) -> None:
        self.log, self.seen = log, Counter[str]()
        self.resets: dict[str, float] = {}
        self.calls: list[dict[str, Any]] = []

    def note(self, req: Request, body: Any, scn: Scn, status: int) -> None:
        keep = {
            k: v for k, v in req.headers.items() if k not in ("host", "content-length", "connection", "accept-encoding")
        }
        rec = {
            "t": round(time.time(), 3),
            "run": scn.run,
            "scenario": scn.name,
            "method": req.method,
            "path": req.url.path,
            "query": req.url.query,
            "status": status,
            "headers": keep,
            "body": body,
        }
        self.calls.append(rec)
        if self.log == "-":
            print(json.dumps({k: v for k, v in rec.items() if k not in ("headers", "body")}), flush=True)  # noqa: T201 - its output
        elif self.log:
            with Path(self.log).open("a", encoding="utf-8") as f:
                f.write(json.dumps(rec) + "\n")

    async def handle(self, req: Request) -> Response:
        """Every request: find the dialect from the path's tail and the scenario, then answer."""
        path, raw = req.url.path, await req.body()
        try:
            body = json.loads(raw) if raw else {}
        except ValueError:
            body = {"_raw": raw[:200].decode("latin1")}
        body = body if isinstance(body, dict) else {"_list": body}
        if path == "/_mock/calls":
            run = req.query_params.get("run")
            return JSONResponse([c for c in self.calls if run in (None, c["run"])])
        gem = re.search(r"/models/([^/:]+):(\w+)$", path)
        model = gem[1] if gem else str(body.get("model", "mock"))
        keys = " ".join(req.headers.get(h, "") for h in ("authorization", "x-api-key", "x-goog-api-key"))
        found = (
            re.search(r"^/s/([^/]+)/", path)
            or re.search(r"mock-([\w,=.-]+)", keys)
            or re.search(r"mock-([\w,=.-]+)", model)
        )
        scn = Scn.parse(found[1] if found else "ok")
        if path.endswith("/count_tokens") or (gem and gem[2] == "countTokens"):
            self.note(req, body, scn, 200)
            return JSONResponse({"totalTokens": 1200} if gem else {"input_tokens": 1200})
        if path.endswith("/models") and req.method == "GET":
            self.note(req, None, scn, 200)
            return JSONResponse({"object": "list", "data": [{"id": "mock", "object": "model", "owned_by": "mock"}]})
        api = (
            "gemini"
            if gem
            else "anthropic"
            if path.endswith("/messages")
            else "chat"
            if path.endswith("/chat/completions")
            else "responses"
            if path.endswith("/responses")
            else None
        )
        if api is None or req.method != "POST":
            status = 200 if req.method == "HEAD" else 404
            self.note(req, body, scn, status)
            return JSONResponse({"error": {"message": f"no route {req.method} {path}", "type": "not_found"}}, status)
        call = Call(api, scn, body, model, gem[2].startswith("stream") if gem else bool(body.get("stream")))
        self.seen[scn.run] += 1
        call.scn = self.now_playing(scn)
        return await self.answer(req, call)

    def now_playing(self, scn: Scn) -> Scn:
        """The scenario of this call, by its place in the run and by the clock."""
        number = self.seen[scn.run]
        if number <= scn.num("skip", 0):
            return Scn(scn.knobs.get("before", "ok"), scn.knobs)
        if number > scn.num("fail", 1e9):
            return Scn("ok", scn.knobs)
        if "window" not in scn.knobs:
            return scn
        reset = self.resets.setdefault(scn.run, time.time() + scn.num("window", 0))
        left = reset - time.time()
        return Scn(scn.name, scn.knobs | {"resets_in": str(math.ceil(left))}) if left > 0 else Scn("ok", scn.knobs)

    async def answer(self, req: Request, c: Call) -> Response:
        err = error_for(c)
        self.note(req, c.body, c.scn, err[0] if err else 200)
        if c.scn.name == "hang":
            await asyncio.sleep(c.scn.num("seconds", 3600))
        if err:
            st, data, hdr = err
            return Response(data, st, hdr, "text/html") if isinstance(data, str) else JSONResponse(data, st, hdr)
        hdr = {
            "anthropic": {"request-id": "req_" + uuid.uuid4().hex[:24]} | unified(int(time.time()), 9000, "allowed"),
            "gemini": {},
        }.get(c.api, {"x-request-id": "req_" + uuid.uuid4().hex[:24]})
        ev = EVENTS[c.api](c)
        if not c.stream:
            return JSONResponse(whole_body(c, ev), headers=hdr)
        return StreamingResponse(self.sse(c, ev), media_type="text/event-stream", headers=hdr)

    async def sse(self, c: Call, ev: Events) -> AsyncIterator[bytes]:
        gap = c.scn.num("gap", 1.0 if c.scn.name == "slow" else 0.0)
        for i, (kind, data) in enumerate(ev):
            if c.scn.name == "disconnect" and i == 4:
                raise ConnectionResetError("mock: cut the stream")  # uvicorn closes the socket without the last chunk
            head = f"event: {kind}\n" if kind else ""
            yield f"{head}data: {data if isinstance(data, str) else json.dumps(data)}\n\n".encode()
            await asyncio.sleep(gap)


def app(log: str | None = None) -> Starlette:
    mock = Mock(log)
    return Starlette(routes=[Route("/{path:path}", mock.handle, methods=["GET", "POST", "HEAD", "PUT", "DELETE"])])


def serve(host: str, port: int, log: str | None) -> None:
    """Serves until told to stop. `log`: a file for the calls as JSON lines, `-` for standard output."""
    uvicorn.run(app(log), host=host, port=port, log_level="critical", timeout_graceful_shutdown=1)
