"""The names that CloudFormation gives to resources whose templates name none.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-name.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["physical_name"]

_LONGEST: Final[Mapping[str, int]] = {
    "AWS::CodeBuild::Project": 150,
    "AWS::ECR::Repository": 256,
    "AWS::Events::Rule": 64,
    "AWS::IAM::Role": 64,
    "AWS::S3::Bucket": 63,
    "AWS::SQS::Queue": 80,
    "AWS::StepFunctions::StateMachine": 80,
}
_LONGEST_OF_OTHERS: Final = 128
_IN_LOWER_CASE: Final = frozenset({"AWS::ECR::Repository", "AWS::S3::Bucket"})


def physical_name(type_name: str, stack: str, logical_id: str, suffix: str) -> str:
    """A name that the resource's service accepts: ``<stack>-<logical id>-<suffix>``, the first two cut if needed."""
    room = _LONGEST.get(type_name, _LONGEST_OF_OTHERS) - len(suffix) - 2
    logical_part = logical_id[: max(room - len(stack), room // 2)]
    name = f"{stack[: room - len(logical_part)]}-{logical_part}-{suffix}"
    return name.lower() if type_name in _IN_LOWER_CASE else name
