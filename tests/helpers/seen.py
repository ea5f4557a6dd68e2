"""A route, its providers and what was told of them, as they stand at a moment."""

from typing import Any

from droveway.api.enums import ConditionType
from droveway.api.v1alpha1 import ModelProvider, ModelRouteStatus
from droveway.core.accounts import Accounts
from droveway.core.conditions import find
from droveway.core.events import Record
from droveway.core.ledger import RouteLedger
from droveway.core.ranking import CandidateView
from droveway.core.route import candidate_views, next_change, route_status
from helpers.told import GATEWAY, NOON, UID, a_route, after, batch, providers


class Seen:
    """A route, its providers, and what was told."""

    def __init__(
        self, *records: Record, at: float = 10, known: dict[str, ModelProvider] | None = None, **spec: Any
    ) -> None:
        self.route, self.providers, self.now = a_route(**spec), known if known is not None else providers(), after(at)
        self.accounts = Accounts("team")
        for provider in self.providers.values():
            self.accounts.know(provider)
        access = {name: p.spec.access for name, p in self.providers.items()}
        self.ledger = RouteLedger(self.route.spec, access, NOON)
        changes = self.ledger.apply(batch(*records, source=GATEWAY), self.now, lambda name, uid: uid == UID)
        self.accounts.take(changes.signals, self.now)

    def at(self, seconds: float) -> "Seen":
        self.now = after(seconds)
        return self

    def views(self) -> dict[str, CandidateView]:
        found = candidate_views(self.route, self.providers, self.accounts, self.ledger, self.now)
        return {view.name: view for view in found}

    def status(self) -> ModelRouteStatus:
        return route_status(self.route, self.views().values(), self.ledger, self.now)

    def wakes(self) -> Any:
        return next_change(self.route, self.views().values(), self.status(), self.now)


def condition(status: ModelRouteStatus, type_: ConditionType) -> tuple[str, str]:
    found = find(status.conditions, type_)
    assert found is not None
    return found.status, found.reason
