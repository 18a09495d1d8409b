"""``stepbridge up`` and ``stepbridge down``: the local site, kept by a process in the background."""

import faulthandler
import os
import shlex
import signal
import sys
import time
from functools import partial
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
    state_owner,
)
from stepbridge.cli.local_site.start import start_site

_END_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_STOP_SECONDS = 40.0

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
    from stepbridge_local.processes import kill_tree

    pid = state_owner(settings)
    if pid is None:
        typer.echo("Nothing is running.")
        return
    os.kill(pid, signal.SIGTERM)
    if not _is_free_within(settings, _STOP_SECONDS):
        typer.echo(f"It still runs {_STOP_SECONDS:.0f} s after SIGTERM and is killed; see {settings.logs}/up.log")
        left = kill_tree(pid, _STOP_SECONDS)
        if not _is_free_within(settings, 1.0):
            found = f"still runs after SIGKILL, and so do {left}"
            raise SiteError(f"process {pid}", found, "", "state D waits for a disk: run `stepbridge down` later")
        settings.record.unlink(missing_ok=True)
    typer.echo(f"Airflow and the local AWS are down; data, database and logs stay in {settings.state}")


def _is_free_within(settings: SiteSettings, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while (owner := state_owner(settings)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return owner is None


def keep_site(
    state: StateOption = Path(".stepbridge"),
    port: AirflowPortOption = 8080,
    aws_port: AwsPortOption = 4566,
    runtime: RuntimeOption = None,
    base_image: BaseImageOption = None,
) -> None:
    """Keep the local site until SIGTERM; what `stepbridge up` runs."""
    settings = use_project("up", state, port, aws_port, runtime, base_image)
    from stepbridge_local.processes import ProcessTree

    for number in _END_SIGNALS:
        signal.signal(number, _interrupt)
    say = partial(print, flush=True)

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


def _interrupt(*_: object) -> None:
    """Unwind to the ``with`` block once; a second signal must not cut its clean-up short."""
    for number in _END_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    faulthandler.dump_traceback_later(_STOP_SECONDS / 2)  # into up.log: where a clean-up that hangs does so
    raise KeyboardInterrupt


def _start_in_background(settings: SiteSettings) -> RunningSite:
    from stepbridge_local.processes import start_in_background

    settings.logs.mkdir(parents=True, exist_ok=True)
    lock_state(settings).close()  # a log that another one writes is not emptied
    command = [sys.executable, "-m", "stepbridge.cli.main", "keep-site", "--state", str(settings.state)]
    command += ["--port", str(settings.airflow_port), "--aws-port", str(settings.aws_port)]
    command += ["--runtime", settings.runtime] if settings.runtime else []
    command += ["--base-image", settings.base_image] if settings.base_image else []
    return start_in_background(
        "local site",
        command,
        settings.project,
        settings.logs / "up.log",
        lambda line: typer.echo(f"  {line}"),
        lambda: find_running_site(settings),
    )
