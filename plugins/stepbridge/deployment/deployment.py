"""``stepbridge deploy`` as a function: look, plan, carry out, look again; then say what was deployed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from botocore.config import Config

from stepbridge.aws.arns import S3Uri
from stepbridge.aws.calls import aws_call
from stepbridge.aws.cloudformation import CloudFormation, Stack
from stepbridge.aws.s3 import S3
from stepbridge.core.deployment import Deployment
from stepbridge.deployment.errors import DeploymentError
from stepbridge.deployment.executor import Say, StackChanger, StepPrinter
from stepbridge.deployment.plan import StackSituation, check_stack_name, plan_deployment
from stepbridge.deployment.scikit_image import scikit_learn_image
from stepbridge.deployment.stack_status import StackState, stack_state
from stepbridge.deployment.template import PackagedTemplate, read_template, retained_names
from stepbridge.errors import CredentialsError, NotFoundError

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_ecr import ECRClient
    from mypy_boto3_s3 import S3Client

__all__ = ["DEFAULT_STACK_NAME", "deploy_stack", "deployment_of", "preview_deployment"]

DEFAULT_STACK_NAME: Final = "stepbridge"
TEMPLATE: Final = Path("infra/stack.yaml")
_SCIKIT: Final = "ScikitImageUri"


def deploy_stack(
    session: boto3.Session,
    *,
    project_root: Path,
    say: Say,
    endpoint_url: str | None = None,
    stack_name: str = DEFAULT_STACK_NAME,
    parameters: Mapping[str, str] | None = None,
    template_bucket: str | None = None,
    scikit_image: Callable[[str], str] = scikit_learn_image,
) -> Deployment:
    """The deployment, once the stack is as ``project_root``'s ``infra/stack.yaml`` and definition say.

    ``say`` gets a line per step and per event of the stack. ``endpoint_url`` is the local AWS's, None on AWS.
    ``parameters`` override the template's; others keep what they were given before. ``scikit_image`` gives the region's
    scikit-learn image and is asked only when the stack has none. Raises TemplateError, DeploymentError, StackFailedError
    and AwsError.
    """
    check_stack_name(stack_name)
    template = read_template(project_root / TEMPLATE)
    site = _site(session, endpoint_url, stack_name, template_bucket)
    changer = StackChanger(site.cloudformation, site.s3, site.template_url, time, say)
    while True:
        found = site.look(template)
        wanted = _with_scikit_image(found, dict(parameters or {}), site.region, scikit_image)
        plan = plan_deployment(found, template, wanted)
        for step in plan.steps:
            changer.run(step)
        if not plan.look_again:
            break
    if not plan.steps:
        say(f"stack {stack_name}: nothing to change")
    stack = site.cloudformation.stack(stack_name)
    if stack is None:
        raise DeploymentError(f"stack {stack_name}", "gone although it was just deployed", "", "deploy again")
    return deployment_of(stack, site.region, endpoint_url)


def preview_deployment(
    session: boto3.Session,
    *,
    project_root: Path,
    say: Say,
    endpoint_url: str | None = None,
    stack_name: str = DEFAULT_STACK_NAME,
    parameters: Mapping[str, str] | None = None,
    template_bucket: str | None = None,
    scikit_image: Callable[[str], str] = scikit_learn_image,
) -> None:
    """Says what ``deploy_stack`` would do, having only looked. Arguments and errors as there."""
    check_stack_name(stack_name)
    template = read_template(project_root / TEMPLATE)
    site = _site(session, endpoint_url, stack_name, template_bucket)
    found = site.look(template)
    wanted = _with_scikit_image(found, dict(parameters or {}), site.region, scikit_image)
    plan = plan_deployment(found, template, wanted)
    printer = StepPrinter(say)
    for step in plan.steps:
        printer.run(step)
    if plan.look_again:
        say("and then look again: what follows depends on how that ends")
    if not plan.steps:
        say(f"stack {stack_name}: nothing to change")


def deployment_of(stack: Stack, region: str, endpoint_url: str | None) -> Deployment:
    """The deployment that the stack's outputs describe. Raises DeploymentError when some are missing."""
    names = {
        "bucket": "BucketName",
        "state_machine_arn": "StateMachineArn",
        "processing_role_arn": "ProcessingRoleArn",
        "codebuild_project": "BuildProjectName",
        "repository_name": "RepositoryName",
        "repository_uri": "RepositoryUri",
        "scikit_image_uri": _SCIKIT,
    }
    missing = [output for output in names.values() if not stack.outputs.get(output)]
    if missing:
        expected = "the outputs of infra/stack.yaml"
        raise DeploymentError(f"stack {stack.name}", f"no output {', '.join(missing)}", expected, "deploy again")
    return Deployment(
        account_id=stack.id.split(":")[4],
        region=region,
        stack_name=stack.name,
        endpoint_url=endpoint_url,
        events_queue_url=stack.outputs.get("ExecutionEndsQueueUrl"),
        **{field: stack.outputs[output] for field, output in names.items()},
    )


@dataclass(frozen=True)
class _Site:
    """One account and region, and the stack's name there: what can be looked at and changed."""

    stack_name: str
    account_id: str
    region: str
    cloudformation: CloudFormation
    s3: S3
    s3_client: S3Client
    ecr_client: ECRClient
    template_bucket: str | None

    def look(self, template: PackagedTemplate) -> StackSituation:
        """What is there of the stack now."""
        stack = self.cloudformation.stack(self.stack_name)
        state = stack_state(stack.status if stack else None)
        surviving = self._existing(template) if state is StackState.ABSENT else {}
        return StackSituation(
            self.stack_name,
            status=stack.status if stack else None,
            status_reason=stack.status_reason if stack else "",
            template=self.cloudformation.template(self.stack_name) if _is_there(state) else None,
            parameters=stack.parameters if stack else None,
            surviving=tuple(surviving.values()),
            bucket=self.template_bucket
            or surviving.get("AWS::S3::Bucket")
            or (stack.outputs.get("BucketName") if stack else None),
        )

    def template_url(self, uri: S3Uri) -> str:
        """The address, by virtual host, under which CloudFormation reads the object; right in every partition."""
        return f"https://{uri.bucket}.{urlsplit(self.s3_client.meta.endpoint_url).netloc}/{uri.key}"

    def _existing(self, template: PackagedTemplate) -> dict[str, str]:
        pseudo = {
            "AWS::StackName": self.stack_name,
            "AWS::AccountId": self.account_id,
            "AWS::Region": self.region,
        }
        looks = {"AWS::S3::Bucket": self._has_bucket, "AWS::ECR::Repository": self._has_repository}
        names = retained_names(template.document, pseudo)
        return {resource_type: name for resource_type, name in names.items() if looks[resource_type](name)}

    def _has_bucket(self, name: str) -> bool:
        try:
            with aws_call("s3:ListBucket", name):
                self.s3_client.head_bucket(Bucket=name)
        except NotFoundError:
            return False
        return True

    def _has_repository(self, name: str) -> bool:
        try:
            with aws_call("ecr:DescribeRepositories", name):
                self.ecr_client.describe_repositories(repositoryNames=[name])
        except NotFoundError:
            return False
        return True


def _site(session: boto3.Session, endpoint_url: str | None, stack_name: str, template_bucket: str | None) -> _Site:
    """Every collaborator of one deployment."""
    region = session.region_name
    if not region:
        raise CredentialsError("AWS region", "none set", "one", "name it with --region, AWS_REGION or the profile")
    config = Config(
        retries={"mode": "standard", "total_max_attempts": 2 if endpoint_url else 5}, connect_timeout=5, read_timeout=60
    )
    sts = session.client("sts", endpoint_url=endpoint_url, config=config)
    s3_client = session.client("s3", endpoint_url=endpoint_url, config=config)
    with aws_call("sts:GetCallerIdentity", endpoint_url or f"region {region}"):
        account_id = sts.get_caller_identity()["Account"]
    return _Site(
        stack_name=stack_name,
        account_id=account_id,
        region=region,
        cloudformation=CloudFormation(session.client("cloudformation", endpoint_url=endpoint_url, config=config)),
        s3=S3(s3_client),
        s3_client=s3_client,
        ecr_client=session.client("ecr", endpoint_url=endpoint_url, config=config),
        template_bucket=template_bucket,
    )


def _is_there(state: StackState) -> bool:
    return state in (StackState.DEPLOYED, StackState.ROLLED_BACK)


def _with_scikit_image(
    found: StackSituation, wanted: dict[str, str], region: str, scikit_image: Callable[[str], str]
) -> dict[str, str]:
    """The image is chosen once, when the stack is made: a newer one may break scripts that run every night."""
    state = stack_state(found.status)
    chosen = _is_there(state) and (found.parameters or {}).get(_SCIKIT)
    if _SCIKIT not in wanted and not chosen and (state is StackState.ABSENT or _is_there(state)):
        wanted[_SCIKIT] = scikit_image(region)
    return wanted
