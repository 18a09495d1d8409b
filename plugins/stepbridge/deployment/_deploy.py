"""The entry point: one plan, which is carried out or only printed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from botocore.config import Config

from stepbridge.aws.cloudformation import CloudFormation, Stack
from stepbridge.aws.ecr import Ecr
from stepbridge.aws.iam import account_id
from stepbridge.aws.s3 import S3
from stepbridge.core.deployment import Deployment
from stepbridge.deployment._plan import Plan, StackSnapshot, Step, check_stack_name, plan_deployment
from stepbridge.deployment._stack_changer import Say, StackChanger
from stepbridge.deployment._stack_status import StackState, stack_state
from stepbridge.deployment._template import parse_template, read_template, retained_names
from stepbridge.deployment.scikit_image import project_version, scikit_learn_image
from stepbridge.errors import CredentialsError, DeploymentError, NotFoundError

if TYPE_CHECKING:
    import boto3

DEFAULT_STACK_NAME: Final = "stepbridge"
TEMPLATE: Final = Path("infra/stack.yaml")
_SCIKIT: Final = "ScikitImageUri"


class StackDeployer:
    """Deploys ``project_root``'s ``infra/stack.yaml`` with its state machine definition, or prints what that would do.

    ``say`` gets a line per step and per event of the stack. ``endpoint_url`` is the local AWS's, None on AWS.
    ``parameters`` override the template's; others keep the values they have. A template that is too large to be sent
    goes to ``template_bucket``, or to the stack's own bucket. ``scikit_image`` gives the region's scikit-learn image,
    by default that of the version which the project's stand-in names; only a stack without one asks for it. Every
    method raises TemplateError, DeploymentError and AwsError.
    """

    def __init__(
        self,
        session: boto3.Session,
        *,
        project_root: Path,
        say: Say,
        endpoint_url: str | None = None,
        stack_name: str = DEFAULT_STACK_NAME,
        parameters: Mapping[str, str] | None = None,
        template_bucket: str | None = None,
        scikit_image: Callable[[str], str] | None = None,
    ) -> None:
        check_stack_name(stack_name)
        self._template = read_template(project_root / TEMPLATE)
        if not session.region_name:
            raise CredentialsError("AWS region", "none set", "one", "name it with --region, AWS_REGION or the profile")
        self._region = session.region_name
        self._endpoint_url = endpoint_url
        self._stack_name = stack_name
        self._parameters = dict(parameters or {})
        self._template_bucket = template_bucket
        self._scikit_version = project_version(project_root)
        self._scikit_image = scikit_image or partial(scikit_learn_image, version=self._scikit_version)
        self._say = say
        retries: Any = {"mode": "standard", "total_max_attempts": 2 if endpoint_url else 5}
        config = Config(retries=retries, connect_timeout=5, read_timeout=60)
        options: dict[str, Any] = {"endpoint_url": endpoint_url, "config": config}
        self._cloudformation = CloudFormation(session.client("cloudformation", **options))
        self._s3 = S3(session.client("s3", **options))
        self._ecr = Ecr(session.client("ecr", **options))
        self._sts = session.client("sts", **options)
        self._changer = StackChanger(self._cloudformation, self._s3, say)

    def deploy(self) -> Deployment:
        """The deployment, once the stack is as the template says. Raises StackFailedError too."""
        while self._run(self._changer.carry_out).replan:
            continue
        stack = self._cloudformation.stack(self._stack_name)
        if stack is None:
            raise DeploymentError(f"stack {self._stack_name}", "gone although it was just deployed", "", "deploy again")
        return deployment_of(stack, self._region, self._endpoint_url)

    def preview(self) -> None:
        """Say what ``deploy`` would do, and change nothing."""
        if self._run(lambda step: self._say(f"would {step}")).replan:
            self._say("and then plan again: what follows depends on how that ends")

    def _run(self, execute: Callable[[Step], None]) -> Plan:
        """The plan from what is there now, after ``execute`` got its steps."""
        snapshot = self._snapshot()
        plan = plan_deployment(snapshot, self._template, self._with_scikit_image(snapshot))
        for step in plan.steps:
            execute(step)
        if not plan.steps:
            self._say(f"stack {self._stack_name}: nothing to change")
        return plan

    def _snapshot(self) -> StackSnapshot:
        """What is there of the stack now, and which resources that the template names an earlier stack left."""
        stack = self._cloudformation.stack(self._stack_name)
        state = stack_state(stack.status if stack else None)
        retained = self._retained() if state is StackState.ABSENT else {}
        template = None
        if state in (StackState.DEPLOYED, StackState.ROLLED_BACK):
            template = parse_template(self._cloudformation.template(self._stack_name), f"stack {self._stack_name}")
        own_bucket = retained.get("AWS::S3::Bucket") or (stack.outputs.get("BucketName") if stack else None)
        return StackSnapshot(
            self._stack_name,
            status=stack.status if stack else None,
            status_reason=stack.status_reason if stack else "",
            template=template,
            parameters=stack.parameters if stack else None,
            retained=tuple(retained.values()),
            bucket=self._template_bucket or own_bucket,
        )

    def _retained(self) -> dict[str, str]:
        """Resource type -> name of what outlived an earlier stack of this name."""
        own = {"AWS::StackName": self._stack_name, "AWS::Region": self._region, "AWS::AccountId": account_id(self._sts)}
        require = {"AWS::S3::Bucket": self._s3.require_bucket, "AWS::ECR::Repository": self._ecr.require_repository}
        found = {}
        for resource_type, name in retained_names(self._template.document, own).items():
            with contextlib.suppress(NotFoundError):
                require[resource_type](name)
                found[resource_type] = name
        return found

    def _with_scikit_image(self, found: StackSnapshot) -> Mapping[str, str]:
        """The image is chosen once, when the stack is created: a newer one may break scripts that run every night."""
        state = stack_state(found.status)
        deployed = state in (StackState.DEPLOYED, StackState.ROLLED_BACK)
        chosen = deployed and (found.parameters or {}).get(_SCIKIT)
        image = self._parameters.get(_SCIKIT) or chosen
        if image and self._scikit_version and f":{self._scikit_version}-" not in image:
            self._say(
                f"note: the stack uses {image}, containers/scikit_learn stands for version {self._scikit_version}: "
                f"change its Dockerfile and requirements.txt, or deploy with --parameter {_SCIKIT}=<image URI>"
            )
        if _SCIKIT in self._parameters or chosen or not (deployed or state is StackState.ABSENT):
            return self._parameters
        return {**self._parameters, _SCIKIT: self._scikit_image(self._region)}


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
