"""Whom a call of a fan-out names."""

from dataclasses import replace

from droveway.api.fanout import Target
from droveway.cluster.objects import Key
from droveway.dialects import BadRequest
from droveway.dialects.naming import UnknownVendor, named
from droveway.gateway.config import Candidate, Route, Snapshot


def narrowed(snapshot: Snapshot, own: Route, target: Target) -> Route:
    """The route that a call takes: the run's own or the one it names, with the candidates that it names.

    Raises:
        BadRequest: it names what does not exist.
    """
    route = own
    if target.route:
        route = snapshot.routes.get(Key(own.key.namespace, target.route)) or _no_route(snapshot, own, target.route)
    if target.candidate:
        found = tuple(c for c in route.candidates if c.name == target.candidate)
        wanted = f"candidate {target.candidate}"
    elif target.model:
        found, wanted = _of_model(snapshot, route, target.model), f"candidate with model {target.model}"
    else:
        return route
    if not found:
        offered = ", ".join(f"{c.name} ({c.model})" for c in route.candidates)
        raise BadRequest(f"route {route.key.name} has no {wanted}; it has {offered}")
    return replace(route, candidates=found)


def _of_model(snapshot: Snapshot, route: Route, model: str) -> tuple[Candidate, ...]:
    """The candidates whose model has this very name; else those of its vendor, whose dialect their provider must speak."""
    if exact := tuple(c for c in route.candidates if c.model == model):
        return exact
    try:
        vendor, bare = named(model)
    except UnknownVendor as error:
        if "/" in model:
            raise BadRequest(str(error)) from error
        return ()
    providers = snapshot.providers
    return tuple(
        c
        for c in route.candidates
        if c.model == bare and c.provider in providers and providers[c.provider].dialect in vendor.dialects
    )


def _no_route(snapshot: Snapshot, own: Route, name: str) -> Route:
    offered = ", ".join(key.name for key in snapshot.routes if key.namespace == own.key.namespace)
    raise BadRequest(f"there is no ModelRoute {name} in namespace {own.key.namespace}, only: {offered}")
