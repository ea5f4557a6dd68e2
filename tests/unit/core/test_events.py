"""What gateways and sidecars tell, on the wire: versions of ours beside each other must understand it."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from droveway.api.enums import CostSource, EndClass
from droveway.core.completion import TokenBreakdown
from droveway.core.events import (
    Batch,
    Record,
    RecordKind,
    batch_from_dict,
    batch_to_dict,
    record_from_dict,
    record_to_dict,
)
from droveway.core.utilization import Reading
from droveway.core.verdict import Scope, Verdict
from helpers.told import NOON, after

WHOLE = Record(
    number=7,
    kind=RecordKind.COMPLETION,
    at=NOON,
    run="fix-login",
    run_uid="u",
    attempt=2,
    candidate="a",
    provider="anthropic",
    model="sonnet",
    session_id="s",
    started_at=after(-1),
    latency_ms=1000.5,
    success=False,
    tokens=TokenBreakdown(total=15, input=1, output=2, reasoning=3, cache_read=4, cache_write=5),
    cost_usd=0.25,
    cost_source=CostSource.PRICED,
    error="spent",
    id="msg-1",
    verdict=Verdict(EndClass.SUBSCRIPTION_LIMIT, after(60), Scope.QUOTA_GROUP, "weekly limit"),
    stalled=True,
    aside=True,
    final=True,
    exit_code=1,
    end_class=EndClass.AGENT_FAILED,
    result="gave up",
    completions=3,
    utilization=(Reading("5h", 97, after(3600), NOON), Reading("7d_opus", 3, None, NOON)),
)
WIRE: dict[str, Any] = {
    "number": 7,
    "kind": "completion",
    "at": "2026-11-21T12:00:00+00:00",
    "run": "fix-login",
    "run_uid": "u",
    "attempt": 2,
    "candidate": "a",
    "provider": "anthropic",
    "model": "sonnet",
    "session_id": "s",
    "started_at": "2026-11-21T11:59:59+00:00",
    "latency_ms": 1000.5,
    "success": False,
    "tokens": {"total": 15, "input": 1, "output": 2, "reasoning": 3, "cache_read": 4, "cache_write": 5},
    "cost_usd": 0.25,
    "cost_source": "Priced",
    "error": "spent",
    "id": "msg-1",
    "verdict": {
        "kind": "SubscriptionLimit",
        "until": "2026-11-21T12:01:00+00:00",
        "scope": "QuotaGroup",
        "reason": "weekly limit",
    },
    "stalled": True,
    "aside": True,
    "final": True,
    "exit_code": 1,
    "end_class": "AgentFailed",
    "result": "gave up",
    "completions": 3,
    "utilization": [["5h", 97, "2026-11-21T13:00:00+00:00"], ["7d_opus", 3, None]],
}
LEAST = {"number": 1, "kind": "report", "at": "2026-11-21T12:00:00+00:00", "run": "r", "run_uid": "u", "attempt": 1}
BATCH: dict[str, Any] = {"source": "boot", "namespace": "team", "route": "coding", "records": [WIRE, LEAST]}


def test_a_whole_record_is_written_and_read_as_it_is() -> None:
    assert json.loads(json.dumps(record_to_dict(WHOLE))) == WIRE
    assert record_from_dict(WIRE) == WHOLE


def test_what_is_not_said_is_not_sent() -> None:
    least = Record(1, RecordKind.REPORT, NOON, "r", "u", 1)

    assert record_to_dict(least) == {**LEAST, "completions": 0}
    assert record_from_dict(LEAST) == least


def test_nothing_and_zero_are_not_the_same() -> None:
    free = replace(WHOLE, cost_usd=0.0, latency_ms=0.0, exit_code=0)

    wire = record_to_dict(free)

    assert (wire["cost_usd"], wire["latency_ms"], wire["exit_code"]) == (0.0, 0.0, 0)
    assert record_from_dict(wire) == free


def test_a_verdict_without_an_end_stays_one() -> None:
    outage = replace(WHOLE, verdict=Verdict(EndClass.PROVIDER_OUTAGE, None, Scope.PROVIDER, "529"))

    assert record_from_dict(json.loads(json.dumps(record_to_dict(outage)))) == outage


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({"tokens": {"input": 5}}, {"tokens": TokenBreakdown(input=5)}, id="tokens that only some tell"),
        pytest.param({"tokens": {}}, {"tokens": TokenBreakdown()}, id="no tokens"),
        pytest.param({"utilization": None}, {"utilization": ()}, id="no windows"),
        pytest.param(
            {"verdict": {"kind": "ProviderOutage", "scope": "Provider", "reason": 529}},
            {"verdict": Verdict(EndClass.PROVIDER_OUTAGE, None, Scope.PROVIDER, "529")},
            id="a verdict without an end",
        ),
        pytest.param({"started_at": "", "end_class": None}, {}, id="empty is absent"),
        pytest.param({"of a later version": 1}, {}, id="a field of a later version"),
    ],
)
def test_a_reader_takes_what_another_version_may_write(change: dict[str, Any], expected: dict[str, Any]) -> None:
    assert record_from_dict(LEAST | change) == replace(record_from_dict(LEAST), **expected)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param({"number": ...}, "missing 1 required", id="no number"),
        pytest.param({"at": ...}, "not a record: KeyError('at')", id="no time"),
        pytest.param({"at": "2026-11-21T12:00:00"}, "a time needs a zone: 2026", id="a time without a zone"),
        pytest.param({"at": 5}, "not a record: TypeError", id="a time that is a number"),
        pytest.param({"kind": "gossip"}, "gossip", id="an unknown kind"),
        pytest.param({"tokens": 5}, "not a record: AttributeError", id="tokens that are a number"),
        pytest.param({"verdict": {"kind": "ProviderOutage"}}, "not a record: KeyError('scope')", id="half a verdict"),
        pytest.param({"utilization": [["5h", 3]]}, "not enough values", id="half a window"),
        pytest.param({"utilization": [["5 hours", 3, None]]}, "not a window of a quota: ['5 hours'", id="no window"),
    ],
)
def test_what_is_no_record_is_refused_and_the_reason_names_it(change: dict[str, Any], says: str) -> None:
    wire = {key: value for key, value in (LEAST | change).items() if value is not ...}

    with pytest.raises(ValueError, match=re.escape(says)):
        record_from_dict(wire)


def test_a_batch_is_one_sources_records_for_one_route() -> None:
    batch = batch_from_dict(BATCH)

    assert batch == Batch("boot", "team", "coding", (WHOLE, record_from_dict(LEAST)))
    assert batch_from_dict(json.loads(json.dumps(batch_to_dict(batch)))) == batch
    assert {k: v for k, v in batch_to_dict(batch).items() if k != "records"} == {
        "source": "boot",
        "namespace": "team",
        "route": "coding",
    }


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param({k: v for k, v in BATCH.items() if k != "route"}, "not a batch: KeyError('route')", id="no route"),
        pytest.param(BATCH | {"records": 5}, "not a batch: TypeError", id="records that are none"),
        pytest.param(BATCH | {"records": [5]}, "not a ", id="a record that is none"),
    ],
)
def test_what_is_no_batch_is_refused(body: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        batch_from_dict(body)
