"""A run as a trace: the run is the root, each attempt is a span, and what its agent asks for is below them."""

from collections.abc import Iterator
from datetime import datetime

from droveway.api.enums import ConditionType, EndClass
from droveway.api.v1alpha1 import AgentRun, AgentRunStatus, Attempt
from droveway.core.conditions import find
from droveway.core.trace import attempt_trace, run_trace
from droveway.observability import genai
from droveway.observability.tracing import Attribute, Kind, Span


def ended_spans(run: AgentRun, after: AgentRunStatus) -> tuple[Span, ...]:
    """What has come to its end with a new status of a run. No message is told: it may quote the agent."""
    known = {attempt.number for attempt in run.status.attempts if attempt.end_time}
    spans = [_attempt(run, found, found.end_time) for found in after.attempts
             if found.end_time and found.number not in known]  # fmt: skip
    if after.completion_time and not run.status.completion_time:
        spans.append(_run(run, after, after.completion_time))
    return tuple(spans)


def _attempt(run: AgentRun, attempt: Attempt, end: datetime) -> Span:
    place, root = attempt_trace(run.metadata.uid, attempt.number), run_trace(run.metadata.uid)
    ended = attempt.end_class or EndClass.UNKNOWN
    attributes: dict[str, Attribute] = {
        "k8s.namespace.name": run.metadata.namespace,
        "k8s.pod.name": attempt.pod_name,
        "k8s.node.name": attempt.node_name,
        "droveway.run.attempt": attempt.number,
        "droveway.candidate": attempt.candidate,
        "droveway.provider": attempt.provider,
        "droveway.verdict": ended.value,
        genai.REQUEST_MODEL: attempt.model,
    }
    return Span(
        f"attempt {attempt.number}",
        Kind.INTERNAL,
        place.trace_id,
        place.span_id,
        root.span_id,
        _nanoseconds(attempt.start_time),
        _nanoseconds(end),
        attributes,
        error="" if ended is EndClass.SUCCEEDED else ended.value,
    )


def _run(run: AgentRun, after: AgentRunStatus, end: datetime) -> Span:
    place, summary = run_trace(run.metadata.uid), find(after.conditions, ConditionType.SUCCEEDED)
    agent = after.attempts[-1].agent if after.attempts else ""
    good = summary is not None and summary.status == "True"
    return Span(
        f"{genai.INVOKE_AGENT} {agent}".rstrip(),
        Kind.INTERNAL,
        place.trace_id,
        place.span_id,
        "",
        _nanoseconds(after.start_time or end),
        _nanoseconds(end),
        dict(_told(run, after, agent, summary.reason if summary else "")),
        error="" if good else summary.reason if summary else EndClass.UNKNOWN.value,
    )


def _told(run: AgentRun, after: AgentRunStatus, agent: str, reason: str) -> Iterator[tuple[str, Attribute]]:
    tokens = after.usage.tokens
    yield genai.OPERATION_NAME, genai.INVOKE_AGENT
    if agent:
        yield genai.AGENT_NAME, agent
    if after.session_id:
        yield genai.CONVERSATION_ID, after.session_id
    yield genai.INPUT_TOKENS, tokens.input + tokens.cache_read + tokens.cache_write
    yield genai.OUTPUT_TOKENS, tokens.output + tokens.reasoning
    yield "k8s.namespace.name", run.metadata.namespace
    yield "droveway.run.name", run.metadata.name
    yield "droveway.run.uid", run.metadata.uid
    yield "droveway.route", run.spec.route_ref.name
    yield "droveway.attempts", after.attempt_count
    yield "droveway.reroutes", after.reroute_count
    yield "droveway.reason", reason
    if after.usage.cost_usd is not None:
        yield "droveway.cost_usd", float(after.usage.cost_usd)


def _nanoseconds(at: datetime) -> int:
    return int(at.timestamp() * 1e6) * 1000
