"""The accounts of tenants where replicas share them: in Valkey, judged and changed by one script at a time.

Open requests are leases in a sorted set, never a counter: what a replica that died held is free again when its leases end.
The scripts decide as `core.quota.fits` does, and return what they saw, so that the refusal is worded in one place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from droveway.api.enums import QuotaUnit, QuotaWindow
from droveway.core.quota import Amount, Rules, Second, View
from droveway.core.windows import CALENDAR, end_of, start_of
from droveway.gateway.shared import Shared

if TYPE_CHECKING:
    from redis.asyncio import Redis

LEASE_SECONDS = 15
BEAT_SECONDS = 5.0
_KEPT_SECONDS = 120  # what lives no longer than a minute
_LATE = timedelta(hours=1)  # a calendar's window is kept a little longer than it lasts

_UNITS = (QuotaUnit.IN_FLIGHT, QuotaUnit.REQUESTS, QuotaUnit.TOKENS, QuotaUnit.COST)
_WINDOWS = (None, QuotaWindow.MINUTE, *CALENDAR)

# KEYS of all: open, held, minute, hour, day, month. Whole numbers go in and out as decimal strings: Lua would round large ones.
_PRELUDE = """
local time = redis.call('TIME')
local second = tonumber(time[1])
local now = second * 1000 + math.floor(tonumber(time[2]) / 1000)
local function text(number) return string.format('%.0f', number) end
local function pair(value)
  local a, b = string.match(value or '0:0', '^(%d+):(%d+)$')
  return tonumber(a), tonumber(b)
end
local function keep(seconds)
  for i = 1, 3 do redis.call('EXPIRE', KEYS[i], seconds) end
end
"""

_RESERVE = (
    _PRELUDE
    + """
local id, lease, kept_seconds = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local estimate = {tonumber(ARGV[4]), tonumber(ARGV[5])}
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)) do
  redis.call('ZREM', KEYS[1], gone)
  redis.call('HDEL', KEYS[2], gone)
end
local used = {{redis.call('ZCARD', KEYS[1])}, {0, 0}}
local minute, raw = {}, redis.call('HGETALL', KEYS[3])
for i = 1, #raw, 2 do
  if tonumber(raw[i]) <= second - 60 then
    redis.call('HDEL', KEYS[3], raw[i])
  else
    local requests, tokens = pair(raw[i + 1])
    used[2][1], used[2][2] = used[2][1] + requests, used[2][2] + tokens
    minute[#minute + 1], minute[#minute + 2] = raw[i], raw[i + 1]
  end
end
local reserved = {0, 0}
for _, value in ipairs(redis.call('HVALS', KEYS[2])) do
  local tokens, cost = pair(value)
  reserved[1], reserved[2] = reserved[1] + tokens, reserved[2] + cost
end
local at = 6
for w = 1, 3 do
  local key, floor = KEYS[3 + w], {tonumber(ARGV[at]), tonumber(ARGV[at + 1])}
  local stored = redis.call('HMGET', key, 'tokens', 'cost')
  local have = {tonumber(stored[1] or 0), tonumber(stored[2] or 0)}
  local sum = {math.max(have[1], floor[1]), math.max(have[2], floor[2])}
  if sum[1] > have[1] or sum[2] > have[2] then
    redis.call('HSET', key, 'tokens', text(sum[1]), 'cost', text(sum[2]))
    redis.call('EXPIREAT', key, ARGV[at + 2])
  end
  used[2 + w] = sum
  at = at + 3
end
local admitted = 1
while ARGV[at] do
  local unit, window, most = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local have, held, more
  if unit <= 2 then have, held, more = used[window][1], 0, 1
  elseif window == 2 then have, held, more = used[2][2], reserved[1], estimate[1]
  else have, held, more = used[window][unit - 2], reserved[unit - 2], estimate[unit - 2] end
  if have >= most or (held > 0 and have + held + more > most) then admitted = 0 end
  at = at + 3
end
if admitted == 1 then
  redis.call('ZADD', KEYS[1], now + lease, id)
  redis.call('HSET', KEYS[2], id, text(estimate[1]) .. ':' .. text(estimate[2]))
  local requests, tokens = pair(redis.call('HGET', KEYS[3], second) or nil)
  redis.call('HSET', KEYS[3], second, text(requests + 1) .. ':' .. text(tokens))
  keep(kept_seconds)
end
local out = {admitted, used[1][1], text(reserved[1]), text(reserved[2])}
for w = 3, 5 do out[#out + 1], out[#out + 2] = text(used[w][1]), text(used[w][2]) end
for _, value in ipairs(minute) do out[#out + 1] = value end
return out
"""
)

_SETTLE = (
    _PRELUDE
    + """
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
if ARGV[3] ~= '0' or ARGV[4] ~= '0' then
  local requests, tokens = pair(redis.call('HGET', KEYS[3], second) or nil)
  redis.call('HSET', KEYS[3], second, text(requests) .. ':' .. text(tokens + tonumber(ARGV[3])))
  for w = 1, 3 do
    redis.call('HINCRBY', KEYS[3 + w], 'tokens', ARGV[3])
    redis.call('HINCRBY', KEYS[3 + w], 'cost', ARGV[4])
    redis.call('EXPIREAT', KEYS[3 + w], ARGV[4 + w])
  end
end
keep(ARGV[2])
"""
)

_BEAT = (
    _PRELUDE
    + """
for i = 3, #ARGV, 2 do
  redis.call('ZADD', KEYS[1], now + tonumber(ARGV[1]), ARGV[i])
  redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
end
keep(ARGV[2])
"""
)


class Floor(NamedTuple):
    """What is known to have been used in a window from elsewhere: Valkey may have lost it, or never have heard of it."""

    window: QuotaWindow
    amount: Amount


class Seen(NamedTuple):
    """What the script saw, and whether it let the request through."""

    admitted: bool
    view: View


@dataclass(slots=True)
class SharedQuota:
    """Reserves and settles. Whatever cannot be asked raises `Away`."""

    shared: Shared

    async def reserve(
        self,
        tenant: str,
        request: str,
        estimate: Amount,
        rules: Sequence[Rules],
        floors: Sequence[Floor],
        now: datetime,
    ) -> Seen:
        """Lets a request through if all enforced limits allow it.

        Raises:
            Away: the server cannot be asked; nothing is known.
        """
        bounds = [
            (_UNITS.index(b.unit) + 1, _WINDOWS.index(b.window) + 1, b.most)
            for r in rules
            if r.enforced
            for b in r.bounds
        ]
        told = [(f.amount.tokens, f.amount.cost, _expiry(f.window, now)) for f in floors]
        args = [request, LEASE_SECONDS * 1000, _KEPT_SECONDS, *estimate, *_flat(told), *_flat(bounds)]
        return _seen(await self._run(_RESERVE, tenant, now, args))

    async def settle(self, tenant: str, request: str, spent: Amount, now: datetime) -> None:
        """A request has ended, and has used so much.

        Raises:
            Away: the server cannot be asked; its lease ends by itself.
        """
        expiries = [_expiry(window, now) for window in CALENDAR]
        await self._run(_SETTLE, tenant, now, [request, _KEPT_SECONDS, *spent, *expiries])

    async def beat(self, tenant: str, open_: Mapping[str, Amount], now: datetime) -> None:
        """Keeps the leases of open requests, and makes them again where the server has lost them.

        Raises:
            Away: the server cannot be asked.
        """
        held = [(request, f"{estimate.tokens}:{estimate.cost}") for request, estimate in open_.items()]
        await self._run(_BEAT, tenant, now, [LEASE_SECONDS * 1000, _KEPT_SECONDS, *_flat(held)])

    async def _run(self, script: str, tenant: str, now: datetime, args: list[Any]) -> Any:
        keys = [_name(tenant, part) for part in ("open", "held", "minute")]
        keys += [_name(tenant, f"{w.value.lower()}:{start_of(w, now):%Y%m%d%H}") for w in CALENDAR]

        async def ask(redis: "Redis") -> Any:
            return await cast("Any", redis.register_script(script))(keys=keys, args=args)

        return await self.shared.call(ask)


def _name(tenant: str, part: str) -> str:
    """The braces keep a tenant's keys in one slot of a cluster."""
    return f"droveway:quota:{{{tenant}}}:{part}"


def _expiry(window: QuotaWindow, now: datetime) -> int:
    return int((end_of(window, now) + _LATE).timestamp())


def _flat(rows: Sequence[tuple[Any, ...]]) -> list[Any]:
    return [value for row in rows for value in row]


def _seen(told: Sequence[Any]) -> Seen:
    numbers = [int(value) for value in told[:10]]
    sums = {w: Amount(numbers[4 + 2 * i], numbers[5 + 2 * i]) for i, w in enumerate(CALENDAR)}
    seconds = {int(told[i]): Second(*(int(part) for part in told[i + 1].split(b":"))) for i in range(10, len(told), 2)}
    return Seen(bool(numbers[0]), View(seconds, sums, Amount(numbers[2], numbers[3]), numbers[1]))
