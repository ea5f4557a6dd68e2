"""The other side of the benchmark: a provider that answers after 20 ms, or streams 20 chunks 5 ms apart, and an operator that
acknowledges events. Raw asyncio, so that its own share of the two cores is small. Prints its port."""

import asyncio
import json

import uvloop

FIRST_BYTE, GAP, CHUNKS = 0.020, 0.005, 20
USAGE = {"input_tokens": 1200, "cache_read_input_tokens": 800, "cache_creation_input_tokens": 100, "output_tokens": 42}


def event(kind: str, **data: object) -> bytes:
    text = f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(text), text)


def answer(body: object) -> bytes:
    text = json.dumps(body).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(text), text)


MESSAGE = answer({"type": "message", "id": "msg_1", "role": "assistant", "model": "m", "stop_reason": "end_turn",
                  "content": [{"type": "text", "text": "Hello from the benchmark. " * 8}], "usage": USAGE})  # fmt: skip
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
FIRST = event("message_start", message={"id": "msg_1", "role": "assistant", "model": "m", "content": [], "usage": USAGE}) + event(
    "content_block_start", index=0, content_block={"type": "text", "text": ""})  # fmt: skip
WORD = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "some words of the answer "})
LAST = (event("content_block_stop", index=0) + event("message_delta", delta={"stop_reason": "end_turn"}, usage=USAGE)
        + event("message_stop") + b"0\r\n\r\n")  # fmt: skip


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
            body = await reader.readexactly(length)
            if b"/v1/events" in head:
                writer.write(answer({"acknowledged": max(r["number"] for r in json.loads(body)["records"])}))
                continue
            await asyncio.sleep(FIRST_BYTE)
            if b'"stream":true' not in body:
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
