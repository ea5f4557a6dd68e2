"""Two requests are the same when nothing differs that could change the answer, and never otherwise."""

from copy import deepcopy
from typing import Any

import pytest

from droveway.core.cachekey import Resolved, cache_key

MODEL = Resolved("Anthropic", "https://api.example", "m1")
BODY: dict[str, Any] = {
    "model": "asked",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}, {"role": "assistant", "content": "x"}],
    "system": "be brief",
    "temperature": 0,
    "top_p": 0.5,
    "stop_sequences": ["a", "b"],
    "tools": [{"name": "f", "input_schema": {"type": "object", "properties": {"a": {}, "b": {}}}}],
    "thinking": {"type": "enabled", "budget_tokens": 1},
    "unknown": {"kept": [1, 2.5, None, True]},
}
SAME: dict[str, Any] = {
    "tenant": "a",
    "dialect": "Anthropic",
    "path": "/v1/messages",
    "headers": {"anthropic-beta": "x", "anthropic-version": "y"},
    "body": BODY,
    "model": MODEL,
}


def key(**other: Any) -> str:
    return cache_key(**(SAME | other))


def test_numbers_that_no_machine_word_holds_are_told_apart() -> None:
    huge, more = ({"body": BODY | {"seed": 2**70 + n}} for n in (0, 1))
    assert key(**huge) == key(**huge) != key(**more)


def changes(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every leaf of a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [leaf for name, below in inner for leaf in changes(below, (*path, name))]
    return found or [path]


def changed(path: tuple[Any, ...], to: Any) -> dict[str, Any]:
    body = deepcopy(BODY)
    holder: Any = body
    for name in path[:-1]:
        holder = holder[name]
    holder[path[-1]] = to
    return body


@pytest.mark.parametrize("path", [p for p in changes(BODY) if p[0] != "model"], ids=str)
def test_any_change_anywhere_is_another_request(path: tuple[Any, ...]) -> None:
    assert key(body=changed(path, "something else")) != key()


@pytest.mark.parametrize("name", [name for name in BODY if name != "model"])
def test_a_parameter_that_is_missing_is_another_request(name: str) -> None:
    assert key(body={n: v for n, v in BODY.items() if n != name}) != key()


@pytest.mark.parametrize("more", ["seed", "n", "reasoning_effort", "response_format", "store", "service_tier"])
def test_a_parameter_more_is_another_request(more: str) -> None:
    assert key(body=BODY | {more: 1}) != key()


@pytest.mark.parametrize(
    "other",
    [
        {"tenant": "b"},
        {"dialect": "Gemini"},
        {"path": "/v1beta/messages"},
        {"headers": {"anthropic-beta": "x"}},
        {"headers": {"anthropic-beta": "other", "anthropic-version": "y"}},
        {"model": MODEL._replace(model="m2")},
        {"model": MODEL._replace(base_url="https://other.example")},
        {"model": MODEL._replace(dialect="OpenAIChat")},
    ],
    ids=str,
)
def test_another_tenant_place_or_model_is_another_request(other: dict[str, Any]) -> None:
    assert key(**other) != key()


@pytest.mark.parametrize(
    "same",
    [
        {"stream": True},
        {"stream_options": {"include_usage": True}},
        {"user": "me"},
        {"metadata": {"user_id": "u"}},
        {"model": "whatever the client calls it"},
    ],
    ids=str,
)
def test_form_and_sender_do_not_matter(same: dict[str, Any]) -> None:
    assert key(body=BODY | same) == key()


def test_the_order_of_keys_does_not_matter_and_that_of_lists_does() -> None:
    def turned(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: turned(value[name]) for name in reversed(value)}
        return [turned(v) for v in value] if isinstance(value, list) else value

    assert key(body=turned(BODY)) == key()
    assert key(body=changed(("stop_sequences",), ["b", "a"])) != key()


def test_the_edge_between_two_values_is_seen() -> None:
    assert key(tenant="ab", path="c") != key(tenant="a", path="bc")


@pytest.mark.parametrize("odd", ["half \ud800 a pair", 2**70, 1e300])
def test_what_one_writer_refuses_has_a_key_all_the_same(odd: Any) -> None:
    assert key(body=BODY | {"odd": odd}) == key(body={"odd": odd} | BODY)
    assert key(body=BODY | {"odd": odd}) != key(body=BODY | {"odd": "another"})


def test_a_key_names_its_tenant_and_nothing_that_was_said() -> None:
    tenant, _, rest = key().partition("/")
    assert tenant == "a"
    assert len(rest) == 32
    assert all(c in "0123456789abcdef" for c in rest)
