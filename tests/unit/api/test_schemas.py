"""The published schemas, the examples in the contract and the models say the same."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator, ValidationError

from droveway.api.fanout import Call, FanoutRequest, Message, Mode, Synthesis
from droveway.api.schemas import MODELS, schema

ROOT = Path(__file__).parents[3]
CONTRACT = (ROOT / "docs/gateway.md").read_text()
EXAMPLES = [(name, json.loads(text)) for name, text in re.findall(r"```json ([a-z-]+)\n(.*?)```", CONTRACT, re.DOTALL)]


@pytest.mark.parametrize("name", MODELS)
def test_every_schema_is_one_and_has_an_example(name: str) -> None:
    Draft202012Validator.check_schema(schema(name))
    assert name in {example for example, _ in EXAMPLES}


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_an_example_fits_its_schema_and_its_model(name: str, example: Any) -> None:
    Draft202012Validator(schema(name)).validate(example)
    read = MODELS[name].validate_python(example)
    assert MODELS[name].dump_python(read, mode="json", by_alias=True, exclude_unset=True) == example


def test_the_example_beside_the_manifests_is_one() -> None:
    example = json.loads((ROOT / "examples/fanout.json").read_text())
    Draft202012Validator(schema("fanout-request")).validate(example)
    routes = {m["metadata"]["name"]: m["spec"] for m in yaml.safe_load_all((ROOT / "examples/routes.yaml").read_text())}
    candidates = {candidate["name"] for candidate in routes["coding"]["candidates"]}
    asked = FanoutRequest.model_validate(example)
    assert {call.candidate for call in asked.calls if call.candidate} <= candidates
    assert {call.route for call in asked.calls if call.route} <= routes.keys()


def test_what_our_client_writes_fits_the_schema() -> None:
    asked = FanoutRequest(
        calls=(Call(candidate="a"), Call(model="google/gemini-2.5-pro", timeout_milliseconds=5)),
        messages=(Message.model_validate({"role": "tool", "content": "42", "tool_call_id": "c1"}),),
        mode=Mode.JUDGE,
        synthesis=Synthesis(route="judges", partial_after=1),
    )
    Draft202012Validator(schema("fanout-request")).validate(asked.to_wire())


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"calls": []},
        {"calls": [{"candidate": "a", "unknown": 1}]},
        {"calls": [{"candidate": ""}]},
        {"calls": [{}], "mode": "best"},
        {"calls": [{}], "timeoutMilliseconds": 0},
        {"calls": [{}], "messages": [{"role": "robot", "content": "x"}]},
        {"calls": [{}] * 17},
    ],
)
def test_what_is_wrong_fits_it_not(wrong: Any) -> None:
    with pytest.raises(ValidationError):
        Draft202012Validator(schema("fanout-request")).validate(wrong)
