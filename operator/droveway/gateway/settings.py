"""What the gateway process is told by its environment."""

from pathlib import Path

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from droveway.api.names import GATEWAY_PORT


class GatewaySettings(BaseSettings):
    """Variables `DROVEWAY_…`. Durations are seconds.

    Attributes:
        config_dir: serve the manifests of this folder instead of a cluster's.
        namespaces: which namespaces to watch; none means all. A JSON list.
        master_key_file: one master key per line: the current one, then perhaps the previous one.
        operator_url: where events go; empty: nowhere.
        token_file: service-account token that proves to the operator who reports.
        answer_seconds: longest wait for headers, and for the first content of a stream.
        idle_seconds: longest pause between two pieces of a stream.
        queue_seconds: longest wait for a free slot of a provider.
        prices_file: price table that goes before the public price list; read again when it changes.
        cache_enabled: whether answers may be given again at all; `CACHE_ENABLED` means the same.
        cache_bytes: how much memory they may take in this process; with `valkey_url` they take none.
        valkey_url: Valkey or Redis where replicas share quotas and the cache; empty: each is by itself.
        ping_seconds: silence in a stream after which the agent gets a sign of life.
        request_seconds: longest time until a request is there as a whole.
        max_connections: of agents, at once.
        otel_enabled: `OTEL_ENABLED`: send traces; where to is up to OpenTelemetry's own variables.
        drain_seconds: how long streams may go on after SIGTERM.
    """

    model_config = SettingsConfigDict(env_prefix="DROVEWAY_", extra="ignore", frozen=True, populate_by_name=True)

    host: str = "0.0.0.0"  # noqa: S104 - a pod's own address is not known beforehand
    port: int = Field(GATEWAY_PORT, ge=0, le=65_535)
    config_dir: Path | None = None
    namespaces: tuple[str, ...] = ()
    master_key_file: Path = Path("/etc/droveway/master/key")
    operator_url: str = ""
    token_file: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
    connect_seconds: float = Field(5.0, gt=0)
    answer_seconds: float = Field(300.0, gt=0)
    idle_seconds: float = Field(120.0, gt=0)
    queue_seconds: float = Field(60.0, gt=0)
    drain_seconds: float = Field(60.0, ge=0)
    ping_seconds: float = Field(15.0, gt=0)
    request_seconds: float = Field(60.0, gt=0)
    max_connections: int = Field(4096, gt=0)
    max_body_bytes: int = Field(32 * 2**20, gt=0)
    prices_file: Path | None = None
    cache_enabled: bool = Field(True, validation_alias=AliasChoices("DROVEWAY_CACHE_ENABLED", "CACHE_ENABLED"))
    cache_bytes: int = Field(64 * 2**20, gt=0)
    valkey_url: SecretStr = SecretStr("")
    log_level: str = "INFO"
    otel_enabled: bool = Field(default=False, validation_alias=AliasChoices("OTEL_ENABLED", "otel_enabled"))
