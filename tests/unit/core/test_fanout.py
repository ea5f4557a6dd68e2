"""What happens next in a fan-out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from droveway.api.fanout import CallStatus, FanoutStatus, Mode
from droveway.core.fanout import OVER, WAIT, Progress, Rule, Step, next_step, status_of

OK, ERROR, LATE, OPEN = CallStatus.OK, CallStatus.ERROR, CallStatus.TIMEOUT, None
ALL, FIRST = Rule(Mode.ALL), Rule(Mode.FIRST)
TWO_OF = Rule(Mode.QUORUM, quorum=2)
FUSE, REFINED = Rule(Mode.FUSE), Rule(Mode.FUSE, partial_after=2)


def make(*places: int) -> Step:
    return Step(synthesize=places)


@pytest.mark.parametrize(
    ("rule", "now", "step"),
    [
        pytest.param(ALL, Progress((OK, OPEN, ERROR)), WAIT, id="all: one is open"),
        pytest.param(ALL, Progress((OK, LATE, ERROR)), OVER, id="all: none is open"),
        pytest.param(FIRST, Progress((OPEN, ERROR, OPEN)), WAIT, id="first: a failure is no answer"),
        pytest.param(FIRST, Progress((OPEN, OK, OPEN)), OVER, id="first: an answer"),
        pytest.param(FIRST, Progress((ERROR, LATE)), OVER, id="first: nobody answered"),
        pytest.param(TWO_OF, Progress((OK, OPEN, OPEN)), WAIT, id="quorum: one is missing"),
        pytest.param(TWO_OF, Progress((OK, OPEN, OK)), OVER, id="quorum: there"),
        pytest.param(TWO_OF, Progress((OK, ERROR, OPEN)), WAIT, id="quorum: the last one may make it"),
        pytest.param(
            TWO_OF, Progress((OPEN, ERROR, ERROR)), OVER, id="quorum: out of reach, the last one is not needed"
        ),
        pytest.param(FUSE, Progress((OK, OK, OPEN)), WAIT, id="fuse: no partial one was asked for"),
        pytest.param(
            FUSE, Progress((OK, ERROR, OK)), make(0, 2), id="fuse: of what was answered, in the request's order"
        ),
        pytest.param(FUSE, Progress((OK, ERROR, OK), making=(0, 2)), WAIT, id="fuse: the last one is being made"),
        pytest.param(FUSE, Progress((OK, ERROR, OK), made=(0, 2)), OVER, id="fuse: the last one is made"),
        pytest.param(FUSE, Progress((ERROR, LATE)), OVER, id="fuse: of nothing"),
        pytest.param(REFINED, Progress((OK, OPEN, OPEN)), WAIT, id="partial: too early"),
        pytest.param(REFINED, Progress((OPEN, OK, OK)), make(1, 2), id="partial: from the second answer on"),
        pytest.param(REFINED, Progress((OK, OK, OK, OPEN), making=(1, 2)), WAIT, id="partial: one at a time"),
        pytest.param(REFINED, Progress((OK, OK, OK, OPEN), made=(1, 2)), make(0, 1, 2), id="partial: refined"),
        pytest.param(REFINED, Progress((OK, OK, OPEN), made=(0, 1)), WAIT, id="partial: nothing new to tell"),
        pytest.param(
            REFINED, Progress((OK, OK, OK), making=(0, 1)), make(0, 1, 2), id="last: a partial one is dropped"
        ),
        pytest.param(
            REFINED, Progress((OK, OK, ERROR), making=(0, 1)), WAIT, id="last: a partial one had all there is"
        ),
        pytest.param(REFINED, Progress((OK, OK, ERROR), made=(0, 1)), OVER, id="last: nothing came after it"),
    ],
)
def test_next_step(rule: Rule, now: Progress, step: Step) -> None:
    assert next_step(rule, now) == step


@pytest.mark.parametrize(
    ("rule", "calls", "synthesized", "status"),
    [
        (ALL, (OK, OK), False, FanoutStatus.SUCCEEDED),
        (ALL, (OK, ERROR), False, FanoutStatus.PARTIAL),
        (ALL, (LATE, ERROR), False, FanoutStatus.FAILED),
        (FIRST, (CallStatus.CANCELLED, OK), False, FanoutStatus.SUCCEEDED),
        (TWO_OF, (OK, ERROR, ERROR), False, FanoutStatus.PARTIAL),
        (TWO_OF, (OK, OK, CallStatus.CANCELLED), False, FanoutStatus.SUCCEEDED),
        (FUSE, (OK, ERROR), True, FanoutStatus.SUCCEEDED),
        (FUSE, (OK, OK), False, FanoutStatus.PARTIAL),
        (FUSE, (ERROR, ERROR), False, FanoutStatus.FAILED),
    ],
)
def test_status(rule: Rule, calls: tuple[CallStatus, ...], synthesized: bool, status: FanoutStatus) -> None:
    assert status_of(rule, calls, synthesized=synthesized) is status


RULES = st.one_of(
    st.sampled_from([ALL, FIRST, FUSE, Rule(Mode.JUDGE)]),
    st.integers(1, 5).map(lambda k: Rule(Mode.QUORUM, quorum=k)),
    st.integers(1, 5).map(lambda k: Rule(Mode.FUSE, partial_after=k)),
)


@given(rule=RULES, endings=st.lists(st.sampled_from([OK, ERROR, LATE]), min_size=1, max_size=5), data=st.data())
def test_every_fanout_comes_to_an_end(rule: Rule, endings: list[CallStatus], data: st.DataObject) -> None:
    """Whatever ends in whatever order: it never waits for nothing, and what is made last is made of all answers."""
    calls: list[CallStatus | None] = [None] * len(endings)
    now, synthesized = Progress(tuple(calls)), 0
    while not (step := next_step(rule, now)).over:
        if step.synthesize:
            assert step.synthesize == now.answers
            now, synthesized = Progress(now.calls, making=step.synthesize, made=now.made), synthesized + 1
            continue
        can_end = [place for place, status in enumerate(calls) if status is None] + (["it"] if now.making else [])
        assert can_end, "it waits for nothing"
        ends = data.draw(st.sampled_from(can_end))
        if ends == "it":
            now = Progress(now.calls, made=now.making)
        else:
            calls[ends] = endings[ends]  # type: ignore[index]
            now = Progress(tuple(calls), now.making, now.made)
    if rule.mode in (Mode.FUSE, Mode.JUDGE):
        assert not now.open
        assert now.made == now.answers
        assert synthesized <= 1 + sum(status is OK for status in endings)
        assert rule.partial_after is not None or synthesized <= 1
