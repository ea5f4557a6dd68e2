"""What the operator tells the containers of an attempt through their environment, and where their files are."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from droveway.api import names
from droveway.api.enums import Access, Cli
from droveway.api.errors import Bug
from droveway.core.signatures import Signatures, compiled


@dataclass(frozen=True, slots=True)
class Attempt:
    """The attempt beside which a sidecar runs.

    Attributes:
        cli: what the agent is, hence how its output is read.
        access: only for `Direct` is the sidecar the source that counts completions.
        stall_seconds: silence that is a stall; 0: none is.
        operator_url: `http://host:port`, without a path.
        signatures: the provider's own words for a spent quota; only for `Direct`.
    """

    namespace: str
    route: str
    run: str
    run_uid: str
    number: int
    candidate: str
    provider: str
    model: str
    cli: Cli
    access: Access
    stall_seconds: float
    operator_url: str
    signatures: Signatures = ()

    @property
    def source(self) -> str:
        """Who numbers the records."""
        return f"{self.run_uid}-{self.number}"

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "Attempt":
        """Reads `DROVEWAY_*`.

        Raises:
            Bug: a variable is missing or not what it should be.
        """
        try:
            return cls(
                namespace=env["DROVEWAY_NAMESPACE"],
                route=env["DROVEWAY_ROUTE"],
                run=env["DROVEWAY_RUN"],
                run_uid=env["DROVEWAY_RUN_UID"],
                number=int(env["DROVEWAY_ATTEMPT"]),
                candidate=env["DROVEWAY_CANDIDATE"],
                provider=env["DROVEWAY_PROVIDER"],
                model=env["DROVEWAY_MODEL"],
                cli=Cli(env["DROVEWAY_CLI"]),
                access=Access(env["DROVEWAY_ACCESS"]),
                stall_seconds=float(env.get("DROVEWAY_STALL_SECONDS") or 0),
                operator_url=env["DROVEWAY_OPERATOR_URL"],
                signatures=compiled(json.loads(env.get("DROVEWAY_SIGNATURES") or "[]")),
            )
        except KeyError as error:
            raise Bug(
                f"the pod lacks the variable {error.args[0]}; operator and image may differ in version"
            ) from error
        except ValueError as error:
            raise Bug(f"a variable of the pod is wrong: {error}") from error


@dataclass(frozen=True, slots=True)
class Paths:
    """Where things are in the pod (`api.names`). The variables are for tests, which have no pod."""

    bin: Path
    run: Path
    stream: Path
    sidecar: Path
    home: Path
    namespace_key: Path
    termination_log: Path

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "Paths":
        """The paths of the pod, or those that the environment names."""
        return cls(
            bin=Path(env.get("DROVEWAY_BIN_DIR", names.PATH_BIN)),
            run=Path(env.get("DROVEWAY_RUN_DIR", names.PATH_RUN)),
            stream=Path(env.get("DROVEWAY_STREAM_DIR", names.PATH_STREAM)),
            sidecar=Path(env.get("DROVEWAY_SIDECAR_DIR", names.PATH_SIDECAR)),
            home=Path(env.get("DROVEWAY_HOME_DIR", names.PATH_HOME)),
            namespace_key=Path(env.get("DROVEWAY_NAMESPACE_KEY_DIR", names.PATH_NAMESPACE_KEY)),
            termination_log=Path(env.get("DROVEWAY_TERMINATION_LOG", "/dev/termination-log")),
        )

    @property
    def wrapper(self) -> Path:
        """PID 1 of the agent's container."""
        return self.bin / "wrapper"

    @property
    def run_key(self) -> Path:
        """What the agent shows to the gateway."""
        return self.run / "key"

    @property
    def token(self) -> Path:
        """What the sidecar shows to the operator."""
        return self.sidecar / "token"

    @property
    def journal(self) -> Path:
        """The sidecar's records."""
        return self.sidecar / "journal"

    @property
    def exit(self) -> Path:
        """The agent's exit code, written last of all."""
        return self.stream / "exit"
