"""The other side of the benchmark: a provider that answers after 20 ms, or streams 20 chunks 5 ms apart, and an operator that
acknowledges events. Raw asyncio, so that its own share of the two cores is small. Prints its port."""

import asyncio
import json

import uvloop

FIRST_BYTE, GAP, CHUNKS = 0.020, 0.005, 20
USAGE = {
    "prompt_tokens": 1200,
    "completion_tokens": 42,
    "total_tokens": 1242,
    "prompt_tokens_details": {"cached_tokens": 800},
}
WHO = {"id": "chatcmpl-1", "created": 1, "model": "claude-sonnet-4-5"}


def chunk(data: str) -> bytes:
    text = f"data: {data}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(text), text)


def event(delta: dict[str, str], finish: str | None = None, **more: object) -> bytes:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return chunk(json.dumps({**WHO, "object": "chat.completion.chunk", "choices": choices, **more}))


def answer(body: object) -> bytes:
    text = json.dumps(body).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(text), text)


SAID = {"role": "assistant", "content": "Hello from the benchmark. " * 8}
MESSAGE = answer({**WHO, "object": "chat.completion", "usage": USAGE,
                  "choices": [{"index": 0, "message": SAID, "finish_reason": "stop"}]})  # fmt: skip
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
FIRST = event({"role": "assistant", "content": ""})
WORD = event({"content": "some words of the answer "})
END = chunk(json.dumps({**WHO, "object": "chat.completion.chunk", "choices": [], "usage": USAGE})) + chunk("[DONE]")
LAST = event({}, "stop") + END + b"0\r\n\r\n"


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            lengths = (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
            if not (length := next(lengths, 0)):
                writer.write(answer({}))  # somebody asks whether we live
                continue
            body = await reader.readexactly(length)
            if b"/v1/events" in head:
                writer.write(answer({"acknowledged": max(r["number"] for r in json.loads(body)["records"])}))
                continue
            await asyncio.sleep(FIRST_BYTE)
            if not json.loads(body).get("stream"):
                writer.write(MESSAGE)
                continue
            writer.write(HEAD + FIRST + WORD)
            for _ in range(CHUNKS - 2):
                await asyncio.sleep(GAP)
                writer.write(WORD)
            await asyncio.sleep(GAP)
            writer.write(LAST)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
