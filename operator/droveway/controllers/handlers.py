"""kopf: it watches our own resources, and its handlers only tell the world. No change handlers, no annotations, no finalizers."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import kopf

from droveway.api import names
from droveway.cluster.access import Access
from droveway.controllers.world import World

_LOGIN_MINUTES = 10  # service-account tokens rotate; kopf logs in again after this


def build_registry(world: World, access: Access) -> kopf.OperatorRegistry:
    """The handlers, in a registry of their own."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        return kopf.ConnectionInfo(
            server=access.server,
            ca_path=access.authority_file,
            token=access.current_token() or None,
            certificate_path=access.certificate_file,
            private_key_path=access.key_file,
            expiration=datetime.now(UTC) + timedelta(minutes=_LOGIN_MINUTES),
        )

    for plural in (names.MODEL_PROVIDERS, names.MODEL_ROUTES, names.TENANT_QUOTAS, names.AGENTS, names.AGENT_RUNS):
        _watch(registry, world, plural)
    return registry


def _watch(registry: kopf.OperatorRegistry, world: World, plural: str) -> None:
    @kopf.on.event(names.GROUP, names.VERSION, plural, registry=registry)
    async def on_event(event: Any, **_: Any) -> None:
        world.take(plural, event["type"], event["object"])


class _NoDiffs(kopf.DiffBaseStorage):
    """No handler of ours wants a diff; kopf would deep-copy every object at every event to be ready for one."""

    def build(self, *, body: kopf.Body, extra_fields: object = None) -> kopf.BodyEssence:
        """Nothing is worth comparing."""
        return cast("kopf.BodyEssence", {})

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        """Nothing was kept."""
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Nothing is kept."""


def kopf_settings() -> kopf.OperatorSettings:
    """What has to differ from kopf's defaults: bounded sockets, no Events of its own, no peering."""
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)  # it tells of every event that it was handled
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.watching.server_timeout = 300  # an integer: it is put into the query as it is
    settings.watching.client_timeout = 330
    settings.watching.connect_timeout = 10
    settings.networking.request_timeout = 30
    settings.persistence.finalizer = f"{names.GROUP}/kopf"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=f"kopf.{names.GROUP}")
    settings.persistence.diffbase_storage = _NoDiffs()
    return settings
