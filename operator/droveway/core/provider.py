"""The status of a ModelProvider."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from droveway.api.enums import Access, ConditionType, Reason
from droveway.api.v1alpha1 import ModelProvider, ModelProviderSpec, ModelProviderStatus
from droveway.api.v1alpha1.agent import EnvVar
from droveway.api.v1alpha1.modelprovider import LimitStatus, UtilizationStatus
from droveway.core.accounts import Accounts
from droveway.core.conditions import with_condition
from droveway.core.notes import Note
from droveway.core.signatures import compiled
from droveway.core.utilization import Reading

_STEADY = timedelta(seconds=1)  # resets of parallel refusals differ by less; not worth a write each


@dataclass(frozen=True, slots=True)
class SecretState:
    """What is known of the Secret that a provider names.

    Attributes:
        keys: names of its keys; None: it does not exist.
        digest: changes with its content; kept in memory only.
    """

    keys: frozenset[str] | None
    digest: str = ""


def provider_status(
    provider: ModelProvider,
    secret: SecretState | None,
    accounts: Accounts,
    now: datetime,
    *,
    allow_direct_base_url: bool,
) -> ModelProviderStatus:
    """What the provider's status should say now.

    Args:
        provider: as last seen, with its old status.
        secret: None when it names none.
        accounts: of its namespace.
        now: the time.
        allow_direct_base_url: a Direct provider may name a baseURL, which then gets the login.
    """
    old, generation = provider.status, provider.metadata.generation
    reason, message = _readiness(provider, secret, accounts, now, allow_direct_base_url=allow_direct_base_url)
    ready = "True" if reason is Reason.VALID else "False"
    limits = [_steady(limit, old.limits) for limit in accounts.limits(provider.metadata.name, now)]
    conditions = with_condition(old.conditions, ConditionType.READY, ready, reason, message, generation, now)
    conditions = with_condition(conditions, ConditionType.LIMITED, *_limits_met(limits), generation, now)
    used = _used(accounts.utilization(provider.metadata.name, now), old)
    return ModelProviderStatus(
        observed_generation=generation,
        conditions=conditions,
        limits=limits,
        utilization=used,
        used_summary=" ".join(f"{told.window}:{told.used_percent}%" for told in used),
    )


def readings_of(status: ModelProviderStatus) -> tuple[Reading, ...]:
    """What a status says of how much is used."""
    return tuple(_reading_of(told) for told in status.utilization)


def urgent(old: ModelProviderStatus, new: ModelProviderStatus, drain_percent: int) -> bool:
    """Whether the change must be written at once: anything but how much is used, short of where draining begins."""
    return _essence(old, drain_percent) != _essence(new, drain_percent)


def _essence(status: ModelProviderStatus, drain_percent: int) -> object:
    draining = {told.window for told in status.utilization if told.used_percent >= drain_percent}
    return status.model_copy(update={"utilization": [], "used_summary": ""}), draining


def _used(readings: Iterable[Reading], old: ModelProviderStatus) -> list[UtilizationStatus]:
    """The old entry when the new one says the same."""
    before = {told.window: told for told in old.utilization}
    return [
        held
        if (held := before.get(r.window)) and r.says_the_same(_reading_of(held))
        else UtilizationStatus(
            window=r.window,
            used_percent=r.used_percent,
            reset_time=r.resets_at,
            spent_time=r.spent_at(),
            observed_time=r.at,
        )
        for r in readings
    ]


def _reading_of(told: UtilizationStatus) -> Reading:
    return Reading(told.window, told.used_percent, told.reset_time, told.observed_time)


def leaks_login(spec: ModelProviderSpec, *, allow_direct_base_url: bool) -> str | None:
    """Why a Direct provider must not be used, if its login would go elsewhere than to its vendor."""
    if spec.access is Access.DIRECT and spec.base_url and not allow_direct_base_url:
        return "spec.baseURL of a Direct provider would be sent the login; remove it, or allow it in the operator's settings"
    return None


def redirects_login(env: Iterable[EnvVar]) -> str | None:
    """Why an Agent must not be used with a Direct provider, if its environment would send the login elsewhere."""
    if found := [e.name for e in env if e.name.upper().endswith("_BASE_URL")]:
        return f"spec.env {found[0]} of the Agent would send a Direct login elsewhere; remove it from that Agent"
    return None


def notes(old: ModelProviderStatus, new: ModelProviderStatus) -> list[Note]:
    """The Events of a change of status: limits that were reached, moved or cleared."""
    before = {(limit.quota_group, limit.model): limit for limit in old.limits}
    after = {(limit.quota_group, limit.model): limit for limit in new.limits}
    reached = [limit for page, limit in after.items() if page not in before or before[page].kind != limit.kind]
    cleared = [limit for page, limit in before.items() if page not in after]
    return [
        *(Note(Reason.LIMIT_REACHED, f"{_limited([limit])}: {limit.message}", warning=True) for limit in reached),
        *(Note(Reason.LIMIT_CLEARED, f"{limit.kind} of {_whose(limit)} is over") for limit in cleared),
    ]


def next_change(status: ModelProviderStatus) -> datetime | None:
    """When the status changes by itself."""
    resets = [told.reset_time for told in status.utilization if told.reset_time]
    return min([*(limit.until_time for limit in status.limits), *resets], default=None)


def _readiness(
    provider: ModelProvider,
    secret: SecretState | None,
    accounts: Accounts,
    now: datetime,
    *,
    allow_direct_base_url: bool,
) -> tuple[Reason, str]:
    spec, namespace = provider.spec, provider.metadata.namespace
    if leak := leaks_login(spec, allow_direct_base_url=allow_direct_base_url):
        return Reason.BASE_URL_REFUSED, leak
    if broken := _broken_signature(spec):
        return Reason.PROVIDER_INVALID, broken
    if (ref := spec.credentials_ref) and secret:
        if secret.keys is None:
            return Reason.SECRET_NOT_FOUND, f"there is no Secret {ref.name} in namespace {namespace}; create it"
        if ref.key not in secret.keys:
            return Reason.SECRET_KEY_MISSING, f"Secret {ref.name} has no key {ref.key}; add it"
    if refused := accounts.refused(provider.metadata.name, now):
        where = f"Secret {ref.name}" if ref else "spec.credentialsRef"
        return Reason.AUTH_FAILED, f"the provider refused the key: {refused.reason}; put a good one into {where}"
    return Reason.VALID, ""


def _broken_signature(spec: ModelProviderSpec) -> str | None:
    try:
        compiled(spec.limits.signatures)
    except ValueError as error:
        return str(error)
    return None


def _limits_met(limits: list[LimitStatus]) -> tuple[str, str, str]:
    return ("True", limits[0].kind, _limited(limits)) if limits else ("False", Reason.NO_LIMIT, "")


def _steady(limit: LimitStatus, old: list[LimitStatus]) -> LimitStatus:
    """The old entry when the new one says the same within a second."""
    same = (o for o in old if (o.quota_group, o.model, o.kind) == (limit.quota_group, limit.model, limit.kind))
    return next((o for o in same if abs(o.until_time - limit.until_time) < _STEADY), limit)


def _limited(limits: list[LimitStatus]) -> str:
    return "; ".join(f"{limit.kind} of {_whose(limit)} until {limit.until_time:%Y-%m-%dT%H:%M:%SZ}" for limit in limits)


def _whose(limit: LimitStatus) -> str:
    return f"{limit.quota_group}, model {limit.model}" if limit.model else limit.quota_group
