"""How much a request will put in: words by their length, pictures and files by their number."""

from typing import Any

import orjson
import pytest

from droveway.core.estimate import input_tokens

MUCH = "A" * 1_000_000


def tokens(body: dict[str, Any]) -> int:
    return input_tokens(len(orjson.dumps(body)), body)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": MUCH}},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{MUCH}"}},
        {"type": "input_image", "image_url": f"data:image/png;base64,{MUCH}"},
        {"inlineData": {"mimeType": "image/png", "data": MUCH}},
    ],
    ids=["Anthropic", "OpenAIChat", "OpenAIResponses", "Gemini"],
)
def test_pictures_count_by_their_number_in_every_dialect(part: dict[str, Any]) -> None:
    assert 1600 <= tokens({"messages": [{"content": [part]}]}) < 1700
    assert 3200 <= tokens({"messages": [{"content": [part, part]}]}) < 3300


def test_words_count_by_their_length() -> None:
    assert tokens({"messages": [{"content": MUCH}]}) >= 250_000
    assert tokens({"messages": [{"content": "A" * 400}]}) == len(b'{"messages":[{"content":""}]}') // 4 + 100
    assert tokens({"data": "A" * 4000}) > 1000
