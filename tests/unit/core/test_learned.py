"""What a run's status takes over from pods that it did not know, and from events."""

from dataclasses import replace

import pytest

from droveway.api.v1alpha1 import AgentRunStatus, Usage
from droveway.api.v1alpha1.agentrun import AttemptUsage, Rejection, Reroute, Result, RouteChoice
from droveway.api.v1alpha1.modelroute import TokensStatus
from droveway.core.facts import AttemptFacts, RequestReroute
from droveway.core.notes import Note
from droveway.core.run import decide
from helpers.build import NOON, RunBuilder, a_run, after, candidate, pod


def started() -> RunBuilder:
    """Attempt 1 exists, its pod runs on candidate a."""
    return a_run().known(decide(a_run().build(), NOON).status).with_pod()


def test_unknown_pods_are_taken_up_in_the_order_of_their_attempts() -> None:
    run = replace(a_run(), pods=(pod(2, why="w" * 300), pod(1)))
    status = decide(run.build(), after(1)).status

    assert [(a.number, a.pod_name, a.start_time) for a in status.attempts] == [
        (1, "fix-login-5a1c0-1", NOON),
        (2, "fix-login-5a1c0-2", NOON),
    ]
    assert status.attempt_count == 2
    assert status.route == RouteChoice(candidate="a", provider="a-provider", model="a-model", reason="w" * 256)


@pytest.mark.parametrize(
    ("why", "reason"), [("first in order", "first in order"), ("", "taken over from its pod")], ids=["known", "lost"]
)
def test_a_pod_says_why_its_candidate_was_chosen(why: str, reason: str) -> None:
    route = decide(a_run().with_pod(why=why).build(), after(1)).status.route

    assert route
    assert route.reason == reason


def test_a_moved_request_is_counted_told_and_followed() -> None:
    run = started().told(reroutes=(RequestReroute(after(3), "a", "b", "r" * 300),), served_by="b")
    run = run.known(run.status.model_copy(update={"reroute_count": 4}))
    plan = decide(run.build(), after(4))
    move = Reroute(time=after(3), depth="Request", source="a", target="b", reason="r" * 256)

    assert (plan.status.reroutes, plan.status.reroute_count) == ([move], 5)
    assert plan.notes == (Note("Rerouted", f"request moved from a to b: {'r' * 256}"),)
    assert plan.status.route == RouteChoice(
        candidate="b",
        provider="b-provider",
        model="b-model",
        reason=f"the gateway moved the run's requests from a: {'r' * 300}"[:256],
        rejected=[Rejection(candidate="a", reason="Refused", message="r" * 256)],
    )


def test_a_move_of_which_only_the_result_is_known_is_followed_all_the_same() -> None:
    route = decide(started().told(served_by="b").build(), after(4)).status.route

    assert route == RouteChoice(
        candidate="b", provider="b-provider", model="b-model", reason="the gateway moved the run's requests from a"
    )


@pytest.mark.parametrize("served", ["", "a", "left the route"])
def test_the_choice_stands_while_nothing_else_is_known_to_serve(served: str) -> None:
    run = started()

    assert decide(run.told(served_by=served).build(), after(4)).status.route == run.status.route


def test_a_run_without_a_choice_has_none_to_correct() -> None:
    run = a_run().known(AgentRunStatus(start_time=NOON)).having(candidate("b", unfit=("NoFreeSlot", "x")))

    assert decide(run.told(served_by="b").build(), after(4)).status.route is None


@pytest.mark.parametrize(
    ("at", "counts"),
    [pytest.param(10, False, id="as old as the oldest that is kept"), pytest.param(10.5, True, id="newer than it")],
)
def test_a_full_list_takes_only_what_it_cannot_have_had(at: float, counts: bool) -> None:
    kept = [Reroute(time=after(10 + n), depth="Run", source="a", target="b", reason="x") for n in range(10)]
    run = started()
    run = run.known(run.status.model_copy(update={"reroutes": kept, "reroute_count": 10}))
    status = decide(run.told(reroutes=(RequestReroute(after(at), "a", "b", "x"),)).build(), after(30)).status

    assert status.reroute_count == (11 if counts else 10)
    assert [r.time for r in status.reroutes][1:] == [r.time for r in kept][1:]
    assert status.reroutes[0].time == (after(10.5) if counts else after(10))


def test_usage_alone_waits_for_the_next_write_with_all_that_comes_with_it() -> None:
    run = a_run()
    run = run.known(decide(run.build(), NOON).status).with_pod()
    first = decide(run.told(usage=Usage(completions=1)).build(), after(1)).status
    more = run.known(first).told(usage=Usage(completions=2), session_id="s", result="r")

    assert decide(replace(more, written_at=after(1)).build(), after(10.9)).status == first
    plan = decide(replace(more, written_at=after(1)).build(), after(11))
    assert (plan.status.session_id, plan.status.result) == ("s", Result(text="r", truncated=False))
    assert decide(more.build(), after(2)).status.usage.completions == 2, "nobody has written yet"


def test_what_is_not_usage_alone_is_written_at_once() -> None:
    run = a_run()
    run = run.known(decide(run.build(), NOON).status).with_pod()
    first = decide(run.told(usage=Usage(completions=1)).build(), after(1)).status
    run = replace(run.known(first), written_at=after(1))
    stalled = run.told(usage=Usage(completions=2)).told(1, stalled=True)

    assert decide(stalled.build(), after(2)).status.usage.completions == 2
    assert len(decide(stalled.build(), after(2)).delete) == 1


def test_a_look_at_what_has_not_changed_wakes_nobody_sooner() -> None:
    run = a_run(timeoutSeconds=600)
    run = run.known(decide(run.build(), NOON).status).with_pod()
    first = decide(run.told(usage=Usage(completions=1)).build(), after(1)).status
    again = replace(run.known(first).told(usage=Usage(completions=1)), written_at=after(1))

    assert decide(again.build(), after(2)).wake_at == after(600)


@pytest.mark.parametrize(("length", "kept", "truncated"), [(4096, 4096, False), (4097, 4096, True)])
def test_a_long_result_is_cut_and_says_so(length: int, kept: int, truncated: bool) -> None:
    status = decide(a_run().told(result="r" * length, session_id="s" * 300).build(), NOON).status

    assert status.result
    assert (len(status.result.text), status.result.truncated, len(status.session_id)) == (kept, truncated, 256)


def test_each_attempt_says_what_it_used() -> None:
    seen = started().told(usage=Usage(completions=3)).told(1, completions=3, tokens=60)
    (attempt,) = decide(seen.build(), after(1)).status.attempts
    assert attempt.usage == AttemptUsage(completions=3, tokens=TokensStatus(total=60))


def test_an_attempt_of_which_nothing_was_counted_says_nothing() -> None:
    seen = started().told(usage=Usage(completions=3)).told(2, completions=3)
    (attempt,) = decide(seen.build(), after(1)).status.attempts
    assert attempt.usage is None


def test_what_an_attempt_has_used_stands_when_the_books_are_lost() -> None:
    used = AttemptUsage(tokens=TokensStatus(input=7, total=7), cost_usd="0.5", completions=2)
    run = started()
    kept = run.status.attempts[0].model_copy(update={"usage": used})
    run = run.known(run.status.model_copy(update={"attempts": [kept]}))
    lost = AttemptFacts(end_class=None, usage=AttemptUsage())

    told = run.told(attempts={1: lost}, served_by="b", usage=Usage(completions=3))
    status = decide(told.build(), after(30)).status
    assert status.route
    assert (status.route.candidate, status.attempts[0].usage) == ("b", used)
