"""A run's trace: its id in the status from the first pass, a span for each attempt that ends, and one for the whole run."""

from droveway.api.enums import EndClass
from droveway.core.run import decide
from droveway.core.runtrace import ended_spans
from droveway.core.snapshot import Plan
from droveway.core.trace import attempt_trace, run_trace
from droveway.observability.tracing import Span
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
