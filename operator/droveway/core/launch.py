"""How an agent's command line is started, as data: `core.pod` builds the pod from it without knowing any CLI."""

from dataclasses import dataclass

from droveway.api.enums import Access, Cli, Dialect


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """What is to be started, and whom it may talk to.

    Attributes:
        cli: which command line.
        dialect: the LLM API that it is to speak.
        access: through our gateway, or to the vendor with the CLI's own login.
        model: as the provider calls it.
        url: Gateway: base URL of the gateway, without a path. Direct: the provider's override, "" for the vendor's own.
        prompt: the text itself, or None when it is in `prompt_file`.
        prompt_file: path in the pod.
        command: the argv of a custom CLI.
        args: added by the user.
        portable: the gateway may have to convert its requests, so it must do without what only its own vendor offers.
    """

    cli: Cli
    dialect: Dialect
    access: Access
    model: str
    url: str
    prompt: str | None = None
    prompt_file: str | None = None
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    portable: bool = False


@dataclass(frozen=True, slots=True)
class Launch:
    """What the pod must hold for it.

    Attributes:
        argv: literal; whoever hands it to the kubelet escapes `$(`.
        env: plain variables: endpoint, quiet switches, the CLI's own retries lowered (the gateway owns retrying).
        key_env: variables that the wrapper sets to the run key (Gateway).
        login_env: the variable that gets the provider's login (Direct).
        files: (path relative to HOME, content), written before the CLI starts.
        stdin: path whose content is the CLI's standard input; None: nothing to read.
    """

    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    key_env: tuple[str, ...] = ()
    login_env: str | None = None
    files: tuple[tuple[str, str], ...] = ()
    stdin: str | None = None
