"""``stepbridge preflight MODEL``: finds what a model's run would fail for, before it costs money."""

import ast
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import boto3
import typer
from jinja2 import TemplateError
from jinja2.meta import find_undeclared_variables

from stepbridge.aws.arns import S3Uri
from stepbridge.aws.cloudformation import CloudFormation
from stepbridge.aws.iam import policy_decision
from stepbridge.aws.s3 import S3
from stepbridge.aws.step_functions import StepFunctions
from stepbridge.cli import aws_options as aws
from stepbridge.cli.exit_codes import ExitCode
from stepbridge.cli.local_site.site import SiteSettings, find_running_site
from stepbridge.core.deployment import Deployment
from stepbridge.core.fields import is_template
from stepbridge.core.model_card import ModelCard, parse_card
from stepbridge.core.names import STAGES
from stepbridge.core.permissions import statement
from stepbridge.core.readiness import Check, permissions_of, readable_part
from stepbridge.deployment import DEFAULT_STACK_NAME, deployment_of
from stepbridge.errors import AwsError, ConfigurationError

_MARKS = {"ok": "✔", "missing": "✘", "unknown": "?"}


def preflight(
    model: Annotated[str, typer.Argument(help="The model's name: dags/models/<model>.yaml is its card.")],
    stack_name: Annotated[str, typer.Option(help="The deployed stack.")] = DEFAULT_STACK_NAME,
    region: aws.RegionOption = None,
    profile: aws.ProfileOption = None,
    endpoint_url: aws.EndpointUrlOption = None,
    project: aws.ProjectOption = Path(),
    input_uri: Annotated[str | None, typer.Option(help="The input of a run, where the card has a template.")] = None,
) -> None:
    """Check a model's card, scripts, image, buckets, input and the permissions of the stack's roles; run nothing.

    Ends with exit code 1 when something is missing; for a permission the statement to add is printed.
    """
    card = _card(project, model)
    site = None if region or profile or endpoint_url else find_running_site(SiteSettings.of(project))
    if site:
        endpoint_url = site.aws_endpoint_url
        typer.echo(f"On the local site that is running: {endpoint_url}; --region or --profile names another")
    with aws.advice_for_a_shell():
        session = aws.aws_session(region, profile, endpoint_url)
        found = list(checks(card, project, session, stack_name, endpoint_url, input_uri or card.input_uri))
    for check in found:
        typer.echo(f"{_MARKS[check.status]} {check.what}: {check.text}")
    missing = sum(check.status == "missing" for check in found)
    typer.echo(f"{model}: {missing} missing" if missing else f"{model}: nothing is missing")
    raise typer.Exit(ExitCode.ERROR if missing else ExitCode.SUCCESS)


def checks(
    card: ModelCard, project: Path, session: boto3.Session, stack_name: str, endpoint_url: str | None, input_uri: str
) -> Iterator[Check]:
    """Every check, one after the other. Raises AwsError when the stack cannot be looked at."""
    if card.date_warning:
        yield Check("dates", "unknown", card.date_warning)
    yield from _files(card, project)
    yield from _templates(card)
    yield from _pool(card)
    client = partial(session.client, endpoint_url=endpoint_url)
    stack = CloudFormation(client("cloudformation")).stack(stack_name)
    if stack is None:
        remedy = f"not deployed in {session.region_name}: run `stepbridge deploy --stack-name {stack_name}`"
        yield Check(f"stack {stack_name}", "missing", remedy)
        return
    deployed = deployment_of(stack, session.region_name, endpoint_url)
    yield Check(f"stack {stack_name}", "ok", f"deployed in {deployed.region} of account {deployed.account_id}")
    s3 = S3(client("s3"))
    yield _input(s3, input_uri)
    yield _output(s3, card.output_uri)
    yield from _permissions(card, deployed, client)


def _card(project: Path, model: str) -> ModelCard:
    paths = sorted((project / "dags" / "models").glob("*.y*ml"))  # of two cards with one name .yaml wins
    path = next((path for path in paths if path.stem == model), None)
    if path is None:
        known = ", ".join(path.stem for path in paths) or "none: there is no card"
        raise ConfigurationError(f"model {model!r}", "no such card", f"one of {known}")
    source = f"dags/models/{path.name}"
    try:
        return parse_card(path.read_text(encoding="utf-8"), source)
    except UnicodeDecodeError as error:
        raise ConfigurationError(source, str(error), "a text file in UTF-8") from None


def _files(card: ModelCard, project: Path) -> Iterator[Check]:
    if card.builds_image:
        yield from _image(project / card.container_folder, f"{card.container_folder}/Dockerfile")
    for stage in STAGES:
        if stage in card.stages and stage != "inference":
            yield _file(project, f"{card.scripts_folder}/{stage}.py")
    folders = [card.scripts_folder, *([card.container_folder] if card.builds_image else [])]
    for file in (file for folder in folders for file in sorted((project / folder).rglob("*.py"))):
        try:
            ast.parse(file.read_bytes())
        except (SyntaxError, ValueError) as error:
            line = f"line {error.lineno}: {error.msg}" if isinstance(error, SyntaxError) else str(error)
            yield Check(str(file.relative_to(project)), "missing", f"{line}: correct it")


def _image(folder: Path, name: str) -> Iterator[Check]:
    """The Dockerfile, as the local AWS reads it: where that is not installed, only that it is there."""
    found = _file(folder, "Dockerfile")
    try:
        from stepbridge_local.runtimes.process.build_check import check_build
    except ImportError:
        yield Check(name, found.status, f"{found.text}; its content is not checked without the extra `local`")
        return
    check = check_build(folder) if found.status == "ok" else None
    for problem in check.problems if check else ():
        yield Check(name, "missing", problem)
    for refusal in check.refusals if check else ():
        yield Check(name, "unknown", f"not with the process runtime of the local AWS: {refusal}")
    if not check or not (check.problems or check.refusals):
        yield Check(name, found.status, found.text)


def _templates(card: ModelCard) -> Iterator[Check]:
    """Each template of the card, compiled as Airflow does it, and the names in it."""
    from airflow.sdk import DAG
    from airflow.sdk.definitions.context import KNOWN_CONTEXT_KEYS

    environment = DAG("preflight", schedule=None).get_template_env()
    known = {*KNOWN_CONTEXT_KEYS, *environment.globals, "local_ds", "local_ds_nodash"}
    for text in _texts(card.model_dump(mode="json", exclude={"description"})):
        try:
            environment.compile(text)
        except TemplateError as error:
            yield Check(f"template {text}", "missing", f"{error}: correct it")
            continue
        if unknown := find_undeclared_variables(environment.parse(text)) - known:
            names = ", ".join(sorted(unknown))
            yield Check(f"template {text}", "missing", f"Airflow knows no {names}: correct the name")


def _texts(value: Any) -> Iterator[str]:
    """The templates in the value, however deep."""
    if isinstance(value, str):
        yield from [value] if is_template(value) else []
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)


def _pool(card: ModelCard) -> Iterator[Check]:
    """Pools are in Airflow's database, which this command does not reach for."""
    if card.pool is not None:
        how = f"`airflow pools get {card.pool}` shows whether it exists; without it the model never starts"
        remedy = f"make it with `airflow pools set {card.pool} SLOTS DESCRIPTION --include-deferred`"
        yield Check(f"pool {card.pool}", "unknown", f"{how}: {remedy}, and at least {card.pool_slots} slots")


def _file(project: Path, name: str) -> Check:
    if (project / name).is_file():
        return Check(name, "ok", "there")
    return Check(name, "missing", "add it, or name its folder in the card")


def _input(s3: S3, uri: str) -> Check:
    if is_template(uri):
        return Check("input", "unknown", f"{uri} is a template: name a run's with --input-uri")
    try:
        objects, _ = s3.objects(S3Uri.parse(uri), 1)
    except AwsError as error:
        return Check("input", "missing", str(error))
    if objects:
        return Check("input", "ok", f"there are objects below {uri}")
    return Check("input", "missing", f"there is nothing below {uri}: put the data there, or correct input_uri")


def _output(s3: S3, uri: str) -> Check:
    known = readable_part(uri)
    if known is None:
        return Check("output", "unknown", f"{uri} is a template from its bucket on")
    try:
        s3.require_bucket(S3Uri.parse(known).bucket)
    except AwsError as error:
        return Check("output", "missing", str(error))
    return Check("output", "ok", f"the bucket of {uri} is there")


def _permissions(card: ModelCard, deployed: Deployment, client: Callable[[Any], Any]) -> Iterator[Check]:
    iam = client("iam")
    role = StepFunctions(client("stepfunctions")).role_of(deployed.state_machine_arn)
    wanted = permissions_of(card, deployed, role)
    allowed = 0
    for each in wanted:
        what = f"{each.role_arn.rpartition('/')[2]} may {each.action} on {each.resource}"
        try:
            decision = policy_decision(iam, each.role_arn, each.action, each.resource, each.context)
        except AwsError as error:
            yield Check("permissions", "unknown", str(error))
            return
        if decision == "allowed":
            allowed += 1
        elif decision == "explicitDeny":
            yield Check(what, "missing", "a Deny statement of its policies is in the way")
        else:
            yield Check(what, "missing", f"add {statement(each.action, each.resource)}")
    yield Check("permissions", "ok", f"{allowed} of {len(wanted)} that the stages need are there")
