"""A run's trace: its id in the status from the first pass, a span for each attempt that ends, and one for the whole run."""

from droveway.api.enums import EndClass
from droveway.api.v1alpha1 import Usage
from droveway.api.v1alpha1.modelroute import TokensStatus
from droveway.core.run import decide
from droveway.core.runtrace import ended_spans
from droveway.core.snapshot import Plan
from droveway.core.trace import attempt_trace, run_trace
from droveway.observability.tracing import Kind, Span
from helpers.build import NOON, RunBuilder, a_run, after, ended, final

START = int(NOON.timestamp()) * 10**9


def first_end(run: RunBuilder, **pod: object) -> tuple[RunBuilder, Plan]:
    """A run that has one attempt, and the pass that sees its pod end after eight seconds."""
    begun = run.known(decide(run.build(), NOON).status).with_pod(1, **ended(**({"at": after(8)} | pod)))  # type: ignore[arg-type]
    return begun, decide(begun.build(), after(9))


def spans_of(run: RunBuilder, plan: Plan) -> tuple[Span, ...]:
    return ended_spans(run.build().run, plan.status)


def test_the_id_is_in_the_status_from_the_first_pass_and_stays() -> None:
    run = a_run()
    first = decide(run.build(), NOON)
    uid = run.build().run.metadata.uid
    assert first.status.trace_id == run_trace(uid).trace_id
    assert decide(run.known(first.status).build(), after(1)).status.trace_id == first.status.trace_id


def test_what_goes_on_has_no_span_yet() -> None:
    run = a_run()
    assert spans_of(run, decide(run.build(), NOON)) == ()


def test_a_run_that_succeeds_is_a_root_with_an_attempt_below_it() -> None:
    run, plan = first_end(a_run(), final=final(EndClass.SUCCEEDED))
    uid = run.build().run.metadata.uid

    attempt, root = spans_of(run, plan)

    assert (root.trace_id, root.span_id, root.parent_id) == (*run_trace(uid)[:2], "")
    assert (attempt.trace_id, attempt.span_id, attempt.parent_id) == (*attempt_trace(uid, 1)[:2], root.span_id)
    assert (root.start, attempt.start, attempt.end, root.end) == (START, START, START + 8 * 10**9, START + 9 * 10**9)
    assert (root.error, attempt.error) == ("", "")
    assert root.attributes["gen_ai.operation.name"] == "invoke_agent"
    assert root.attributes["droveway.run.uid"] == uid
    assert (attempt.name, attempt.attributes["gen_ai.request.model"]) == ("attempt 1", "a-model")


def test_a_failure_says_its_class_and_nothing_of_what_the_agent_said() -> None:
    said = final(EndClass.REQUEST_REJECTED, error="the secret of the prompt")
    run, plan = first_end(a_run(), exit_code=1, final=said)

    attempt, root = spans_of(run, plan)

    assert (attempt.error, root.error) == ("RequestRejected", "RequestRejected")
    assert "secret" not in str((attempt, root))


def test_each_attempt_is_told_once_and_the_run_when_it_is_over() -> None:
    run, plan = first_end(a_run(), exit_code=1)
    assert [span.name for span in spans_of(run, plan)] == ["attempt 1"]
    again = run.known(plan.status)
    assert spans_of(again, decide(again.build(), after(10))) == ()


def test_everything_that_is_told_of_a_run_and_of_an_attempt() -> None:
    run, plan = first_end(a_run(), final=final(EndClass.SUCCEEDED))
    tokens = TokensStatus(total=31, input=1, output=2, reasoning=4, cache_read=8, cache_write=16)
    usage = Usage(tokens=tokens, cost_usd="0.25", completions=1)
    told = plan.status.attempts[0].model_copy(update={"agent": "claude", "node_name": "node-1"})
    changed = {"attempts": [told], "usage": usage, "session_id": "s-1", "reroute_count": 3}

    attempt, root = ended_spans(run.build().run, plan.status.model_copy(update=changed))

    assert (root.kind, attempt.kind, root.name) == (Kind.INTERNAL, Kind.INTERNAL, "invoke_agent claude")
    assert root.attributes == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "claude",
        "gen_ai.conversation.id": "s-1",
        "gen_ai.usage.input_tokens": 25,
        "gen_ai.usage.output_tokens": 6,
        "k8s.namespace.name": "team",
        "droveway.run.name": "fix-login",
        "droveway.run.uid": run.build().run.metadata.uid,
        "droveway.route": run.build().run.spec.route_ref.name,
        "droveway.attempts": 1,
        "droveway.reroutes": 3,
        "droveway.reason": "Succeeded",
        "droveway.cost_usd": 0.25,
    }
    assert attempt.attributes == {
        "k8s.namespace.name": "team",
        "k8s.pod.name": "fix-login-5a1c0-1",
        "k8s.node.name": "node-1",
        "droveway.run.attempt": 1,
        "droveway.candidate": "a",
        "droveway.provider": "a-provider",
        "droveway.verdict": "Succeeded",
        "gen_ai.request.model": "a-model",
    }


def test_a_run_that_ends_before_its_first_attempt_is_told_as_well() -> None:
    run = a_run().build().run
    over = run.status.model_copy(update={"completion_time": after(5)})

    (root,) = ended_spans(run, over)

    assert (root.name, root.start, root.end, root.error) == (
        "invoke_agent",
        START + 5 * 10**9,
        START + 5 * 10**9,
        "Unknown",
    )
    assert root.attributes["droveway.reason"] == ""
