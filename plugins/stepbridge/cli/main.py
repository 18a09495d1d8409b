"""The ``stepbridge`` command. Each subcommand is imported when it is called."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping

import click
import typer
from typer.core import TyperGroup
from typer.main import get_command

from stepbridge.errors import StepbridgeError

__all__ = ["main"]

COMMANDS: Mapping[str, str] = {
    "demo": "stepbridge.cli.demo:demo",
    "deploy": "stepbridge.cli.deploy:deploy",
    "down": "stepbridge.cli.up:down",
    "local": "stepbridge.cli.local:app",
    "up": "stepbridge.cli.up:up",
}
"""Where each subcommand is: a function for one command, or a Typer application for several."""


class _LazyGroup(TyperGroup):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module_name, _, name = COMMANDS[cmd_name].partition(":")
        found = getattr(importlib.import_module(module_name), name)
        if not isinstance(found, typer.Typer):
            single = typer.Typer(add_completion=False)
            single.command(cmd_name)(found)
            found = single
        command = get_command(found)
        command.name = cmd_name
        return command


app = typer.Typer(
    cls=_LazyGroup, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, name="stepbridge"
)


@app.callback()
def _stepbridge() -> None:
    """Recurring batch inference on AWS for models that know nothing of the cloud."""


def main() -> None:
    """Run the command. An error of stepbridge's own is one text on stderr and exit code 1."""
    try:
        app()
    except StepbridgeError as error:
        typer.echo(str(error), err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
