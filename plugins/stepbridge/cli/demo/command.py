"""``stepbridge demo``: one real day of flights becomes predictions, through a real Airflow, on the local AWS."""

import csv
import json
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from stepbridge.atomic_write import write_atomically
from stepbridge.aws.arns import S3Uri
from stepbridge.aws.s3 import S3
from stepbridge.aws.step_functions import StepFunctions
from stepbridge.cli.demo.example import MODEL, day_folder, s3_of, upload_day
from stepbridge.cli.demo.progress import follow_run
from stepbridge.cli.exit_codes import ExitCode, OptionError
from stepbridge.cli.local_site.airflow_client import AirflowClient
from stepbridge.cli.local_site.local_aws import build_prebuilt_images, local_session, runtime_of
from stepbridge.cli.local_site.site import RunningSite, SiteError, SiteSettings, find_running_site, lock_state
from stepbridge.cli.local_site.start import start_site
from stepbridge.cli.up import AirflowPortOption, AwsPortOption, BaseImageOption, RuntimeOption, StateOption, use_project
from stepbridge.core.run_report.model import RunReport
from stepbridge.core.run_report.timeline import timeline

DEFAULT_DAY = "2013-07-01"
FIRST_DAY = date(2013, 4, 1)  # the card's start_date: the days before are those that the model was trained on
LAST_DAY = date(2013, 12, 31)
RUN_TIMEOUT_SECONDS = 900.0
MOST_OUTPUTS = 1000
SHOWN_COLUMNS = ("rank", "carrier", "flight", "origin", "dest", "predicted_delay", "actual_delay", "outcome")


def demo(
    day: Annotated[str, typer.Option(help=f"A day of flights, {FIRST_DAY} to {LAST_DAY}.")] = DEFAULT_DAY,
    state: StateOption = Path(".stepbridge"),
    port: AirflowPortOption = 8080,
    aws_port: AwsPortOption = 4566,
    runtime: RuntimeOption = None,
    base_image: BaseImageOption = None,
) -> None:
    """Run the flight_delay model on one real day and show its predictions."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console(highlight=False)
    try:
        run_demo(use_project("demo", state, port, aws_port, runtime, base_image), _parse_day(day), console)
    except KeyboardInterrupt:
        console.print("\nStopped; nothing is left running.")
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def run_demo(settings: SiteSettings, day: date, console: Console) -> None:
    """Run the model in the site that is running, or in one that is started for it and stopped afterwards; show all.

    Raises SiteError when the run fails, with what its failed task logged, and in a project without the model.
    """
    if not (settings.project / "dags" / "models" / f"{MODEL}.yaml").exists():
        remedy = "the demo runs the example model: run it in a clone of stepbridge's repository"
        raise SiteError(str(settings.project), f"no dags/models/{MODEL}.yaml here", "", remedy)
    started = time.monotonic()

    def say(line: str) -> None:
        console.print(f"  {time.monotonic() - started:6.1f} s  {line}", soft_wrap=True)

    console.print(f"[bold]stepbridge demo[/]: {MODEL} for {day}, on the local AWS")
    with ExitStack() as stack:
        running = site = find_running_site(settings)
        if site is not None:
            say(f"Using the site that is running on {site.airflow_url}")
            _prepare(settings, site, day, say)
            check = partial(_require_running, settings)
        else:
            from stepbridge_local.processes import ProcessTree, requiring_room

            stack.enter_context(requiring_room(settings.state))
            stack.enter_context(lock_state(settings))
            tree = stack.enter_context(ProcessTree(settings.logs, guarded=True))
            site = start_site(tree, settings, say, lambda ready: _prepare(settings, ready, day, say))
            check = partial(tree.revive, say)
        report = _run_model(site, day, console, say, check)
        folder = settings.state / "predictions" / MODEL / day.isoformat()
        _download(s3_of(site), S3Uri.parse(str(report.output_uri).rstrip("/") + "/"), folder)
        overhead = _overhead(settings, site, day, report) if runtime_of(site) == "process" else None
        say("Done; the site keeps running" if running else "Done; stopping what was started")
    _show_result(report, folder, console)
    _show_overhead(overhead, console)
    console.print(f"\nIn S3:   {report.output_uri}\nCopied:  {folder}", soft_wrap=True)


def _require_running(settings: SiteSettings) -> None:
    if find_running_site(settings) is None:
        raise SiteError("local site", "it stopped while the demo ran", "", "see the logs, or run it again")


def _prepare(settings: SiteSettings, site: RunningSite, day: date, say: Callable[[str], None]) -> None:
    """Put the day's flights into S3 and build the scikit-learn image."""
    say(f"Data: {day} in {upload_day(settings, site, day)}")
    build_prebuilt_images(site, say)


def _overhead(
    settings: SiteSettings, site: RunningSite, day: date, report: RunReport
) -> dict[str, tuple[float, float]]:
    """Run the execution once more while Airflow is idle, and its scripts by hand in the environments of its images.

    During a DAG run Airflow starts the next task while a stage computes. On a small machine that costs seconds, which
    are not the local AWS's.
    """
    from stepbridge_local.overhead import image_python, run_again, run_by_hand

    step_functions, ecr = (
        local_session().client(name, endpoint_url=site.aws_endpoint_url) for name in ("stepfunctions", "ecr")
    )
    output_uri = f"s3://{site.stack().bucket}/overhead/{MODEL}/{day}/"
    alone = run_again(step_functions, report.execution_arn, {"output_uri": output_uri})
    script_python = image_python(ecr, settings.aws_data, build_prebuilt_images(site, lambda _: None))
    model_python = image_python(ecr, settings.aws_data, str(report.input["custom_image_uri"]))
    scripts, container = settings.project / "scripts" / MODEL, settings.project / "containers" / MODEL
    commands = {
        "Preprocessing": [script_python, scripts / "preprocessing.py"],
        "Inference": [model_python, container / "predict.py"],
        "Postprocessing": [script_python, scripts / "postprocessing.py"],
    }
    by_hand = run_by_hand(commands, day_folder(settings, day), settings.state / "by-hand")
    return {state.lower(): (seconds, by_hand[state]) for state, seconds in alone.items()}


def _run_model(
    site: RunningSite, day: date, console: Console, say: Callable[[str], None], check: Callable[[], None]
) -> RunReport:
    airflow = site.airflow()
    _wait_for_dag(airflow, check)
    airflow.unpause(MODEL)
    now = datetime.now(UTC)
    run_id = f"demo__{now:%Y-%m-%dT%H-%M-%S.%f}"
    # Two runs of a DAG cannot share a logical date: the day is the data's, the time of day is this moment's.
    logical_date = datetime.combine(day, now.time(), UTC)
    airflow.trigger(MODEL, run_id, logical_date.isoformat(), {"day": day.isoformat()})
    say(f"Run: {run_id} triggered; {site.airflow_url}/dags/{MODEL}/runs/{run_id}")
    machines = StepFunctions(local_session().client("stepfunctions", endpoint_url=site.aws_endpoint_url))
    if follow_run(airflow, machines, MODEL, run_id, console, check, RUN_TIMEOUT_SECONDS) != "success":
        raise SiteError(f"run {run_id} of {MODEL}", "it failed\n" + _failure(airflow, run_id))
    return RunReport.model_validate_json(json.dumps(airflow.xcom(MODEL, run_id, "wait_for_execution")))


def _wait_for_dag(airflow: AirflowClient, check: Callable[[], None]) -> None:
    deadline = time.monotonic() + 120
    while airflow.dag(MODEL) is None:
        check()
        if errors := airflow.import_errors():
            raise SiteError("dags/models.py", "Airflow cannot import it\n" + "\n".join(errors))
        if time.monotonic() > deadline:
            raise SiteError(f"DAG {MODEL}", "Airflow has not loaded it after 120 s")
        time.sleep(0.3)


def _failure(airflow: AirflowClient, run_id: str) -> str:
    """The end of the log of each task that failed."""
    parts = []
    for instance in airflow.task_instances(MODEL, run_id):
        if instance["state"] == "failed":
            lines = list(airflow.task_log(MODEL, run_id, instance["task_id"], instance["try_number"]))
            parts.append(f"{instance['task_id']}:\n  " + "\n  ".join(lines[-40:]))
    return "\n".join(parts)


def _download(s3: S3, prefix: S3Uri, folder: Path) -> None:
    """Copy the objects below ``prefix`` into ``folder``, except the execution's own under ``_stepbridge/``."""
    shutil.rmtree(folder, ignore_errors=True)
    for found in s3.objects(prefix, MOST_OUTPUTS)[0]:
        name = found.key.removeprefix(prefix.key)
        if not name.startswith("_stepbridge/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / name, b"".join(s3.read(S3Uri(prefix.bucket, found.key))))


def _show_result(report: RunReport, folder: Path, console: Console) -> None:
    """Print the first predictions, the day's summary and the timeline of the stages."""
    console.print()
    console.print(_predictions(folder / "predictions.csv", rows=10))
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    console.print("[bold]The day[/]")
    for name, value in summary.items():
        text = f"{value:,.1f}" if isinstance(value, float) else str(value)
        console.print(f"  {name.replace('_', ' '):28} {text}")
    console.print("\n[bold]The execution[/]")
    console.print(timeline(report), markup=False, soft_wrap=True)


def _show_overhead(overhead: dict[str, tuple[float, float]] | None, console: Console) -> None:
    """Print it; None with the Docker runtime, whose images have no Python that this machine can run."""
    if overhead is None:
        console.print("\nNo comparison with the scripts run by hand: that needs --runtime process")
        return
    title = "\n[bold]Overhead of the local AWS[/], in seconds: the execution once more, with Airflow idle"
    console.print(title, soft_wrap=True)
    for stage, (seconds, by_hand) in overhead.items():
        console.print(f"  {stage:16} {seconds:6.2f}  by hand {by_hand:6.2f}  overhead {seconds - by_hand:+.2f}")


def _predictions(file: Path, rows: int) -> Table:
    with file.open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    title = f"The first {min(rows, len(lines))} of {len(lines):,} predictions, delays in minutes"
    table = Table(title=title, title_justify="left", box=None)
    for column in SHOWN_COLUMNS:
        table.add_column(column.replace("_", " "), justify="right" if "delay" in column else "left", no_wrap=True)
    for line in lines[:rows]:
        table.add_row(*(line[column] for column in SHOWN_COLUMNS))
    return table


def _parse_day(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise OptionError("--day", f"found {text!r}", "a date such as 2013-07-01") from None
    if not FIRST_DAY <= day <= LAST_DAY:
        raise OptionError("--day", f"found {day}", f"a day from {FIRST_DAY} to {LAST_DAY}: after the training's data")
    return day
