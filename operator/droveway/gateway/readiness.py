"""Whether this process should be sent requests."""

from datetime import datetime
from typing import Any, NamedTuple

from droveway.gateway.config import Config
from droveway.gateway.standing import Standing

_MOST_NAMED = 20


class Readiness(NamedTuple):
    """`ready`, and the body that says why."""

    ready: bool
    body: dict[str, Any]


def readiness(config: Config, standing: Standing, now: datetime, *, draining: bool) -> Readiness:
    """Ready: it knows its configuration, is not about to end, and could serve a route, if there is any to serve.

    A route is usable if one of its candidates has a provider that exists, is ready and takes its key. One tenant's mistake does
    not take the gateway from the others, so a single usable route is enough. A candidate that is at its limit or whose breaker
    is open counts as usable: agents are to be told when it will be back, and only a gateway that is sent requests can do that.
    """
    if draining or not config.synced:
        return Readiness(False, {"status": "draining" if draining else "starting"})
    snapshot = config.snapshot
    reasons = {
        f"{route.key.namespace}/{route.key.name}": standing.unusable(route, now) for route in snapshot.routes.values()
    }
    unusable = {name: reason for name, reason in reasons.items() if reason}
    ready = not reasons or len(unusable) < len(reasons)
    if not unusable:
        return Readiness(ready, {"status": "ok"})
    named = dict(sorted(unusable.items())[:_MOST_NAMED])
    status = "ok" if ready else "no route is usable"
    return Readiness(ready, {"status": status, "routes": len(reasons), "unusable": len(unusable), "reasons": named})
