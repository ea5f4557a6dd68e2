"""What copies of requests tell: of their account, and of the mirror. Runs, telemetry and breakers never hear of them."""

from dataclasses import replace
from typing import Any

import pytest

from droveway.api.enums import EndClass
from droveway.core.canary import mirror_of
from droveway.core.events import Record, RecordKind, record_from_dict, record_to_dict
from droveway.core.ledger import RouteLedger
from droveway.core.trial import Trial
from droveway.core.utilization import Reading
from helpers.seen import Seen
from helpers.told import NOON, SIDECAR, UID, a_route, after, batch, completion, failure, outage, verdict

MIRROR: dict[str, Any] = {"mirror": {"candidate": "b", "percent": 10}}
B = {"candidate": "b", "provider": "openai", "model": "gpt"}


def copy(record: Record) -> Record:
    return replace(record, kind=RecordKind.MIRROR)


def test_it_counts_for_the_mirror_alone() -> None:
    seen = Seen(
        completion(1, 1), *(copy(completion(n, n, cost_usd=0.5, latency_ms=200.0, **B)) for n in (2, 3)), **MIRROR
    )
    status = seen.status()
    assert status.mirror
    assert (status.mirror.candidate, status.mirror.results.samples) == ("b", 2)
    assert (status.mirror.results.average_latency_milliseconds, status.mirror.results.average_cost_usd) == (200, "0.5")
    usage = seen.ledger.facts(UID).usage
    assert (usage.completions, usage.cost_usd) == (1, "0.01")
    assert status.candidates[1].telemetry.samples == 0
    assert (status.candidates[1].eligible, status.candidates[1].reason) == (False, "Mirror")


def test_its_outages_open_no_breaker() -> None:
    seen = Seen(*(copy(outage(n, n, **B)) for n in range(1, 9)), **MIRROR)
    assert seen.status().candidates[1].circuit.failures == 0
    assert seen.ledger.mirror.tried.failed == 8


def test_its_account_learns_of_limits_and_of_what_is_used() -> None:
    reading = Reading("5h", 80, after(3600), NOON)
    limited = copy(failure(1, 1, verdict(EndClass.RATE_LIMITED, after(60)), **B))
    ledger = RouteLedger(a_route(**MIRROR).spec, {}, NOON)
    changes = ledger.apply(batch(replace(limited, utilization=(reading,))), after(10), lambda *_: True)
    assert [(s.provider, s.verdict and s.verdict.kind) for s in changes.signals] == [("openai", "RateLimited")]
    assert changes.utilization == [("openai", (reading,))]


@pytest.mark.parametrize(
    ("record", "source"),
    [
        pytest.param(copy(completion(1, 1)), None, id="of another candidate"),
        pytest.param(copy(completion(1, 1, **{**B, "model": "older"})), None, id="of a model that it had before"),
        pytest.param(copy(completion(1, 1, **B)), SIDECAR, id="by a sidecar"),
    ],
)
def test_what_is_not_the_mirror_s_does_not_count(record: Record, source: str | None) -> None:
    ledger = RouteLedger(a_route(**MIRROR).spec, {}, NOON)
    ledger.apply(batch(record, **({"source": source} if source else {})), after(10), lambda *_: True)
    assert ledger.mirror == Trial(mirror_of(a_route(**MIRROR).spec))


def test_it_survives_a_restart_and_another_mirror_begins_anew() -> None:
    seen = Seen(copy(completion(1, 1, **B)), **MIRROR)
    data = seen.ledger.to_data(seen.now)
    for spec, samples in (
        (MIRROR, 1),
        ({"mirror": {"candidate": "b", "percent": 90}}, 1),
        ({"mirror": {"candidate": "own"}}, 0),
    ):
        restarted = RouteLedger(a_route(**spec).spec, {}, NOON)
        restarted.load(data, seen.now)
        assert restarted.mirror.tried.samples == samples


def test_it_travels() -> None:
    record = copy(completion(1, 1, **B))
    assert record_from_dict(record_to_dict(record)) == record
