"""What the models make of what the API server sends, and what they send back."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import TypeAdapter, ValidationError

from droveway.api.v1alpha1 import AgentRun, AgentRunStatus, Attempt, ModelProvider
from droveway.api.v1alpha1.agentrun import Reroute
from droveway.api.v1alpha1.common import Decimal, Quantity, Time, wire_name

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
RUN = {"metadata": {"name": "hello"}, "spec": {"routeRef": {"name": "coding"}, "prompt": "Say hello."}}


@pytest.mark.parametrize(
    ("field", "on_the_wire"),
    [
        ("name", "name"),
        ("max_in_flight", "maxInFlight"),
        ("base_url", "baseURL"),
        ("max_cost_usd", "maxCostUSD"),
        ("session_id", "sessionID"),
    ],
)
def test_names_on_the_wire(field: str, on_the_wire: str) -> None:
    assert wire_name(field) == on_the_wire


@pytest.mark.parametrize(
    ("given", "printed"),
    [
        pytest.param(NOON, "2026-01-02T12:00:00Z", id="whole seconds"),
        pytest.param(NOON.replace(microsecond=250), "2026-01-02T12:00:00.000250Z", id="microseconds survive"),
        pytest.param(NOON.astimezone(timezone(timedelta(hours=2))), "2026-01-02T12:00:00Z", id="always UTC"),
    ],
)
def test_times_go_out_and_come_back(given: datetime, printed: str) -> None:
    times: TypeAdapter[datetime] = TypeAdapter(Time)

    assert times.dump_python(given, mode="json") == printed
    assert times.validate_python(printed) == given


@pytest.mark.parametrize(("given", "read"), [(2, "2"), ("500m", "500m"), ("1.5Gi", "1.5Gi")])
def test_a_quantity_may_be_written_as_a_number(given: object, read: str) -> None:
    quantities: TypeAdapter[str] = TypeAdapter(Quantity)

    assert quantities.validate_python(given) == read


@pytest.mark.parametrize("given", ["-1", "2.50 $", "1e9", ".5", ""])
def test_money_is_a_plain_decimal(given: str) -> None:
    amounts: TypeAdapter[str] = TypeAdapter(Decimal)

    with pytest.raises(ValidationError, match="pattern"):
        amounts.validate_python(given)


def test_a_run_that_nobody_has_seen_yet_has_an_empty_status() -> None:
    assert AgentRun.model_validate(RUN).status == AgentRunStatus()


def test_a_field_of_a_later_version_is_ignored() -> None:
    later = {**RUN, "spec": {"routeRef": {"name": "coding"}, "prompt": "Say hello.", "mood": "sunny"}}

    assert AgentRun.model_validate(later) == AgentRun.model_validate(RUN)


def test_words_that_python_keeps_for_itself_have_their_own_names_on_the_wire() -> None:
    move = Reroute(time=NOON, depth="Run", source="a", target="b", reason="limit")
    attempt = Attempt(number=1, pod_name="p", candidate="a", provider="x", model="m", start_time=NOON)

    assert move.to_wire() == {"time": "2026-01-02T12:00:00Z", "depth": "Run", "from": "a", "to": "b", "reason": "limit"}
    assert "class" not in attempt.to_wire()
    assert Attempt.model_validate(attempt.to_wire() | {"class": "Stalled"}).end_class == "Stalled"


def test_a_status_comes_back_as_it_went_out() -> None:
    status = AgentRunStatus(attempt_count=2, next_eligible_time=NOON)

    assert AgentRunStatus.model_validate(status.to_wire()) == status


@pytest.mark.parametrize("url", ["ftp://host", "https://me:pw@host", "https://host/?q=1", "host"])
def test_a_manifest_from_a_file_is_held_to_the_same_shapes(url: str) -> None:
    """`droveway gateway --config` has no API server before it."""
    with pytest.raises(ValidationError, match="baseURL"):
        ModelProvider.model_validate({"metadata": {"name": "x"}, "spec": {"dialect": "Gemini", "baseURL": url}})
