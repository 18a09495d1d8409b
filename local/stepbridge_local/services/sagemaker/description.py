"""A job as others see it: DescribeProcessingJob, ListProcessingJobs, Step Functions, and the container itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from stepbridge_local.services.sagemaker.job import ProcessingJob

__all__ = [
    "describe",
    "description_for_step_functions",
    "processing_job_config",
    "resource_config",
    "summarize",
]

_DESCRIBED = (  # members that DescribeProcessingJob gives back from the request; Tags are not among them
    "ProcessingInputs",
    "ProcessingOutputConfig",
    "ProcessingJobName",
    "ProcessingResources",
    "StoppingCondition",
    "AppSpecification",
    "Environment",
    "NetworkConfig",
    "RoleArn",
    "ExperimentConfig",
)


def describe(job: ProcessingJob) -> dict[str, Any]:
    """The DescribeProcessingJob response; times are datetimes, absent members are left out as AWS does."""
    return _as_created(job) | _present(
        {
            "ProcessingResources": _resources(job),
            "ProcessingJobArn": job.arn,
            "ProcessingJobStatus": str(job.status),
            "ExitMessage": job.exit_message,
            "FailureReason": job.failure_reason,
            "ProcessingEndTime": job.end_time,
            "ProcessingStartTime": job.start_time,
            "LastModifiedTime": job.last_modified_time,
            "CreationTime": job.creation_time,
        }
    )


def summarize(job: ProcessingJob) -> dict[str, Any]:
    """The job's ProcessingJobSummary in a ListProcessingJobs response."""
    return _present(
        {
            "ProcessingJobName": job.name,
            "ProcessingJobArn": job.arn,
            "CreationTime": job.creation_time,
            "ProcessingEndTime": job.end_time,
            "LastModifiedTime": job.last_modified_time,
            "ProcessingJobStatus": str(job.status),
            "FailureReason": job.failure_reason,
            "ExitMessage": job.exit_message,
        }
    )


def description_for_step_functions(
    description: Mapping[str, Any], tags: Sequence[Mapping[str, str]] = ()
) -> dict[str, Any]:
    """A DescribeProcessingJob response as Step Functions hands it on: the output of ``.sync``, or the error's cause.

    JSON-serialisable. Step Functions takes it from the EventBridge event "SageMaker Processing Job State Change", so
    times are whole milliseconds since the epoch and Tags are a map.
    """
    converted = {
        name: _epoch_millis(value) if isinstance(value, datetime) else value for name, value in description.items()
    }
    return converted | {"Tags": {tag["Key"]: tag["Value"] for tag in tags}}


def processing_job_config(job: ProcessingJob) -> dict[str, Any]:
    """The content of /opt/ml/config/processingjobconfig.json: the request with its defaults (byoc-config page)."""
    return {"ProcessingJobArn": job.arn} | _as_created(job)


def resource_config(host: str, hosts: Sequence[str]) -> dict[str, Any]:
    """The content of /opt/ml/config/resourceconfig.json for one instance."""
    return {"current_host": host, "hosts": list(hosts)}


def _as_created(job: ProcessingJob) -> dict[str, Any]:
    return {member: job.request[member] for member in _DESCRIBED if member in job.request}


def _resources(job: ProcessingJob) -> dict[str, Any]:
    """ProcessingResources, which of InstancePreferences shows the selected one once the job runs."""
    cluster = job.request["ProcessingResources"]["ClusterConfig"]
    if "InstancePreferences" in cluster and job.start_time is not None:
        instance_type, count = job.selected_instances
        cluster = {**cluster, "SelectedInstanceType": instance_type, "SelectedInstanceCount": count}
    return {"ClusterConfig": cluster}


def _present(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _epoch_millis(time: datetime) -> int:
    return round(time.timestamp() * 1000)
