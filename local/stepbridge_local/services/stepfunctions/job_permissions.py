"""The permissions that a state machine's role needs to run Processing jobs.

https://docs.aws.amazon.com/step-functions/latest/dg/connect-sagemaker.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stepbridge_local.http.api_call import ApiCall
from stepbridge_local.partitions import partition
from stepbridge_local.protocols import Scope
from stepbridge_local.services.iam.decision import Need
from stepbridge_local.services.iam.operations import create_processing_job_needs

__all__ = ["creation_needs", "description_needs", "stop_needs"]


def creation_needs(scope: Scope, request: dict[str, Any]) -> Sequence[Need]:
    """The needs of CreateProcessingJob."""
    call = ApiCall("sagemaker", "CreateProcessingJob", scope.region, scope.account_id, "POST")
    return create_processing_job_needs(call, request)


def description_needs(scope: Scope, job_name: str) -> Sequence[Need]:
    """The needs of finding out how a job ended: its description and its tags."""
    return _job_needs(scope, job_name, "sagemaker:DescribeProcessingJob", "sagemaker:ListTags")


def stop_needs(scope: Scope, job_name: str) -> Sequence[Need]:
    """The needs of stopping a job."""
    return _job_needs(scope, job_name, "sagemaker:StopProcessingJob")


def _job_needs(scope: Scope, job_name: str, *actions: str) -> Sequence[Need]:
    prefix = f"arn:{partition(scope.region)}:sagemaker:{scope.region}:{scope.account_id}"
    return [Need(action, f"{prefix}:processing-job/{job_name}") for action in actions]
