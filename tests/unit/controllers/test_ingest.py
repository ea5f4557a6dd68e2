"""Who may tell the operator what, and what it answers."""

from typing import Any, cast

import httpx2
import pytest

from droveway.api import names
from droveway.api.enums import EndClass
from droveway.api.errors import TryLater
from droveway.cluster.client import Cluster
from droveway.controllers.ingest import MOST_BYTES, build_app
from droveway.core.events import Batch, batch_to_dict
from droveway.core.keys import RunIdentity, namespace_key, run_key, sidecar_token
from helpers.operator import ROUTE, RUN, a_desk, attempt, over, run_manifest
from helpers.told import GATEWAY, SIDECAR, UID, after, batch, completion, direct, provider_manifest, report, verdict

ACCOUNT = "system:serviceaccount:droveway:droveway-gateway"
MASTER, OLD_MASTER = b"master", b"master before"
ME = RunIdentity(UID, 1)


class Keys:
    def accepted(self, namespace: str) -> tuple[str, ...]:
        return namespace_key(MASTER, namespace), namespace_key(OLD_MASTER, namespace)


def token(who: RunIdentity = ME, namespace: str = "team", master: bytes = MASTER) -> str:
    return sidecar_token(namespace_key(master, namespace), who)


def forged() -> str:
    good = token()
    return good[:-1] + ("1" if good.endswith("0") else "0")


class Door:
    """The operator's HTTP side, and somebody who knocks."""

    def __init__(self) -> None:
        self.desk = a_desk()
        self.desk.api.reviews = {"gateway-token": ACCOUNT, "other-token": "system:serviceaccount:team:default"}
        self.active, self.ill = True, cast("str | None", None)
        self.app = build_app(
            self.desk.ledgers,
            self.desk.world,
            cast("Cluster", self.desk.api),
            Keys(),
            gateway_account=ACCOUNT,
            active=lambda: self.active,
            unhealthy=lambda: self.ill,
            now=lambda: self.desk.now,
        )

    async def ask(self, method: str, path: str, **what: Any) -> httpx2.Response:
        transport = httpx2.ASGITransport(app=self.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://operator") as client:
            return await client.request(method, path, **what)

    async def tell(self, what: Batch | bytes, bearer: str = "gateway-token") -> httpx2.Response:
        body: dict[str, Any] = {"content": what} if isinstance(what, bytes) else {"json": batch_to_dict(what)}
        return await self.ask("POST", "/v1/events", headers={"authorization": f"Bearer {bearer}"}, **body)


def a_run_on(door: Door, ended: str | None = None, **status: Any) -> None:
    tries = [attempt() | ({"endTime": ended} if ended else {})]
    door.desk.add(names.AGENT_RUNS, run_manifest(**{"attemptCount": 1, "attempts": tries, **status}))


class TestGateway:
    async def test_it_is_told_what_is_written(self) -> None:
        answer = await Door().tell(batch(completion(1), completion(2)))
        assert (answer.status_code, answer.json()) == (200, {"acknowledged": 2})

    async def test_its_token_is_reviewed_once_a_minute(self) -> None:
        door = Door()
        for number in (1, 2, 3):
            await door.tell(batch(completion(number)))
        assert door.desk.api.writes("tokenreviews") == 1

    @pytest.mark.parametrize("bearer", ["", "nonsense", "other-token"])
    async def test_nobody_else_passes_for_it(self, bearer: str) -> None:
        door = Door()
        answer = await door.tell(batch(completion(1)), bearer)
        assert answer.status_code == 401
        assert door.desk.ledgers.facts(ROUTE, UID).usage.completions == 0

    async def test_it_may_not_speak_as_a_sidecar(self) -> None:
        assert (await Door().tell(batch(direct(1), source=SIDECAR))).status_code == 401

    async def test_a_route_that_nobody_knows_is_no_reason_to_send_again(self) -> None:
        answer = await Door().tell(batch(completion(9), route="gone"))
        assert answer.json() == {"acknowledged": 9}


class TestSidecar:
    async def test_it_tells_of_its_own_attempt(self) -> None:
        door = Door()
        a_run_on(door)
        answer = await door.tell(batch(direct(1), source=SIDECAR), token())
        assert answer.json() == {"acknowledged": 1}
        assert door.desk.ledgers.facts(ROUTE, UID).usage.completions == 1

    async def test_its_pod_may_have_been_started_before_the_master_key_was_rotated(self) -> None:
        door, told = Door(), batch(direct(1), source=SIDECAR)
        a_run_on(door)
        assert (await door.tell(told, token(master=OLD_MASTER))).status_code == 200
        assert (await door.tell(told, token(master=b"long before"))).status_code == 401

    @pytest.mark.parametrize(
        ("what", "bearer"),
        [
            pytest.param(batch(direct(1), source=f"{UID}-2"), token(), id="another attempt's name"),
            pytest.param(batch(direct(1, attempt=2), source=SIDECAR), token(), id="a record of another attempt"),
            pytest.param(batch(direct(1, run_uid="x"), source=SIDECAR), token(), id="a record of another run"),
            pytest.param(batch(direct(1), source=GATEWAY), token(), id="a gateway's name"),
            pytest.param(batch(direct(1), source=SIDECAR), token(namespace="other"), id="another namespace's token"),
            pytest.param(
                batch(direct(1), source=SIDECAR), run_key(namespace_key(MASTER, "team"), ME), id="the run key"
            ),
            pytest.param(batch(direct(1), source=SIDECAR), forged(), id="a forged token"),
            pytest.param(batch(direct(1), source=SIDECAR, route="other"), token(), id="a route that is not its run's"),
        ],
    )
    async def test_and_of_nothing_else(self, what: Batch, bearer: str) -> None:
        door = Door()
        a_run_on(door)
        assert (await door.tell(what, bearer)).status_code == 401

    async def test_a_limit_is_one_of_the_attempt_s_own_provider_whatever_it_says(self) -> None:
        door = Door()
        a_run_on(door)
        weekly = verdict(EndClass.SUBSCRIPTION_LIMIT, after(3600))
        door.desk.add(names.MODEL_PROVIDERS, provider_manifest("victim", access="Direct"))
        await door.tell(batch(report(1, verdict=weekly, provider="victim", candidate="a"), source=SIDECAR), token())
        accounts = door.desk.ledgers.accounts("team")
        assert accounts.limit("victim", "opus", door.desk.now) is None
        assert accounts.limit("login", "opus", door.desk.now) is not None

    async def test_on_a_gateway_candidate_it_limits_nothing(self) -> None:
        door = Door()
        door.desk.add(names.AGENT_RUNS, run_manifest(attempts=[attempt(candidate="a", provider="anthropic")]))
        weekly = verdict(EndClass.SUBSCRIPTION_LIMIT, after(3600))
        assert (await door.tell(batch(report(1, verdict=weekly), source=SIDECAR), token())).status_code == 200
        accounts = door.desk.ledgers.accounts("team")
        assert [accounts.limit(name, "opus", door.desk.now) for name in ("anthropic", "login")] == [None, None]

    @pytest.mark.parametrize(("seconds", "status"), [(600, 200), (601, 401)])
    async def test_it_is_heard_until_ten_minutes_after_the_end(self, seconds: float, status: int) -> None:
        door = Door()
        a_run_on(door, ended="2026-11-21T12:00:00Z")
        door.desk.now = after(seconds)
        assert (await door.tell(batch(report(1), source=SIDECAR), token())).status_code == status

    async def test_of_a_run_that_nobody_knows_any_more_nothing_is_counted(self) -> None:
        door = Door()
        door.desk.take_away(names.AGENT_RUNS, RUN)
        answer = await door.tell(batch(direct(1), source=SIDECAR), token())
        assert answer.json() == {"acknowledged": 1}
        assert door.desk.ledgers.facts(ROUTE, UID).usage.completions == 0

    async def test_nor_of_one_that_is_over(self) -> None:
        door = Door()
        door.desk.add(names.AGENT_RUNS, run_manifest(**over()))
        answer = await door.tell(batch(direct(1), source=SIDECAR), token())
        assert answer.json() == {"acknowledged": 1}


class TestMalformed:
    @pytest.mark.parametrize(
        "body",
        [
            pytest.param(b"", id="empty"),
            pytest.param(b"{", id="not JSON"),
            pytest.param(b"[]", id="not an object"),
            pytest.param(
                b'{"source": "x", "namespace": "team", "route": "coding", "records": [{}]}', id="an empty record"
            ),
        ],
    )
    async def test_what_is_no_batch_is_said_to_be_none(self, body: bytes) -> None:
        assert (await Door().tell(body)).status_code == 400

    @pytest.mark.parametrize(
        "changes",
        [
            {"number": "1"}, {"number": 0}, {"number": True}, {"number": 1.5}, {"attempt": -1}, {"attempt": "1"},
            {"latency_ms": "5"}, {"cost_usd": "free"}, {"model": 7}, {"model": "m" * 257}, {"session_id": None},
            {"result": "x" * 5000}, {"error": 7}, {"id": 7}, {"completions": "3"}, {"at": "2026-11-21T12:00:00"},
            {"verdict": {"kind": "Nonsense", "scope": "Model", "reason": ""}}, {"kind": "gossip"},
        ],
    )  # fmt: skip
    async def test_a_value_of_the_wrong_kind_or_size_is_refused_whole(self, changes: dict[str, Any]) -> None:
        door, body = Door(), batch_to_dict(batch(completion(1)))
        body["records"][0] |= changes
        answer = await door.ask("POST", "/v1/events", json=body, headers={"authorization": "Bearer gateway-token"})
        assert answer.status_code == 400, answer.text
        assert door.desk.ledgers.facts(ROUTE, UID).usage.completions == 0

    async def test_a_body_that_is_too_long_is_not_read_to_its_end(self) -> None:
        assert (await Door().tell(b" " * (MOST_BYTES + 1))).status_code == 413

    async def test_long_messages_are_cut(self) -> None:
        door, long = Door(), verdict(EndClass.SUBSCRIPTION_LIMIT, after(60), "x" * 9999)
        a_run_on(door)
        await door.tell(batch(report(1, verdict=long, error="y" * 9999), source=SIDECAR), token())
        told = door.desk.ledgers.facts(ROUTE, UID).attempts[1].reported
        assert told is not None
        assert len(told.reason) == 256


class TestAnswers:
    async def test_a_standby_sends_everybody_away_for_a_moment(self) -> None:
        door = Door()
        door.active = False
        answer = await door.tell(batch(completion(1)))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert (await door.ask("GET", "/readyz")).text == "standby"

    async def test_what_cannot_be_written_is_to_be_sent_again(self) -> None:
        door = Door()

        def down(verb: str, plural: str) -> None:
            raise TryLater("the API server is away")

        door.desk.api.before = down
        answer = await door.tell(batch(completion(1)))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")

    async def test_health(self) -> None:
        door = Door()
        assert (await door.ask("GET", "/healthz")).status_code == 200
        door.ill = "the last resync ended 900 s ago"
        answer = await door.ask("GET", "/healthz")
        assert (answer.status_code, answer.text) == (503, "the last resync ended 900 s ago")

    async def test_metrics(self) -> None:
        door = Door()
        await door.tell(batch(completion(1)))
        text = (await door.ask("GET", "/metrics")).text
        assert 'droveway_events_total{outcome="accepted",source="gateway"}' in text
