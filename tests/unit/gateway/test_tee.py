"""What an exchange answers is passed on as it comes, and only remembered when it may be given again."""

from math import inf
from typing import Any

import pytest

from droveway.gateway.cached import LONGEST, Tee
from droveway.gateway.client import Answering
from droveway.gateway.ledger import Account


class World:
    """A client, and an exchange that answers it through a tee."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.account = Account(0.0)
        self.client = Answering(self.send)
        self.client.name("r-1")
        self.tee = Tee(self.client, self.account)
        self.exchange = Answering(self.tee.send)

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    async def answer(self, *pieces: bytes, status: int = 200, end: bool = True) -> None:
        await self.exchange.start(status, [(b"content-type", b"text/plain")])
        for piece in pieces:
            await self.exchange.piece(piece)
        if end:
            await self.exchange.end()


async def test_the_client_gets_everything_and_our_headers() -> None:
    world = World()
    world.exchange.mark("main", "a", 1)
    await world.answer(b"one ", b"two")
    assert b"".join(m.get("body", b"") for m in world.sent) == b"one two"
    names = [name for name, _ in world.sent[0]["headers"]]
    assert sorted(names) == sorted([
        b"content-type", b"x-droveway-attempts", b"x-droveway-cache", b"x-droveway-candidate", b"x-droveway-request-id",
        b"x-droveway-route",
    ])  # fmt: skip
    assert (world.client.started, world.client.done) == (True, True)
    assert world.tee.body == b"one two"
    assert world.tee.headers[b"x-droveway-candidate"] == b"a"


async def test_the_client_of_a_silent_provider_is_owed_a_ping_between_two_events() -> None:
    world = World()
    await world.answer(b"data: one\n\n", end=False)
    assert world.client.silent_since(inf)
    await world.exchange.piece(b"data: t")
    assert not world.client.silent_since(inf)
    await world.exchange.end(b"wo\n\n")
    assert not world.client.silent_since(inf)


async def test_a_client_that_has_left_gets_nothing_more_and_the_rest_is_remembered() -> None:
    world = World()
    await world.answer(b"one ", end=False)
    world.tee.client = None
    await world.exchange.end(b"two")
    assert len(world.sent) == 2
    assert world.client.done is False
    assert world.tee.body == b"one two"


@pytest.mark.parametrize(
    ("pieces", "how"),
    [
        pytest.param([b"x"], {"end": False}, id="not complete"),
        pytest.param([b"x"], {"status": 400}, id="a refusal"),
        pytest.param([b"x" * LONGEST, b"x"], {}, id="too long"),
    ],
)
async def test_what_is_not_remembered(pieces: list[bytes], how: dict[str, Any]) -> None:
    world = World()
    await world.answer(*pieces, **how)
    assert world.tee.body is None


async def test_an_answer_of_the_longest_kind_is_remembered() -> None:
    world = World()
    await world.answer(b"x" * LONGEST)
    assert world.tee.body is not None


async def test_what_two_calls_have_made_is_not_remembered() -> None:
    world = World()
    world.account.calls = 2  # the first one failed before it said anything
    await world.answer(b"one ", end=False)
    assert world.tee.body is None
    world.account.calls = 3
    await world.exchange.end(b"two")
    assert world.tee.body is None
