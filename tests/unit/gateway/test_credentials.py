"""Provider keys: read when needed, kept for a minute, read again after a refusal, and shared by all who wait."""

import asyncio

import pytest

from droveway.api.enums import Access, Dialect
from droveway.api.errors import TryLater
from droveway.cluster.objects import Key
from droveway.gateway.config import Provider, SecretKey
from droveway.gateway.credentials import Credentials, NoCredentials

WHERE = SecretKey("ns", "keys", "k")
KEYED = Provider(Key("ns", "a"), Dialect.ANTHROPIC, Access.GATEWAY, "http://x", "ns/a", WHERE)


class Vault:
    """Secrets, and a clock."""

    def __init__(self, value: str | None) -> None:
        self.value, self.reads, self.now, self.away = value, 0, 0.0, False
        self.open = asyncio.Event()
        self.open.set()

    async def read(self, where: SecretKey) -> str | None:
        assert where == WHERE
        self.reads += 1
        await self.open.wait()
        if self.away:
            raise TryLater("the API server is away")
        return self.value

    def credentials(self) -> Credentials:
        return Credentials(self.read, lambda: self.now)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_no_secret_no_key() -> None:
    bare = Provider(Key("ns", "a"), Dialect.ANTHROPIC, Access.GATEWAY, "http://x", "ns/a")
    assert await Vault("one").credentials().of(bare) == ""


async def test_a_key_is_read_once_a_minute_and_the_old_one_serves_meanwhile() -> None:
    vault = Vault("one")
    credentials = vault.credentials()
    assert [await credentials.of(KEYED) for _ in range(3)] == ["one"] * 3
    assert vault.reads == 1
    vault.value, vault.now = "two", 61.0
    assert await credentials.of(KEYED) == "one"
    await settle()
    assert await credentials.of(KEYED) == "two"
    assert vault.reads == 2


async def test_a_missing_key_says_what_to_do_and_is_looked_for_again_soon() -> None:
    vault = Vault(None)
    credentials = vault.credentials()
    with pytest.raises(NoCredentials, match="Secret ns/keys has no key k; create it"):
        await credentials.of(KEYED)
    vault.value, vault.now = "one", 3.0
    assert await credentials.of(KEYED) == "one"


async def test_the_last_known_key_serves_while_the_api_server_is_away() -> None:
    vault = Vault("one")
    credentials = vault.credentials()
    await credentials.of(KEYED)
    vault.away, vault.now = True, 100.0
    await credentials.of(KEYED)
    await settle()
    assert await credentials.of(KEYED) == "one"


@pytest.mark.parametrize(("now_there", "changed"), [("one", False), ("two", True), (None, False)])
async def test_after_a_refusal_it_is_read_again(now_there: str | None, changed: bool) -> None:
    vault = Vault("one")
    credentials = vault.credentials()
    refused = await credentials.of(KEYED)
    vault.value = now_there
    assert await credentials.changed(KEYED, refused) is changed
    assert vault.reads == 2


async def test_one_reading_serves_all_who_wait_even_if_the_first_leaves() -> None:
    vault = Vault("one")
    vault.open.clear()
    credentials = vault.credentials()
    first, second = (asyncio.create_task(credentials.of(KEYED)) for _ in range(2))
    await settle()
    first.cancel()
    await settle()
    vault.open.set()
    assert await second == "one"
    assert vault.reads == 1
