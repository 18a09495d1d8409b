"""``stepbridge deploy``: the stack, on AWS or on the local AWS."""

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer

from stepbridge.atomic_write import write_atomically
from stepbridge.cli import aws_options as aws
from stepbridge.cli.exit_codes import OptionError
from stepbridge.core.deployment import Deployment
from stepbridge.deployment import DEFAULT_STACK_NAME, StackDeployer
from stepbridge.errors import StepbridgeError

VARIABLE: Final = "stepbridge"
_say: Final = partial(typer.echo, err=True)


def deploy(
    stack_name: Annotated[str, typer.Option(help="The bucket, the roles and the rest are named after it.")] = (
        DEFAULT_STACK_NAME
    ),
    region: aws.RegionOption = None,
    profile: aws.ProfileOption = None,
    endpoint_url: aws.EndpointUrlOption = None,
    parameter: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A parameter of infra/stack.yaml; repeatable.")
    ] = None,
    template_bucket: Annotated[
        str | None, typer.Option(help="Where to put a template that is too large to be sent with the call.")
    ] = None,
    project: aws.ProjectOption = Path(),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    output: Annotated[Path | None, typer.Option(dir_okay=False, help="Also write the deployment to this file.")] = None,
    airflow_variable: Annotated[
        bool, typer.Option("--airflow-variable", help="Also set the Airflow Variable with this machine's `airflow`.")
    ] = False,
) -> None:
    """Create or update the stack and print the deployment as JSON; progress goes to stderr.

    The JSON is what the Airflow Variable `stepbridge` holds. A second deploy changes nothing.
    """
    parameters = _parameters(parameter or [])
    if output is not None and not output.parent.is_dir():
        raise OptionError("--output", f"the folder {output.parent} does not exist", "a file in a folder that exists")
    with aws.advice_for_a_shell():
        deployer = StackDeployer(
            aws.aws_session(region, profile, endpoint_url),
            project_root=project,
            say=_say,
            endpoint_url=endpoint_url,
            stack_name=stack_name,
            parameters=parameters,
            template_bucket=template_bucket,
        )
        if dry_run:
            deployer.preview()
            return
        deployment = deployer.deploy()
    typer.echo(deployment.to_json())
    if output is not None:
        write_atomically(output, deployment.to_json() + "\n")
    if airflow_variable:
        _set_airflow_variable(deployment)


def _parameters(assignments: list[str]) -> dict[str, str]:
    wrong = [text for text in assignments if "=" not in text or text.startswith("=")]
    if wrong:
        found = ", ".join(map(repr, wrong))
        raise OptionError("--parameter", found, "NAME=VALUE", "for instance --parameter LogRetentionDays=30")
    return dict(text.split("=", 1) for text in assignments)


def _set_airflow_variable(deployment: Deployment) -> None:
    """Raises StepbridgeError with what `airflow` printed when it fails."""
    command = [sys.executable, "-m", "airflow", "variables", "set", VARIABLE, deployment.to_json()]
    command += ["--description", "What `stepbridge deploy` made; read when tasks run"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        output = "\n".join((done.stderr or done.stdout).strip().splitlines()[-5:])
        remedy = "set AIRFLOW_HOME as Airflow's own processes have it, or paste the JSON under Admin > Variables"
        raise StepbridgeError(f"Airflow Variable {VARIABLE}", f"not set: {output}", "", remedy)
    _say(f"Airflow Variable {VARIABLE}: set")
