"""``stepbridge init``: a new project."""

from pathlib import Path
from typing import Annotated

import typer

from stepbridge.project import write_project


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The project's folder; made if it is not there.")],
) -> None:
    """Write a new project: the DAG loader, the stack and the state machine. Overwrites nothing."""
    for name in write_project(folder):
        typer.echo(folder / name)
    typer.echo(f"Next: add a model, see {folder / 'dags/models/README.md'}; then `stepbridge up` in {folder}")
