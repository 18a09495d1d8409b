"""``stepbridge local``: the local AWS from the command line."""

from __future__ import annotations

import gc
import logging
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from stepbridge_local.cli import fault_injection, inspection
from stepbridge_local.errors import LocalAwsError
from stepbridge_local.settings import DEFAULT_PORT, DEFAULT_RUNTIME, LocalAwsSettings, Runtime

__all__ = ["app", "main"]

RuntimeOption = Annotated[
    Runtime, typer.Option(help="What runs containers; auto: docker where an engine answers, else process.")
]

app = typer.Typer(help="The local AWS: S3, ECR, CodeBuild, Step Functions, SageMaker Processing on this machine.")
app.add_typer(fault_injection.app, name="fault")
inspection.register(app)


@app.callback()
def local() -> None:
    """The local AWS on this machine; no account needed."""


@app.command()
def up(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.", min=0, max=65535)] = DEFAULT_PORT,
    data_dir: Annotated[
        Path, typer.Option(help="Folder for objects, images and records; the same folder again brings them back.")
    ] = Path(".stepbridge/local-aws"),
    scikit_learn: Annotated[
        Path, typer.Option(help="Folder with the Dockerfile that stands for the prebuilt scikit-learn image.")
    ] = Path("containers/scikit_learn"),
    max_jobs: Annotated[int | None, typer.Option(help="Containers that run at once; default: the CPUs.", min=1)] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log every request.")] = False,
    enforce_iam: Annotated[bool, typer.Option("--enforce-iam", help="Deny what no policy allows.")] = False,
    runtime: RuntimeOption = DEFAULT_RUNTIME,
    base_image: Annotated[
        str | None,
        typer.Option(help="Image that the prebuilt scikit-learn image is built on: its BASE_IMAGE argument."),
    ] = None,
) -> None:
    """Start the local AWS and keep it until SIGINT or SIGTERM."""
    from stepbridge_local.server import LocalAws  # a second of imports, not for --help

    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    settings = LocalAwsSettings(
        data_dir=data_dir,
        port=port,
        scikit_learn_folder=scikit_learn,
        verbose=verbose,
        enforce_iam=enforce_iam,
        runtime=runtime,
        base_image=base_image,
    )
    if max_jobs is not None:
        settings = replace(settings, max_concurrent_jobs=max_jobs)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    local_aws = LocalAws(settings)
    local_aws.start()
    try:
        typer.echo(f"local AWS: {local_aws.endpoint_url}  data: {data_dir}  runtime: {local_aws.runtime_name}")
        ended.wait()
    finally:
        local_aws.stop()
        gc.freeze()  # else the exiting interpreter goes through all of moto's objects once more: two seconds


def main() -> None:
    """Run the command. An expected error is one text on stderr and exit code 1, never a traceback."""
    try:
        app()
    except LocalAwsError as error:
        typer.echo(str(error), err=True)
        sys.exit(1)
    except OSError as error:
        if error.filename is None:
            raise
        typer.echo(f"{error.filename}: {error.strerror}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
