"""``stepbridge up`` and ``stepbridge down``: the local site, kept by a process in the background."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Annotated

import typer

from stepbridge.cli.local_site import (
    RunningSite,
    SiteError,
    SiteSettings,
    bring_up,
    build_prebuilt_images,
    find_running_site,
    record_site,
)
from stepbridge.cli.processes import ProcessTree, process_start_ticks
from stepbridge_local.settings import DEFAULT_RUNTIME, Runtime

__all__ = ["RuntimeOption", "down", "keep_site", "site_settings", "up"]

StateOption = Annotated[Path, typer.Option("--state", help="Folder that keeps data, database and logs.")]
AirflowPortOption = Annotated[int, typer.Option("--port", help="Port of the Airflow UI; if taken, another.")]
AwsPortOption = Annotated[int, typer.Option("--aws-port", help="Port of the local AWS; if taken, another.")]
RuntimeOption = Annotated[
    Runtime, typer.Option("--runtime", help="What runs containers; auto: docker where an engine answers, else process.")
]


def site_settings(state: Path, airflow_port: int, aws_port: int, runtime: Runtime = DEFAULT_RUNTIME) -> SiteSettings:
    """Settings for the project in the current folder. Raises SiteError when there is no project here."""
    project = Path.cwd()
    if not (project / "dags" / "models.py").exists():
        raise SiteError(str(project), "no dags/models.py here", remedy="run this in the root of a stepbridge project")
    return SiteSettings(project, (project / state).resolve(), airflow_port, aws_port, runtime)


def up(
    state: StateOption = Path(".stepbridge"),
    port: AirflowPortOption = 8080,
    aws_port: AwsPortOption = 4566,
    runtime: RuntimeOption = DEFAULT_RUNTIME,
) -> None:
    """Start the local AWS and Airflow, deploy, and leave them running in the background."""
    settings = site_settings(state, port, aws_port, runtime)
    site = find_running_site(settings) or _start_in_background(settings)
    typer.echo(
        f"Airflow:   {site.airflow_url}   user {site.user}   password {site.password}\n"
        f"Local AWS: {site.aws_endpoint_url}   (any key, region us-east-1)\n"
        f"Logs:      {settings.logs}\n"
        "`make down` ends both."
    )


def down(state: StateOption = Path(".stepbridge")) -> None:
    """End what ``stepbridge up`` started."""
    settings = site_settings(state, 0, 0)
    site = find_running_site(settings)
    if site is None:
        typer.echo("Nothing is running.")
        return
    os.kill(site.pid, signal.SIGTERM)
    deadline = time.monotonic() + 40
    while process_start_ticks(site.pid) == site.start_ticks:
        if time.monotonic() > deadline:
            raise SiteError(
                f"process {site.pid}", "still runs 40 s after SIGTERM", remedy=f"see {settings.logs}/up.log"
            )
        time.sleep(0.1)
    typer.echo("Airflow and the local AWS are down; data, database and logs stay in " + str(settings.state))


def keep_site(
    state: StateOption = Path(".stepbridge"),
    port: AirflowPortOption = 8080,
    aws_port: AwsPortOption = 4566,
    runtime: RuntimeOption = DEFAULT_RUNTIME,
) -> None:
    """Bring the site up and keep it until SIGTERM or SIGINT; what ``stepbridge up`` runs in the background."""
    settings = site_settings(state, port, aws_port, runtime)
    asked_to_stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: _interrupt(asked_to_stop))

    def say(line: str) -> None:
        print(line, flush=True)

    try:
        with ProcessTree(settings.logs) as tree:
            site = bring_up(tree, settings, say, lambda ready: build_prebuilt_images(ready, say))
            record_site(settings, site)
            while True:
                tree.check()
                time.sleep(0.5)
    except KeyboardInterrupt:
        say("Stopped")
    finally:
        settings.record.unlink(missing_ok=True)


def _interrupt(asked_to_stop: threading.Event) -> None:
    """Unwind to the ``with`` block once; a second signal must not cut its clean-up short."""
    if not asked_to_stop.is_set():
        asked_to_stop.set()
        raise KeyboardInterrupt


def _start_in_background(settings: SiteSettings) -> RunningSite:
    settings.logs.mkdir(parents=True, exist_ok=True)
    log_file = settings.logs / "up.log"
    command = [sys.executable, "-m", "stepbridge.cli.main", "keep-site", "--state", str(settings.state)]
    command += ["--port", str(settings.airflow_port), "--aws-port", str(settings.aws_port)]
    command += ["--runtime", settings.runtime]
    with log_file.open("wb") as log:
        keeper = subprocess.Popen(
            command,
            cwd=settings.project,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        return _follow_start(keeper, settings, log_file)
    except BaseException:
        keeper.terminate()
        keeper.wait()
        raise


def _follow_start(keeper: subprocess.Popen[bytes], settings: SiteSettings, log_file: Path) -> RunningSite:
    """Print what the keeper says until the site is up. Raises SiteError when the keeper ends first."""
    with log_file.open(encoding="utf-8", errors="replace") as log:
        while True:
            site = find_running_site(settings)
            for line in log:
                typer.echo(f"  {line.rstrip()}")
            if site is not None:
                return site
            if keeper.poll() is not None:
                raise SiteError(
                    "local site", f"did not come up (exit code {keeper.returncode})", remedy=f"see {log_file}"
                )
            time.sleep(0.1)
