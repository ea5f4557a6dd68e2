"""The quotas of tenants and the budgets of runs, before a request and after it. Who has neither never comes here."""

import asyncio
import itertools
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

from droveway.api.enums import EndClass, QuotaUnit, QuotaWindow
from droveway.core.completion import TokenBreakdown
from droveway.core.estimate import input_tokens
from droveway.core.quota import NOTHING, Amount, Rules
from droveway.core.quotabook import Told
from droveway.core.tally import nano_dollars
from droveway.core.verdict import Scope, Verdict
from droveway.dialects import Operation
from droveway.gateway.budgets import RunBudgets
from droveway.gateway.client import Answering, Asked
from droveway.gateway.config import Config, Quota, Run, Snapshot
from droveway.gateway.ledger import Account, Call, Ledger
from droveway.gateway.metrics import GatewayMetrics
from droveway.gateway.prices import PricedModel, Prices
from droveway.gateway.refusals import reply_to
from droveway.gateway.sharedquota import BEAT_SECONDS, SharedQuota
from droveway.gateway.tenants import Tenant, Wish

_OUTPUT_TOKENS = 4096  # of a request that states no bound


class Quotas:
    """Lets requests through, and counts what they used.

    Args:
        config: which quotas and budgets there are.
        prices: for quotas in US dollars.
        ledger: tells the operator of refusals.
        metrics: counts them.
        queue_seconds: the longest wait.
        shared: where replicas count together; None: each counts for itself.
    """

    def __init__(
        self,
        config: Config,
        prices: Prices,
        ledger: Ledger,
        metrics: GatewayMetrics,
        queue_seconds: float,
        shared: SharedQuota | None = None,
    ) -> None:
        self._config, self._prices, self._ledger, self._metrics = config, prices, ledger, metrics
        self._queue_seconds, self._shared = queue_seconds, shared
        self._budgets = RunBudgets(config)
        self._tenants: dict[str, Tenant] = {}
        self._adopted: object = None
        self._boot, self._numbers = uuid.uuid4().hex[:12], itertools.count(1)

    def concern(self, asked: Asked) -> bool:
        """Whether anything limits this request. Counting tokens is free."""
        run = asked.caller.run
        return asked.request.operation is Operation.GENERATE and (
            run.budget is not None or run.namespace in self._config.snapshot.quotas
        )

    async def serve(
        self, asked: Asked, answering: Answering, account: Account, then: Callable[[], Awaitable[EndClass]]
    ) -> EndClass:
        """Serves a request within its quotas, or answers that it is beyond one."""
        run, began = asked.caller.run, time.monotonic()
        if spent := self._budgets.overrun(run):
            return await self._refuse(asked, answering, Verdict(EndClass.BUDGET_EXCEEDED, None, Scope.REQUEST, spent))
        tenant, request = self._tenants.get(run.namespace), f"{self._boot}-{next(self._numbers)}"
        if tenant:
            verdict = await tenant.enter(self._wish(tenant, request, asked, began))
            account.phases.queue += time.monotonic() - began
            if verdict:
                return await self._refuse(asked, answering, verdict)
        held = account.spent = _Held(self._budgets, run, tenant, request)
        try:
            return await then()
        finally:
            held.leave()

    def adopt(self, snapshot: Snapshot) -> None:
        """Takes a new configuration over."""
        if snapshot.quotas is self._adopted:
            return
        self._adopted, now = snapshot.quotas, datetime.now(UTC)
        for namespace, quotas in snapshot.quotas.items():
            tenant = self._tenants.get(namespace)
            if tenant is None:
                tenant = self._tenants[namespace] = Tenant(namespace, self._metrics, self._shared)
            tenant.book.adopt(_latest(quotas), now)
            tenant.obey(tuple(quota.rules for quota in quotas))
        for namespace in self._tenants.keys() - snapshot.quotas.keys():
            self._tenants.pop(namespace).obey(())  # requests that are under way hold on to theirs

    async def run(self) -> None:
        """Keeps the leases that open requests have in Valkey, until cancelled."""
        back = asyncio.Event()
        if self._shared:
            self._shared.shared.on_return.append(back.set)
        while True:
            back.clear()
            for tenant in list(self._tenants.values()):
                await tenant.beat()
            try:
                async with asyncio.timeout(BEAT_SECONDS):
                    await back.wait()
            except TimeoutError:
                continue

    async def close(self) -> None:
        """Waits until what was used is told."""
        await asyncio.gather(*(tenant.close() for tenant in self._tenants.values()))

    def _wish(self, tenant: Tenant, request: str, asked: Asked, began: float) -> Wish:
        patience = min(self._queue_seconds, asked.deadline.left(began))
        return Wish(request, asked.caller.run.uid, self._estimate(asked, tenant.rules), patience)

    def _estimate(self, asked: Asked, rules: Sequence[Rules]) -> Amount:
        """What a request will use at most, as far as one can tell: its size, and the output that it allows."""
        request = asked.request
        into = input_tokens(len(request.raw), request.body)
        out = asked.spec.most_output_tokens(request) or _OUTPUT_TOKENS
        cost = 0
        if any(bound.unit is QuotaUnit.COST for rule in rules for bound in rule.bounds):
            tokens = TokenBreakdown(total=into + out, input=into, output=out)
            known = [rates for model in self._models(asked) if (rates := self._prices.rates(model))]
            cost = max((nano_dollars(rates.cost(tokens)) or 0 for rates in known), default=0)
        return Amount(into + out, cost)

    def _models(self, asked: Asked) -> list[PricedModel]:
        known = self._config.snapshot.providers
        return [
            PricedModel(provider.base_url, provider.dialect, candidate.model)
            for candidate in asked.route.candidates
            if (provider := known.get(candidate.provider))
        ]

    async def _refuse(self, asked: Asked, answering: Answering, verdict: Verdict) -> EndClass:
        self._ledger.exhausted(asked, verdict)
        answering.mark(asked.route.key.name, "", 0)
        await answering.reply(reply_to(asked, verdict, datetime.now(UTC)))
        return verdict.kind


class _Held:
    """What a request that was let through holds, and what its calls have used."""

    def __init__(self, budgets: RunBudgets, run: Run, tenant: Tenant | None, request: str) -> None:
        self._budgets, self._run, self._tenant, self._request = budgets, run, tenant, request
        self._amount, self._left = NOTHING, False

    def __call__(self, call: Call) -> None:
        """One of its calls is over, well or badly. One that others wait for may outlive the request."""
        amount = Amount(call.tokens.total, nano_dollars(call.cost_usd) or 0)
        self._budgets.add(self._run, amount)
        if self._left and self._tenant:
            self._tenant.settle("", amount)
        self._amount = self._amount.plus(amount)

    def leave(self) -> None:
        """The request is over, whichever way."""
        self._left = True
        if self._tenant:
            self._tenant.settle(self._request, self._amount)


def _latest(quotas: Sequence[Quota]) -> dict[QuotaWindow, Told]:
    """What the quotas of a tenant tell of its use: the same, but one may have been written a moment later."""
    told: dict[QuotaWindow, Told] = {}
    for quota in quotas:
        for window, news in quota.used.items():
            held = told.get(window)
            if held is None or news.start > held.start:
                told[window] = news
            elif news.start == held.start:
                told[window] = Told(news.start, held.amount.at_least(news.amount))
    return told
