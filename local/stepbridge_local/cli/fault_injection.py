"""``stepbridge-local fault``: sets faults in a running local AWS."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from stepbridge_local.cli.endpoint import DataDir, EndpointUrl, endpoint_of, request_json
from stepbridge_local.errors import LocalAwsError
from stepbridge_local.fault_injection import FAULTS_PATH
from stepbridge_local.settings import DEFAULT_DATA_DIR

__all__ = ["app"]

app = typer.Typer(help="Inject faults into the local AWS that runs.", no_args_is_help=True)
set_app = typer.Typer(help="Set a fault; it replaces one of the same name.", no_args_is_help=True)
app.add_typer(set_app, name="set")

Name = Annotated[str, typer.Option(help="The name to list and clear it by. [default: the fault's type]")]
Rate = Annotated[float, typer.Option(help="The share of requests or jobs that it hits, above 0 to 1.")]
Times = Annotated[int | None, typer.Option(min=1, help="Hit only the next N. [default: no limit]")]
Seed = Annotated[int | None, typer.Option(help="The same seed hits the same ones, counted from now.")]
Operations = Annotated[
    list[str],
    typer.Option("--operation", help="An operation as IAM names it, with * and ?: states:StartExecution. Repeatable."),
]
Jobs = Annotated[str, typer.Option(help="Names of processing jobs, with * and ?.")]


@app.command("list")
def list_faults(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    endpoint_url: EndpointUrl = None,
) -> None:
    """List the faults that are set, and how many requests or jobs each has hit."""
    _show(_ask("GET", data_dir, endpoint_url), as_json)


@app.command()
def clear(
    names: Annotated[list[str] | None, typer.Argument(help="Which ones. [default: all]")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Remove faults."""
    answer: list[dict[str, Any]] = []
    for name in names or [""]:
        answer = _ask("DELETE", data_dir, endpoint_url, path=_path_of(name) if name else "")
    _show(answer)


@set_app.command()
def throttling(
    rates: Annotated[
        Literal["aws", "none", "off"],
        typer.Option(help="'aws' for AWS's rates, 'none' for those of --rate only, 'off' for no throttling."),
    ] = "aws",
    rate: Annotated[
        list[str] | None,
        typer.Option(metavar="OPERATION=BUCKET/REFILL", help="states:StartExecution=10/2; instead of AWS's rate."),
    ] = None,
    step_functions_error: Annotated[
        Literal["ThrottlingException", "SageMaker.AmazonSageMakerException"],
        typer.Option(help="The name of the error that a state machine gets for a throttled CreateProcessingJob."),
    ] = "ThrottlingException",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Answer ThrottlingException above a rate, per account and region."""
    if rates == "off":
        _clear_if_set("throttling", data_dir, endpoint_url)
        return
    own = dict(_rate(text) for text in rate or [])
    _set(
        {"fault": "throttling", "aws": rates == "aws", "rates": own, "step_functions_error": step_functions_error},
        data_dir,
        endpoint_url,
    )


@set_app.command()
def error(
    operation: Operations,
    status: Annotated[int, typer.Option(help="The HTTP status.")] = 500,
    code: Annotated[str, typer.Option(help="AWS's error code. [default: the service's]")] = "",
    message: Annotated[str, typer.Option(help="The text. [default: AWS's]")] = "",
    after: Annotated[bool, typer.Option("--after", help="After the operation was carried out.")] = False,
    rate: Rate = 1.0,
    times: Times = None,
    seed: Seed = None,
    name: Name = "",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Answer requests with an error."""
    fault = {"fault": "error", "status": status, "code": code, "message": message, "when": _when(after)}
    _set({**fault, "operations": operation, **_chances(rate, times, seed), "name": name}, data_dir, endpoint_url)


@set_app.command()
def drop(
    operation: Operations,
    after: Annotated[
        bool, typer.Option("--after", help="After it was carried out: only the response is lost.")
    ] = False,
    rate: Rate = 1.0,
    times: Times = None,
    seed: Seed = None,
    name: Name = "",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Close the connection of requests without a response."""
    fault = {"fault": "drop", "when": _when(after), "operations": operation}
    _set({**fault, **_chances(rate, times, seed), "name": name}, data_dir, endpoint_url)


@set_app.command()
def latency(
    operation: Operations,
    seconds: Annotated[float, typer.Option(help="How long a request waits before it is carried out.")],
    jitter_seconds: Annotated[float, typer.Option(help="Up to this much longer, at random.")] = 0.0,
    rate: Rate = 1.0,
    times: Times = None,
    seed: Seed = None,
    name: Name = "",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Delay requests."""
    fault = {"fault": "latency", "seconds": seconds, "jitter_seconds": jitter_seconds, "operations": operation}
    _set({**fault, **_chances(rate, times, seed), "name": name}, data_dir, endpoint_url)


@set_app.command()
def instance_limit(
    instance_type: Annotated[str, typer.Option(help="ml.m5.large")],
    maximum: Annotated[int, typer.Option(help="How many instances jobs may use at a time.", min=0)],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Answer ResourceLimitExceeded above a number of instances of a type."""
    fault = {"fault": "instance-limit", "instance_type": instance_type, "maximum": maximum}
    _set(fault, data_dir, endpoint_url)


@set_app.command()
def job_failure(
    reason: Annotated[
        Literal["CapacityError", "InternalServerError"], typer.Option(help="What the FailureReason begins with.")
    ],
    jobs: Jobs = "*",
    message: Annotated[str, typer.Option(help="The rest of the FailureReason. [default: AWS's text]")] = "",
    rate: Rate = 1.0,
    times: Times = None,
    seed: Seed = None,
    name: Name = "",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Fail processing jobs for a reason on SageMaker's side."""
    fault = {"fault": "job-failure", "reason": reason, "message": message, "jobs": jobs}
    _set({**fault, **_chances(rate, times, seed), "name": name}, data_dir, endpoint_url)


@set_app.command()
def slow_start(
    seconds: Annotated[float, typer.Option(help="How long a job stays InProgress before it starts.")],
    jobs: Jobs = "*",
    rate: Rate = 1.0,
    times: Times = None,
    seed: Seed = None,
    name: Name = "",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Delay the start of processing jobs."""
    fault = {"fault": "slow-start", "seconds": seconds, "jobs": jobs}
    _set({**fault, **_chances(rate, times, seed), "name": name}, data_dir, endpoint_url)


@set_app.command()
def clock(
    speed: Annotated[float, typer.Option(help="How many times faster waiting passes; 1000000 is at once.")],
    jobs: Annotated[
        bool, typer.Option("--jobs", help="Also while tasks run, and for the maximum runtime of jobs.")
    ] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Make Wait states, Retry delays and timeouts of state machines pass faster while nothing else happens."""
    _set({"fault": "clock", "speed": speed, "jobs": jobs}, data_dir, endpoint_url)


@set_app.command()
def iam(
    enforce: Annotated[bool, typer.Option(help="Deny what no policy allows, or allow everything.")] = True,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Enforce permissions."""
    if enforce:
        _set({"fault": "iam"}, data_dir, endpoint_url)
    else:
        _clear_if_set("iam", data_dir, endpoint_url)


# --- what the commands have in common ---------------------------------------------------------------------------------
def _when(after: bool) -> str:
    return "after" if after else "before"


def _chances(rate: float, times: int | None, seed: int | None) -> dict[str, Any]:
    return {"rate": rate, "times": times, "seed": seed}


def _rate(text: str) -> tuple[str, dict[str, float]]:
    """``states:StartExecution=10/2`` as the operation and its rate. Raises typer.BadParameter."""
    operation, equals, numbers = text.partition("=")
    bucket, slash, refill = numbers.partition("/")
    try:
        if not (operation and equals and slash):
            raise ValueError(text)
        return operation, {"bucket": int(bucket), "refill_per_second": float(refill)}
    except ValueError:
        message = f"{text!r} is not OPERATION=BUCKET/REFILL, for instance states:StartExecution=10/2"
        raise typer.BadParameter(message, param_hint="'--rate'") from None


def _set(fault: Mapping[str, Any], data_dir: Path, endpoint_url: str | None) -> None:
    _show(_ask("POST", data_dir, endpoint_url, {key: value for key, value in fault.items() if value != ""}))


def _clear_if_set(fault_type: str, data_dir: Path, endpoint_url: str | None) -> None:
    faults = _ask("GET", data_dir, endpoint_url)
    for fault in [fault for fault in faults if fault["fault"] == fault_type]:
        faults = _ask("DELETE", data_dir, endpoint_url, path=_path_of(fault["name"]))
    _show(faults)


def _show(faults: list[dict[str, Any]], as_json: bool = False) -> None:
    if as_json:
        typer.echo(json.dumps(faults, indent=2))
        return
    if not faults:
        typer.echo("no faults are set")
    for fault in faults:
        shown = {key: value for key, value in fault.items() if value not in (None, "", {})}
        fault_type, name = shown.pop("fault"), shown.pop("name")
        typer.echo(", ".join([f"{name}: {fault_type}", *(f"{key}={_plain(value)}" for key, value in shown.items())]))


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _path_of(name: str) -> str:
    return f"/{urllib.request.pathname2url(name)}"


def _ask(
    method: str, data_dir: Path, endpoint_url: str | None, body: Any = None, path: str = ""
) -> list[dict[str, Any]]:
    """The faults that are set after the request. Raises ConfigurationError for what the local AWS refuses."""
    url = endpoint_of(data_dir, endpoint_url)
    answer = request_json(method, url, FAULTS_PATH + path, body)
    try:
        faults: list[dict[str, Any]] = answer["faults"]
    except KeyError:
        raise LocalAwsError(url, "no answer of a local AWS: something else answers") from None
    return faults
