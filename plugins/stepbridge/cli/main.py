"""The ``stepbridge`` command. A subcommand is imported when it is called, not before."""

import errno
import importlib
import importlib.metadata
import sys
from collections.abc import Mapping
from typing import Annotated, Any, Final, NamedTuple

import typer
from typer.core import TyperGroup

from stepbridge.cli.exit_codes import SUMMARY, ExitCode, MissingExtraError, OptionError, require_local
from stepbridge.errors import StepbridgeError


class Subcommand(NamedTuple):
    """Where a subcommand is, as ``module:attribute``, and the line about it in ``stepbridge --help``.

    The attribute is a function for one command, or a Typer application for several.
    """

    place: str
    summary: str
    hidden: bool = False


COMMANDS: Final[Mapping[str, Subcommand]] = {
    "demo": Subcommand(
        "stepbridge.cli.demo.command:demo", "Run the flight_delay model on one real day and show its predictions."
    ),
    "up": Subcommand(
        "stepbridge.cli.up:up", "Start the local AWS and Airflow, deploy, and leave them running in the background."
    ),
    "down": Subcommand("stepbridge.cli.up:down", "Stop what `stepbridge up` started."),
    "init": Subcommand(
        "stepbridge.cli.init:init",
        "Write a new project: the DAG loader, the stack and the state machine. Overwrites nothing.",
    ),
    "deploy": Subcommand(
        "stepbridge.cli.deploy:deploy",
        "Create or update the stack and print the deployment as JSON; progress goes to stderr.",
    ),
    "preflight": Subcommand(
        "stepbridge.cli.preflight:preflight",
        "Check a model's card, scripts, image, buckets, input and the permissions of the stack's roles; run nothing.",
    ),
    "local": Subcommand("stepbridge_local.cli.main:app", "The local AWS on this machine; no account needed."),
    "keep-site": Subcommand(
        "stepbridge.cli.up:keep_site", "Keep the local site until SIGTERM; what `stepbridge up` runs.", hidden=True
    ),
}


class LazyGroup(TyperGroup):
    """A group that lists its subcommands from ``COMMANDS`` and imports only the one that is called or completed."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None and name in COMMANDS:
            try:
                command = _load(name)
            except MissingExtraError:
                if not ctx.resilient_parsing:  # completion: nothing to offer, and no error in the shell's line
                    raise
        return name, command, rest


def main() -> None:
    """Run the command and exit with an ``ExitCode``. An expected error is one text on stderr, never a traceback."""
    try:
        _application()()
    except StepbridgeError as error:
        _fail(str(error), error.exit_code if isinstance(error, OptionError | MissingExtraError) else ExitCode.ERROR)
    except OSError as error:
        if full := error.errno in (errno.ENOSPC, errno.EDQUOT):
            error.strerror = f"{error.strerror}; make room on its disk, then run it again"
        if error.filename is None and not full:
            raise
        _fail(f"{error.filename or 'output'}: {error.strerror}")
    except Exception as error:
        local_errors = sys.modules.get("stepbridge_local.errors")  # imported by what raised one of them
        if local_errors is None or not isinstance(error, local_errors.LocalAwsError):
            raise
        _fail(str(error))


def _application() -> typer.Typer:
    """The command with a stand-in for each subcommand."""
    app = typer.Typer(cls=LazyGroup, name="stepbridge", no_args_is_help=True, pretty_exceptions_enable=False)
    app.callback(epilog=SUMMARY)(_stepbridge)
    for name, subcommand in COMMANDS.items():
        app.command(name, help=subcommand.summary, hidden=subcommand.hidden)(lambda: None)
    return app


def _load(name: str) -> Any:
    """The subcommand itself. Raises MissingExtraError for ``local`` without the local AWS."""
    if name == "local":
        require_local(name)
    module_name, _, attribute = COMMANDS[name].place.partition(":")
    found = getattr(importlib.import_module(module_name), attribute)
    parent = typer.Typer(add_completion=False)
    if isinstance(found, typer.Typer):
        parent.add_typer(found, name=name)
    else:
        parent.command(name)(found)
    return typer.main.get_group(parent).commands[name]


def _print_version(wanted: bool) -> None:
    if wanted:
        for distribution in ("stepbridge", "stepbridge-local"):
            try:
                typer.echo(f"{distribution} {importlib.metadata.version(distribution)}")
            except importlib.metadata.PackageNotFoundError:
                continue
        raise typer.Exit


def _stepbridge(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the versions and exit.")
    ] = False,
) -> None:
    """Recurring batch inference on AWS for models that know nothing of the cloud."""


def _fail(text: str, code: ExitCode = ExitCode.ERROR) -> None:
    typer.echo(text, err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
