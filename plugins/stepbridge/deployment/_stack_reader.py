"""Reads what there is of one stack in one account and region; changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stepbridge.aws.cloudformation import CloudFormation
from stepbridge.aws.ecr import Ecr
from stepbridge.aws.iam import account_id
from stepbridge.aws.s3 import S3
from stepbridge.deployment._plan import StackSnapshot
from stepbridge.deployment._stack_status import StackState, stack_state
from stepbridge.deployment._template import PackagedTemplate, parse_template, retained_names
from stepbridge.errors import NotFoundError

if TYPE_CHECKING:
    from mypy_boto3_sts import STSClient

    from stepbridge.aws.cloudformation import Stack


@dataclass(frozen=True, kw_only=True)
class StackReader:
    """Reads one stack. ``template_bucket`` is where large templates go; None: the stack's own bucket."""

    stack_name: str
    region: str
    template_bucket: str | None
    cloudformation: CloudFormation
    s3: S3
    ecr: Ecr
    sts: STSClient

    def stack(self) -> Stack | None:
        """The stack; None when there is none."""
        return self.cloudformation.stack(self.stack_name)

    def snapshot(self, template: PackagedTemplate) -> StackSnapshot:
        """What is there of the stack now, and which resources that ``template`` names an earlier stack left."""
        stack = self.stack()
        state = stack_state(stack.status if stack else None)
        retained = self._retained(template) if state is StackState.ABSENT else {}
        deployed = state in (StackState.DEPLOYED, StackState.ROLLED_BACK)
        return StackSnapshot(
            self.stack_name,
            status=stack.status if stack else None,
            status_reason=stack.status_reason if stack else "",
            template=self._deployed_template() if deployed else None,
            parameters=stack.parameters if stack else None,
            retained=tuple(retained.values()),
            bucket=self.template_bucket
            or retained.get("AWS::S3::Bucket")
            or (stack.outputs.get("BucketName") if stack else None),
        )

    def _deployed_template(self) -> dict[str, object]:
        return parse_template(self.cloudformation.template(self.stack_name), f"stack {self.stack_name}")

    def _retained(self, template: PackagedTemplate) -> dict[str, str]:
        """Resource type -> name of what outlived an earlier stack of this name."""
        pseudo_parameters = {
            "AWS::StackName": self.stack_name,
            "AWS::AccountId": account_id(self.sts),
            "AWS::Region": self.region,
        }
        require = {"AWS::S3::Bucket": self.s3.require_bucket, "AWS::ECR::Repository": self.ecr.require_repository}
        names = retained_names(template.document, pseudo_parameters)
        return {resource_type: name for resource_type, name in names.items() if _exists(require[resource_type], name)}


def _exists(require: Callable[[str], None], name: str) -> bool:
    try:
        require(name)
    except NotFoundError:
        return False
    return True
