"""Trace context as the W3C writes it, and a run's trace that everybody finds alone."""

import re
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from droveway.core.trace import Trace, attempt_trace, read_traceparent, run_trace, traceparent

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"00-{TRACE}-{SPAN}-01", Trace(TRACE, SPAN, sampled=True)),
        (f"00-{TRACE}-{SPAN}-00", Trace(TRACE, SPAN, sampled=False)),
        (f"00-{TRACE}-{SPAN}-03", Trace(TRACE, SPAN, sampled=True)),
        (f"00-{TRACE}-{SPAN}-02", Trace(TRACE, SPAN, sampled=False)),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be", Trace(TRACE, SPAN, sampled=True)),
        (f"00-{TRACE}-{SPAN}-01-more", None),
        (f"cc-{TRACE}-{SPAN}-01.more", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        (f"00-{TRACE}-{SPAN}-1", None),
        (f"00-{TRACE}-{SPAN}", None),
        (f"00-{TRACE}-{SPAN}-01\n", None),
        ("", None),
    ],
)
def test_a_traceparent_is_taken_as_it_is_or_not_at_all(text: str, found: Trace | None) -> None:
    assert read_traceparent(text) == found


@given(st.booleans())
def test_what_is_written_can_be_read(sampled: bool) -> None:
    place = Trace(TRACE, SPAN, sampled)
    assert read_traceparent(traceparent(place)) == place


def test_who_has_not_decided_does_not_ask_for_a_record() -> None:
    assert traceparent(Trace(TRACE, SPAN)).endswith("-00")


@given(st.uuids(version=4))
def test_a_runs_trace_follows_from_its_uid_alone(uid: UUID) -> None:
    run, first, second = run_trace(str(uid)), attempt_trace(str(uid), 1), attempt_trace(str(uid), 2)
    assert run == run_trace(str(uid))
    assert run.trace_id == first.trace_id == second.trace_id
    assert len({run.span_id, first.span_id, second.span_id}) == 3
    for place in (run, first, second):
        assert read_traceparent(traceparent(place)) == place._replace(sampled=False)
        assert place.sampled is None


def test_traces_of_runs_are_spread_evenly_over_what_samplers_look_at() -> None:
    """They compare the lower 64 bits with a bound; those of a UUID begin with fixed bits."""
    ids = [run_trace(str(UUID(int=n, version=4))).trace_id for n in range(400)]
    assert all(re.fullmatch("[0-9a-f]{32}", found) for found in ids)
    low = sum(int(found[16:], 16) < 2**62 for found in ids)
    assert 60 < low < 140
