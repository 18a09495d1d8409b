"""The ``stepbridge-local`` command. ``stepbridge local`` is the same application, ``app``, as a subcommand."""

from __future__ import annotations

import gc
import importlib.metadata
import logging
import re
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import typer

from stepbridge_local.cli import fault_injection, inspection
from stepbridge_local.cli.exit_codes import SUMMARY, ExitCode
from stepbridge_local.errors import LocalAwsError
from stepbridge_local.persistence.disk import FULL_BYTES, requiring_room
from stepbridge_local.settings import (
    DEFAULT_DATA_DIR,
    DEFAULT_PORT,
    DEFAULT_RUNTIME,
    SCIKIT_LEARN_FOLDER,
    LocalAwsSettings,
    Runtime,
)

__all__ = ["app", "main"]

PROJECT_SCIKIT_LEARN_FOLDER: Final = Path("containers/scikit_learn")
# https://pkg.go.dev/github.com/distribution/reference: a name, then perhaps a tag and a digest.
_IMAGE_REFERENCE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]*(@sha256:[0-9a-f]{64})?")
_HOST_NAME: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_ORIGIN: Final = re.compile(r"https?://[A-Za-z0-9.\[\]:-]+(:\d+)?")
SIGNAL_SECONDS: Final = 1.0  # between two checks for a signal

RuntimeOption = Annotated[
    Runtime, typer.Option(help="What runs containers; auto: docker if an engine answers, else process.")
]

app = typer.Typer(
    name="stepbridge-local",
    help="AWS on this machine: S3, ECR, CodeBuild, Step Functions, SageMaker Processing. No account needed.",
    epilog=SUMMARY,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(fault_injection.app, name="fault")
inspection.register(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"stepbridge-local {importlib.metadata.version('stepbridge-local')}")
        raise typer.Exit


@app.callback()
def local(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """AWS on this machine: S3, ECR, CodeBuild, Step Functions, SageMaker Processing. No account needed."""


@app.command()
def up(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.", min=0, max=65535)] = DEFAULT_PORT,
    data_dir: Annotated[
        Path, typer.Option(help="Folder for objects, images and records. They are there again at the next start.")
    ] = DEFAULT_DATA_DIR,
    scikit_learn: Annotated[
        Path | None,
        typer.Option(
            help="Folder with the Dockerfile of the image that stands in for SageMaker's prebuilt scikit-learn image. "
            f"[default: {PROJECT_SCIKIT_LEARN_FOLDER} if it is there, else the one that comes with this package]"
        ),
    ] = None,
    max_jobs: Annotated[
        int | None, typer.Option(help="How many jobs run at once. [default: the number of CPUs, at least 2]", min=1)
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log every request.")] = False,
    enforce_iam: Annotated[bool, typer.Option("--enforce-iam", help="Deny what no policy allows.")] = False,
    runtime: RuntimeOption = DEFAULT_RUNTIME,
    base_image: Annotated[
        str | None,
        typer.Option(help="The BASE_IMAGE of the scikit-learn Dockerfile, and of builds that have one and name none."),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Another name by which clients reach it, such as a service's in a compose file. Repeatable."),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(help="A web page's origin that may use it, such as http://127.0.0.1:3000. Repeatable."),
    ] = None,
) -> None:
    """Start the local AWS and keep it until SIGINT or SIGTERM."""
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    settings = LocalAwsSettings(
        data_dir=data_dir,
        port=port,
        scikit_learn_folder=_scikit_learn_folder(scikit_learn),
        verbose=verbose,
        enforce_iam=enforce_iam,
        runtime=runtime,
        base_image=_image_reference(base_image),
        allowed_hosts=frozenset(_host_name(name) for name in allow_host or ()),
        allowed_origins=frozenset(_origin(origin) for origin in allow_origin or ()),
    )
    if max_jobs is not None:
        settings = replace(settings, max_concurrent_jobs=max_jobs)
    from stepbridge_local.server import LocalAws  # imports take a second, which --help and a wrong option do not need

    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    local_aws = LocalAws(settings)
    with requiring_room(data_dir, FULL_BYTES):
        local_aws.start()
    try:
        typer.echo(f"local AWS: {local_aws.endpoint_url}  data: {data_dir}  runtime: {local_aws.runtime_name}")
        while not ended.wait(SIGNAL_SECONDS):
            pass  # a signal to another thread does not wake this one, which has to handle it
    finally:
        local_aws.stop()
        gc.freeze()  # otherwise the interpreter takes two seconds to free all of moto's objects at exit


def _scikit_learn_folder(given: Path | None) -> Path:
    """The folder of the scikit-learn Dockerfile. Raises typer.BadParameter for one without a Dockerfile."""
    if given is None:
        in_project = (PROJECT_SCIKIT_LEARN_FOLDER / "Dockerfile").is_file()
        return PROJECT_SCIKIT_LEARN_FOLDER if in_project else SCIKIT_LEARN_FOLDER
    if not (given / "Dockerfile").is_file():
        raise typer.BadParameter(f"{given} has no Dockerfile", param_hint="'--scikit-learn'")
    return given


def _image_reference(given: str | None) -> str | None:
    if given is not None and not _IMAGE_REFERENCE.fullmatch(given):
        message = f"{given!r} is no image; expected one as in a Dockerfile's FROM, for instance python:3.11-slim"
        raise typer.BadParameter(message, param_hint="'--base-image'")
    return given


def _host_name(given: str) -> str:
    if not _HOST_NAME.fullmatch(given):
        raise typer.BadParameter(f"{given!r} is no host name; expected one without port", param_hint="'--allow-host'")
    return given.lower()


def _origin(given: str) -> str:
    if not _ORIGIN.fullmatch(given):
        message = f"{given!r} is no origin; expected scheme, host and port, for instance http://127.0.0.1:3000"
        raise typer.BadParameter(message, param_hint="'--allow-origin'")
    return given


def main() -> None:
    """Run the command and exit with an ``ExitCode``. An expected error is one text on stderr, never a traceback."""
    try:
        app()
    except LocalAwsError as error:
        _fail(str(error))
    except OSError as error:
        if error.filename is None:
            raise
        _fail(f"{error.filename}: {error.strerror}")


def _fail(text: str) -> None:
    typer.echo(text, err=True)
    sys.exit(ExitCode.ERROR)


if __name__ == "__main__":
    main()
