"""The command line; the only reader of argv. Each command imports what it needs, so that a small one starts fast."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from droveway import __version__
from droveway.api.errors import UserMustAct

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Keeps a fleet of AI coding agents working when a model provider is spent, broken or slow.",
)


def main() -> None:
    """Runs a command; an error that the user can mend is one line, not a traceback."""
    try:
        app()
    except UserMustAct as error:
        sys.exit(f"droveway: {error}")


@app.command()
def operator() -> None:
    """Run the operator against the cluster of KUBECONFIG or of this pod. Settings: DROVEWAY_… variables."""
    import uvloop  # noqa: PLC0415 - see the module's docstring

    from droveway.controllers.operator import serve  # noqa: PLC0415 - see the module's docstring
    from droveway.observability.garbage import collect_seldom  # noqa: PLC0415
    from droveway.observability.logging import setup_logging  # noqa: PLC0415
    from droveway.settings import OperatorSettings  # noqa: PLC0415

    settings = OperatorSettings()
    setup_logging(settings.log_level)
    collect_seldom()
    uvloop.run(serve(settings))


@app.command()
def gateway(
    config: Annotated[
        Path | None, typer.Option(help="Serve the manifests of this folder; no cluster is needed.")
    ] = None,
    host: str | None = None,
    port: int | None = None,
) -> None:
    """Run the LLM gateway. Settings: DROVEWAY_…; the options here win."""
    from droveway.gateway.serve import run  # noqa: PLC0415
    from droveway.gateway.settings import GatewaySettings  # noqa: PLC0415

    given = {"config_dir": config, "host": host, "port": port}
    run(GatewaySettings().model_copy(update={name: value for name, value in given.items() if value is not None}))


@app.command()
def key(
    run: Annotated[str, typer.Argument(help="<namespace>/<name> of an AgentRun in the folder.")],
    config: Path,
    attempt: int = 1,
) -> None:
    """Print the run key with which a client of `gateway --config` speaks for a run."""
    from droveway.cluster.masterkey import read_master_keys  # noqa: PLC0415
    from droveway.gateway.files import print_key  # noqa: PLC0415
    from droveway.gateway.settings import GatewaySettings  # noqa: PLC0415

    typer.echo(print_key(config, read_master_keys(GatewaySettings().master_key_file)[0], run, attempt))


@app.command()
def crds(directory: Annotated[Path | None, typer.Option(help="Write one file per kind there.")] = None) -> None:
    """Print the custom resource definitions, or write them to a directory."""
    from droveway.api.crd import render  # noqa: PLC0415

    for name, text in render().items():
        if directory:
            (directory / name).write_text(text, encoding="utf-8")
        else:
            typer.echo(text)


@app.command()
def mockllm(port: int = 9100, host: str = "127.0.0.1", log: str | None = None) -> None:
    """Run the mock provider of demos and tests. `--log -` prints every call."""
    from droveway.mockllm import serve  # noqa: PLC0415

    serve(host, port, log)


@app.command()
def cleanup(namespace: Annotated[str, typer.Option(help="Where the operator was installed.")]) -> None:
    """Remove what the operator made in other namespaces; the chart runs it after an uninstall."""
    from droveway.controllers.cleanup import clean_up  # noqa: PLC0415

    asyncio.run(clean_up(namespace))


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)
