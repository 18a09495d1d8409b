"""The ``stepbridge`` command. Each subcommand is imported when it is called."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Mapping

import typer

from stepbridge.errors import StepbridgeError

__all__ = ["main"]

COMMANDS: Mapping[str, str] = {
    "demo": "stepbridge.cli.demo:demo",
    "deploy": "stepbridge.cli.deploy:deploy",
    "down": "stepbridge.cli.up:down",
    "keep-site": "stepbridge.cli.up:keep_site",
    "local": "stepbridge_local.cli.main:app",
    "preflight": "stepbridge.cli.preflight:preflight",
    "up": "stepbridge.cli.up:up",
}
"""Where each subcommand is: a function for one command, or a Typer application for several."""

HIDDEN = ("keep-site",)


def main() -> None:
    """Run the command. An error of stepbridge's own is one text on stderr and exit code 1."""
    asked = sys.argv[1] if len(sys.argv) > 1 else ""
    try:
        _app([asked] if asked in COMMANDS else COMMANDS)()
    except StepbridgeError as error:
        typer.echo(str(error), err=True)
        sys.exit(1)


def _app(names: Iterable[str]) -> typer.Typer:
    """The command with these subcommands only: the others' imports would cost a second or two."""
    app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, name="stepbridge")
    app.callback()(_stepbridge)
    for name in names:
        module_name, _, attribute = COMMANDS[name].partition(":")
        found = getattr(importlib.import_module(module_name), attribute)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name)
        else:
            app.command(name, hidden=name in HIDDEN)(found)
    return app


def _stepbridge() -> None:
    """Recurring batch inference on AWS for models that know nothing of the cloud."""


if __name__ == "__main__":
    main()
