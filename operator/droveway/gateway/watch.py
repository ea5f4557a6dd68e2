"""The resources of a cluster as configuration: watched, so that a change is served within a second."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

from droveway.api.errors import TryLater
from droveway.cluster.client import ApiError, Cluster
from droveway.cluster.informer import Informer
from droveway.cluster.objects import AGENT_RUNS, MODEL_PROVIDERS, MODEL_ROUTES, SECRETS, TENANT_QUOTAS, Key, key_of
from droveway.gateway.config import (
    Config,
    Provider,
    Quota,
    Route,
    Run,
    SecretKey,
    provider_of,
    quota_of,
    route_of,
    run_of,
)
from droveway.gateway.files import decode

log = logging.getLogger(__name__)
T = TypeVar("T")


class Watch:
    """Follows runs, routes, providers and quotas of a cluster.

    Args:
        cluster: an open connection.
        config: where to serve them.
        namespaces: where to look; none means everywhere.
        on_error: called for every object that cannot be read; it is then not served. A quota is not lifted by that.
    """

    def __init__(
        self, cluster: Cluster, config: Config, namespaces: tuple[str, ...], on_error: Callable[[], object]
    ) -> None:
        self._cluster, self._config, self._on_error = cluster, config, on_error
        self._informers: tuple[Informer[Any], ...] = (
            Informer(
                cluster, MODEL_PROVIDERS, self._readable(provider_of), self._provider_changed, namespaces=namespaces
            ),
            Informer(cluster, MODEL_ROUTES, self._readable(route_of), self._route_changed, namespaces=namespaces),
            Informer(cluster, AGENT_RUNS, self._readable(run_of), self._run_changed, namespaces=namespaces),
            Informer(cluster, TENANT_QUOTAS, self._quota, self._quota_changed, namespaces=namespaces),
        )

    async def run(self) -> None:
        """Follows until cancelled."""
        async with asyncio.TaskGroup() as group:
            for informer in self._informers:
                group.create_task(informer.run())
            for informer in self._informers:
                await informer.synced.wait()
            self._config.synced = True

    async def read_secret(self, where: SecretKey) -> str | None:
        """The value of a key of a Secret, by one `get`."""
        try:
            secret = await self._cluster.get(SECRETS, where.namespace, where.name)
        except ApiError as error:
            raise TryLater(f"Secret {where.namespace}/{where.name}: {error}") from error
        value = ((secret or {}).get("data") or {}).get(where.key)
        return decode(value).strip() if value else None

    def _provider_changed(self, key: Key, old: Provider | None, new: Provider | None) -> None:
        if old != new:
            self._config.put_provider(key, new)

    def _route_changed(self, key: Key, old: Route | None, new: Route | None) -> None:
        if old != new:
            self._config.put_route(key, new)

    def _quota_changed(self, key: Key, old: Quota | None, new: Quota | None) -> None:
        if old != new:
            self._config.put_quota(key, new)

    def _run_changed(self, key: Key, old: Run | None, new: Run | None) -> None:
        if old is not None and (new is None or new.uid != old.uid):
            self._config.put_run(old.uid, None)
        if new is not None and new != old:
            self._config.put_run(new.uid, new)

    def _quota(self, manifest: dict[str, Any]) -> Quota | None:
        """A TenantQuota; what cannot be read of one is as it was before: leaving it out would lift it."""
        if found := self._readable(quota_of)(manifest):
            return found
        key = key_of(manifest)
        known = next((quota for quota in self._config.snapshot.quotas.get(key.namespace, ()) if quota.key == key), None)
        with suppress(ValueError, KeyError, TypeError):
            return replace(quota_of({**manifest, "status": {}}), used=known.used if known else {})
        return known

    def _readable(self, make: Callable[[dict[str, Any]], T]) -> Callable[[dict[str, Any]], T | None]:
        def keep(manifest: dict[str, Any]) -> T | None:
            try:
                return make(manifest)
            except (ValueError, KeyError, TypeError) as error:
                log.warning("%s %s is not served: %s", manifest.get("kind"), manifest["metadata"]["name"], error)
                self._on_error()
                return None

        return keep
