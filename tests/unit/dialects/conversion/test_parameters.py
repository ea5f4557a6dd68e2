"""Parameters that are spelled, bounded or defaulted in other ways elsewhere."""

import json
from typing import Any

import pytest

from droveway.api.enums import Dialect
from droveway.dialects.conversion import DIALECTS
from helpers.neutral import PROMPT, A, C, G, R, converted, read


def test_temperature_and_top_p_exclude_each_other_at_anthropic() -> None:
    body = converted(C, A, PROMPT[C] | {"temperature": 1.5, "top_p": 0.3}).request.body
    assert (body["temperature"], "top_p" in body) == (1.0, False)
    assert converted(C, A, PROMPT[C] | {"top_p": 0.3}).request.body["top_p"] == 0.3


@pytest.mark.parametrize(
    ("model", "name"),
    [("gpt-5", "max_completion_tokens"), ("openai/o3", "max_completion_tokens"), ("deepseek-chat", "max_tokens")],
)
def test_a_bound_has_the_name_that_the_model_knows(model: str, name: str) -> None:
    assert converted(A, C, PROMPT[A] | {"max_tokens": 9}, model).request.body[name] == 9


SCHEMA = {"type": "object", "properties": {"a": {"const": 1}}}


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        (A, {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}),
        (C, {"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA, "strict": True}}}),
        (R, {"text": {"format": {"type": "json_schema", "name": "answer", "schema": SCHEMA, "strict": True}}}),
        (G, {"generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA}}),
    ],
)
def test_an_answer_in_json_is_asked_for_in_every_dialect(dialect: Dialect, body: dict[str, Any]) -> None:
    form = read(dialect, **body).format
    assert form is not None
    for wanted in (A, C, R, G):
        sent = json.dumps(converted(dialect, wanted, PROMPT[dialect] | body).request.body)
        assert json.dumps({"a": {"enum": [1]} if wanted is G else {"const": 1}}) in sent


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        (A, {"tools": [{"name": "x"}], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}),
        (C, {"tools": [{"type": "function", "function": {"name": "x"}}], "parallel_tool_calls": False}),
        (R, {"tools": [{"type": "function", "name": "x"}], "parallel_tool_calls": False}),
    ],
)
def test_one_tool_at_a_time_is_one_everywhere(dialect: Dialect, body: dict[str, Any]) -> None:
    for wanted in (A, C, R):
        sent = converted(dialect, wanted, PROMPT[dialect] | body).request.body
        assert not DIALECTS[wanted].read_request(sent).parallel
