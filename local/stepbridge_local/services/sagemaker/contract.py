"""How the local AWS treats every member and value of the SageMaker Processing API, in one table.

``rules`` refuses by name what the table marks so, and whatever it does not hold. The page docs/processing.md
shows the table (``python -m stepbridge_local.services.sagemaker.contract`` prints it). A test compares it with
botocore's service model, so that a new member or value of a later model is noticed.

A path is ``Operation.Member.Member``; ``[]`` stands for the items of a list, ``{}`` for the entries of a map, ``=`` for
a value of an enumeration (``=*``: each of them alike). Members of responses begin with ``Operation->``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["CONTRACT", "Row", "Treatment", "is_known", "markdown", "takes"]


class Treatment(StrEnum):
    """How a member or a value is treated."""

    HONOURED = "honoured"
    APP_MANAGED = "honoured with AppManaged, otherwise refused by name"
    WITHOUT_EFFECT = "accepted and stored, without effect"
    ABSENT = "never present"  # of a member of a response


@dataclass(frozen=True)
class Row:
    """One line of the table. ``note`` says how, or justifies why not; of what is refused, what to use instead."""

    treatment: Treatment
    note: str = ""


_HONOURED = Row(Treatment.HONOURED)
_READ_ONLY = Row(Treatment.HONOURED, "read-only: refused in a request, as by AWS; described once the job runs")
_NO_ENCRYPTION = "nothing is encrypted and no key is looked up; the job reads and writes the same data"
_INPUT = "CreateProcessingJob.ProcessingInputs[]"
_OUTPUT = "CreateProcessingJob.ProcessingOutputConfig"
_CLUSTER = "CreateProcessingJob.ProcessingResources.ClusterConfig"
_NETWORK = "CreateProcessingJob.NetworkConfig"
_EXPERIMENT = Row(Treatment.WITHOUT_EFFECT, "there are no experiments")
_DATASET = Row(Treatment.APP_MANAGED, "there is no Athena and no Redshift; use an S3Input")
_QUERY = Row(Treatment.APP_MANAGED, "as for DatasetDefinition; the container finds it in processingjobconfig.json")


def _below(prefix: str, row: Row, *members: str) -> dict[str, Row]:
    return {f"{prefix}.{member}" if member else prefix: row for member in members}


_CREATE: Mapping[str, Row] = {
    f"{_INPUT}.InputName": _HONOURED,
    f"{_INPUT}.AppManaged": Row(Treatment.HONOURED, "described to the container, not downloaded"),
    f"{_INPUT}.S3Input.S3Uri": Row(Treatment.HONOURED, "s3:// and the https:// addresses of S3"),
    f"{_INPUT}.S3Input.LocalPath": _HONOURED,
    f"{_INPUT}.S3Input.S3DataType=ManifestFile": _HONOURED,
    f"{_INPUT}.S3Input.S3DataType=S3Prefix": _HONOURED,
    f"{_INPUT}.S3Input.S3InputMode=File": _HONOURED,
    f"{_INPUT}.S3Input.S3InputMode=Pipe": Row(Treatment.HONOURED, "see “Pipe” below"),
    f"{_INPUT}.S3Input.S3DataDistributionType=FullyReplicated": _HONOURED,
    f"{_INPUT}.S3Input.S3DataDistributionType=ShardedByS3Key": Row(
        Treatment.HONOURED, "each n-th object in key order; AWS does not say which object goes where"
    ),
    f"{_INPUT}.S3Input.S3CompressionType=None": _HONOURED,
    f"{_INPUT}.S3Input.S3CompressionType=Gzip": Row(Treatment.HONOURED, "with Pipe only, as on AWS"),
    f"{_INPUT}.DatasetDefinition": _DATASET,
    **_below(
        f"{_INPUT}.DatasetDefinition.AthenaDatasetDefinition",
        _QUERY,
        *("Catalog", "Database", "QueryString", "WorkGroup", "OutputS3Uri", "KmsKeyId"),
        *("OutputFormat=*", "OutputCompression=*"),
    ),
    **_below(
        f"{_INPUT}.DatasetDefinition.RedshiftDatasetDefinition",
        _QUERY,
        *("ClusterId", "Database", "DbUser", "QueryString", "ClusterRoleArn", "OutputS3Uri", "KmsKeyId"),
        *("OutputFormat=*", "OutputCompression=*"),
    ),
    **_below(f"{_INPUT}.DatasetDefinition", _QUERY, "LocalPath", "DataDistributionType=*", "InputMode=*"),
    f"{_OUTPUT}.Outputs[].OutputName": _HONOURED,
    f"{_OUTPUT}.Outputs[].AppManaged": Row(Treatment.HONOURED, "its folder is created, nothing is uploaded"),
    f"{_OUTPUT}.Outputs[].S3Output.S3Uri": Row(Treatment.HONOURED, "s3:// and the https:// addresses of S3"),
    f"{_OUTPUT}.Outputs[].S3Output.LocalPath": _HONOURED,
    f"{_OUTPUT}.Outputs[].S3Output.S3UploadMode=Continuous": Row(Treatment.HONOURED, "checked every 0.5 s"),
    f"{_OUTPUT}.Outputs[].S3Output.S3UploadMode=EndOfJob": Row(Treatment.HONOURED, "for Completed jobs only"),
    f"{_OUTPUT}.Outputs[].FeatureStoreOutput.FeatureGroupName": Row(
        Treatment.HONOURED, "with AppManaged only, as on AWS: the script itself writes the records"
    ),
    f"{_OUTPUT}.KmsKeyId": Row(Treatment.WITHOUT_EFFECT, _NO_ENCRYPTION),
    "CreateProcessingJob.ProcessingJobName": Row(Treatment.HONOURED, "taken for ever, per account and region"),
    f"{_CLUSTER}.InstanceCount": Row(Treatment.HONOURED, "the job has that many containers, all on this machine"),
    f"{_CLUSTER}.InstanceType=*": Row(
        Treatment.HONOURED,
        "with --runtime docker, its memory and vCPUs limit the container; otherwise it is only stored",
    ),
    f"{_CLUSTER}.VolumeSizeInGB": Row(
        Treatment.WITHOUT_EFFECT,
        "a job can fill the disk of the data folder; a quota would need root or a separate volume",
    ),
    f"{_CLUSTER}.VolumeKmsKeyId": Row(Treatment.WITHOUT_EFFECT, _NO_ENCRYPTION),
    f"{_CLUSTER}.InstancePreferences[].InstanceType=*": Row(
        Treatment.HONOURED, "the first one is selected, because there is always capacity"
    ),
    f"{_CLUSTER}.InstancePreferences[].InstanceCount": _HONOURED,
    f"{_CLUSTER}.SelectedInstanceType=*": _READ_ONLY,
    f"{_CLUSTER}.SelectedInstanceCount": _READ_ONLY,
    "CreateProcessingJob.StoppingCondition.MaxRuntimeInSeconds": Row(
        Treatment.HONOURED, "SIGTERM, then SIGKILL after 120 s; the job is Stopped"
    ),
    "CreateProcessingJob.AppSpecification.ImageUri": Row(Treatment.HONOURED, "from the local ECR"),
    "CreateProcessingJob.AppSpecification.ContainerEntrypoint[]": _HONOURED,
    "CreateProcessingJob.AppSpecification.ContainerArguments[]": _HONOURED,
    "CreateProcessingJob.Environment{}": _HONOURED,
    f"{_NETWORK}.EnableInterContainerTrafficEncryption": Row(
        Treatment.WITHOUT_EFFECT, "traffic between instances does not leave the machine"
    ),
    f"{_NETWORK}.EnableNetworkIsolation": Row(Treatment.HONOURED, "no network but the container's own loopback"),
    f"{_NETWORK}.VpcConfig.SecurityGroupIds[]": Row(Treatment.WITHOUT_EFFECT, "there is no VPC"),
    f"{_NETWORK}.VpcConfig.Subnets[]": Row(Treatment.WITHOUT_EFFECT, "there is no VPC"),
    "CreateProcessingJob.RoleArn": Row(
        Treatment.HONOURED, "must be in the caller's account; its permissions are checked if permissions are enforced"
    ),
    "CreateProcessingJob.Tags[].Key": Row(Treatment.HONOURED, "shown by ListTags and in Step Functions' output"),
    "CreateProcessingJob.Tags[].Value": _HONOURED,
    **_below(
        "CreateProcessingJob.ExperimentConfig",
        _EXPERIMENT,
        *("ExperimentName", "TrialName", "TrialComponentDisplayName", "RunName"),
    ),
    "CreateProcessingJob->ProcessingJobArn": _HONOURED,
}

_AS_CREATED = (
    *("ProcessingInputs", "ProcessingOutputConfig", "ProcessingJobName", "ProcessingResources", "StoppingCondition"),
    *("AppSpecification", "Environment", "NetworkConfig", "RoleArn", "ExperimentConfig"),
)
_DESCRIBE: Mapping[str, Row] = {
    "DescribeProcessingJob.ProcessingJobName": _HONOURED,
    **{f"DescribeProcessingJob->{member}": Row(Treatment.HONOURED, "with its defaults") for member in _AS_CREATED},
    "DescribeProcessingJob->ProcessingJobArn": _HONOURED,
    "DescribeProcessingJob->ProcessingJobStatus=*": Row(Treatment.HONOURED, "all five occur"),
    "DescribeProcessingJob->ExitMessage": Row(
        Treatment.HONOURED, "first 1 KB of /opt/ml/output/message, in every final status"
    ),
    "DescribeProcessingJob->FailureReason": _HONOURED,
    **{
        f"DescribeProcessingJob->{time}Time": Row(Treatment.HONOURED, "whole milliseconds")
        for time in ("ProcessingEnd", "ProcessingStart", "LastModified", "Creation")
    },
    **{
        f"DescribeProcessingJob->{owner}Arn": Row(
            Treatment.ABSENT, "only jobs of services that are not supported have it"
        )
        for owner in ("MonitoringSchedule", "AutoMLJob", "TrainingJob")
    },
}

_LIST: Mapping[str, Row] = {
    **{
        f"ListProcessingJobs.{member}": Row(Treatment.HONOURED, "exclusive")
        for member in ("CreationTimeAfter", "CreationTimeBefore", "LastModifiedTimeAfter", "LastModifiedTimeBefore")
    },
    "ListProcessingJobs.NameContains": _HONOURED,
    "ListProcessingJobs.StatusEquals=*": _HONOURED,
    "ListProcessingJobs.SortBy=*": Row(Treatment.HONOURED, "ties are sorted by name"),
    "ListProcessingJobs.SortOrder=*": _HONOURED,
    "ListProcessingJobs.NextToken": Row(Treatment.HONOURED, "valid for the same filters and order"),
    "ListProcessingJobs.MaxResults": _HONOURED,
    "ListProcessingJobs->NextToken": _HONOURED,
    **{
        f"ListProcessingJobs->ProcessingJobSummaries[].{member}": _HONOURED
        for member in (
            *("ProcessingJobName", "ProcessingJobArn", "CreationTime", "ProcessingEndTime", "LastModifiedTime"),
            *("ProcessingJobStatus=*", "FailureReason", "ExitMessage"),
        )
    },
}

_STOP: Mapping[str, Row] = {
    "StopProcessingJob.ProcessingJobName": Row(Treatment.HONOURED, "SIGTERM, then SIGKILL after 120 s"),
}

CONTRACT: Mapping[str, Row] = {**_CREATE, **_DESCRIBE, **_LIST, **_STOP}

_WITHOUT_VALUES = frozenset(path.partition("=")[0].removesuffix("[]").removesuffix("{}") for path in CONTRACT)
_KNOWN = _WITHOUT_VALUES.union(
    *({path[:end].removesuffix("[]") for end, sign in enumerate(path) if sign == "."} for path in _WITHOUT_VALUES)
)


def is_known(path: str) -> bool:
    """Whether the table has the member, itself or something in it."""
    return path.removesuffix("[]") in _KNOWN


def takes(path: str, value: str) -> bool:
    """Whether the member may have the value: any one, unless the table lists them."""
    return path in CONTRACT or f"{path}=*" in CONTRACT or f"{path}={value}" in CONTRACT


def markdown() -> str:
    """The table as Markdown, ending with a line end."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "| operation | member | is | how, or why not |"
    yield "|---|---|---|---|"
    for path, row in CONTRACT.items():
        operation, arrow, member = path.partition("->") if "->" in path else path.partition(".")
        shown = f"→ `{member}`" if arrow == "->" else f"`{member}`"
        yield f"| {operation} | {shown} | {row.treatment} | {row.note} |"


if __name__ == "__main__":
    print(markdown(), end="")
