"""``stepbridge up`` and ``stepbridge down``: the local site, kept by a process in the background."""

import shlex
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from stepbridge.cli.demo.example import upload_offered_days
from stepbridge.cli.exit_codes import require_local
from stepbridge.cli.local_site.local_aws import build_prebuilt_images
from stepbridge.cli.local_site.site import (
    RunningSite,
    Runtime,
    SiteError,
    SiteSettings,
    find_running_site,
    lock_state,
    record_site,
)
from stepbridge.cli.local_site.start import start_site

StateOption = Annotated[
    Path, typer.Option("--state", help="Folder that keeps data, database and logs.", file_okay=False)
]
AirflowPortOption = Annotated[
    int, typer.Option("--port", help="Port of the Airflow UI; if taken, another.", min=0, max=65535)
]
AwsPortOption = Annotated[
    int, typer.Option("--aws-port", help="Port of the local AWS; if taken, another.", min=0, max=65535)
]
RuntimeOption = Annotated[
    Runtime | None,
    typer.Option(
        "--runtime",
        help="What runs containers: process (the default on Linux), docker, or auto: docker where an engine answers, "
        "else process.",
    ),
]
BaseImageOption = Annotated[
    str | None,
    typer.Option(
        "--base-image",
        help="What Dockerfiles with ARG BASE_IMAGE start from, those of models and the scikit-learn image's.",
    ),
]


def use_project(
    command: str,
    state: Path,
    airflow_port: int = 0,
    aws_port: int = 0,
    runtime: Runtime | None = None,
    base_image: str | None = None,
) -> SiteSettings:
    """Settings of the local site for the project in the current folder.

    Raises MissingExtraError without the local AWS, and SiteError outside of a project and on another system than Linux.
    """
    require_local(command)
    if sys.platform != "linux":
        remedy = "run it in WSL or a container (`docker compose up --build`)"
        remedy += ", or the local AWS alone: `stepbridge local up`"
        raise SiteError(f"stepbridge {command}", f"this system is {sys.platform}", "Linux", remedy)
    project = Path.cwd()
    if not (project / "dags" / "models.py").exists():
        raise SiteError(str(project), "no dags/models.py here", remedy="run this in the root of a stepbridge project")
    return SiteSettings(project, (project / state).resolve(), airflow_port, aws_port, runtime, base_image)


def up(
    state: StateOption = Path(".stepbridge"),
    port: AirflowPortOption = 8080,
    aws_port: AwsPortOption = 4566,
    runtime: RuntimeOption = None,
    base_image: BaseImageOption = None,
) -> None:
    """Start the local AWS and Airflow, deploy, and leave them running in the background."""
    settings = use_project("up", state, port, aws_port, runtime, base_image)
    site = find_running_site(settings) or _start_in_background(settings)
    bucket, activate = site.stack().bucket, settings.shell_variables
    if activate.is_relative_to(Path.cwd()):
        activate = activate.relative_to(Path.cwd())
    typer.echo(
        f"Airflow:   {site.airflow_url}   user {site.user}   password {site.password}\n"
        f"Local AWS: {site.aws_endpoint_url}   (any key, region us-east-1; a browser shows executions, logs, objects)\n"
        f"Logs:      {settings.logs}\n"
        f"Bucket:    s3://{bucket}\n"
        f"Upload:    curl -T FILE {site.aws_endpoint_url}/{bucket}/MODEL/input/FILE\n"
        f"Shell:     . {shlex.quote(str(activate))}   so that airflow, aws and stepbridge mean this site\n"
        '           airflow dags unpause MODEL; airflow dags trigger MODEL --logical-date "$(date -u +%FT%TZ)"\n'
        f"Results:   {site.aws_endpoint_url}/_stepbridge/buckets/{bucket}   below the card's output_uri\n"
        "`stepbridge down` stops both."
    )


def down(state: StateOption = Path(".stepbridge")) -> None:
    """Stop what `stepbridge up` started."""
    settings = use_project("down", state)
    from stepbridge_local.processes import stop_in_background

    if not stop_in_background(settings.lock, settings.logs / "up.log", typer.echo):
        typer.echo("Nothing is running.")
        return
    settings.record.unlink(missing_ok=True)
    typer.echo(f"Airflow and the local AWS are down; data, database and logs stay in {settings.state}")


def keep_site(
    state: StateOption = Path(".stepbridge"),
    port: AirflowPortOption = 8080,
    aws_port: AwsPortOption = 4566,
    runtime: RuntimeOption = None,
    base_image: BaseImageOption = None,
) -> None:
    """Keep the local site until SIGTERM; what `stepbridge up` runs."""
    settings = use_project("up", state, port, aws_port, runtime, base_image)
    from stepbridge_local.processes import ProcessTree, unwind_on_end_signals

    unwind_on_end_signals()

    def say(line: str) -> None:
        with suppress(OSError):  # a full disk ends no site
            print(line, flush=True)

    def prepare(ready: RunningSite) -> None:
        build_prebuilt_images(ready, say)
        upload_offered_days(settings, ready, say)

    try:
        with lock_state(settings), ProcessTree(settings.logs, guarded=True) as tree:
            site = start_site(tree, settings, say, prepare)
            record_site(settings, site)
            while True:
                tree.revive(say)
                time.sleep(0.5)
    except KeyboardInterrupt:
        say("Stopped")
    finally:
        settings.record.unlink(missing_ok=True)


def _start_in_background(settings: SiteSettings) -> RunningSite:
    from stepbridge_local.processes import requiring_room, start_in_background

    command = [sys.executable, "-m", "stepbridge.cli.main", "keep-site", "--state", str(settings.state)]
    command += ["--port", str(settings.airflow_port), "--aws-port", str(settings.aws_port)]
    command += ["--runtime", settings.runtime] if settings.runtime else []
    command += ["--base-image", settings.base_image] if settings.base_image else []
    with requiring_room(settings.state):
        settings.logs.mkdir(parents=True, exist_ok=True)
        lock_state(settings).close()  # a log that another one writes is not emptied
        return start_in_background(
            "local site",
            command,
            settings.project,
            settings.logs / "up.log",
            lambda line: typer.echo(f"  {line}"),
            lambda: find_running_site(settings),
        )
