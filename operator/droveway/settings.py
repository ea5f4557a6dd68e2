"""What the operator is told by its environment (`DROVEWAY_…`). The chart sets all of it; nothing else reads the environment."""

from pathlib import Path

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from droveway.api import names


class OperatorSettings(BaseSettings):
    """Settings of `droveway operator`."""

    model_config = SettingsConfigDict(env_prefix="DROVEWAY_")

    namespace: str = Field("default", description="Where the operator itself lives: its Lease, its gateway's account.")
    identity: str = Field("local", description="Holder of the Lease: the pod's uid.")
    namespaces: list[str] = Field(default_factory=list, description="Namespaces to serve, as JSON; empty: all.")
    image: str = Field("droveway/droveway:0.1.0", description="Image of setup and sidecar containers.")
    image_pull_policy: str = "IfNotPresent"
    operator_url: str = Field(
        f"http://droveway-operator.default:{names.OPERATOR_PORT}", description="As pods reach us."
    )
    gateway_url: str = Field(f"http://droveway-gateway.default:{names.GATEWAY_PORT}", description="As pods reach it.")
    gateway_account: str = Field("droveway-gateway", description="Service account of the gateway, in our namespace.")
    master_key_file: Path = Field(
        Path("/etc/droveway/master/key"), description="The key that all run keys derive from."
    )
    allow_direct_base_url: bool = Field(
        default=False, description="Direct providers may name a baseURL: it gets the login. For demos and tests."
    )
    host: str = "0.0.0.0"  # noqa: S104 - in a pod, behind a Service
    port: int = names.OPERATOR_PORT
    resync_seconds: float = Field(300.0, gt=0)
    workers: int = Field(16, ge=1, description="Runs that are worked on at once.")
    log_level: str = "INFO"
    otel_enabled: bool = Field(
        default=False,
        validation_alias=AliasChoices("OTEL_ENABLED", "otel_enabled"),
        description="OTEL_ENABLED: send traces; where to is up to OpenTelemetry's own variables.",
    )
