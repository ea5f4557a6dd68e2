"""Which way a client's fan-out takes, as its environment says."""

import os
from pathlib import Path
from typing import Literal

import httpx2
from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from droveway.api.errors import UserMustAct
from droveway.api.names import GATEWAY_PORT, PATH_RUN
from droveway.client.local import LocalFanout
from droveway.client.provider import DialectClient
from droveway.client.remote import GatewayFanout
from droveway.dialects.naming import VENDORS


def _variable(name: str) -> AliasChoices:
    return AliasChoices(f"DROVEWAY_{name}", name)


class ClientSettings(BaseSettings):
    """Variables `DROVEWAY_…`; those of `FANOUT` and `GATEWAY_URL` also without the prefix.

    Attributes:
        fanout: through the gateway, or in this process.
        gateway_url: where the gateway is.
        run_key: what it is shown; empty: what the key file holds.
        run_key_file: where an agent's pod has it.
        candidates: `local`: names for models, as JSON: {"fast": "google/gemini-2.5-flash"}.
        base_urls: `local`: other addresses of vendors, as JSON.
    """

    model_config = SettingsConfigDict(env_prefix="DROVEWAY_", extra="ignore", frozen=True, populate_by_name=True)

    fanout: Literal["gateway", "local"] = Field("gateway", validation_alias=_variable("FANOUT"))
    gateway_url: str = Field(f"http://127.0.0.1:{GATEWAY_PORT}", validation_alias=_variable("GATEWAY_URL"))
    run_key: str = Field("", repr=False)
    run_key_file: Path = Path(PATH_RUN) / "key"
    candidates: dict[str, str] = Field(default_factory=dict)
    base_urls: dict[str, str] = Field(default_factory=dict)


def connect(settings: ClientSettings | None = None) -> GatewayFanout | LocalFanout:
    """A client for the way that the environment chooses.

    In process, every vendor is there whose key is in the environment (ANTHROPIC_API_KEY, OPENAI_API_KEY, GEMINI_API_KEY, …).

    Raises:
        UserMustAct: there is no key.
    """
    settings = settings or ClientSettings()
    if settings.fanout == "gateway":
        return GatewayFanout(settings.gateway_url, settings.run_key or _key_of(settings.run_key_file))
    http = httpx2.AsyncClient(trust_env=False)
    providers = {
        vendor.name: DialectClient(
            vendor.dialects[0],
            settings.base_urls.get(vendor.name, vendor.base_url),
            os.environ[vendor.key_variable],
            http=http,
        )
        for vendor in VENDORS.values()
        if os.environ.get(vendor.key_variable)
    }
    if not providers:
        keys = ", ".join(vendor.key_variable for vendor in VENDORS.values())
        raise UserMustAct(f"no provider's key is in the environment; set one of {keys}")
    return LocalFanout(providers, settings.candidates)


def _key_of(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError as error:
        raise UserMustAct(f"no run key: set DROVEWAY_RUN_KEY, or write it to {file}") from error
