"""All judgement, pure: functions of a snapshot and `now`. No IO, no clock, no random, no asyncio.

`verdict`, `telemetry`, `health`, `limits`, `events` and `keys` are standard library only: the sidecar imports them.
"""
