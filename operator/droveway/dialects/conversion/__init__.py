"""Serving a request of one dialect by a provider of another: read into a neutral form, and written from it.

Each dialect has one reader and one writer for requests, answers and streams; no dialect knows another. docs/conversion.md
tells what is carried, what is dropped, and what makes a candidate ineligible.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from droveway.api.enums import Dialect
from droveway.dialects.base import Operation, Request
from droveway.dialects.bodies import dump_object, first, parse_any, table
from droveway.dialects.conversion import (
    anthropic_answers,
    anthropic_requests,
    chat_answers,
    chat_requests,
    gemini_answers,
    gemini_requests,
    responses_answers,
    responses_requests,
)
from droveway.dialects.conversion.coding import Decoder, Encoder, Translator
from droveway.dialects.conversion.delivered import CannotResume, delivered
from droveway.dialects.conversion.events import events_of
from droveway.dialects.conversion.model import Answered, CannotCarry, Frame, Neutral
from droveway.dialects.conversion.resuming import Resume, Resumption

__all__ = [
    "DIALECTS",
    "CannotCarry",
    "CannotResume",
    "Conversion",
    "Resume",
    "Translator",
    "convert",
    "delivered",
]


@dataclass(frozen=True, slots=True)
class _Dialect:
    """One dialect's way into the neutral form and out of it. `paths`: of an answer in one piece, and of a stream."""

    paths: tuple[str, str]
    read_request: Callable[[dict[str, Any]], Neutral]
    write_request: Callable[[Neutral, str], dict[str, Any]]
    read_answer: Callable[[dict[str, Any], Frame], Answered]
    write_answer: Callable[[Answered, Frame], bytes]
    decoder: Callable[[Frame], Decoder]
    encoder: Callable[[Frame], Encoder]
    headers: tuple[tuple[str, str], ...] = ()


DIALECTS: Mapping[Dialect, _Dialect] = {
    Dialect.ANTHROPIC: _Dialect(
        ("/v1/messages", "/v1/messages"),
        anthropic_requests.read,
        anthropic_requests.write,
        anthropic_answers.read,
        anthropic_answers.write,
        anthropic_answers.AnthropicDecoder,
        anthropic_answers.AnthropicEncoder,
        (("anthropic-version", "2023-06-01"),),
    ),
    Dialect.OPENAI_CHAT: _Dialect(
        ("/v1/chat/completions", "/v1/chat/completions"),
        chat_requests.read,
        chat_requests.write,
        chat_answers.read,
        chat_answers.write,
        chat_answers.ChatDecoder,
        chat_answers.ChatEncoder,
    ),
    Dialect.OPENAI_RESPONSES: _Dialect(
        ("/v1/responses", "/v1/responses"),
        responses_requests.read,
        responses_requests.write,
        responses_answers.read,
        responses_answers.write,
        responses_answers.ResponsesDecoder,
        responses_answers.ResponsesEncoder,
    ),
    Dialect.GEMINI: _Dialect(
        ("/v1beta/models/model:generateContent", "/v1beta/models/model:streamGenerateContent?alt=sse"),
        gemini_requests.read,
        gemini_requests.write,
        gemini_answers.read,
        gemini_answers.write,
        gemini_answers.GeminiDecoder,
        gemini_answers.GeminiEncoder,
    ),
}
"""Every dialect, by the name it has in a ModelProvider."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """A request in the provider's dialect, and the way back for its answer.

    Attributes:
        request: to be sent to the provider; whole and read like one of its own clients'.
    """

    request: Request
    _frame: Frame
    _client: _Dialect
    _provider: _Dialect
    _resume: Resume | None = None

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """What the provider's dialect demands in the head of a request."""
        return (("content-type", "application/json"), *self._provider.headers)

    def answer(self, body: bytes) -> bytes:
        """An answer in one piece, for a client that did not ask for a stream, or asked in vain."""
        parsed = parse_any(body)
        whole = first(parsed) if isinstance(parsed, list) else table(parsed)
        answered = self._provider.read_answer(whole, self._frame)
        if not self.request.stream:
            return self._client.write_answer(answered, self._frame)
        translator = self.translator()
        return translator.preface + b"".join(map(translator.encode, events_of(answered)))

    def translator(self) -> Translator:
        """For a streamed answer."""
        decoder, encoder = self._provider.decoder(self._frame), self._client.encoder(self._frame)
        return Resumption(decoder, encoder, self._resume) if self._resume else Translator(decoder, encoder)


def convert(
    asked: Request,
    spoken: Dialect,
    wanted: Dialect,
    model: str,
    request_id: str,
    created: int,
    resume: Resume | None = None,
    drops_thoughts: bool = False,
) -> Conversion:
    """The request in another dialect.

    Args:
        asked: as the client sent it.
        spoken: the client's dialect.
        wanted: the provider's dialect.
        model: as the provider calls it.
        request_id: names answers and calls that the provider leaves without an id; unique.
        created: epoch seconds.
        resume: the answer has begun already, and this is about the rest; the two dialects may be one then.
        drops_thoughts: go on without what a model has thought in this conversation.

    Raises:
        CannotCarry: it holds what the other dialect has no words for.
    """
    if asked.operation is not Operation.GENERATE:
        raise CannotCarry("a count of tokens: only the vendor of the model can count them")
    client, provider = DIALECTS[spoken], DIALECTS[wanted]
    neutral = replace(client.read_request(asked.body), stream=asked.stream)
    if neutral.thoughts and not drops_thoughts:
        raise CannotCarry("thoughts for their own vendor alone; earlierThoughts: Drop of the route leaves them out")
    if resume:
        neutral = replace(neutral, turns=(*neutral.turns, *resume.turns))
    body = provider.write_request(neutral, model)
    path, _, query = provider.paths[asked.stream].partition("?")
    request = Request(asked.operation, model, asked.stream, path, query, dump_object(body), body)
    in_array = spoken is Dialect.GEMINI and not asked.stream and "streamGenerateContent" in asked.path
    frame = Frame(request_id, model, created, neutral.origins, asked.wants_usage, in_array)
    return Conversion(request, frame, client, provider, resume)
