"""Whether a gateway serves fan-outs: exit code 0 when it does, 1 with one line that says what is wrong.

    python scripts/fanout_smoke_test.py [--url http://127.0.0.1:8099] [--key dwk-…]

Without options it takes what `droveway.client` takes: DROVEWAY_GATEWAY_URL and DROVEWAY_RUN_KEY, or the key file of a pod. It
asks the route of that key a few words twice, whole and streamed: a handful of small calls.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial

import httpx2
from pydantic import ValidationError

from droveway.api.errors import DrovewayError
from droveway.api.fanout import CallStatus, FanoutRequest, FanoutStatus
from droveway.client import ClientSettings, GatewayFanout, Refused, connect

QUESTION = {"role": "user", "content": "Reply with the word: pong"}
ASKED = FanoutRequest.model_validate(
    {
        "messages": [QUESTION],
        "parameters": {"max_tokens": 64},
        "calls": [{"id": "a"}, {"id": "b"}],
        "timeoutMilliseconds": 60_000,
    }
)


class Broken(Exception):  # noqa: N818 - says what happened
    """It does not do what it should."""


async def healthy(url: str) -> None:
    async with httpx2.AsyncClient(trust_env=False, timeout=5) as http:
        answer = await http.get(url + "/healthz")
    hold(answer.status_code == 200, f"/healthz answers {answer.status_code}")


async def whole(client: GatewayFanout) -> None:
    found = await client.fanout(ASKED)
    failed = [f"{r.id}: {r.error.message}" for r in found.results if r.error]
    hold(found.status is FanoutStatus.SUCCEEDED, "; ".join(failed))
    hold([r.id for r in found.results] == ["a", "b"], "results are not in the order of the calls")


async def streamed(client: GatewayFanout) -> None:
    events = [event async for event in client.stream(ASKED)]
    hold(bool(events) and events[-1].type == "final", "the stream has no final event")
    done = [event.result.status for event in events if event.type == "result"]
    hold(done == [CallStatus.OK] * 2, "the stream has not two results")


async def locked(url: str) -> None:
    try:
        async with GatewayFanout(url, "not-a-run-key") as client:
            await client.fanout(ASKED)
    except Refused as refused:
        hold(refused.status == 401, f"a wrong key is refused with {refused.status}, not 401")
    else:
        raise Broken("a wrong key opens it")


def hold(true: bool, otherwise: str) -> None:
    if not true:
        raise Broken(otherwise)


async def smoke(settings: ClientSettings) -> None:
    url, client = settings.gateway_url.rstrip("/"), connect(settings)
    assert isinstance(client, GatewayFanout)
    async with client:
        checks: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            ("health", partial(healthy, url)),
            ("a wrong key", partial(locked, url)),
            ("fan-out", partial(whole, client)),
            ("fan-out, streamed", partial(streamed, client)),
        ]
        for name, check in checks:
            began = time.monotonic()
            await check()
            print(f"ok    {name} ({(time.monotonic() - began) * 1000:.0f} ms)")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url")
    parser.add_argument("--key")
    given = parser.parse_args()
    told = {"fanout": "gateway", "gateway_url": given.url, "run_key": given.key}
    try:
        asyncio.run(smoke(ClientSettings(**{name: value for name, value in told.items() if value})))
    except (Broken, DrovewayError, ValidationError, httpx2.HTTPError) as error:
        print(f"FAIL  {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
