"""The vendors' own clients, each behind the same few words: what they accept, agents accept."""

from __future__ import annotations

import base64
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, Self

import anthropic
import openai
from google import genai
from google.genai import types

PIXEL = base64.b64encode(b"\x89PNG-a-pixel").decode()
SCHEMA = {
    "type": "object",
    "properties": {"path": {"type": "string"}, "content": {"type": "string"}},
    "required": ["path", "content"],
}
WORDS = "Writes a file."
SYSTEM = "You are a careful engineer."


@dataclass
class Said:
    """An answer: words, calls as (id, name, arguments), why it ended, and tokens as (read in, from cache, out)."""

    text: str = ""
    calls: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    stop: str = ""
    tokens: tuple[int, int, int] = (0, 0, 0)
    model: str = ""


class Sdk(ABC):
    """A conversation with a model, through one vendor's client."""

    def __init__(self, url: str, key: str) -> None:
        self.url, self.key = url, key
        self.history: list[Any] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @abstractmethod
    async def close(self) -> None: ...

    @abstractmethod
    def say(self, text: str, *, image: bool = False) -> None: ...

    @abstractmethod
    async def ask(self, *, stream: bool, tools: bool = False) -> Said:
        """The next answer; it becomes a part of the conversation."""

    @abstractmethod
    def result(self, call: tuple[str, str, dict[str, Any]], text: str) -> None: ...

    def results(self, said: Said) -> None:
        for number, call in enumerate(said.calls):
            self.result(call, f"result {number}")


class AnthropicSdk(Sdk):
    def __init__(self, url: str, key: str) -> None:
        super().__init__(url, key)
        self.client = anthropic.AsyncAnthropic(base_url=url, api_key=key, max_retries=0)

    async def close(self) -> None:
        await self.client.close()

    def say(self, text: str, *, image: bool = False) -> None:
        source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
        shown = [{"type": "image", "source": source}] if image else []
        self.history.append({"role": "user", "content": [*shown, {"type": "text", "text": text}]})

    def result(self, call: tuple[str, str, dict[str, Any]], text: str) -> None:
        block = {"type": "tool_result", "tool_use_id": call[0], "content": text}
        if self.history[-1]["role"] == "user":
            self.history[-1]["content"].append(block)
        else:
            self.history.append({"role": "user", "content": [block]})

    async def ask(self, *, stream: bool, tools: bool = False) -> Said:
        asked: dict[str, Any] = {"model": "asked", "max_tokens": 99, "system": SYSTEM, "messages": self.history}
        if tools:
            asked["tools"] = [{"name": "write_file", "description": WORDS, "input_schema": SCHEMA}]
        if stream:
            async with self.client.messages.stream(**asked) as events:
                message = await events.get_final_message()
        else:
            message = await self.client.messages.create(**asked)
        blocks = [block.model_dump(exclude_none=True) for block in message.content]
        self.history.append({"role": "assistant", "content": blocks})
        usage = message.usage
        read, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
        return Said(
            "".join(block.text for block in message.content if block.type == "text"),
            [(b.id, b.name, dict(b.input)) for b in message.content if b.type == "tool_use"],
            str(message.stop_reason),
            (usage.input_tokens + read + written, read, usage.output_tokens),
            message.model,
        )


class OpenAISdk(Sdk):
    def __init__(self, url: str, key: str) -> None:
        super().__init__(url, key)
        self.client = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)

    async def close(self) -> None:
        await self.client.close()


class ChatSdk(OpenAISdk):
    def __init__(self, url: str, key: str) -> None:
        super().__init__(url, key)
        self.history.append({"role": "system", "content": SYSTEM})

    def say(self, text: str, *, image: bool = False) -> None:
        shown = [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}] if image else []
        self.history.append({"role": "user", "content": [*shown, {"type": "text", "text": text}]})

    def result(self, call: tuple[str, str, dict[str, Any]], text: str) -> None:
        self.history.append({"role": "tool", "tool_call_id": call[0], "content": text})

    async def ask(self, *, stream: bool, tools: bool = False) -> Said:
        asked: dict[str, Any] = {"model": "asked", "messages": self.history}
        if tools:
            function = {"name": "write_file", "description": WORDS, "parameters": SCHEMA}
            asked["tools"] = [{"type": "function", "function": function}]
        if stream:
            async with self.client.chat.completions.stream(**asked, stream_options={"include_usage": True}) as events:
                try:
                    answer: Any = await events.get_final_completion()
                except openai.LengthFinishReasonError as cut_short:
                    answer = cut_short.completion
        else:
            answer = await self.client.chat.completions.create(**asked)
        message, usage = answer.choices[0].message, answer.usage
        calls = message.tool_calls or []
        kept = [
            {"id": c.id, "type": "function", "function": {"name": c.function.name, "arguments": c.function.arguments}}
            for c in calls
        ]
        self.history.append({"role": "assistant", "content": message.content, **({"tool_calls": kept} if kept else {})})
        return Said(
            message.content or "",
            [(c.id, c.function.name, json.loads(c.function.arguments)) for c in calls],
            answer.choices[0].finish_reason,
            (usage.prompt_tokens, usage.prompt_tokens_details.cached_tokens, usage.completion_tokens),
            answer.model,
        )


class ResponsesSdk(OpenAISdk):
    def say(self, text: str, *, image: bool = False) -> None:
        shown = [{"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}"}] if image else []
        self.history.append({"role": "user", "content": [*shown, {"type": "input_text", "text": text}]})

    def result(self, call: tuple[str, str, dict[str, Any]], text: str) -> None:
        self.history.append({"type": "function_call_output", "call_id": call[0], "output": text})

    async def ask(self, *, stream: bool, tools: bool = False) -> Said:
        asked: dict[str, Any] = {"model": "asked", "instructions": SYSTEM, "input": self.history, "store": False}
        if tools:
            function = {"type": "function", "name": "write_file", "description": WORDS, "strict": False}
            asked["tools"] = [{**function, "parameters": SCHEMA}]
        if stream:
            async with self.client.responses.stream(**asked) as events:
                async for event in events:
                    if event.type in ("response.completed", "response.incomplete"):
                        answer: Any = event.response
        else:
            answer = await self.client.responses.create(**asked)
        self.history += [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in answer.output]
        for item in self.history:
            for part in item.get("content") or () if isinstance(item.get("content"), list) else ():
                part.pop("parsed", None)
        calls = [item for item in answer.output if item.type == "function_call"]
        usage = answer.usage
        return Said(
            answer.output_text,
            [(c.call_id, c.name, json.loads(c.arguments)) for c in calls],
            answer.incomplete_details.reason if answer.incomplete_details else answer.status,
            (usage.input_tokens, usage.input_tokens_details.cached_tokens, usage.output_tokens),
            answer.model,
        )


class GeminiSdk(Sdk):
    def __init__(self, url: str, key: str) -> None:
        super().__init__(url, key)
        self.client = genai.Client(api_key=key, http_options=types.HttpOptions(base_url=url))

    async def close(self) -> None:
        await self.client.aio.aclose()
        self.client.close()

    def say(self, text: str, *, image: bool = False) -> None:
        shown = [types.Part.from_bytes(data=base64.b64decode(PIXEL), mime_type="image/png")] if image else []
        self.history.append(types.Content(role="user", parts=[*shown, types.Part.from_text(text=text)]))

    def result(self, call: tuple[str, str, dict[str, Any]], text: str) -> None:
        response = types.FunctionResponse(id=call[0] or None, name=call[1], response={"output": text})
        part = types.Part(function_response=response)
        if self.history[-1].role == "user":
            self.history[-1].parts.append(part)
        else:
            self.history.append(types.Content(role="user", parts=[part]))

    async def ask(self, *, stream: bool, tools: bool = False) -> Said:
        declared = types.FunctionDeclaration(name="write_file", description=WORDS, parameters_json_schema=SCHEMA)
        config = types.GenerateContentConfig(
            system_instruction=SYSTEM, tools=[types.Tool(function_declarations=[declared])] if tools else None
        )
        asked: dict[str, Any] = {"model": "asked", "contents": self.history, "config": config}
        if stream:
            chunks: list[Any] = [chunk async for chunk in await self.client.aio.models.generate_content_stream(**asked)]
        else:
            chunks = [await self.client.aio.models.generate_content(**asked)]
        parts = [part for chunk in chunks for part in chunk.candidates[0].content.parts or ()]
        self.history.append(types.Content(role="model", parts=[p for p in parts if p.text or p.function_call]))
        calls = [part.function_call for part in parts if part.function_call]
        usage = chunks[-1].usage_metadata
        out = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
        return Said(
            "".join(part.text for part in parts if part.text and not part.thought),
            [(c.id or "", c.name, dict(c.args)) for c in calls],
            chunks[-1].candidates[0].finish_reason.value,
            (usage.prompt_token_count, usage.cached_content_token_count or 0, out),
            chunks[-1].model_version,
        )


SDKS: dict[str, type[Sdk]] = {
    "Anthropic": AnthropicSdk,
    "OpenAIChat": ChatSdk,
    "OpenAIResponses": ResponsesSdk,
    "Gemini": GeminiSdk,
}
