"""``stepbridge local fault``: faults on demand in a local AWS that runs."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from stepbridge_local.errors import ConfigurationError, LocalAwsError

__all__ = ["app"]

DEFAULT_DATA_DIR: Final = Path(".stepbridge/local-aws")
FAULTS_PATH: Final = "/_stepbridge/faults"  # stepbridge_local.fault_injection.admin, whose import would cost a second
_TIMEOUT_SECONDS: Final = 30

app = typer.Typer(help="Faults on demand in the local AWS that runs.", no_args_is_help=True)
set_app = typer.Typer(help="Set a fault; one of the same name gives way.", no_args_is_help=True)
app.add_typer(set_app, name="set")

DataDir = Annotated[Path, typer.Option(help="The data folder of the local AWS, where it leaves its address.")]
EndpointUrl = Annotated[str | None, typer.Option(help="The local AWS itself: http://127.0.0.1:4566")]
Name = Annotated[str, typer.Option(help="What it is listed and cleared by. [default: the kind]")]
Rate = Annotated[float, typer.Option(help="The part of the requests or jobs that it strikes, above 0 to 1.")]
Times = Annotated[int | None, typer.Option(min=1, help="Strike the next so many only. [default: no end]")]
Seed = Annotated[int | None, typer.Option(help="The same seed strikes the same ones, counted from now.")]
Operations = Annotated[
    list[str], typer.Option("--operation", help="As IAM names it, with * and ?: states:StartExecution. Repeatable.")
]
Jobs = Annotated[str, typer.Option(help="Names of processing jobs, with * and ?.")]


@app.command("list")
def list_faults(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Say what is set, and how many requests or jobs each has struck."""
    _show(_ask("GET", data_dir, endpoint_url), as_json)


@app.command()
def clear(
    names: Annotated[list[str] | None, typer.Argument(help="Which ones. [default: all]")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Take faults back."""
    answer: list[dict[str, Any]] = []
    for name in names or [""]:
        path = f"/{urllib.request.pathname2url(name)}" if name else ""
        answer = _ask("DELETE", data_dir, endpoint_url, path=path)
    _show(answer)


@set_app.command()
def throttling(
    rates: Annotated[str, typer.Option(help="'aws' for AWS's rates, 'none' for those of --rate only, 'off'.")] = "aws",
    rate: Annotated[
        list[str] | None,
        typer.Option(metavar="OPERATION=BUCKET/REFILL", help="states:StartExecution=10/2; goes before AWS's."),
    ] = None,
    step_functions_error: Annotated[
        str,
        typer.Option(help="A throttled CreateProcessingJob in a state machine, or SageMaker.AmazonSageMakerException."),
    ] = "ThrottlingException",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Answer ThrottlingException above a rate, per account and region."""
    if rates not in ("aws", "none", "off"):
        raise ConfigurationError("--rates", repr(rates), "aws, none or off")
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
    after: Annotated[bool, typer.Option("--after", help="Once the operation was carried out.")] = False,
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
    after: Annotated[bool, typer.Option("--after", help="Once it was carried out: the response is lost.")] = False,
    rate: Rate = 1.0,
    times: Times = None,
    seed: Seed = None,
    name: Name = "",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Close the connection of requests without an answer."""
    fault = {"fault": "drop", "when": _when(after), "operations": operation}
    _set({**fault, **_chances(rate, times, seed), "name": name}, data_dir, endpoint_url)


@set_app.command()
def latency(
    operation: Operations,
    seconds: Annotated[float, typer.Option(help="How much later requests begin.")],
    jitter_seconds: Annotated[float, typer.Option(help="Up to so much more.")] = 0.0,
    rate: Rate = 1.0,
    times: Times = None,
    seed: Seed = None,
    name: Name = "",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Let requests take longer."""
    fault = {"fault": "latency", "seconds": seconds, "jitter_seconds": jitter_seconds, "operations": operation}
    _set({**fault, **_chances(rate, times, seed), "name": name}, data_dir, endpoint_url)


@set_app.command()
def instance_limit(
    instance_type: Annotated[str, typer.Option(help="ml.m5.large")],
    maximum: Annotated[int, typer.Option(help="How many instances of jobs at a time.", min=0)],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Answer ResourceLimitExceeded above a number of instances of a type."""
    fault = {"fault": "instance-limit", "instance_type": instance_type, "maximum": maximum}
    _set(fault, data_dir, endpoint_url)


@set_app.command()
def job_failure(
    reason: Annotated[str, typer.Option(help="CapacityError or InternalServerError.")],
    jobs: Jobs = "*",
    message: Annotated[str, typer.Option(help="The text of the FailureReason. [default: AWS's]")] = "",
    rate: Rate = 1.0,
    times: Times = None,
    seed: Seed = None,
    name: Name = "",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Fail processing jobs for a reason that is SageMaker's."""
    fault = {"fault": "job-failure", "reason": reason, "message": message, "jobs": jobs}
    _set({**fault, **_chances(rate, times, seed), "name": name}, data_dir, endpoint_url)


@set_app.command()
def slow_start(
    seconds: Annotated[float, typer.Option(help="How long a job stays InProgress before anything happens.")],
    jobs: Jobs = "*",
    rate: Rate = 1.0,
    times: Times = None,
    seed: Seed = None,
    name: Name = "",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Let processing jobs start later."""
    fault = {"fault": "slow-start", "seconds": seconds, "jobs": jobs}
    _set({**fault, **_chances(rate, times, seed), "name": name}, data_dir, endpoint_url)


@set_app.command()
def clock(
    speed: Annotated[float, typer.Option(help="How many seconds of waiting pass in one; 1000000 is at once.")],
    jobs: Annotated[
        bool, typer.Option("--jobs", help="Also while tasks run, and for the maximum runtime of jobs.")
    ] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Let Wait states, Retry delays and timeouts of state machines pass faster while nothing else happens."""
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
    """``states:StartExecution=10/2`` taken apart. Raises ConfigurationError."""
    operation, equals, numbers = text.partition("=")
    bucket, slash, refill = numbers.partition("/")
    try:
        if not (operation and equals and slash):
            raise ValueError(text)
        return operation, {"bucket": int(bucket), "refill_per_second": float(refill)}
    except ValueError:
        remedy = "for instance --rate states:StartExecution=10/2"
        raise ConfigurationError("--rate", repr(text), "OPERATION=BUCKET/REFILL", remedy) from None


def _set(fault: Mapping[str, Any], data_dir: Path, endpoint_url: str | None) -> None:
    _show(_ask("POST", data_dir, endpoint_url, {key: value for key, value in fault.items() if value != ""}))


def _clear_if_set(kind: str, data_dir: Path, endpoint_url: str | None) -> None:
    faults = _ask("GET", data_dir, endpoint_url)
    for fault in [fault for fault in faults if fault["fault"] == kind]:
        faults = _ask("DELETE", data_dir, endpoint_url, path=f"/{urllib.request.pathname2url(fault['name'])}")
    _show(faults)


def _show(faults: list[dict[str, Any]], as_json: bool = False) -> None:
    if as_json:
        typer.echo(json.dumps(faults, indent=2))
        return
    if not faults:
        typer.echo("no faults are set")
    for fault in faults:
        shown = {key: value for key, value in fault.items() if value not in (None, "", {})}
        kind, name = shown.pop("fault"), shown.pop("name")
        typer.echo(", ".join([f"{name}: {kind}", *(f"{key}={_plain(value)}" for key, value in shown.items())]))


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _ask(
    method: str, data_dir: Path, endpoint_url: str | None, body: Any = None, path: str = ""
) -> list[dict[str, Any]]:
    """What is set after the request. Raises ConfigurationError for what the local AWS refuses."""
    url = (endpoint_url or _announced(data_dir)).rstrip("/") + FAULTS_PATH + path
    headers = {"Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    try:
        request = urllib.request.Request(url, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:
            faults: list[dict[str, Any]] = json.load(answer)["faults"]
            return faults
    except urllib.error.HTTPError as refusal:
        raise ConfigurationError(url, _message(refusal)) from None
    except (urllib.error.URLError, ValueError, OSError, KeyError) as failure:
        remedy = "start it with `stepbridge local up`, or name it with --endpoint-url"
        raise LocalAwsError(url, f"no answer of a local AWS: {failure}", "", remedy) from failure


def _message(refusal: urllib.error.HTTPError) -> str:
    text = refusal.read().decode("utf-8", "replace")
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {refusal.code}: {text[:200]}"


def _announced(data_dir: Path) -> str:
    """The address that the local AWS left in its data folder."""
    file = data_dir / "endpoint.json"
    try:
        return str(json.loads(file.read_text())["url"])
    except (OSError, ValueError, KeyError):
        remedy = "start one with `stepbridge local up`, or name its folder (--data-dir) or address (--endpoint-url)"
        raise ConfigurationError(str(file), "no local AWS runs on this folder", "", remedy) from None
