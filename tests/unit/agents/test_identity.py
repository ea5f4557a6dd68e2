"""Ids of completions: unique, the same when lines are read again, in the same room however many there are (R-C35)."""

import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from droveway.agents.identity import Identities
from droveway.core.completion import CompletionEvent
from droveway.core.telemetry import TelemetryStore
from helpers.streams import AT, CLIS, opencode_step, parser_of, play, recordings


def names(texts: list[str], run: str = "run-1", attempt: int = 1) -> list[str]:
    identities = Identities(run, attempt)
    return [identities.name(text) for text in texts]


@given(st.lists(st.sampled_from("abc") | st.text(), max_size=40))
def test_every_id_is_unique_and_the_same_again(texts: list[str]) -> None:
    first = names(texts)

    assert len(set(first)) == len(texts)
    assert names(texts) == first
    assert not set(names(texts, attempt=2)) & set(first)
    assert not set(names(texts, run="run-2")) & set(first)


def test_the_same_text_many_times_has_as_many_ids() -> None:
    assert len(set(names(["again"] * 10_000))) == 10_000


def test_many_texts_twice_have_twice_as_many_ids() -> None:
    """More than there are cells: counts meet, ids do not."""
    texts = [str(number) for number in range(30_000)]

    assert len(set(names(texts + texts))) == 60_000


def test_ids_hardly_depend_on_what_came_before() -> None:
    """Read from the middle, when the beginning is gone: what was told already is known by its id."""
    texts = [str(number) for number in range(2_000)]

    assert names(texts)[1_000:] == names(texts[1_000:])


def test_ids_survive_a_restart_in_the_middle() -> None:
    lines = [opencode_step(output=n) for n in range(1, 6)]
    whole = [e.id for e in play("opencode", *lines)[1]]

    assert [e.id for e in play("opencode", *lines[3:])[1]] == whole[3:]


def test_equal_lines_are_different_completions() -> None:
    events = play("opencode", opencode_step(output=1), opencode_step(output=1))[1]

    assert len({e.id for e in events}) == 2


@pytest.mark.parametrize("end", ["", "\n", "\r\n", " "])
def test_an_id_does_not_depend_on_the_line_end(end: str) -> None:
    line = json.dumps(opencode_step(output=1))

    assert [e.id for e in play("opencode", line + end)[1]] == [e.id for e in play("opencode", line)[1]]


@pytest.mark.parametrize("cli", CLIS)
def test_r_p11_what_is_read_again_after_a_restart_counts_once(cli: str) -> None:
    """Wherever the reader stopped: the store knows by their ids what it has been told."""
    lines = [line for stream in recordings(cli).values() for line in stream]
    whole = play(cli, *lines, exit_code=1)[1]

    for stopped in range(0, len(lines), 7):
        before = parser_of(cli)
        told = [event for line in lines[:stopped] for event in before.feed(line, AT)]
        assert counted(told + whole) == counted(whole)


def counted(events: list[CompletionEvent]) -> tuple[int, ...]:
    """Completions and tokens of a store that was told of these."""
    store = TelemetryStore(timedelta(hours=1))
    store.record_batch(events, AT)
    used = [store.session_usage(session, AT).totals for session in {e.session_id for e in events}]
    return sum(usage.message_count for usage in used), sum(usage.total_tokens for usage in used)
